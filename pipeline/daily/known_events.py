"""Events that are known beforehand, as a run sees them.

A session sees what was known before the next one opens: its forecasts are made until then. What
became known later, or was first stored later while nobody says since when it was known, belongs to
later sessions; a run of this one that is repeated makes the same forecasts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.arrays import Floats
from pipeline.daily.admission import judged_as_of, known_at_of
from pipeline.daily.table_rows import row_dicts
from pipeline.prices import DIVIDEND, REPORT
from pipeline.run import Run
from pipeline.tables import KNOWN_EVENTS
from pipeline.windows import dividends

if TYPE_CHECKING:
    from pipeline.parts import Parts


def newest_event(parts: Parts, run: Run) -> dt.datetime | None:
    """Return when the newest event that a run's session sees was stored (UTC); None: there is none.

    Reading as of then gives the same events.
    """
    source_id, tickers = run.universe.events_id, run.universe.tickers
    if not source_id:
        return None
    rows = parts.store.events.revisions(source_id, tickers, known_at_of(run))
    since = rows["announced_at"].fillna(rows["known_at"])
    seen = rows.loc[since < next_opening(parts, run), "known_at"]
    return None if seen.empty else seen.max().to_pydatetime()


def events_of(parts: Parts, run: Run, tickers: Sequence[str]) -> pd.DataFrame:
    """Return what a run knows of these tickers' events: KNOWN_EVENTS, also those taken back."""
    source_id = run.universe.events_id
    if not source_id:
        return KNOWN_EVENTS.empty()
    return parts.store.events.known(source_id, tickers, judged_as_of(parts, run))


def events_ahead(parts: Parts, run: Run, tickers: Sequence[str]) -> pd.DataFrame:
    """Return those that fall on sessions that a run forecasts, and stand; KNOWN_EVENTS."""
    events, opening = events_of(parts, run, tickers), next_opening(parts, run)
    stands = events["known_until"].isna() | (events["known_until"] >= opening)
    days = pd.Timestamp(run.session), pd.Timestamp(run.forecast_sessions[-1])
    ahead = (events["session"] > days[0]) & (events["session"] <= days[1])
    return events[(events["known_from"] < opening) & stands & ahead].reset_index(drop=True)


def reports_of(parts: Parts, run: Run, tickers: Sequence[str]) -> pd.DataFrame:
    """Return what a run knows of these tickers' reports; KNOWN_EVENTS."""
    events = events_of(parts, run, tickers)
    return events[events["kind"] == REPORT].reset_index(drop=True)


def dividends_ahead(parts: Parts, run: Run, tickers: Sequence[str]) -> dict[str, Floats]:
    """Return by ticker the declared dividends by the session ahead that goes ex, money (H,).

    Tickers without any are left out; all are where no dividend makes the target fall.
    """
    if run.universe.target in dividends.WITHOUT_STEPS:
        return {}
    events = events_ahead(parts, run, tickers)
    sessions = pd.DatetimeIndex(list(run.forecast_sessions))
    money: dict[str, Floats] = {}
    for row in row_dicts(events[events["kind"] == DIVIDEND]):
        own = money.setdefault(row["ticker"], np.zeros(len(sessions)))
        own[sessions.searchsorted(row["session"])] += row["value"]
    return money


def next_opening(parts: Parts, run: Run) -> pd.Timestamp:
    """Return the moment (UTC, no zone) at which the session after a run's opens."""
    calendar = parts.calendar(run.universe)
    [opening] = calendar.opens_of(pd.Series([pd.Timestamp(run.forecast_sessions[0])]))
    return pd.Timestamp(opening)
