"""The text, tables and pictures of a backtest, and its runs in MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.models import PUBLISHED
from pipeline.quantiles import QUANTILE_COUNT
from pipeline.reporting import charts, counted, format_rows, sentences
from pipeline.research import leaderboard
from pipeline.research.backtest_plan import BacktestPlan, Block
from pipeline.research.backtest_request import Forecaster
from pipeline.research.distribution_table import DistributionTables, tracked_figures
from pipeline.research.distribution_text import distribution_text
from pipeline.research.leaderboard import ALL_HORIZONS, MOVING_CUTOFFS
from pipeline.research.leaderboard_text import readable_horizons, readable_leaderboard, verdicts
from pipeline.research.published_kinds import (
    held_back_sentences,
    kinds_in_spells,
    kinds_shares,
    kinds_table,
)
from pipeline.research.shard_notes import ShardNotes
from pipeline.research.study import csv_file
from pipeline.tracking import TrackedRun
from pipeline.training import SHARED

#: The columns of the table of the networks' weights.
WEIGHT_COLUMNS = ["recipe", "refitted", "ticker", "weight", "baseline"]


@dataclass(frozen=True)
class BacktestComparison:
    """The forecasts of a backtest, compared.

    Attributes:
        notes: on each shard.
        pairs: pairs of ticker and cutoff that any forecaster has.
        table: BACKTESTS rows of the pairs that all forecasters have.
        board: the leaderboard of `table`.
        worth: what its distributions are worth.
    """

    plan: BacktestPlan
    notes: Sequence[tuple[Forecaster, Block, ShardNotes]]
    pairs: int
    table: pd.DataFrame
    board: pd.DataFrame
    worth: DistributionTables

    @property
    def notes_on_days(self) -> list[ShardNotes]:
        """The notes on the shards of whole days."""
        return [shard for forecaster, _, shard in self.notes if forecaster.is_published]


# Text


def comparison_text(comparison: BacktestComparison) -> str:
    """Return a backtest's text for people."""
    board = comparison.board
    horizons = format_rows(readable_horizons(board), "table")
    remarks = [
        *_weights(comparison),
        *_stand_ins(comparison),
        *left_out_sentences(comparison.notes),
    ]
    days = comparison.notes_on_days
    kinds = format_rows(kinds_in_spells(kinds_table(days)), "table")
    remarks += held_back_sentences(days)
    return "\n\n".join(
        [
            sentences([_introduction(comparison), *_dropped_pairs(comparison)]),
            format_rows(readable_leaderboard(board), "table"),
            *([f"who is published, in stocks, from cutoff to cutoff\n{kinds}"] if days else []),
            f"skill against ewma by horizon, %\n{horizons}",
            sentences(verdicts(board)),
            distribution_text(comparison.worth),
            *([sentences(remarks)] if remarks else []),
        ]
    )


def _introduction(comparison: BacktestComparison) -> str:
    plan, table = comparison.plan, comparison.table
    cutoffs = table["cutoff"].drop_duplicates().sort_values()
    every = "every session" if plan.step == 1 else f"every {plan.step} sessions"
    blocks = len(plan.blocks)
    trained = "once" if blocks == 1 else f"at every {plan.refit} cutoffs, {blocks} times"
    warm = ", each time from the first on" if plan.warm_start and blocks > 1 else ""
    return (
        f"{plan.universe.target} of {', '.join(sorted(set(table['ticker'])))}, "
        f"1 to {plan.universe.horizon} sessions ahead, from {counted(len(cutoffs), 'cutoff')} "
        f"between {cutoffs.iloc[0].date()} and {cutoffs.iloc[-1].date()}, {every}. "
        f"Networks are fitted {trained}{warm}; an embargo of {counted(plan.embargo, 'session')} "
        "lies between what they know and what they forecast. Networks are blended with a baseline "
        f"and calibrated as a day does it, the others are as they are. {_about_days(plan)}"
        "Pinball loss is a share of the price; skill is 1 - loss over the opponent's, positive "
        "is better."
    )


def _about_days(plan: BacktestPlan) -> str:
    if not plan.has_days:
        return ""
    retrain = plan.universe.retrain
    return f"{PUBLISHED} is what whole days would have published, which train {retrain}. "


def _dropped_pairs(comparison: BacktestComparison) -> Iterator[str]:
    plan = comparison.plan
    rows_per_pair = plan.universe.horizon * QUANTILE_COUNT * len(plan.forecasters)
    kept = len(comparison.table) // rows_per_pair
    if comparison.pairs > kept:
        yield (
            f"{comparison.pairs - kept} of {comparison.pairs} pairs of ticker and cutoff are left "
            "out because not every forecaster has them."
        )


