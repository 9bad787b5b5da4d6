"""What a forecaster is worth on a dataset: the errors of its quantiles on validation and test, and what it says at a cutoff.

On validation quantiles are measured as the forecaster says them; on test as they would have been calibrated day by day, beginning with the
first validation session (see `calibration`). A point forecast becomes a distribution by the errors that it made on validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline import calibration, metrics
from pipeline.quantiles import COLUMNS, around, shape_of
from pipeline.tables import EVALUATIONS, PREDICTIONS
from pipeline.windows import Dataset, Windows


@dataclass(frozen=True, eq=False)
class Measurable:
    """What a forecaster says about a dataset's validation and test windows, dollars (n, H, Q); `name` is the dataset's."""

    dataset: Dataset
    name: str
    model: str
    validation: np.ndarray
    test: np.ndarray


def evaluate(said: Sequence[Measurable]) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """EVALUATIONS rows, two splits by H horizons each, and what each says of the test windows, calibrated (n, H, Q)."""
    outcomes = [_outcomes(each.dataset) for each in said]
    replayed = calibration.replay_all(
        [
            (actual, np.concatenate([each.validation, each.test]), position)
            for each, (actual, position) in zip(said, outcomes, strict=True)
        ]
    )
    calibrated_tests = [after.quantiles[len(each.validation) :] for each, after in zip(said, replayed, strict=True)]
    rows: list[dict[str, object]] = []
    for each, after in zip(said, calibrated_tests, strict=True):
        dataset, step = each.dataset, mean_step(each.dataset)
        for split, part, quantiles in (("validation", dataset.validation, each.validation), ("test", dataset.test, after)):
            key = {"dataset": each.name, "model": each.model, "split": split}
            measures = metrics.measures(part.actual, quantiles, part.last, step)
            rows += [{**key, **dict(zip(measures, values, strict=True))} for values in zip(*measures.values(), strict=True)]
    return EVALUATIONS.conform(pd.DataFrame(rows)) if rows else EVALUATIONS.empty(), calibrated_tests


def calibrated_test(dataset: Dataset, validation: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The test windows' quantiles (n, H, Q), each calibrated by what was known at its last session."""
    return calibrated(dataset, validation, test)[len(validation) :]


def calibrated(dataset: Dataset, validation: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The same of the validation windows and, after them, the test windows."""
    actual, position = _outcomes(dataset)
    return calibration.replay(actual, np.concatenate([validation, test]), position).quantiles


def _outcomes(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    parts = (dataset.validation, dataset.test)
    return tuple(np.concatenate([getattr(part, name) for part in parts]) for name in ("actual", "position"))


def distributions(
    validation: Windows, points: np.ndarray, others: list[tuple[Windows, np.ndarray]]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Quantiles (n, H, Q) about a point forecaster's dollars (n, H): of `validation`, and of `others` after it.

    The spread is that of its errors on validation, in multiples of the volatility. On validation itself, each half of the sessions has the
    spread of the other half's errors, so that no session is measured by its own.
    """
    actual, unit, half = validation.actual, validation.unit, len(validation) // 2
    first, second = slice(None, half), slice(half, None)
    own = np.concatenate(
        [
            around(points[part], unit[part], shape_of(actual[other], points[other], unit[other]))
            for part, other in ((first, second), (second, first))
            if len(points[part]) and len(points[other])
        ]
        or [around(points, unit, shape_of(actual, points, unit))]
    )
    shape = shape_of(actual, points, unit)
    return np.maximum(own, 0.0), [np.maximum(around(said, windows.unit, shape), 0.0) for windows, said in others]


def quantiles_of(validation: Windows, said: tuple[np.ndarray, ...], others: tuple[Windows, ...]) -> tuple[np.ndarray, ...]:
    """What a network said about `validation` and then `others`, as quantiles (n, H, Q): as they are, or points (n, H) with their errors' spread."""
    first, *more = said
    if first.ndim == 3:
        return tuple(np.maximum(each, 0.0) for each in said)
    own, later = distributions(validation, first, list(zip(others, more, strict=True)))
    return (own, *later)


def predictions(said: Mapping[tuple[str, str], np.ndarray]) -> pd.DataFrame:
    """PREDICTIONS rows of quantiles (H, Q) by (dataset, model): what it says for the window at the dataset's end."""
    rows = [
        {"dataset": dataset, "model": model, "horizon": horizon, **dict(zip(COLUMNS, quantiles, strict=True))}
        for (dataset, model), each in said.items()
        for horizon, quantiles in enumerate(each, start=1)
    ]
    return PREDICTIONS.conform(pd.DataFrame(rows)) if rows else PREDICTIONS.empty()


def mean_step(dataset: Dataset) -> float:
    """Mean absolute change of the target from one session to the next, in dollars, before the test windows (the scale of MASE)."""
    seen = dataset.train if len(dataset.train) else dataset.validation
    return float(np.mean(np.abs(np.diff(seen.target_past[:, -2:], axis=1)))) if seen.target_past.shape[1] > 1 else float("nan")
