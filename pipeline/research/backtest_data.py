"""A backtest's data: the prices that it has kept, and each block's histories and datasets."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.arrays import Bools
from pipeline.daily import VALIDATION
from pipeline.errors import NotEnoughHistory, StockcastError
from pipeline.outcomes import Outcomes
from pipeline.prices import Histories, on_calendar, read_event_file, unsettled
from pipeline.research.backtest_plan import BACKTEST_FOLDER, BacktestPlan, Block
from pipeline.research.backtest_request import Forecaster
from pipeline.storage import pack_table, unpack_table
from pipeline.tables import ACTIONS, PRICES, column
from pipeline.universes import NO_EVENTS, Universe
from pipeline.windows import Since, Spec, Split, Unscaled, Windowing, Windows, encode

if TYPE_CHECKING:
    from pipeline.parts import Parts
    from pipeline.sessions import Calendar

#: Where the prices that backtests have seen are kept, named by their content.
KEPT_PRICES_FOLDER, KEPT_PRICES_SUFFIX = f"{BACKTEST_FOLDER}/prices", ".parquet"
KEPT_EVENTS_SUFFIX = ".csv"


def keep_histories(parts: Parts, histories: Histories) -> tuple[str, str]:
    """Keep prices and actions among the artifacts; return the digests of both."""
    prices, actions = (
        parts.artifacts.put_content(KEPT_PRICES_FOLDER, KEPT_PRICES_SUFFIX, pack_table(table))
        for table in (histories.bars, histories.actions)
    )
    return prices, actions


def keep_events(parts: Parts, universe: Universe) -> str:
    """Keep the universe's file of events; return its digest, "" where it has none.

    Raises:
        SettingsError: the file cannot be read.
    """
    if universe.events in ("", NO_EVENTS):
        return ""
    path = Path(universe.events).expanduser()
    read_event_file(path, universe.tickers)
    return parts.artifacts.put_content(KEPT_PRICES_FOLDER, KEPT_EVENTS_SUFFIX, path.read_bytes())


def with_kept_events(parts: Parts, plan: BacktestPlan, folder: Path) -> Universe:
    """Return the plan's universe with the file of events that it has kept, put into a folder."""
    if not plan.events:
        return plan.universe
    kept = parts.artifacts.read_content(KEPT_PRICES_FOLDER, KEPT_EVENTS_SUFFIX, plan.events)
    path = folder / f"events{KEPT_EVENTS_SUFFIX}"
    path.write_bytes(kept)
    return dataclasses.replace(plan.universe, events=str(path))


def kept_histories(parts: Parts, plan: BacktestPlan) -> Histories:
    """Return the prices and actions that a plan has kept."""
    bars, actions = (
        table.conform(
            unpack_table(
                parts.artifacts.read_content(KEPT_PRICES_FOLDER, KEPT_PRICES_SUFFIX, digest)
            )
        )
        for table, digest in ((PRICES, plan.prices), (ACTIONS, plan.actions))
    )
    return Histories(bars, actions, plan.universe.repair)


def block_histories(
    plan: BacktestPlan, block: Block, histories: Histories, calendar: Calendar
) -> dict[str, pd.DataFrame]:
    """Return the HISTORY of each ticker that has prices by a block's end.

    It is repaired, adjusted and masked as of the end, and has one row per session up to it, from
    the first that the universe lets networks learn from.
    """
    start, most = plan.universe.start, plan.universe.history_sessions
    first = calendar.start_of_newest(start, block.cutoffs[0], most)
    sessions = calendar.sessions(first, block.end)
    seen = histories.until(block.end)
    by_ticker = {ticker: seen.of(ticker, block.end) for ticker in plan.members(block)}
    return {
        ticker: on_calendar(history, sessions)
        for ticker, history in by_ticker.items()
        if not history.empty
    }


def histories_ahead(parts: Parts, plan: BacktestPlan) -> dict[str, pd.DataFrame]:
    """Return the HISTORY of each ticker over all that is forecast, with one row per session.

    It is masked, and as of the end: no forecaster sees it.
    """
    end = plan.blocks[-1].end
    sessions = parts.calendar(plan.universe).sessions(plan.cutoffs[0], end)
    known = kept_histories(parts, plan).all_of(end)
    ahead = known[known["session"] >= pd.Timestamp(plan.cutoffs[0])]
    return {str(ticker): on_calendar(rows, sessions) for ticker, rows in ahead.groupby("ticker")}


