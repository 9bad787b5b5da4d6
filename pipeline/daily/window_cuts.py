"""Cuts: the history of a ticker up to a cutoff, and how a run cuts windows from it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily.admission import judged_as_of
from pipeline.daily.shards import chunks
from pipeline.errors import NotEnoughHistory
from pipeline.models import PriceRecipe
from pipeline.prices import Histories, HistoryRequest, histories_as_of, on_calendar
from pipeline.run import Run
from pipeline.sessions import Calendar
from pipeline.storage import content_digest, digest_of
from pipeline.windows import Newest, Spec, encode, load_dataset, surely_trainable

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: Tickers whose prices and windows are in memory together: reading and writing them one by one took
#: three times as long.
BUILT_TOGETHER = 32
#: Sessions read before the first one that a network learns from: masking judges a bar by those
#: before it.
SESSIONS_BEFORE = 64
#: Hexadecimal digits of `CutFacts.digest`.
DIGEST_DIGITS = 64
#: Intervals are calibrated and champions chosen on sessions that no network has learnt from: where
#: a source's protocol holds none out before its test sessions, the daily run does.
VALIDATION = Newest(252)


@dataclass(frozen=True)
class CutFacts:
    """The facts that decide on a cut, before it is made.

    Attributes:
        digest: of all that decides on the cut: equal ones mean equal cuts.
        known_at: when the newest fact became known (UTC, no zone); None: there is none.
    """

    digest: str
    known_at: dt.datetime | None


@dataclass(frozen=True)
class HistoryCut:
    """A history at a cutoff and how to cut it.

    Attributes:
        reason: why no network can learn from it; "" when one can.
    """

    spec: Spec
    history: pd.DataFrame
    reason: str


def histories_of(parts: Parts, run: Run, tickers: Sequence[str]) -> Histories:
    """Read what a run knows of tickers: as many as may be in memory together."""
    return _read(parts, _request(parts, run, judged_as_of(parts, run)), tickers)


def shared_histories_of(
    parts: Parts, run: Run, tickers: Sequence[str], is_last: bool = False
) -> Histories:
    """Return `histories_of` tickers, also for the steps that ask for them next in this process.

    Args:
        tickers: of `batches_of`.
        is_last: whether nobody asks for them again.

    Returns:
        Those of more tickers, where more were asked for before.
    """
    moment = judged_as_of(parts, run)
    request = _request(parts, run, moment)
    histories = parts.kept_histories.take(request, tickers)
    if histories is None:
        histories = _read(parts, request, tickers)
    # What is known by now may be another thing the next time.
    if moment is not None and not is_last:
        parts.kept_histories.keep(request, tickers, histories)
    return histories


def _request(parts: Parts, run: Run, moment: dt.datetime | None) -> HistoryRequest:
    universe = run.universe
    first = first_read(parts, run)
    return HistoryRequest(universe.source_id, run.session, moment, first, universe.repair)


def _read(parts: Parts, request: HistoryRequest, tickers: Sequence[str]) -> Histories:
    prices, known_at = parts.store.prices, request.known_at
    asked = request.source_id, tickers, request.cutoff, known_at, request.first
    return histories_as_of(prices, *asked, request.repair)


def batches_of(run: Run, tickers: Sequence[str]) -> Iterator[list[str]]:
    """Yield the tickers that are in memory together.

    They are the same whichever of the universe's are among them, so that what one step keeps serves
    another.
    """
    wanted = {*tickers}
    for batch in chunks(run.universe.tickers, BUILT_TOGETHER):
        if own := [ticker for ticker in batch if ticker in wanted]:
            yield own


def first_read(parts: Parts, run: Run) -> dt.date | None:
    """Return the first session whose prices a run reads; None: the first there is.

    Everything that a run's networks learn from comes after it, and what masking needs to judge it.
    """
    universe = run.universe
    if not universe.history_sessions:
        return None
    earliest = min(run.previous_cutoff, run.previous_pool_cutoff)
    most = universe.history_sessions + SESSIONS_BEFORE
    return parts.calendar(universe).start_of_newest(universe.start, earliest, most)


def spec_of(run: Run, recipe: PriceRecipe, ticker: str, cutoff: dt.date) -> Spec:
    """Return how a run cuts a ticker's history at a cutoff."""
    split = recipe.split
    split = split if split.validates else replace(split, validation=VALIDATION)
    return recipe.spec(ticker, cutoff, run.universe.target, run.universe.horizon, split)


