"""Evaluation of forecasters: the errors of their quantiles on validation and test.

On validation, quantiles are measured as they were forecast; on test, as they would have been
calibrated session by session, beginning with the first validation session (see `calibration`). A
point forecast becomes a distribution by the errors that it made on validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from pipeline.decisions import blending
from pipeline.measures import calibration, metrics
from pipeline.models import BASELINES, HAR, FittedBaseline, StockHar
from pipeline.quantiles import QUANTILE_COLUMNS, around, shape_of
from pipeline.tables import EVALUATIONS, PREDICTIONS
from pipeline.windows import Dataset, Windows


@dataclass(frozen=True, eq=False)
class SplitForecasts:
    """Quantiles of one forecaster on a dataset's validation and test windows, not calibrated.

    Attributes:
        validation, test: prices (n, H, Q).
    """

    validation: np.ndarray
    test: np.ndarray

    def blended(self, other: SplitForecasts, share: float) -> SplitForecasts:
        """Return `share` of these quantiles and the rest of the other's."""
        return SplitForecasts(
            blending.blend(self.validation, other.validation, share),
            blending.blend(self.test, other.test, share),
        )


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """A ticker's windows at a training cutoff, which all its forecasters are measured on.

    Attributes:
        dataset_id: the name of the dataset's file.
        har: the regression of all stocks; None: it was not fitted.
    """

    ticker: str
    dataset_id: str
    dataset: Dataset
    har: StockHar | None = None

    @cached_property
    def fitted(self) -> dict[str, FittedBaseline]:
        """The baselines by name; their shape is learnt from the training windows alone."""
        train, horizon = self.dataset.train, self.dataset.spec.horizon
        return {name: baseline.fit(train, horizon) for name, baseline in BASELINES.items()}

    @cached_property
    def baselines(self) -> dict[str, SplitForecasts]:
        """The baselines' forecasts by name, those of `har` too where it was fitted."""
        validation, test = self.dataset.validation, self.dataset.test
        standing: dict[str, FittedBaseline | StockHar] = {**self.fitted}
        if self.har is not None:
            standing[HAR] = self.har
        return {
            name: SplitForecasts(fitted(validation), fitted(test))
            for name, fitted in standing.items()
        }


@dataclass(frozen=True, eq=False)
class ModelForecasts:
    """The forecasts of one model on one dataset.

    Attributes:
        dataset_id: the name of the dataset's file.
        model: a model_id, or a baseline's name.
    """

    dataset: Dataset
    dataset_id: str
    model: str
    forecasts: SplitForecasts


def evaluate(models: Sequence[ModelForecasts]) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Measure models on their datasets.

    Returns:
        EVALUATIONS rows, two splits by H horizons for each model; and for each model the
        calibrated quantiles of its test windows, prices (n, H, Q).
    """
    replays = calibration.replay_all(
        [
            (actual, np.concatenate([each.forecasts.validation, each.forecasts.test]), position)
            for each in models
            for actual, position in [_outcomes(each.dataset)]
        ]
    )
    calibrated = [
        replay.quantiles[len(each.forecasts.validation) :]
        for each, replay in zip(models, replays, strict=True)
    ]
    rows: list[dict[str, object]] = []
    for each, test in zip(models, calibrated, strict=True):
        dataset, step = each.dataset, mean_step(each.dataset)
        for split, windows, quantiles in (
            ("validation", dataset.validation, each.forecasts.validation),
            ("test", dataset.test, test),
        ):
            key = {"dataset": each.dataset_id, "model": each.model, "split": split}
            measures = metrics.measures(windows.actual, quantiles, windows.last, step)
            by_horizon = zip(*measures.values(), strict=True)
            rows += [{**key, **dict(zip(measures, row, strict=True))} for row in by_horizon]
    table = EVALUATIONS.conform(pd.DataFrame(rows)) if rows else EVALUATIONS.empty()
    return table, calibrated


def calibrated_test(dataset: Dataset, forecasts: SplitForecasts) -> np.ndarray:
    """Return the test windows' quantiles, each calibrated by what was known at its last session."""
    return calibrated(dataset, forecasts)[len(forecasts.validation) :]


