"""Events that an audit puts next to prices: a report and a dividend after each of its cutoffs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pandas as pd

from pipeline.prices import DIVIDEND, REPORT, REPORTED
from pipeline.tables import EVENT_REVISIONS

#: The `events` of an audited universe: its store has them, and no file is read.
AUDITED_EVENTS = "audited events"
#: Sessions after a cutoff, and the value of the event.
AUDITED_KINDS = {REPORT: (2, REPORTED), DIVIDEND: (1, 0.01)}
#: Days before an event on which it is announced, and by which the next session has opened.
ANNOUNCED_BEFORE, OPENED_AFTER = 10, 5
_ONE_DAY = dt.timedelta(days=1)


def audited_events(
    source_id: str,
    tickers: Sequence[str],
    days: Sequence[Sequence[dt.date]],
    known_at: dt.datetime,
    cutoff: dt.date | None = None,
) -> pd.DataFrame:
    """Return EVENT_REVISIONS of some tickers.

    Args:
        days: the sessions from each audited cutoff on.
        known_at: the moment of the run that is audited.
        cutoff: what becomes known after it is different: an event that is announced later is of
            another day, and one that was announced before is taken back; None: nothing is.
    """
    rows = [
        {"ticker": ticker, "session": pd.Timestamp(ahead[after]), "kind": kind, "value": value}
        for ticker in tickers
        for ahead in days
        for kind, (after, value) in AUDITED_KINDS.items()
    ]
    moment = pd.Timestamp(known_at).tz_convert("UTC").tz_localize(None)
    events = pd.DataFrame(rows).assign(source_id=source_id, known_at=moment - 2 * _ONE_DAY)
    events["announced_at"] = events["session"] - ANNOUNCED_BEFORE * _ONE_DAY
    if cutoff is None:
        return EVENT_REVISIONS.conform(events)
    is_later = events["announced_at"] > pd.Timestamp(cutoff) + OPENED_AFTER * _ONE_DAY
    ahead_of_it = events[~is_later & (events["session"] > pd.Timestamp(cutoff))]
    taken_back = ahead_of_it.assign(value=0.0, known_at=moment - _ONE_DAY, announced_at=None)
    events.loc[is_later, "session"] += _ONE_DAY
    return EVENT_REVISIONS.conform(pd.concat([events, taken_back]))
