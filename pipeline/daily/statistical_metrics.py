"""Figures of the statistical baselines that the settings ask for, measured once per dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.daily.dataset_files import read_dataset
from pipeline.decisions import EvaluationSet
from pipeline.models import EWMA, statistical
from pipeline.quantiles import losses
from pipeline.windows import target_series

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "evaluate"
#: Test sessions from one fit of a statistical baseline to the next, about a month; the last test
#: session is one of them.
STRIDE = 21


def figures_file(dataset_id: str, name: str) -> str:
    """Return the artifact with the figures of a statistical baseline on a training dataset."""
    return f"statistical/{dataset_id}-{name}.json"


def are_missing(parts: Parts, dataset_id: str) -> bool:
    """Return whether a baseline that the settings ask for has not been measured on a dataset."""
    files = (figures_file(dataset_id, name) for name in parts.settings.baseline_list)
    return any(not parts.artifacts.has_derived(file) for file in files)


def measure_statistical(parts: Parts, stock: EvaluationSet) -> None:
    """Measure the statistical baselines, fitted at every `STRIDE`-th test session.

    Their figures are kept next to those of the EWMA random walk at the same sessions; neither is
    calibrated.
    """
    test, horizon = stock.dataset.test, stock.dataset.spec.horizon
    rows = np.arange(len(test))[::-STRIDE][::-1]
    rows = rows[test.position[rows] + 1 >= statistical.FEWEST_PRICES + horizon]
    for name in parts.settings.baseline_list:
        file = figures_file(stock.dataset_id, name)
        if parts.artifacts.has_derived(file):
            continue
        figures = _figures_of(parts, stock, name, rows)
        parts.artifacts.write_derived(file, json.dumps(figures).encode())
        parts.progress(STEP, stock.ticker, _message(name, figures))


def _figures_of(parts: Parts, stock: EvaluationSet, name: str, rows: np.ndarray) -> dict[str, Any]:
    """Return a baseline's figures at these rows of the test windows; None where there is no row."""
    measured, ewma = stock.dataset.test.take(rows), stock.baselines[EWMA].test[rows]
    series = target_series(read_dataset(parts, stock.dataset_id))
    horizon = stock.dataset.spec.horizon
    forecasts = [
        statistical.forecast(name, series.up_to(position), horizon, f"{stock.ticker} {origin}")
        for position, origin in zip(measured.position, measured.origins, strict=True)
    ]
    figures: dict[str, Any] = {
        "sessions": len(rows),
        "pinball": None,
        "pinball_ewma": None,
        "reasons": [forecast.reason for forecast in forecasts if forecast.reason],
    }
    if forecasts:
        quantiles = np.stack([forecast.quantiles for forecast in forecasts])
        for key, forecast_quantiles in (("pinball", quantiles), ("pinball_ewma", ewma)):
            loss = losses(measured.actual, forecast_quantiles, measured.last)
            figures[key] = float(loss.mean())
    return figures


def _message(name: str, figures: Mapping[str, Any]) -> str:
    sessions, reasons = figures["sessions"], figures["reasons"]
    replaced = f"; {len(reasons)} times {reasons[0]}" if reasons else ""
    if not sessions:
        fewest = statistical.FEWEST_PRICES
        return f"{name}: no test session has {fewest} sessions before it{replaced}"
    ratio = figures["pinball"] / figures["pinball_ewma"]
    return f"{name}: pinball loss {ratio:.3f} of ewma's on {sessions} test sessions{replaced}"


def statistical_metrics(parts: Parts, dataset_id: str) -> dict[str, float]:
    """Return the figures that `measure_statistical` has kept, as MLflow's metrics."""
    metrics: dict[str, float] = {}
    for name in parts.settings.baseline_list:
        figures = json.loads(parts.artifacts.read_derived(figures_file(dataset_id, name)))
        if figures["sessions"]:
            metrics |= {
                f"test/pinball_{name}": figures["pinball"],
                f"test/pinball_ewma_every_{STRIDE}": figures["pinball_ewma"],
                f"test/sessions_every_{STRIDE}": float(figures["sessions"]),
            }
    return metrics