def calibrated(dataset: Dataset, forecasts: SplitForecasts) -> np.ndarray:
    """Return calibrated quantiles of the validation windows and, after them, the test windows."""
    actual, position = _outcomes(dataset)
    quantiles = np.concatenate([forecasts.validation, forecasts.test])
    return calibration.replay(actual, quantiles, position).quantiles


def _outcomes(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return actuals (n, H) and positions (n,) of validation and, after them, test windows.

    Dividends are added back: intervals do not grow for one that was paid.
    """
    parts = (dataset.validation, dataset.test)
    return (
        np.concatenate([part.actual_with_dividends for part in parts]),
        np.concatenate([part.position for part in parts]),
    )


def quantiles_of(
    validation: Windows, predictions: Sequence[np.ndarray], others: Sequence[Windows]
) -> list[np.ndarray]:
    """Return a network's predictions of `validation` and then of `others` as quantiles (n, H, Q).

    Args:
        predictions: prices, (n, H, Q) of a network that forecasts quantiles, which stay as they
            are; or points (n, H), which take the spread of their errors on validation.
    """
    first, *later = predictions
    if first.ndim == 3:
        return [np.maximum(each, 0.0) for each in predictions]
    return _distributions(validation, first, list(zip(others, later, strict=True)))


def spread_of(validation: Windows, predictions: np.ndarray) -> np.ndarray | None:
    """Return the spread that points take from their errors on validation, (H, Q).

    It is in multiples of the volatility; None: they are quantiles already.
    """
    if predictions.ndim == 3:
        return None
    return shape_of(validation.actual_with_dividends, predictions, validation.unit)


def _distributions(
    validation: Windows, points: np.ndarray, others: Sequence[tuple[Windows, np.ndarray]]
) -> list[np.ndarray]:
    """Return quantiles (n, H, Q) about points (n, H): of `validation`, and of `others` after it.

    The spread is that of the points' errors on validation, in multiples of the volatility. On
    validation itself each half of the sessions has the spread of the other half's errors, so that
    no session is measured by its own.
    """
    actual, unit = validation.actual_with_dividends, validation.unit
    half = len(validation) // 2
    first, second = slice(None, half), slice(half, None)
    own = [
        around(points[part], unit[part], shape_of(actual[other], points[other], unit[other]))
        for part, other in ((first, second), (second, first))
        if len(points[part]) and len(points[other])
    ]
    shape = shape_of(actual, points, unit)
    validated = np.concatenate(own or [around(points, unit, shape)])
    later = [around(forecast, windows.unit, shape) for windows, forecast in others]
    return [np.maximum(quantiles, 0.0) for quantiles in (validated, *later)]


def stored_precision(quantiles: np.ndarray) -> np.ndarray:
    """Return quantiles as files keep them, in float32, whichever the processor computed with."""
    return quantiles.astype("float32").astype("float64")


def prediction_rows(quantiles: Mapping[tuple[str, str], np.ndarray]) -> pd.DataFrame:
    """Return PREDICTIONS rows of the window at a dataset's end.

    Args:
        quantiles: by (dataset_id, model), prices (H, Q).
    """
    rows = [
        {"dataset": dataset, "model": model, "horizon": horizon}
        | dict(zip(QUANTILE_COLUMNS, values, strict=True))
        for (dataset, model), each in quantiles.items()
        for horizon, values in enumerate(each, start=1)
    ]
    return PREDICTIONS.conform(pd.DataFrame(rows)) if rows else PREDICTIONS.empty()


def mean_step(dataset: Dataset) -> float:
    """Return the mean absolute one-session change of the target before the test, in money.

    It is the scale of MASE; NaN where a window has one session.
    """
    seen = dataset.train if len(dataset.train) else dataset.validation
    if seen.target_past.shape[1] < 2:
        return float("nan")
    return float(np.mean(np.abs(np.diff(seen.target_past[:, -2:], axis=1))))
