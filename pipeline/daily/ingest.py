"""Step `ingest`: fetch what is new up to the session, and store it as revisions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily.admission import INGEST_FAILED, known_at_of, reasons_of, save_checks
from pipeline.daily.shards import chunks
from pipeline.errors import NothingStored, SourceUnavailable, StockcastError
from pipeline.outcomes import (
    Outcomes,
    joined,
    outcome_of_each,
    outcome_together,
    raise_together,
    worth_trying,
)
from pipeline.prices import LATE, Fetched, fetch, may_be_late
from pipeline.run import Run
from pipeline.sessions import Calendar
from pipeline.tables import ACTIONS, CHECKS, PRICES

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "ingest"
#: Tickers that are fetched before they are stored: as many are fetched again, at most, when a task
#: is killed.
INGESTED_TOGETHER = 50


def ingest(parts: Parts, run: Run, tickers: Sequence[str]) -> list[str]:
    """Fetch and store each ticker's new bars and actions; one that fails does not stop the others.

    Returns:
        The tickers that are given up though a later try may help: the source did not answer, or has
        no bar of the session yet.

    Raises:
        StockcastError: trying again may help, or all have failed; the others are stored.
    """
    failures = ingest_each(parts, run, tickers)
    given_up = worth_trying(failures)
    if len(failures) == len(tickers) or (parts.tries_left and given_up):
        raise_together(failures)
    return given_up


def ingest_each(parts: Parts, run: Run, tickers: Sequence[str]) -> dict[str, StockcastError]:
    """Do the step; return the errors of the tickers that failed."""
    newest = parts.store.prices.last_sessions(
        run.universe.source_id, tickers, run.session, known_at_of(run)
    )
    if run.replay:
        moment = run.known_at.isoformat()
        parts.progress(STEP, "", f"nothing fetched: replaying what was known at {moment}")
        return {
            ticker: _unknown_then(run, ticker, newest.get(ticker))
            for ticker in tickers
            if newest.get(ticker) != run.session
        }
    failures: dict[str, StockcastError] = {}
    for batch in chunks(tickers, INGESTED_TOGETHER):
        firsts = {ticker: _first_wanted(parts, run, newest.get(ticker)) for ticker in batch}
        failed = _ingest_together(parts, run, firsts)
        for ticker, error in failed.items():
            parts.progress(STEP, ticker, str(error))
        save_checks(parts, run, {t: f"{INGEST_FAILED}{error}" for t, error in failed.items()})
        failures |= failed
    return failures


def probe(parts: Parts, run: Run) -> int:
    """Ask the source for a few sessions of one ticker; return how many bars it gave.

    Nothing is stored.
    """
    universe, ticker = run.universe, run.universe.tickers[0]
    calendar = parts.calendar(universe)
    count = parts.settings.refetch_sessions
    first = _sessions_before(calendar, run.session, count, universe.start)
    source = parts.source(universe)
    return len(fetch(source, ticker, first, run.session, calendar, run.known_at).prices)


def _unknown_then(run: Run, ticker: str, known: dt.date | None) -> NothingStored:
    return NothingStored(
        f"{ticker} {run.session}: at {run.known_at.isoformat()} the newest session known was "
        f"{known}. Give a later --known-at."
    )


def _first_wanted(parts: Parts, run: Run, newest: dt.date | None) -> dt.date:
    """Return the first session to fetch: a few before the newest bar, which may be corrected."""
    start = run.universe.start
    if newest is None:
        return start
    count = parts.settings.refetch_sessions
    return _sessions_before(parts.calendar(run.universe), newest, count, start)


def _sessions_before(calendar: Calendar, session: dt.date, count: int, start: dt.date) -> dt.date:
    begin = max(start, session - dt.timedelta(days=3 * count + 10))
    earlier = calendar.sessions(begin, session)
    return earlier[max(len(earlier) - 1 - count, 0)] if earlier else start


def _ingest_together(
    parts: Parts, run: Run, firsts: Mapping[str, dt.date]
) -> dict[str, StockcastError]:
    """Fetch each ticker from its first session on, and store the fetched; return what failed.

    All that begin on the same session are stored in one transaction.
    """
    fetched = _fetch_each(parts, run, firsts)
    stored = joined(
        outcome_together(
            [ticker for ticker in fetched.results if firsts[ticker] == first],
            partial(_store, parts, run, fetched.results, first),
        )
        for first in sorted(set(firsts.values()))
    )
    late = _late(parts, run, list(stored.results))
    recovered = [
        ticker
        for ticker, reason in reasons_of(parts, run, list(stored.results)).items()
        if reason.startswith(INGEST_FAILED) and ticker not in late
    ]
    if recovered:
        parts.store.replace(CHECKS, CHECKS.empty(), **run.key, ticker=recovered)
    return {**fetched.failures, **stored.failures, **late}


def _late(parts: Parts, run: Run, tickers: Sequence[str]) -> dict[str, SourceUnavailable]:
    """Return an error for each ticker whose bar of the session may still come this evening.

    One that has had none for longer is not late: the gate judges that.
    """
    calendar, session = parts.calendar(run.universe), run.session
    if not may_be_late(calendar, session, parts.store.prices.clock()):
        return {}
    before = calendar.last_session_until(session - dt.timedelta(days=1))
    newest = parts.store.prices.last_sessions(run.universe.source_id, tickers, session, None)
    return {
        ticker: SourceUnavailable(
            f"{ticker}: {run.universe.source} has no bar of {session} yet, which closed at "
            f"{calendar.close_of(session):%H:%M} UTC. Try again later: from "
            f"{calendar.close_of(session) + LATE:%H:%M} UTC on it counts as missing."
        )
        for ticker in tickers
        if newest.get(ticker) == before
    }


def _fetch_each(parts: Parts, run: Run, firsts: Mapping[str, dt.date]) -> Outcomes[Fetched]:
    calendar, source = parts.calendar(run.universe), parts.source(run.universe)
    return outcome_of_each(
        firsts,
        lambda ticker: fetch(source, ticker, firsts[ticker], run.session, calendar, run.known_at),
    )


def _store(
    parts: Parts, run: Run, every: Mapping[str, Fetched], first: dt.date, tickers: Sequence[str]
) -> dict[str, int]:
    """Store what was fetched of these tickers from a session on, in one transaction.

    Returns:
        By ticker, the number of bars that were new or corrected.
    """
    fetched = {ticker: every[ticker] for ticker in tickers}
    prices = pd.concat([PRICES.empty(), *(each.prices for each in fetched.values())])
    actions = pd.concat([ACTIONS.empty(), *(each.actions for each in fetched.values())])
    added = parts.store.prices.save(run.universe.source_id, prices, actions, first, run.session)
    for ticker, each in fetched.items():
        bars = f"{len(each.prices)} bars from {first}"
        parts.progress(STEP, ticker, f"{bars}, {added[ticker]} new or corrected")
    return {ticker: added[ticker] for ticker in fetched}