def left_out_sentences(notes: Sequence[tuple[Forecaster, Block, ShardNotes]]) -> list[str]:
    """Return a sentence per ticker that is left out of some blocks, with the first reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for forecaster, _, shard in notes:
        for ticker, reason in shard.left_out.items():
            reasons.setdefault((ticker, forecaster.name), []).append(reason)
    by_ticker: dict[str, str] = {}
    for (ticker, name), of_blocks in reasons.items():
        blocks = counted(len(of_blocks), "block")
        by_ticker.setdefault(ticker, f"left out of {blocks} by {name}: {of_blocks[0]}")
    return list(by_ticker.values())


def _weights(comparison: BacktestComparison) -> Iterator[str]:
    """Yield a sentence for each recipe on what its networks weigh in their blends."""
    weights: dict[str, list[float]] = {}
    baselines: dict[str, set[str]] = {}
    for forecaster, _, shard in comparison.notes:
        weights.setdefault(forecaster.name, []).extend(shard.weights.values())
        baselines.setdefault(forecaster.name, set()).update(shard.baselines.values())
    for name, each in weights.items():
        rest = " and ".join(sorted(baselines[name]))
        if any(each):
            share = f"{min(each):.0%} to {max(each):.0%}"
            yield f"Networks of {name} have {share} of a blend with {rest}."
        elif each:
            yield f"Networks of {name} have no weight beside {rest}: its line is that, calibrated."


def _stand_ins(comparison: BacktestComparison) -> Iterator[str]:
    places: dict[str, list[str]] = {}
    for forecaster, _, shard in comparison.notes:
        places.setdefault(forecaster.name, []).extend(
            f"{ticker} {cutoff}" for ticker, cutoffs in shard.stood_in.items() for cutoff in cutoffs
        )
    for name, where in places.items():
        if where:
            yield (
                f"{name} could not be fitted {counted(len(where), 'time')}, first at {where[0]}: "
                "the EWMA random walk stands in for it there."
            )


# Tables and pictures


def comparison_tables(comparison: BacktestComparison) -> dict[str, bytes]:
    """Return a backtest's tables as CSV files by name."""
    table = comparison.table
    weights = [
        {
            "recipe": forecaster.name,
            "refitted": block.cutoffs[0],
            "ticker": ticker,
            "weight": weight,
            "baseline": shard.baselines[ticker],
        }
        for forecaster, block, shard in comparison.notes
        for ticker, weight in shard.weights.items()
    ]
    tables = {
        "leaderboard": comparison.board,
        "by_ticker": leaderboard.by_ticker(table),
        "reliability": leaderboard.reliability(table),
        "pit": leaderboard.pit(table),
        "through_time": leaderboard.through_time(table),
        "distributions": comparison.worth.distributions,
        "quantiles": comparison.worth.quantiles,
        "exceedances": comparison.worth.exceedances,
        "weights": pd.DataFrame(weights, columns=WEIGHT_COLUMNS),
    }
    if comparison.plan.has_days:
        tables["published"] = kinds_table(comparison.notes_on_days)
    return {f"{name}.csv": csv_file(rows) for name, rows in tables.items()}


def comparison_pictures(comparison: BacktestComparison) -> dict[str, bytes]:
    """Return a backtest's pictures as PNG files by name."""
    table, board = comparison.table, comparison.board
    first, last = table["cutoff"].min().date(), table["cutoff"].max().date()
    title = f"{comparison.plan.universe.target}, {first} to {last}"
    # One order in all pictures, and so one colour for each forecaster.
    best_first = list(board.loc[board["horizon"] == ALL_HORIZONS, "recipe"])

    def ordered(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.set_index("recipe").loc[best_first].reset_index()

    return {
        "reliability.png": charts.reliability_plot(title, ordered(leaderboard.reliability(table))),
        "sharpness.png": charts.sharpness_plot(title, ordered(board)),
        "pit.png": charts.pit_plot(title, ordered(leaderboard.pit(table))),
        "horizons.png": charts.horizons_plot(title, ordered(board)),
        "through_time.png": charts.through_time_plot(
            title, ordered(leaderboard.through_time(table)), MOVING_CUTOFFS
        ),
    }


# Runs


def comparison_runs(comparison: BacktestComparison) -> Iterator[TrackedRun]:
    """Return a run for each forecaster."""
    by_ticker = leaderboard.by_ticker(comparison.table)
    kinds = kinds_table(comparison.notes_on_days)
    for forecaster in comparison.plan.forecasters:
        name, recipe = forecaster.name, forecaster.recipe
        tables = {"leaderboard": comparison.board, "by_ticker": by_ticker}
        files = {
            f"{file}.csv": csv_file(rows[rows["recipe"] == name]) for file, rows in tables.items()
        }
        if days := forecaster.is_published:
            files["published.csv"] = csv_file(kinds)
        yield TrackedRun(
            ticker=SHARED,
            title=name,
            params={
                **(recipe.parameters() if recipe else {}),
                **comparison.plan.params(),
                "recipe": recipe.name if recipe else name,
                **({"seed": forecaster.seed} if recipe else {}),
            },
            metrics={**_metrics(comparison, name), **(kinds_shares(kinds) if days else {})},
            tags={"recipe": name, "mode": recipe.mode if recipe else "baseline"},
            files=files,
        )


def _metrics(comparison: BacktestComparison, name: str) -> Mapping[str, float]:
    """Return a forecaster's figures; those of one horizon h end with `.h<h>`."""
    board, worth = comparison.board, comparison.worth
    metrics: dict[str, float] = {}
    for row in board[board["recipe"] == name].to_dict("records"):
        suffix = "" if row["horizon"] == ALL_HORIZONS else f".h{row['horizon']}"
        metrics |= {
            f"{figure}{suffix}": float(value)
            for figure, value in row.items()
            if figure not in ("recipe", "horizon")
        }
    of_name = (rows[rows["recipe"] == name] for rows in (worth.distributions, worth.quantiles))
    return metrics | tracked_figures(*of_name)
