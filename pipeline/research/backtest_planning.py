"""Planning a backtest: cutoffs, blocks and prices are decided, what cannot be done is refused."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from pipeline.errors import NotEnoughHistory, SettingsError
from pipeline.extras import require
from pipeline.models import statistical
from pipeline.prices import Histories, fetch_histories, require_known
from pipeline.research.backtest_data import (
    block_histories,
    dataset_files,
    keep_events,
    keep_histories,
)
from pipeline.research.backtest_plan import BacktestPlan, Block
from pipeline.research.backtest_request import BacktestRequest, forecasters_of
from pipeline.universes import Universe

if TYPE_CHECKING:
    from pipeline.parts import Parts


def plan_backtest(
    parts: Parts, universe: Universe, request: BacktestRequest, now: dt.datetime
) -> BacktestPlan:
    """Decide cutoffs and blocks, and keep the prices that they will see.

    Raises:
        SettingsError: there is no such forecaster, or its library is not installed, or there is no
            session in the range.
        NotEnoughHistory: a forecaster can learn from no ticker before the first block, or no
            cutoff has actuals.
    """
    statistical.require_known(request.baselines)
    wanted = [*request.recipes, *request.baselines]
    if any(each in statistical.STATISTICAL_NAMES for each in wanted):
        require("statsforecast", "A statistical baseline")
    forecasters = forecasters_of(parts.recipes, wanted, universe, parts.settings, request.seeds)
    calendar = parts.calendar(universe)
    inside = calendar.sessions(request.first, request.last)
    if not inside:
        raise SettingsError(
            f"There is no session of {calendar.name} from {request.first} to {request.last}. "
            "Give an earlier --from or a later --to."
        )
    has_days = any(forecaster.is_published for forecaster in forecasters)
    wanted_cutoffs = inside[:: request.step]
    universe = _members_of(universe, wanted_cutoffs, by_date=has_days)
    last_forecast = calendar.next_sessions(inside[-1], universe.horizon)[-1]
    histories = _fetched(parts, universe, last_forecast, now)
    newest = histories.bars["session"].max().date()
    sessions = calendar.sessions(inside[0], newest)
    blocks = _blocks(sessions, wanted_cutoffs, request.refit, universe)
    if not blocks:
        raise NotEnoughHistory(
            f"{', '.join(universe.tickers)}: prices end on {newest}, so there is no actual yet of "
            f"forecasts from {inside[0]} on, {universe.horizon} sessions ahead. "
            "Give an earlier --from."
        )
    prices, actions = keep_histories(parts, histories)
    plan = BacktestPlan(
        universe=universe,
        forecasters=forecasters,
        blocks=blocks,
        step=request.step,
        refit=request.refit,
        embargo=universe.horizon if request.embargo is None else request.embargo,
        warm_start=request.warm_start,
        prices=prices,
        actions=actions,
        events=keep_events(parts, universe) if has_days else "",
    )
    _require_trainable(parts, plan, histories)
    parts.artifacts.write(f"{plan.folder}/plan.json", plan.encode())
    return plan


def _members_of(universe: Universe, cutoffs: Sequence[dt.date], by_date: bool) -> Universe:
    """Return the universe with its members at the first cutoff, or at all of them by date."""
    if not (by_date and universe.members):
        return universe.on(cutoffs[0])  # who was in it then: a later choice has seen who did well
    tickers = {ticker for cutoff in cutoffs for ticker in universe.on(cutoff).tickers}
    return dataclasses.replace(universe, tickers=tuple(sorted(tickers)))


def _fetched(parts: Parts, universe: Universe, last: dt.date, now: dt.datetime) -> Histories:
    """Return prices and actions of all tickers from the universe's start to `last`, as traded."""
    source, calendar = parts.source(universe), parts.calendar(universe)
    require_known(source, universe.tickers, universe.aliases)
    days = universe.start, last, calendar, now
    histories = fetch_histories(source, universe.tickers, *days, universe.aliases, universe.repair)
    if histories.bars.empty:
        raise NotEnoughHistory(
            f"{', '.join(universe.tickers)}: no prices from {universe.start} to {last}. "
            "Give another range (--from, --to), or a source that has them (--source, --data)."
        )
    return histories


def _blocks(
    sessions: Sequence[dt.date], wanted: Sequence[dt.date], refit: int, universe: Universe
) -> tuple[Block, ...]:
    """Return the blocks of the wanted cutoffs that have all their actuals.

    A block ends where members change: what all stocks train together, these train anew.

    Args:
        sessions: those that have prices, from the first cutoff on.
        refit: cutoffs of a block; 0: all.
    """
    places = {session: place for place, session in enumerate(sessions)}
    fewer, horizon = len(sessions), universe.horizon
    cutoffs = [cutoff for cutoff in wanted if places.get(cutoff, fewer) + horizon < len(sessions)]
    size = refit or max(len(cutoffs), 1)
    groups = [
        tuple(of_members)
        for start in range(0, len(cutoffs), size)
        for _, of_members in groupby(
            cutoffs[start : start + size], lambda cutoff: universe.on(cutoff).tickers
        )
    ]
    return tuple(
        Block(
            number,
            group,
            after=sessions[places[group[0]] + 1],
            end=sessions[places[group[-1]] + horizon],
        )
        for number, group in enumerate(groups)
    )


def _require_trainable(parts: Parts, plan: BacktestPlan, histories: Histories) -> None:
    """Raise `NotEnoughHistory` where a recipe can learn from no ticker in the first block."""
    block, limited = plan.blocks[0], plan.universe.history_sessions
    by_ticker = block_histories(plan, block, histories, parts.calendar(plan.universe))
    for forecaster in {id(each.cutter): each for each in plan.forecasters}.values():
        datasets = dataset_files(plan, forecaster, block, by_ticker)
        if not datasets.results:
            raise NotEnoughHistory(
                f"{' '.join(map(str, datasets.failures.values()))} Give a later --from, or "
                + ("a larger history_sessions." if limited else "files that begin earlier.")
            )
