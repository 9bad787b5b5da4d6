"""A study's tables and sentences for a terminal, each figure next to the naive forecast's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from pipeline.money import difference_text
from pipeline.reporting import align, counted, or_dash, ratio_text


def study_table(results: pd.DataFrame, recipes: Sequence[str]) -> str:
    """Return RMSE by ticker and recipe, each with its multiple of the naive forecast's.

    Args:
        results: one row per ticker, recipe and seed; columns ticker, recipe, published_rmse,
            published_sessions (whether that is of the same sessions), rmse, naive_rmse,
            linear_rmse, default_rmse, sessions, left_out; NaN where there is none.
        recipes: those to show, in order.
    """
    columns = ["ticker", "recipe", "published", "x", "ours", "by seed", "x", "naive", "linear"]
    columns += ["x", "default", "x", "tested", "left out"]
    cells = []
    for group in _groups(results, recipes):
        row, naive, errors = group.iloc[0], group["naive_rmse"].iloc[0], group["rmse"]
        by_seed = (
            f"{difference_text(errors.min())} .. {difference_text(errors.max())}"
            if len(group) > 1
            else ""
        )
        published, ours, linear, default = (
            (difference_text(value), ratio_text(value / naive))
            for value in (
                row["published_rmse"],
                errors.mean(),
                row["linear_rmse"],
                group["default_rmse"].mean(),
            )
        )
        cells.append(
            [
                row["ticker"],
                row["recipe"],
                *published,
                ours[0],
                by_seed,
                ours[1],
                difference_text(naive),
                *linear,
                *default,
                str(row["sessions"]),
                str(row["left_out"]),
            ]
        )
    return align(columns, cells, [False, False, *[True] * (len(columns) - 2)])


def normalised_table(results: pd.DataFrame, recipes: Sequence[str]) -> str:
    """Return errors on normalised windows and the spread of changes, means over the seeds.

    Args:
        results: one row per ticker, recipe and seed; columns ticker, recipe, normalised_mse,
            naive_normalised_mse, naive_normalised_mse_train, directional_accuracy, spread.
        recipes: those to show, in order.
    """
    columns = ["ticker", "recipe", "test MSE", "naive test MSE", "naive train MSE"]
    columns += ["direction right", "spread of changes"]
    names = ("normalised_mse", "naive_normalised_mse", "naive_normalised_mse_train")
    cells = []
    for group in _groups(results, recipes):
        mean = group.mean(numeric_only=True)
        right = or_dash(mean["directional_accuracy"], "{:.1%}".format)
        spread = or_dash(mean["spread"], "{:.2f}".format)
        errors = [f"{mean[name]:.3e}" for name in names]
        cells.append([group["ticker"].iloc[0], group["recipe"].iloc[0], *errors, right, spread])
    return align(columns, cells, [False, False, *[True] * (len(columns) - 2)])


def study_verdicts(results: pd.DataFrame, recipes: Sequence[str]) -> list[str]:
    """Return sentences: the ranking on every ticker, and wins against naive over all tickers."""
    return [
        *_rankings(results, recipes),
        *_against_naive(results, recipes),
        *_against_published(results, recipes),
    ]


def _rankings(results: pd.DataFrame, recipes: Sequence[str]) -> Iterator[str]:
    for ticker, group in results.groupby("ticker", sort=False):
        errors = {**_means(group, recipes), **_rivals(group)}
        ranked = sorted((error, name) for name, error in errors.items() if not math.isnan(error))
        order = ", ".join(f"{name} {difference_text(error)}" for error, name in ranked)
        yield f"{ticker}, best first: {order}."


def _against_naive(results: pd.DataFrame, recipes: Sequence[str]) -> Iterator[str]:
    by_ticker = [
        ({**_means(group, recipes), **_rivals(group)}, group["naive_rmse"].iloc[0])
        for _, group in results.groupby("ticker")
    ]
    for name in (*recipes, "default", "linear"):
        ratios = [
            errors[name] / naive
            for errors, naive in by_ticker
            if not math.isnan(errors.get(name, math.nan))
        ]
        if ratios:
            won = sum(ratio < 1 for ratio in ratios)
            mean = ratio_text(sum(ratios) / len(ratios))
            average = " on average" if len(ratios) > 1 else ""
            yield (
                f"{name} beats the naive forecast on {won} of {counted(len(ratios), 'ticker')}: "
                f"{mean} times its RMSE{average}."
            )


def _against_published(results: pd.DataFrame, recipes: Sequence[str]) -> Iterator[str]:
    for recipe in recipes:
        rows = results[(results["recipe"] == recipe) & results["published_rmse"].notna()]
        if not rows.empty and not rows["published_sessions"].all():
            yield (
                f"The published RMSE of {recipe} is of other sessions: it shows how large an error "
                "its source had, no more."
            )
            continue
        changes = []
        compared = rows[rows["default_rmse"].notna()]
        for ticker, group in compared.groupby("ticker", sort=False):
            change = group["default_rmse"].mean() / group["published_rmse"].iloc[0] - 1
            side = "below" if change < 0 else "above"
            changes.append(f"{100 * abs(change):.0f}% {side} on {ticker}")
        if changes:
            yield (
                f"The default recipe's RMSE, compared with the published one of {recipe}: "
                f"{', '.join(changes)}."
            )


def _rivals(group: pd.DataFrame) -> dict[str, float]:
    row = group.iloc[0]
    default = float(group["default_rmse"].mean())
    return {"naive": row["naive_rmse"], "linear": row["linear_rmse"], "default": default}


def _means(group: pd.DataFrame, recipes: Sequence[str]) -> dict[str, float]:
    means = group.groupby("recipe")["rmse"].mean()
    return {recipe: float(means[recipe]) for recipe in recipes if recipe in means}


def _groups(results: pd.DataFrame, recipes: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the rows of each ticker and recipe, in their order."""
    for _, rows in results.groupby("ticker", sort=False):
        for recipe in recipes:
            if (rows["recipe"] == recipe).any():
                yield rows[rows["recipe"] == recipe]


def ablation_table(summary: pd.DataFrame) -> str:
    """Return multiples of the naive forecast's RMSE: a line per layers, a column per units.

    Args:
        summary: columns layers, units, mean, least, greatest.
    """
    widths = sorted(summary["units"].unique())
    by_size = {(row["layers"], row["units"]): row for row in summary.to_dict("records")}

    def cell(layers: int, units: int) -> str:
        row = by_size.get((layers, units))
        if row is None:
            return "–"
        least, greatest = row["least"], row["greatest"]
        span = "" if least == greatest else f"  ({least:.3f} .. {greatest:.3f})"
        return f"{row['mean']:.3f}{span}"

    cells = [
        [str(layers), *(cell(layers, units) for units in widths)]
        for layers in sorted(summary["layers"].unique())
    ]
    columns = ["layers", *(counted(units, "unit") for units in widths)]
    return align(columns, cells, [True] * len(columns))