def cut_facts(
    parts: Parts,
    run: Run,
    recipe: PriceRecipe,
    histories: Histories,
    ticker: str,
    cutoff: dt.date,
) -> CutFacts:
    """Return the facts that `cut_at` makes the cut of a ticker at a cutoff from."""
    calendar = parts.calendar(run.universe)
    sessions = _sessions_digest(calendar, _first_learnt(run, calendar, cutoff), cutoff)
    spec = spec_of(run, recipe, ticker, cutoff).to_json()
    about = [spec, sessions, histories.digest(ticker, cutoff)]
    return CutFacts(digest_of(about, DIGEST_DIGITS), histories.newest_revision(ticker, cutoff))


def cut_at(
    parts: Parts,
    run: Run,
    recipe: PriceRecipe,
    histories: Histories,
    ticker: str,
    cutoff: dt.date,
    instead: HistoryCut | None = None,
) -> HistoryCut:
    """Return the cut of a ticker at a cutoff; its reason says what a network would lack.

    Args:
        instead: a later cut, taken with this one's reason where nothing can be measured yet: of a
            stock that was listed shortly before the cutoff, or after it.

    Raises:
        NotEnoughHistory: nothing can be measured, and there is no other cut.
    """
    spec = spec_of(run, recipe, ticker, cutoff)
    history = seen_history(parts, run, histories, ticker, cutoff)
    count, needed = len(history), spec.needed_sessions
    reason = f"no network of its own: {count} sessions up to {cutoff}, {needed} needed"
    if count >= needed:
        lacking = _lacking(history, spec)
        if not lacking:
            return HistoryCut(spec, history, "")
        reason = f"no network of its own: of {count} sessions up to {cutoff}, {lacking}"
    try:
        spec = spec.without_training(count, as_it_is=recipe.fine_tuning is not None)
    except NotEnoughHistory:
        if instead is None:
            raise
        return replace(instead, reason=reason)
    return HistoryCut(spec, history, reason)


def seen_history(
    parts: Parts, run: Run, histories: Histories, ticker: str, cutoff: dt.date
) -> pd.DataFrame:
    """Return what a run sees of a ticker up to a cutoff, a row per session; none where it has none.

    Raises:
        MalformedPrices: its prices and actions cannot be.
    """
    history = histories.of(ticker, cutoff)
    if history.empty:
        return history
    calendar = parts.calendar(run.universe)
    first = max(_first_learnt(run, calendar, cutoff), history["session"].iloc[0].date())
    return on_calendar(history, _session_index(calendar, first, cutoff))


def _first_learnt(run: Run, calendar: Calendar, cutoff: dt.date) -> dt.date:
    """Return the first session that a network of a cutoff learns from.

    That of the session's own windows is the first of the network that forecasts from them.
    """
    universe, learnt_until = run.universe, min(cutoff, run.training_cutoff)
    return calendar.start_of_newest(universe.start, learnt_until, universe.history_sessions)


@lru_cache(maxsize=256)
def _session_index(calendar: Calendar, first: dt.date, last: dt.date) -> pd.DatetimeIndex:
    """Return the sessions of a range, kept: most tickers begin on the same session."""
    return pd.DatetimeIndex(calendar.sessions(first, last))


@lru_cache(maxsize=256)
def _sessions_digest(calendar: Calendar, first: dt.date, last: dt.date) -> str:
    """Return a digest of the sessions of a range."""
    return content_digest(_session_index(calendar, first, last).to_numpy().tobytes())


def _lacking(history: pd.DataFrame, spec: Spec) -> str:
    """Return why a history that is long enough cannot be learnt from; "" where it can."""
    if surely_trainable(history, spec):
        return ""
    dataset = load_dataset(encode(history, spec))
    if dataset.trainable:
        return ""
    if not (history["volume"] > 0).any():
        with_volume = load_dataset(encode(history.assign(volume=1.0), spec))
        if with_volume.trainable:
            return "none has a volume, which this recipe needs; --recipe default does without"
    return f"too many are without a price: {dataset.usable}"
