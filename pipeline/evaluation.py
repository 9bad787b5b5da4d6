"""What a forecaster is worth on a dataset: its errors on validation and test, its intervals, its forecast at the cutoff.

Intervals are calibrated on validation and their coverage is measured on test; on validation itself the coverage says only that the
calibration was carried out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from pipeline import metrics
from pipeline.tables import EVALUATIONS, PREDICTIONS
from pipeline.windows import Dataset, Windows

#: Windows -> dollars (n, horizon).
Forecaster = Callable[[Windows], np.ndarray]


def evaluate(dataset: Dataset, name: str, model: str, forecaster: Forecaster) -> pd.DataFrame:
    """EVALUATIONS rows of one forecaster: two splits by H horizons. `name`: the dataset's; `model`: a model_id or a baseline's name."""
    forecasts = {split: forecaster(part) for split, part in _splits(dataset).items()}
    validation = dataset.validation
    widths = {
        level: metrics.half_widths(validation.actual, forecasts["validation"], validation.unit, level) for level in metrics.LEVELS
    }
    tables = [
        metrics.evaluate(part.actual, forecasts[split], part.last, part.unit, mean_step(dataset), widths).assign(split=split)
        for split, part in _splits(dataset).items()
    ]
    return EVALUATIONS.conform(pd.concat(tables).assign(dataset=name, model=model))


def predict(name: str, model: str, forecast: np.ndarray) -> pd.DataFrame:
    """PREDICTIONS rows of one forecaster's dollars (1, horizon) for the window at the end of the dataset `name`."""
    prices = forecast[0]
    return PREDICTIONS.conform(
        pd.DataFrame({"dataset": name, "model": model, "horizon": np.arange(1, len(prices) + 1), "y_hat": prices})
    )


def mean_step(dataset: Dataset) -> float:
    """Mean absolute change of the target from one session to the next, in dollars, before the test windows (the scale of MASE)."""
    seen = dataset.train if len(dataset.train) else dataset.validation
    return float(np.mean(np.abs(np.diff(seen.target_past[:, -2:], axis=1)))) if seen.target_past.shape[1] > 1 else float("nan")


def relative_rmse(evaluations: pd.DataFrame, model: str, split: str, baseline: str) -> float:
    """RMSE of `model` over that of `baseline` on the same windows, mean over horizons; below 1: better than the baseline."""
    rows = evaluations[evaluations["split"] == split].set_index("horizon")
    ours, theirs = (rows[rows["model"] == name]["rmse"] for name in (model, baseline))
    return float((ours / theirs).mean())


def _splits(dataset: Dataset) -> dict[str, Windows]:
    return {"validation": dataset.validation, "test": dataset.test}


def interval(prices: np.ndarray, unit: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(lower, upper) in dollars: `prices` (n, horizon) -+ `widths` (horizon,) times `unit` (n,); never below zero."""
    half = widths[None, :] * unit[:, None]
    return np.maximum(prices - half, 0), prices + half
