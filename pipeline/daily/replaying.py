"""Replaying: the chosen forecaster over the sessions before a cutoff, and at the cutoff."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.daily.dataset_files import read_dataset
from pipeline.daily.lineup import POOLED, Lineup, NetworkEntry
from pipeline.daily.measuring import Predictions, predict_job
from pipeline.decisions import (
    Choice,
    ChoiceReplay,
    Observed,
    encode_replay,
    prediction_rows,
    quantiles_of,
    stored_precision,
)
from pipeline.errors import StockcastError
from pipeline.measures import drift
from pipeline.models import Pinball, PriceRecipe
from pipeline.outcomes import Outcomes
from pipeline.run import Run
from pipeline.tables import PREDICTIONS
from pipeline.training import Job
from pipeline.windows import Windows, load_dataset, load_replay

if TYPE_CHECKING:
    from pipeline.parts import Parts


def baseline_model(name: str, dataset_id: str) -> str:
    """Return the name in table PREDICTIONS of a baseline that a training dataset has shaped."""
    return f"{name} {dataset_id[:12]}"


def replay_choices(
    parts: Parts,
    run: Run,
    recipe: PriceRecipe,
    lineups: Sequence[Lineup],
    choices: Mapping[str, Choice],
) -> dict[str, StockcastError]:
    """Keep each choice's forecasts of the sessions up to the cutoff; return what failed.

    What it and the baselines forecast at the cutoff itself goes to table PREDICTIONS.
    """
    missing = {own.ticker: own for own in lineups if not parts.artifacts.exists(own.replay_file)}
    replayed = _replay_each(parts, run, recipe, list(missing.values()), choices)
    newest: dict[tuple[str, str], np.ndarray] = {}
    for ticker, replay in replayed.results.items():
        own, choice = missing[ticker], choices[ticker]
        at_cutoff = replay.windows.take(slice(-1, None))
        for name, fitted in choice.fitted.items():
            model = baseline_model(name, own.training.dataset)
            newest[own.live.dataset, model] = fitted(at_cutoff)[0]
        if replay.forecasts is not None:
            newest[own.live.dataset, choice.decision.model_id] = replay.forecasts[-1]
    if newest:
        parts.store.save(PREDICTIONS, prediction_rows(newest))
    # Last: where the replay is, all the rest is.
    for ticker, replay in replayed.results.items():
        kept = ChoiceReplay(Observed.of(replay.windows), replay.forecasts, replay.inputs)
        parts.artifacts.write(missing[ticker].replay_file, encode_replay(kept))
    return dict(replayed.failures)


@dataclass(frozen=True, eq=False)
class _Replayed:
    """The windows of the sessions up to a cutoff.

    Attributes:
        forecasts: the chosen network's, dollars (n, H, Q); None: a baseline was chosen.
        inputs: (sessions, features), what a network of the training cutoff sees of the newest.
    """

    windows: Windows
    forecasts: np.ndarray | None
    inputs: np.ndarray


def _replay_each(
    parts: Parts,
    run: Run,
    recipe: PriceRecipe,
    lineups: Sequence[Lineup],
    choices: Mapping[str, Choice],
) -> Outcomes[_Replayed]:
    results: dict[str, _Replayed] = {}
    failures: dict[str, StockcastError] = {}
    jobs: dict[Job[Predictions], tuple[Lineup, tuple[Windows, ...]]] = {}
    for own in lineups:
        choice = choices[own.ticker]
        network = own.network(choice.decision.model_id) if choice.has_network else None
        if network is None:
            windows = load_replay(read_dataset(parts, own.live.dataset))
            results[own.ticker] = _Replayed(windows, None, _inputs(parts, recipe, own, windows))
            continue
        seen = _seen_by(parts, recipe, own, network)
        job = predict_job(parts, run, own.ticker, network, seen, run.universe.horizon)
        jobs[job] = own, seen
    for answered, future in parts.workers.run(list(jobs)):
        own, seen = jobs[answered]
        try:
            predictions = future.result()
        except StockcastError as error:
            failures[own.ticker] = error
            continue
        quantiles = quantiles_of(seen[0], predictions, seen[1:])[-1]
        inputs = _inputs(parts, recipe, own, seen[-1])
        results[own.ticker] = _Replayed(seen[-1], stored_precision(quantiles), inputs)
    return Outcomes(results, failures)


def _seen_by(
    parts: Parts, recipe: PriceRecipe, own: Lineup, network: NetworkEntry
) -> tuple[Windows, ...]:
    """Return the windows that a network forecasts, the replay's last.

    A network that forecasts points has the distribution of its errors on validation, which
    therefore come first.
    """
    fitted_on = read_dataset(parts, network.dataset) if network.role != POOLED else None
    replay = load_replay(read_dataset(parts, own.live.dataset), fitted_on)
    if isinstance(recipe.loss, Pinball):
        return (replay,)
    training = read_dataset(parts, own.training.dataset)
    other = fitted_on if network.dataset != own.training.dataset else None
    return (load_dataset(training, other).validation, replay)


def _inputs(parts: Parts, recipe: PriceRecipe, own: Lineup, windows: Windows) -> np.ndarray:
    """Return the inputs of the newest sessions of a network of the training cutoff."""
    if recipe.normalisation.is_fitted:
        live, training = (read_dataset(parts, entry.dataset) for entry in (own.live, own.training))
        windows = load_replay(live, training)
    return windows.past[-drift.STABILITY_WINDOWS :, -1]