def dataset_files(
    plan: BacktestPlan, forecaster: Forecaster, block: Block, histories: Mapping[str, pd.DataFrame]
) -> Outcomes[bytes]:
    """Return the dataset file of each ticker that a forecaster can learn from in a block.

    Beside whole days, which forecast young stocks too, a baseline has those that no network could
    learn from.

    Args:
        histories: of `block_histories`.
    """
    files: dict[str, bytes] = {}
    failures: dict[str, StockcastError] = {}
    for ticker in plan.members(block):
        if ticker not in histories:
            failures[ticker] = NotEnoughHistory(f"{ticker}: no prices up to {block.end}.")
            continue
        spec, history = plan.spec(forecaster.cutter, block, ticker), histories[ticker]
        try:
            files[ticker] = encode(history, _spec_for(plan, forecaster, block, history, spec))
        except NotEnoughHistory as error:
            failures[ticker] = error
    return Outcomes(files, failures)


def _spec_for(
    plan: BacktestPlan, forecaster: Forecaster, block: Block, history: pd.DataFrame, spec: Spec
) -> Spec:
    """Return how a history is cut, which may be too short for a network to learn from.

    Raises:
        NotEnoughHistory: it is too short for the forecaster.
    """
    try:
        _require_enough(history, spec, block)
    except NotEnoughHistory:
        if forecaster.trains_here or not plan.has_days:
            raise
        return dataclasses.replace(
            spec,
            window=Windowing(context_length=1),  # also of a stock that is listed within the block
            normalisation=Unscaled(),
            split=Split(Since(block.after), min_train_windows=0, embargo=plan.embargo),
        )
    return spec


def _require_enough(history: pd.DataFrame, spec: Spec, block: Block) -> None:
    """Raise `NotEnoughHistory` where a recipe cannot be trained before a block and tested in it."""
    cutoff, sessions = block.cutoffs[0], _days(history["session"])
    context = spec.window.context_length
    count = max(len(sessions) - context - spec.horizon + 1, 0)
    first_forecast = sessions[context:][:count]
    train = spec.split.starts(first_forecast, spec.reach, context)[0]
    needed = max(spec.split.min_train_windows, 1)
    if train < needed:
        before = int((sessions <= np.datetime64(cutoff)).sum())
        gap = spec.reach - 1 + spec.split.embargo
        tested = Since(block.after).start(first_forecast)
        more = needed + gap + VALIDATION.sessions + gap - tested
        raise NotEnoughHistory(
            f"{spec.ticker}: {before} sessions up to {cutoff} leave {train} windows to train on, "
            f"{needed} are needed ({context} sessions of context, {VALIDATION.sessions} of "
            f"validation, an embargo of {spec.split.embargo}): {more} sessions more."
        )
    known = column(history, spec.target).notna().to_numpy()
    if not known[np.isin(sessions, np.array(block.cutoffs, "datetime64[D]"))].any():
        raise NotEnoughHistory(
            f"{spec.ticker}: no {spec.target} at any cutoff from {cutoff} to {block.cutoffs[-1]}."
        )


def held_back(block: Block, histories: Histories) -> dict[str, list[dt.date]]:
    """Return by ticker the cutoffs at which its bars were on two bases, not yet repaired."""
    seen = histories.until(block.end)
    return unsettled(seen.bars, seen.actions, block.cutoffs) if seen.repair else {}


def at_cutoffs(
    history: pd.DataFrame, block: Block, windows: Windows, held: Sequence[dt.date]
) -> Bools:
    """Return which windows end at a cutoff of the block, (n,).

    Those with a masked close do not count: only the next session has shown that it is a wrong
    print, and that evening's forecast would have seen it.

    Args:
        held: cutoffs that do not count either (see `held_back`).
    """
    cutoffs = np.setdiff1d(
        np.array(block.cutoffs, "datetime64[D]"), np.array(held, "datetime64[D]")
    )
    unknown = _days(history.loc[history["close"].isna(), "session"])
    return np.isin(windows.origins, cutoffs) & ~np.isin(windows.origins, unknown)


def _days(sessions: pd.Series[pd.Timestamp]) -> np.ndarray:
    return sessions.to_numpy().astype("datetime64[D]")
