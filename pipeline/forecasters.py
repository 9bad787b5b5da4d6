"""What networks and baselines say about a ticker's windows at a run, as distributions; and what is published of it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import calibration, combination, datasets, evaluation, statistical
from pipeline.errors import NothingStored
from pipeline.models.baselines import BASELINES, EWMA
from pipeline.quantiles import INTERVALS, coverage, losses
from pipeline.run import Run
from pipeline.windows import Dataset, Windows, target_series

if TYPE_CHECKING:
    from pipeline.assembly import Parts

#: Every so many test sessions, about a month's, statistical baselines are fitted anew; the last test session is one of them.
STRIDE = 21


@dataclass(frozen=True, eq=False)
class Said:
    """Quantiles in dollars, not calibrated, of one forecaster.

    Attributes:
        validation, test: (n, H, Q) of the training dataset's windows.
        replay: (n, H, Q) of the sessions before the cutoff; the last is the forecast itself.
    """

    validation: np.ndarray
    test: np.ndarray
    replay: np.ndarray

    def mixed(self, other: Said, share: float) -> Said:
        """`share` of this one and the rest of the other's."""
        return Said(
            *(combination.mixed(getattr(self, name), getattr(other, name), share) for name in ("validation", "test", "replay"))
        )


@dataclass(frozen=True, eq=False)
class Stock:
    """A ticker's windows at a run.

    Attributes:
        training, live: the names of its dataset files.
        dataset: what networks are measured on.
        replay: the windows of the sessions before the cutoff, the last of them at the cutoff itself.
    """

    ticker: str
    training: str
    live: str
    dataset: Dataset
    replay: Windows

    @cached_property
    def baselines(self) -> dict[str, Said]:
        """What each baseline says; its shape is learnt from the training windows alone."""
        horizon = self.dataset.spec.horizon
        parts = (self.dataset.validation, self.dataset.test, self.replay)
        fitted = {name: baseline.fit(self.dataset.train, horizon) for name, baseline in BASELINES.items()}
        return {name: Said(*(forecaster(part) for part in parts)) for name, forecaster in fitted.items()}

    def distribution(self, points: tuple[np.ndarray, ...]) -> Said:
        """What a network said about validation, test and replay, as quantiles."""
        return Said(*evaluation.quantiles_of(self.dataset.validation, points, (self.dataset.test, self.replay)))


def stock(parts: Parts, run: Run, ticker: str) -> Stock:
    rows = datasets.by_role(parts, run, ticker)
    training, live = rows["training"]["dataset"], rows["live"]["dataset"]
    return Stock(ticker, training, live, datasets.load(parts, training), datasets.load_replay(parts, live))


def file_of(training: str, live: str, model: str) -> str:
    """The artifact that keeps what a network said."""
    return f"said/{training}-{live}-{model}.npz"


def save(parts: Parts, the: Stock, model: str, said: Said) -> None:
    file = io.BytesIO()
    np.savez(file, **{name: getattr(said, name).astype("float32") for name in ("validation", "test", "replay")})
    parts.artifacts.write(file_of(the.training, the.live, model), file.getvalue())


def read(parts: Parts, run: Run, the: Stock, model: str) -> Said:
    """What a baseline or a network says; `NothingStored` for a network that has not been evaluated."""
    if model in BASELINES:
        return the.baselines[model]
    name = file_of(the.training, the.live, model)
    if not parts.artifacts.exists(name):
        raise NothingStored(
            f"{the.ticker} {run.session}: it has not been evaluated. Run `train` and `evaluate` for this session first."
        )
    with np.load(io.BytesIO(parts.artifacts.read(name)), allow_pickle=False) as arrays:
        return Said(*(arrays[part].astype("float64") for part in ("validation", "test", "replay")))


def published(parts: Parts, run: Run, the: Stock, model: str, weight: float, baseline: str) -> Said:
    """The champion with its share, and the rest of the baseline."""
    said = read(parts, run, the, model)
    return said if weight == 1 else said.mixed(the.baselines[baseline], weight)


def statistical_file(training: str, name: str) -> str:
    """The artifact with the figures of a statistical baseline on a training dataset."""
    return f"statistical/{training}-{name}.json"


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
                f"test_pinball_{name}": figures["pinball"],
                f"test_pinball_ewma_every_{STRIDE}": figures["pinball_ewma"],
                f"test_sessions_every_{STRIDE}": float(figures["sessions"]),
            }
    return metrics


def calibrated(the: Stock, said: Said) -> tuple[np.ndarray, pd.DataFrame]:
    """The forecast's quantiles (H, Q) calibrated at the cutoff, and per horizon how the replay came out (columns of CALIBRATIONS)."""
    actual = the.replay.actual
    replayed = calibration.replay(actual, said.replay, the.replay.position)
    before = slice(None, -1)
    raw, after = said.replay[before], replayed.quantiles[before]
    rows = pd.DataFrame(
        {
            "horizon": np.arange(1, actual.shape[1] + 1),
            "sessions": np.isfinite(actual[before]).sum(axis=0),
            **{f"raw_coverage_{level}": coverage(actual[before], raw, level) for level in INTERVALS},
            **{f"coverage_{level}": coverage(actual[before], after, level) for level in INTERVALS},
            **{f"growth_{level}": log for level, log in zip(INTERVALS, replayed.growth, strict=True)},
        }
    )
    return replayed.quantiles[-1], rows
