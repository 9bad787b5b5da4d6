"""Events that are known beforehand, on their way to the store: from a file, or from the source.

A file is read in every run. A source is asked on evenings alone, as what it knows today belongs to
no earlier session, and for each ticker once in `EVENT_DAYS`: reports and dividends are announced
weeks ahead, and it costs a request each. One that does not answer stops no evening.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily.admission import EVENTS_UNREAD, note
from pipeline.errors import RateLimited, SourceUnavailable, StockcastError
from pipeline.prices import DIVIDEND, EventSource, read_event_file
from pipeline.reporting import counted
from pipeline.run import Run
from pipeline.tables import EVENT_READINGS, EVENTS, FINDINGS

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "ingest"
#: Days after which a source is asked for a ticker's events again.
EVENT_DAYS = 7
#: Tickers in a row without an answer after which no more are asked for this evening.
MOST_UNANSWERED = 3
#: Days after which the last dividend says nothing about the next one.
DIVIDEND_DAYS = 400
_ONE_DAY = dt.timedelta(days=1)


def ingest_events(parts: Parts, run: Run, tickers: Sequence[str]) -> None:
    """Store what is new of these tickers' events, where the universe has any.

    Raises:
        SettingsError: its file cannot be read.
    """
    universe = run.universe
    own = [ticker for ticker in tickers if ticker in universe.tickers]
    if not universe.events_id or not own:
        return
    if universe.events:
        _read_file(parts, run, own)
        return
    source = parts.source(universe)
    is_evening = parts.calendar(universe).last_complete_session(run.known_at) == run.session
    if isinstance(source, EventSource) and is_evening:
        _ask(parts, run, source, _due(parts, run, own))


# Files


def _read_file(parts: Parts, run: Run, tickers: Sequence[str]) -> None:
    """Store what the universe's file says of these tickers, and note what is wrong with it."""
    universe = run.universe
    file = read_event_file(Path(universe.events).expanduser(), universe.tickers)
    if universe.tickers[0] in tickers:  # once, however the tickers are divided
        for line in file.left_out:
            parts.progress(STEP, "", line)
    wrong = {ticker: str(file.wrong[ticker]) for ticker in tickers if ticker in file.wrong}
    for ticker, message in wrong.items():
        parts.progress(STEP, ticker, f"its events are not read: {message}")
    noted = {**run.key, "ticker": list(tickers), "rule": EVENTS_UNREAD}
    parts.store.replace(FINDINGS, FINDINGS.empty(), **noted)
    note(parts, run, EVENTS_UNREAD, {t: message.removesuffix(".") for t, message in wrong.items()})
    read = [ticker for ticker in tickers if ticker not in wrong]
    events = file.events[file.events["ticker"].isin(read)]
    new = parts.store.events.save(universe.events_id, read, events, run.session)
    parts.progress(STEP, "", f"{counted(len(events), 'event')} of {universe.events}, {new} new")


# Sources


def _due(parts: Parts, run: Run, tickers: Sequence[str]) -> list[str]:
    """Return the tickers whose events are asked for in a run."""
    source_id = run.universe.events_id
    asked = parts.store.load(EVENT_READINGS, source_id=source_id, ticker=list(tickers))
    since = pd.Timestamp(run.session) - EVENT_DAYS * _ONE_DAY
    recent = {*asked.loc[asked["session"] > since, "ticker"]}
    return [ticker for ticker in tickers if ticker not in recent]


def _ask(parts: Parts, run: Run, source: EventSource, tickers: Sequence[str]) -> None:
    """Ask a source for these tickers' events, and store each one's; a fault is its ticker's own."""
    calendar, unanswered = parts.calendar(run.universe), 0
    for number, ticker in enumerate(tickers, start=1):
        try:
            events = source.fetch_events(ticker, calendar)
        except StockcastError as error:
            parts.progress(STEP, ticker, f"its events are not known: {error}")
            is_outage = isinstance(error, SourceUnavailable)
            unanswered = unanswered + 1 if is_outage else 0
            if isinstance(error, RateLimited) or unanswered == MOST_UNANSWERED:
                left = counted(len(tickers) - number, "ticker")
                parts.progress(STEP, "", f"events of {left} more are asked for another evening")
                return
            continue
        unanswered = 0
        ahead = _with_amounts(parts, run, ticker, events)
        ahead = ahead[ahead["session"] > pd.Timestamp(run.session)]
        first = run.session + _ONE_DAY
        new = parts.store.events.save(run.universe.events_id, [ticker], ahead, run.session, first)
        parts.progress(STEP, ticker, f"{counted(len(ahead), 'event')} ahead, {new} new or changed")


def _with_amounts(parts: Parts, run: Run, ticker: str, events: pd.DataFrame) -> pd.DataFrame:
    """Return EVENTS whose dividends have an amount: where it is not known, that of the last one.

    Companies mostly pay what they paid. Without a last one, as of a company that begins to pay, the
    dividend is left out.
    """
    amount = _last_dividend(parts, run, ticker) if events["value"].isna().any() else float("nan")
    filled = events.assign(value=events["value"].fillna(amount))
    return EVENTS.conform(filled.dropna(subset="value"))


def _last_dividend(parts: Parts, run: Run, ticker: str) -> float:
    """Return the newest dividend in today's shares; NaN where none is recent."""
    actions = parts.store.prices.actions(run.universe.source_id, ticker, run.session, None)
    first = pd.Timestamp(run.session) - DIVIDEND_DAYS * _ONE_DAY
    paid = actions[(actions["kind"] == DIVIDEND) & (actions["session"] >= first)]
    if paid.empty:
        return float("nan")
    newest = paid.iloc[-1]
    splits = actions[(actions["kind"] == "split") & (actions["session"] > newest["session"])]
    return float(newest["value"] / splits["value"].prod())
