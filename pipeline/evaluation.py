"""What a forecaster is worth on a dataset: the errors of its quantiles on validation and test, and what it says at a cutoff.

On validation quantiles are measured as the forecaster says them; on test as they would have been calibrated day by day, beginning with the
first validation session (see `calibration`). A point forecast becomes a distribution by the errors that it made on validation.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline import calibration, metrics
from pipeline.quantiles import COLUMNS, COUNT, around, shape_of
from pipeline.tables import EVALUATIONS, PREDICTIONS
from pipeline.windows import Dataset, Windows


def evaluate(
    dataset: Dataset, name: str, said: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """EVALUATIONS rows of some forecasters, two splits by H horizons each, and what each says of the test windows, calibrated (n, H, Q).

    Args:
        name: the dataset's.
        said: by model_id or a baseline's name, what it says about the dataset's validation and test windows, dollars (n, H, Q).
    """
    calibrated_tests = dict(zip(said, calibrated_together(dataset, list(said.values())), strict=True))
    tables = [
        metrics.evaluate(part.actual, quantiles, part.last, mean_step(dataset)).assign(split=split, dataset=name, model=model)
        for model, (validation, _) in said.items()
        for split, part, quantiles in (
            ("validation", dataset.validation, validation),
            ("test", dataset.test, calibrated_tests[model]),
        )
    ]
    return EVALUATIONS.conform(pd.concat(tables)) if tables else EVALUATIONS.empty(), calibrated_tests


def calibrated_together(dataset: Dataset, said: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """What `calibrated_test` makes of each of some forecasters, (F, n, H, Q)."""
    if not said:
        return np.empty((0, *dataset.test.actual.shape, COUNT))
    actual, position = _outcomes(dataset)
    both = np.stack([np.concatenate(each) for each in said])
    replayed = calibration.replay(np.broadcast_to(actual, both.shape[:3]), both, position)
    return replayed.quantiles[:, len(dataset.validation) :]


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


def predict(name: str, model: str, forecast: np.ndarray) -> pd.DataFrame:
    """PREDICTIONS rows of one forecaster's quantiles (H, Q) for the window at the end of the dataset `name`."""
    rows = pd.DataFrame(forecast, columns=list(COLUMNS))
    return PREDICTIONS.conform(rows.assign(dataset=name, model=model, horizon=np.arange(1, len(forecast) + 1)))


def mean_step(dataset: Dataset) -> float:
    """Mean absolute change of the target from one session to the next, in dollars, before the test windows (the scale of MASE)."""
    seen = dataset.train if len(dataset.train) else dataset.validation
    return float(np.mean(np.abs(np.diff(seen.target_past[:, -2:], axis=1)))) if seen.target_past.shape[1] > 1 else float("nan")
