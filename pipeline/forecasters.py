"""What networks and baselines say about a ticker's windows, as distributions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pipeline import combination, datasets, statistical
from pipeline.models.baselines import BASELINES, EWMA, Fitted
from pipeline.quantiles import losses
from pipeline.windows import Dataset, target_series

if TYPE_CHECKING:
    from pipeline.assembly import Parts

#: Every so many test sessions, about a month's, statistical baselines are fitted anew; the last test session is one of them.
STRIDE = 21


@dataclass(frozen=True, eq=False)
class Said:
    """Quantiles in dollars (n, H, Q), not calibrated, of one forecaster on the validation and the test windows of a training dataset."""

    validation: np.ndarray
    test: np.ndarray

    def mixed(self, other: Said, share: float) -> Said:
        """`share` of this one and the rest of the other's."""
        return Said(*(combination.mixed(getattr(self, name), getattr(other, name), share) for name in ("validation", "test")))


@dataclass(frozen=True, eq=False)
class Stock:
    """A ticker's windows at a training cutoff, which networks and baselines are measured on; `training` is the name of their file."""

    ticker: str
    training: str
    dataset: Dataset

    @cached_property
    def fitted(self) -> dict[str, Fitted]:
        """The baselines, whose shape is learnt from the training windows alone."""
        return {name: baseline.fit(self.dataset.train, self.dataset.spec.horizon) for name, baseline in BASELINES.items()}

    @cached_property
    def baselines(self) -> dict[str, Said]:
        """What each baseline says."""
        return {name: Said(fitted(self.dataset.validation), fitted(self.dataset.test)) for name, fitted in self.fitted.items()}


def stored(quantiles: np.ndarray) -> np.ndarray:
    """What a network said as files keep it: in float32, whichever the processor computed with."""
    return quantiles.astype("float32").astype("float64")


def statistical_file(training: str, name: str) -> str:
    """The artifact with the figures of a statistical baseline on a training dataset."""
    return f"statistical/{training}-{name}.json"


def lacks_statistical(parts: Parts, training: str) -> bool:
    """Whether a statistical baseline that the settings ask for has not been measured on a training dataset."""
    return any(not parts.artifacts.exists(statistical_file(training, name)) for name in parts.settings.baseline_list)


def evaluate_statistical(parts: Parts, the: Stock) -> None:
    """Measures the statistical baselines that the settings ask for, each fitted anew at every `STRIDE`-th test session, once per dataset.

    Their figures are beside those of the EWMA random walk at the same sessions; neither is calibrated.
    """
    test, horizon = the.dataset.test, the.dataset.spec.horizon
    rows = np.arange(len(test))[::-STRIDE][::-1]
    rows = rows[test.position[rows] + 1 >= statistical.FEWEST + horizon]
    part, ewma = test.take(rows), the.baselines[EWMA].test[rows]
    for name in parts.settings.baseline_list:
        file = statistical_file(the.training, name)
        if parts.artifacts.exists(file):
            continue
        series = target_series(datasets.read(parts, the.training))
        said = [
            statistical.forecast(name, series[: position + 1], horizon, f"{the.ticker} {origin}")
            for position, origin in zip(part.position, part.origins, strict=True)
        ]
        figures = {
            "sessions": len(rows),
            "pinball": None,
            "pinball_ewma": None,
            "reasons": [each.reason for each in said if each.reason],
        }
        if said:
            quantiles = np.stack([each.quantiles for each in said])
            for key, each in (("pinball", quantiles), ("pinball_ewma", ewma)):
                figures[key] = float(losses(part.actual, each, part.last).mean())
            told = f"{name}: pinball loss {figures['pinball'] / figures['pinball_ewma']:.3f} of ewma's on {len(rows)} test sessions"
        else:
            told = f"{name}: no test session has {statistical.FEWEST} sessions before it"
        stood_in = figures["reasons"]
        parts.artifacts.write(file, json.dumps(figures).encode())
        parts.progress("evaluate", the.ticker, told + (f"; {len(stood_in)} times {stood_in[0]}" if stood_in else ""))


def statistical_figures(parts: Parts, training: str) -> dict[str, float]:
    """What `evaluate_statistical` has left of the baselines that are asked for, as metrics."""
    metrics: dict[str, float] = {}
    for name in parts.settings.baseline_list:
        figures = json.loads(parts.artifacts.read(statistical_file(training, name)))
        if figures["sessions"]:
            metrics |= {
                f"test/pinball_{name}": figures["pinball"],
                f"test/pinball_ewma_every_{STRIDE}": figures["pinball_ewma"],
                f"test/sessions_every_{STRIDE}": float(figures["sessions"]),
            }
    return metrics
