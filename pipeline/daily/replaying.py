"""Replaying: the chosen forecaster over the sessions before a cutoff, and at the cutoff.

The replay of the session before is continued where that gives the same bits (`earlier_replays`): of
windows that have not changed, the forecasts of the same choice are taken over. A window is asked
about again where its network forecasts points, which are rolled forward, or is served by Keras.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pipeline.daily import lineup
from pipeline.daily.dataset_files import read_dataset
from pipeline.daily.earlier_replays import (
    AddedWindows,
    EarlierReplay,
    added_windows,
    earlier_replay,
)
from pipeline.daily.lineup import Lineup, NetworkEntry
from pipeline.daily.measuring import answers_of, fitted_on, predict_job, require_finite
from pipeline.daily.regressions import stock_regressions
from pipeline.decisions import (
    Choice,
    ChoiceReplay,
    Observed,
    encode_replay,
    prediction_rows,
    quantiles_of,
    spread_of,
    stored_precision,
)
from pipeline.errors import StockcastError
from pipeline.measures import drift
from pipeline.models import HAR, Pinball, PriceRecipe, StockHar
from pipeline.outcomes import Outcomes, outcome_of_each
from pipeline.run import Run
from pipeline.tables import PREDICTIONS
from pipeline.training import PredictJob, window_digests
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
) -> Mapping[str, StockcastError]:
    """Keep each choice's forecasts of the sessions up to the cutoff; return what failed.

    What it and the baselines forecast at the cutoff itself goes to table PREDICTIONS.
    """
    missing = {own.ticker: own for own in lineups if not _has_replay(parts, own)}
    regressions = stock_regressions(parts, run, list(missing.values()), live=True)
    replayed = _replay_each(parts, run, recipe, list(missing.values()), choices)
    newest = outcome_of_each(
        replayed.results,
        lambda ticker: _at_cutoff(
            missing[ticker], choices[ticker], replayed.results[ticker], regressions.get(ticker)
        ),
    )
    rows = {key: values for own in newest.results.values() for key, values in own.items()}
    if rows:
        parts.store.save(PREDICTIONS, prediction_rows(rows))
    # Last: where the replay is, all the rest is.
    for ticker in newest.results:
        kept, har = replayed.results[ticker].kept, regressions.get(ticker)
        kept = dataclasses.replace(kept, har=har and har.among(kept.observed.origins))
        parts.artifacts.write_derived(missing[ticker].replay_file, encode_replay(kept))
    return {**replayed.failures, **newest.failures}


def _has_replay(parts: Parts, own: Lineup) -> bool:
    """Return whether a replay is kept; it stays until it is published."""
    has = parts.artifacts.has_derived(own.replay_file)
    parts.artifacts.renew(own.replay_file)
    return has


def _at_cutoff(
    own: Lineup, choice: Choice, replay: _Replayed, har: StockHar | None
) -> dict[tuple[str, str], np.ndarray]:
    """Return the newest forecasts of the baselines and the chosen network.

    They are by dataset and model, as in `prediction_rows`.
    """
    baselines = {name: fitted(replay.newest)[0] for name, fitted in choice.fitted.items()}
    if har is not None:
        baselines[HAR] = har(replay.newest)[0]
    newest = {
        (own.live.dataset, baseline_model(name, own.training.dataset)): quantiles
        for name, quantiles in baselines.items()
    }
    if replay.kept.forecasts is not None:
        newest[own.live.dataset, choice.decision.model_id] = replay.kept.forecasts[-1]
    return newest


@dataclass(frozen=True, eq=False)
class _Replayed:
    """The replay of a ticker.

    Attributes:
        newest: the window that ends at the cutoff.
        kept: without `har`.
    """

    newest: Windows
    kept: ChoiceReplay


def _replay_each(
    parts: Parts,
    run: Run,
    recipe: PriceRecipe,
    lineups: Sequence[Lineup],
    choices: Mapping[str, Choice],
) -> Outcomes[_Replayed]:
    of = {own.ticker: own for own in lineups}
    before = lineup.of_session_before(parts, run, list(of)) if of else {}

    def ask(ticker: str) -> _Replay:
        own, choice = of[ticker], choices[ticker]
        network = own.network(choice.decision.model_id) if choice.has_network else None
        earlier = earlier_replay(parts, own, before.get(ticker))
        added = None
        if earlier is not None and _can_be_added_to(recipe, network, earlier.replay):
            added = added_windows(parts, own, earlier)
        if added is not None:
            seen: tuple[Windows, ...] = (added.windows,)
        elif network is None:
            seen = (load_replay(read_dataset(parts, own.live.dataset)),)
        else:
            seen = _seen_by(parts, recipe, own, network)
        if network is None:
            return _Replay(seen, added)
        job = predict_job(parts, run, ticker, network, seen, run.universe.horizon)
        if len(seen) > 1 or job.needs_keras:
            return _Replay(seen, None, network, job)
        return _continued(_Replay(seen, added, network, job), earlier)

    asked = outcome_of_each(of, ask)
    jobs = [each.job for each in asked.results.values() if each.job is not None]
    futures = answers_of(parts, jobs)

    def answered(ticker: str) -> _Replayed:
        own, replay = of[ticker], asked.results[ticker]
        forecasts, spread, windows = None, None, replay.seen[-1]
        if replay.job is not None and replay.network is not None:
            predictions = futures[replay.job].result()
            quantiles = quantiles_of(replay.seen[0], predictions, replay.seen[1:])[-1]
            forecasts = _completed(replay, stored_precision(quantiles))
            spread = spread_of(replay.seen[0], predictions[0])
            require_finite(ticker, replay.network, forecasts)
        inputs = _inputs(parts, recipe, own, windows)
        kept = ChoiceReplay(
            Observed.of(windows),
            forecasts,
            inputs,
            window_digests=replay.window_digests,
            spread=spread,
        )
        kept = replay.added.after_older(kept) if replay.added else kept
        return _Replayed(windows.take(slice(-1, None)), kept)

    done = outcome_of_each(asked.results, answered)
    return Outcomes(done.results, {**asked.failures, **done.failures})


@dataclass(frozen=True, eq=False)
class _Replay:
    """A replay that is asked for.

    Attributes:
        seen: see `_seen_by`; of a replay that is added to an earlier one, the newest.
        added: None: all windows are seen.
        network, job: None: a baseline was chosen.
        window_digests: see `ChoiceReplay`.
        known: by row, the forecasts that the session before has made of the same windows; the job
            asks about the others.
    """

    seen: tuple[Windows, ...]
    added: AddedWindows | None = None
    network: NetworkEntry | None = None
    job: PredictJob | None = None
    window_digests: np.ndarray | None = None
    known: Mapping[int, np.ndarray] = field(default_factory=dict)


def _can_be_added_to(
    recipe: PriceRecipe, network: NetworkEntry | None, earlier: ChoiceReplay
) -> bool:
    """Return whether the windows of an earlier replay need not be looked at again.

    Args:
        network: None: a baseline was chosen.
    """
    if recipe.normalisation.is_fitted:
        return False
    has_digests = earlier.forecasts is not None and earlier.window_digests is not None
    return network is None or (isinstance(recipe.loss, Pinball) and has_digests)


def _continued(replay: _Replay, before: EarlierReplay | None) -> _Replay:
    """Return the replay with what the session before has forecast alike."""
    [windows] = replay.seen
    digests = window_digests(windows)
    replay = dataclasses.replace(replay, window_digests=digests)
    if before is None or replay.job is None:
        return replay
    earlier = before.replay
    if earlier.window_digests is None or earlier.forecasts is None:
        return replay
    rows = {each.tobytes(): row for row, each in enumerate(earlier.window_digests)}
    known = {
        row: earlier.forecasts[rows[each.tobytes()]]
        # The newest is always asked about, so that there is a job.
        for row, each in enumerate(digests[:-1])
        if each.tobytes() in rows
    }
    unknown = np.array([row for row in range(len(windows)) if row not in known])
    job = dataclasses.replace(replay.job, windows=(windows.take(unknown),))
    return dataclasses.replace(replay, job=job, known=known)


def _completed(replay: _Replay, asked: np.ndarray) -> np.ndarray:
    """Return all forecasts of a replay, in the order of its windows."""
    if not replay.known:
        return asked
    forecasts = np.empty((len(replay.seen[-1]), *asked.shape[1:]))
    known = np.array(list(replay.known))
    forecasts[known] = list(replay.known.values())
    forecasts[np.setdiff1d(np.arange(len(forecasts)), known)] = asked
    return forecasts


def _seen_by(
    parts: Parts, recipe: PriceRecipe, own: Lineup, network: NetworkEntry
) -> tuple[Windows, ...]:
    """Return the windows that a network forecasts, the replay's last.

    A network that forecasts points has the distribution of its errors on validation, which
    therefore come first.
    """
    its_own = fitted_on(parts, recipe, network)
    replay = load_replay(read_dataset(parts, own.live.dataset), its_own)
    if isinstance(recipe.loss, Pinball):
        return (replay,)
    training = read_dataset(parts, own.training.dataset)
    other = its_own if network.dataset != own.training.dataset else None
    return (load_dataset(training, other).validation, replay)


def _inputs(parts: Parts, recipe: PriceRecipe, own: Lineup, windows: Windows) -> np.ndarray:
    """Return the inputs of the newest sessions of a network of the training cutoff."""
    if recipe.normalisation.is_fitted:
        live, training = (read_dataset(parts, entry.dataset) for entry in (own.live, own.training))
        windows = load_replay(live, training)
    return windows.past[-drift.STABILITY_WINDOWS :, -1]
