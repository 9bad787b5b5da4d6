"""Step `ingest`: fetch what is new up to the session, and store it as revisions.

Events that are known beforehand follow the prices (`ingest_events`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily.admission import (
    CURRENCY_CHANGED,
    INGEST_FAILED,
    RESTATED,
    known_at_of,
    note,
    reasons_of,
    save_checks,
)
from pipeline.daily.gone_tickers import is_long_gone
from pipeline.daily.ingest_events import ingest_events
from pipeline.daily.price_readings import PriceReader, PriceReading, first_wanted
from pipeline.daily.shards import chunks
from pipeline.errors import NothingStored, SourceUnavailable, StockcastError, UnknownTicker
from pipeline.money import currency_words
from pipeline.outcomes import (
    joined,
    outcome_of_each,
    outcome_together,
    raise_together,
    worth_trying,
)
from pipeline.prices import LATE, fetch_renamed, may_be_late
from pipeline.run import Run
from pipeline.tables import ACTIONS, CHECKS, PRICE_READINGS, PRICES

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
    """Do the step; return the errors of the universe's tickers that failed."""
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
        failed = _ingest_together(parts, run, batch, newest)
        for ticker, error in failed.items():
            parts.progress(STEP, ticker, str(error))
        # One that has left the universe is held back from nothing; one that is no longer listed is
        # left to the next step.
        unlisted = [
            ticker
            for ticker, error in failed.items()
            if isinstance(error, UnknownTicker) and is_long_gone(parts, run, newest.get(ticker))
        ]
        _forget_failures(parts, run, unlisted)
        held = {*run.universe.tickers} - {*unlisted}
        failed = {ticker: error for ticker, error in failed.items() if ticker in held}
        save_checks(parts, run, {t: f"{INGEST_FAILED}{error}" for t, error in failed.items()})
        failures |= failed
    ingest_events(parts, run, [ticker for ticker in tickers if ticker not in failures])
    return failures


def probe(parts: Parts, run: Run) -> int:
    """Ask the source for a few sessions of one ticker; return how many bars it gave.

    Nothing is stored.
    """
    universe, ticker = run.universe, run.universe.tickers[0]
    calendar = parts.calendar(universe)
    first = first_wanted(parts, run, run.session)
    source, days = parts.source(universe), (first, run.session)
    bars = fetch_renamed(source, ticker, *days, calendar, run.known_at, universe.aliases).prices
    return len(bars)


def _unknown_then(run: Run, ticker: str, known: dt.date | None) -> NothingStored:
    return NothingStored(
        f"{ticker} {run.session}: at {run.known_at.isoformat()} the newest session known was "
        f"{known}. Give a later --known-at."
    )


def _ingest_together(
    parts: Parts, run: Run, tickers: Sequence[str], newest: Mapping[str, dt.date]
) -> dict[str, StockcastError]:
    """Read what is new of each ticker, and store what was read; return what failed.

    All that begin on the same session are stored in one transaction.
    """
    read = outcome_of_each(tickers, PriceReader(parts, run, tickers, newest).read)
    firsts = {ticker: reading.first for ticker, reading in read.results.items()}
    stored = joined(
        outcome_together(
            [ticker for ticker in firsts if firsts[ticker] == first],
            partial(_store, parts, run, read.results, first),
        )
        for first in sorted(set(firsts.values()))
    )
    late = _late(parts, run, list(stored.results))
    _forget_failures(parts, run, [ticker for ticker in stored.results if ticker not in late])
    return {**read.failures, **stored.failures, **late}


def _forget_failures(parts: Parts, run: Run, tickers: Sequence[str]) -> None:
    """Take back the verdicts of earlier attempts of this step."""
    failed = [
        ticker
        for ticker, reason in reasons_of(parts, run, tickers).items()
        if reason.startswith(INGEST_FAILED)
    ]
    if failed:
        parts.store.replace(CHECKS, CHECKS.empty(), **run.key, ticker=failed)


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


def _store(
    parts: Parts,
    run: Run,
    every: Mapping[str, PriceReading],
    first: dt.date,
    tickers: Sequence[str],
) -> dict[str, int]:
    """Store what was read of these tickers from a session on, in one transaction.

    Returns:
        By ticker, the number of bars that were new or corrected.
    """
    readings = {ticker: every[ticker] for ticker in tickers}
    prices, actions, kept = (
        pd.concat([table.empty(), *(getattr(each, name) for each in readings.values())])
        for name, table in (("prices", PRICES), ("actions", ACTIONS), ("kept", PRICE_READINGS))
    )
    changes = {t: str(each.restatement) for t, each in readings.items() if each.restatement}
    # Before what they tell of: a step that is killed in between finds it again.
    note(parts, run, RESTATED, changes)
    source_id = run.universe.source_id
    currencies = {ticker: each.currency for ticker, each in readings.items() if len(each.prices)}
    renamed = _changed_currencies(parts, run, currencies)
    note(parts, run, CURRENCY_CHANGED, renamed)
    added = parts.store.prices.save(
        source_id, prices, actions, first, run.session, kept, currencies
    )
    for ticker, each in readings.items():
        bars = f"{each.count} bars from {first}"
        unused = "".join(f"; not used: {what}" for what in each.unused)
        message = f"{bars}, {added[ticker]} new or corrected{unused}"
        if not each.was_asked:
            message = f"not asked for: {first} is stored already"
        parts.progress(STEP, ticker, message)
        for lines in (changes, renamed):
            if ticker in lines:
                parts.progress(STEP, ticker, lines[ticker])
    return {ticker: added[ticker] for ticker in readings}


def _changed_currencies(parts: Parts, run: Run, currencies: Mapping[str, str]) -> dict[str, str]:
    """Return a line for each ticker that the source names another currency of than before."""
    stored = parts.store.prices.currencies(run.universe.source_id, list(currencies))
    return {
        ticker: f"prices are in {currency_words(currency)} now, in "
        f"{currency_words(stored[ticker])} before"
        for ticker, currency in currencies.items()
        if currency and currency != stored.get(ticker, currency)
    }
