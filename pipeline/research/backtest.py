"""`stockcast backtest`: forecasts as they are published, at past cutoffs, next to baselines.

It walks forward in blocks of cutoffs: networks are trained at a block's first cutoff, and forecast
at the others without further training. Only cutoffs that all forecasters have are compared.

A recipe's line has three parts of a day less: the choice between the networks of two training
cutoffs, the floor on test, and the stand-ins for a stock that has no network, which is left out of
the block. The line `published` is that of whole days (see `published_days`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.errors import NotEnoughHistory
from pipeline.models import EWMA, HAR
from pipeline.research import leaderboard
from pipeline.research.backtest_data import histories_ahead
from pipeline.research.backtest_plan import BACKTEST_FOLDER, BacktestPlan
from pipeline.research.backtest_planning import plan_backtest
from pipeline.research.backtest_report import (
    BacktestComparison,
    comparison_pictures,
    comparison_runs,
    comparison_tables,
    comparison_text,
    left_out_sentences,
)
from pipeline.research.backtest_request import BacktestRequest
from pipeline.research.backtest_shards import STEP, make_shard, read_notes, read_shards
from pipeline.research.distribution_table import distribution_tables
from pipeline.research.leaderboard import ALL_HORIZONS
from pipeline.research.study import record_runs, save_files, text_file
from pipeline.storage import pack_table
from pipeline.universes import Universe

if TYPE_CHECKING:
    from pipeline.parts import Parts


@dataclass(frozen=True)
class BacktestResult:
    """A finished backtest.

    Attributes:
        board: the leaderboard; see `leaderboard.leaderboard`.
        text: for people.
        folder: of its files, among the artifacts.
    """

    board: pd.DataFrame
    text: str
    folder: str


def backtest(
    parts: Parts, universe: Universe, request: BacktestRequest, now: dt.datetime
) -> BacktestResult:
    """Plan a backtest, make the shards that are missing, and compare."""
    plan = plan_backtest(parts, universe, request, now)
    for forecaster, block in plan.shards:
        make_shard(parts, plan, forecaster, block)
    return compare_forecasters(parts, plan)


def compare_forecasters(parts: Parts, plan: BacktestPlan) -> BacktestResult:
    """Join the shards; write tables, text, pictures and runs. Repeating it changes nothing.

    Raises:
        NothingStored: a shard has not been made.
        NotEnoughHistory: there is no cutoff that all forecasters have.
    """
    comparison = _compared(parts, plan)
    text = comparison_text(comparison)
    files = {
        "leaderboard.md": text_file(text),
        **comparison_tables(comparison),
        **comparison_pictures(comparison),
    }
    save_files(parts, plan.folder, {"forecasts.parquet": pack_table(comparison.table), **files})
    board = comparison.board
    overall = board[board["horizon"] == ALL_HORIZONS]
    metrics = {
        f"skill_{opponent}.{name}": float(skill)
        for opponent in (EWMA, HAR)
        if f"skill_{opponent}" in overall
        for name, skill in zip(overall["recipe"], overall[f"skill_{opponent}"], strict=True)
    }
    # A parent run and below it one per forecaster, so that MLflow shows them side by side.
    record_runs(
        parts,
        plan.universe,
        f"{STEP} {plan.digest}",
        plan.params(),
        comparison_runs(comparison),
        metrics,
        files,
        experiment=BACKTEST_FOLDER,
    )
    return BacktestResult(board, text, plan.folder)


def _compared(parts: Parts, plan: BacktestPlan) -> BacktestComparison:
    forecasts = read_shards(parts, plan)
    notes = read_notes(parts, plan)
    table = leaderboard.common_rows(forecasts)
    names = [forecaster.name for forecaster in plan.forecasters]
    if table.empty or set(names) - set(forecasts["recipe"]):
        raise NotEnoughHistory(
            f"{', '.join(plan.universe.tickers)}: there is no cutoff that all of "
            f"{', '.join(names)} can forecast from. {' '.join(left_out_sentences(notes))} "
            "Give a later --from, or files that begin earlier."
        )
    pairs = len(forecasts.drop_duplicates(["ticker", "cutoff"]))
    board = leaderboard.leaderboard(table)
    worth = distribution_tables(table, histories_ahead(parts, plan))
    return BacktestComparison(plan, notes, pairs, table, board, worth)
