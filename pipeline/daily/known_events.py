"""Events that are known beforehand, as a run sees them.

A session sees what was known before the next one opens: its forecasts are made until then. What
became known later, or was first stored later while nobody says since when it was known, belongs to
later sessions; a run of this one that is repeated makes the same forecasts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.arrays import Floats
from pipeline.daily.admission import EVENT_AHEAD, judged_as_of, known_at_of
from pipeline.daily.table_rows import row_dicts
from pipeline.prices import DIVIDEND, REPORT
from pipeline.quality import WHOLE_TICKER
from pipeline.run import Run
from pipeline.storage import Store
from pipeline.tables import FINDINGS, KNOWN_EVENTS
from pipeline.windows import LARGE_DIVIDEND, dividends

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


def reports_known(parts: Parts, run: Run, tickers: Sequence[str], cutoff: dt.date) -> pd.DataFrame:
    """Return what the sessions up to a cutoff know of these tickers' reports; KNOWN_EVENTS."""
    reports, opening = reports_of(parts, run, tickers), opening_after(parts, run, cutoff)
    known = reports[reports["known_from"] < opening]
    until = known["known_until"].where(known["known_until"] < opening)
    return known.assign(known_until=until).reset_index(drop=True)


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


def note_events(parts: Parts, run: Run, last_values: Mapping[str, float]) -> None:
    """Note as findings what is known to come on the sessions that a run forecasts.

    Args:
        last_values: by ticker that is published, the price at the cutoff.
    """
    events = events_ahead(parts, run, list(last_values))
    sessions = pd.DatetimeIndex(list(run.forecast_sessions))
    texts: dict[tuple[str, pd.Timestamp], list[str]] = {}
    for row in row_dicts(events):
        session = sessions[sessions.searchsorted(row["session"])]
        text = _event_text(row, session, last_values[row["ticker"]])
        texts.setdefault((row["ticker"], session), []).append(text)
    rows = [
        {
            **run.key,
            "ticker": ticker,
            "rule": EVENT_AHEAD,
            "severity": "record",
            "session": session,
            "column": WHOLE_TICKER,
            "message": f"{ticker}: {'; '.join(own)}.",
        }
        for (ticker, session), own in texts.items()
    ]
    noted = FINDINGS.conform(pd.DataFrame(rows)) if rows else FINDINGS.empty()
    tickers = list(run.universe.tickers)
    parts.store.replace(FINDINGS, noted, **run.key, ticker=tickers, rule=EVENT_AHEAD)


def _event_text(event: Mapping[str, Any], session: pd.Timestamp, last: float) -> str:
    if event["kind"] == REPORT:
        return f"reports on {session:%Y-%m-%d}"
    large = event["value"] / last >= LARGE_DIVIDEND
    kept = f", not taken off, as it is {LARGE_DIVIDEND:.0%} of the price or more" if large else ""
    return f"ex-dividend {event['value']:g} on {session:%Y-%m-%d}{kept}"


def event_texts(findings: pd.DataFrame) -> pd.Series[Any]:
    """Return what findings of `EVENT_AHEAD` say, without the ticker, by row."""
    texts = [
        message.removeprefix(f"{ticker}: ").removesuffix(".")
        for ticker, message in zip(findings["ticker"], findings["message"], strict=True)
    ]
    return pd.Series(texts, index=findings.index, dtype="str")


def with_events(store: Store, rows: pd.DataFrame, **key: object) -> pd.DataFrame:
    """Return rows of published forecasts with a column `event`, where one is ahead of any.

    Args:
        rows: FORECASTS, or rows with their ticker, cutoff and session, of one series.
        key: by column of RUN_KEY the values that all rows have: the series at least.
    """
    noted = store.load(FINDINGS, **key, rule=EVENT_AHEAD)
    if noted.empty:
        return rows
    own = ["ticker", "cutoff", "session"]
    noted = noted[own].assign(event=event_texts(noted))
    merged = rows.merge(noted, on=own, how="left")
    return merged.assign(event=merged["event"].fillna(""))


def next_opening(parts: Parts, run: Run) -> pd.Timestamp:
    """Return the moment (UTC, no zone) at which the session after a run's opens."""
    return opening_after(parts, run, run.session)


def opening_after(parts: Parts, run: Run, session: dt.date) -> pd.Timestamp:
    """Return the moment (UTC, no zone) at which the session after another one opens."""
    calendar = parts.calendar(run.universe)
    [following] = calendar.next_sessions(session, 1)
    [opening] = calendar.opens_of(pd.Series([pd.Timestamp(following)]))
    return pd.Timestamp(opening)
