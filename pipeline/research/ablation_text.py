"""The result of an ablation: the ratio to naive by layers and units, and sentences."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from pipeline.errors import StockcastError
from pipeline.models import PriceRecipe
from pipeline.reporting import counted, sentences
from pipeline.research.study import page_of
from pipeline.research.study_tables import ablation_table


def ablation_summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the ratio to naive over all tickers and seeds.

    Returns:
        Columns layers, units, mean, least, greatest.
    """
    ratios = rows.groupby(["layers", "units"])["ratio_to_naive"]
    return ratios.agg(mean="mean", least="min", greatest="max").reset_index()


def ablation_text(
    base: PriceRecipe,
    epochs: int,
    target: str,
    rows: pd.DataFrame,
    failures: Iterable[StockcastError],
) -> str:
    """Return an ablation's text for people.

    Args:
        base: the recipe whose layers are varied.
        epochs: of each training.
        rows: one per network, as `ablate` reports them.
    """
    tickers, seeds = list(rows["ticker"].unique()), rows["seed"].nunique()
    first, last = rows["first_session"].min().date(), rows["last_session"].max().date()
    tested = rows.groupby("ticker")[["sessions", "left_out"]].first().sum()
    about = (
        f"{base.name} with other layers; {target}, one session ahead, RMSE over the naive "
        f"forecast's; mean (range) over {', '.join(tickers)} and {counted(seeds, 'seed')}. "
        f"Tested on {tested['sessions']} sessions from {first} to {last}, "
        f"{tested['left_out']} left out."
    )
    if epochs != base.epochs:
        shortened = f"{counted(epochs, 'epoch')} of {base.epochs}"
        about += f" Shortened to {shortened}: not what the report trained."
    blocks = [
        sentences([about]),
        ablation_table(ablation_summary(rows)),
        sentences(ablation_verdicts(rows)),
    ]
    return page_of(blocks, failures)


def ablation_verdicts(rows: pd.DataFrame) -> list[str]:
    """Return whether more layers reduced the error, and what the seeds alone do to it."""
    fewest, most = int(rows["layers"].min()), int(rows["layers"].max())
    ratios = rows.groupby(["ticker", "units", "layers"])["ratio_to_naive"]
    verdicts, change = [], 0.0
    if fewest < most:
        means = ratios.mean().unstack("layers")
        change = abs(means[most].mean() - means[fewest].mean())
        verdicts.append(_layers_verdict(means, fewest, most))
    if rows["seed"].nunique() > 1:
        spread = ratios.agg(lambda values: values.max() - values.min())
        more = ": more than the layers do" if spread.mean() > change > 0 else ""
        verdicts.append(
            f"The seed alone moves the ratio by {spread.mean():.3f} on average and "
            f"{spread.max():.3f} at most{more}."
        )
    won = int((rows["ratio_to_naive"] < 1).sum())
    return [*verdicts, f"{won} of {len(rows)} networks beat the naive forecast."]


def _layers_verdict(means: pd.DataFrame, fewest: int, most: int) -> str:
    """Return whether the most layers are better than the fewest.

    Args:
        means: of the ratio to naive, a row per ticker and units, a column per layers.
    """
    reduced = int((means[most] < means[fewest]).sum())
    answers = {len(means): "reduced the error", 0: "did not reduce the error"}
    answer = answers.get(reduced, "reduced the error only here and there")
    steps = np.diff(means.to_numpy(), axis=1)
    return (
        f"More layers {answer}: from {fewest} to {most} layers the ratio went from "
        f"{means[fewest].mean():.3f} to {means[most].mean():.3f} on average, and fell for "
        f"{reduced} of {len(means)} pairs of ticker and units; "
        f"{int((steps < 0).sum())} of {steps.size} single steps up were improvements."
    )
