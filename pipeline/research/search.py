"""The values to try next: Optuna's TPE sampler and median pruner over a space of plain dimensions.

The proposal for trial n depends on the space, the seed, n and the trials before it, and on nothing
else: Optuna's study is built again from the trials that are done, in memory, and its sampler is
seeded by n. So a search that is stopped and taken up again tries what it would have tried.
Optuna is imported here alone.

Bergstra et al. 2011 (TPE); Golovin et al. 2017 (median stopping).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import optuna

#: Trials that are drawn at random before the sampler learns from them.
RANDOM_TRIALS = 5
#: Complete trials before any other is pruned.
TRIALS_BEFORE_PRUNING = 3
#: Digits of a proposed number, so that a person can read it.
PROPOSED_DIGITS = 3


class TrialState(StrEnum):
    """The end of a trial."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True)
class Interval:
    """Numbers between two bounds, both included.

    Attributes:
        log: a number between 4 and 8 is as likely as one between 8 and 16.
    """

    name: str
    low: float
    high: float
    log: bool = False

    def holding(self, value: float) -> Self:
        """Return the same dimension, wide enough for `value`."""
        return replace(self, low=min(self.low, value), high=max(self.high, value))


class Integer(Interval):
    """Whole numbers between two bounds."""


class Real(Interval):
    """Real numbers between two bounds."""


@dataclass(frozen=True)
class Categorical:
    """Values without an order, of which one is chosen."""

    name: str
    values: tuple[object, ...]

    def holding(self, value: object) -> Categorical:
        """Return the same dimension with `value` among its values."""
        return self if value in self.values else replace(self, values=(*self.values, value))


Dimension: TypeAlias = Integer | Real | Categorical
#: By dimension a number, or one of a `Categorical`'s values.
Params: TypeAlias = Mapping[str, Any]
#: Takes the loss so far, after each step; returns whether the trial is to stop.
ReportLoss: TypeAlias = Callable[[float], bool]
#: Measures values and reports after each step; returns the state and the seconds.
Measure: TypeAlias = Callable[[Params, ReportLoss], tuple[TrialState, float]]

#: The names of the dimensions' classes in what searches have stored: older ones go on by them.
STORED_NAMES: Mapping[type, str] = {Integer: "Whole", Real: "Real", Categorical: "Choice"}


def dimension_text(dimension: Dimension) -> str:
    """Return the text that stands for a dimension in fingerprints and in MLflow."""
    arguments = repr(dimension).partition("(")[2]
    return f"{STORED_NAMES[type(dimension)]}({arguments}"


@dataclass(frozen=True)
class Trial:
    """A trial that is done.

    Attributes:
        params: the values that it tried.
        steps: the loss up to and with each step; less is better. The last one of a complete trial
            is its `value`.
        seconds: the time that it took.
    """

    number: int
    state: TrialState
    params: Params
    steps: tuple[float, ...]
    seconds: float

    @property
    def value(self) -> float:
        """The loss of a complete trial; NaN of any other."""
        return self.steps[-1] if self.state == TrialState.COMPLETE else float("nan")


def best_trial(trials: Sequence[Trial]) -> Trial:
    """Return the complete trial with the least loss; the first of equals."""
    complete = (trial for trial in trials if trial.state == TrialState.COMPLETE)
    return min(complete, key=lambda trial: (trial.value, trial.number))


def next_trial(
    space: Sequence[Dimension],
    first_params: Params,
    done: Sequence[Trial],
    seed: int,
    measure: Measure,
) -> Trial:
    """Propose the values after the trials that are `done`, and have them measured.

    Args:
        first_params: the values of trial 0.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    number = len(done)
    distributions = {dimension.name: _distribution(dimension) for dimension in space}
    study = _study(space, distributions, done, seed)
    if number == 0:
        study.enqueue_trial(_to_optuna(first_params, space))
    proposal = study.ask(distributions)
    params = dict(first_params) if number == 0 else _from_optuna(proposal.params, space)
    steps: list[float] = []

    def report(loss: float) -> bool:
        steps.append(loss)
        proposal.report(loss, len(steps) - 1)
        return proposal.should_prune()

    state, seconds = measure(params, report)
    return Trial(number, state, params, tuple(steps), seconds)


def _study(
    space: Sequence[Dimension],
    distributions: Mapping[str, optuna.distributions.BaseDistribution],
    done: Sequence[Trial],
    seed: int,
) -> optuna.Study:
    """Return Optuna's study of the trials that are done, seeded for the next."""
    import optuna

    state = np.random.SeedSequence([seed, len(done)]).generate_state(1)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=int(state[0]), n_startup_trials=RANDOM_TRIALS),
        pruner=optuna.pruners.MedianPruner(
            n_startup_trials=TRIALS_BEFORE_PRUNING, n_warmup_steps=0
        ),
    )
    for trial in done:
        study.add_trial(_frozen(trial, distributions, space))
    return study


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    from optuna import distributions

    if isinstance(dimension, Integer):
        low, high = int(dimension.low), int(dimension.high)
        return distributions.IntDistribution(low, high, log=dimension.log)
    if isinstance(dimension, Real):
        return distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    return distributions.CategoricalDistribution([_label(value) for value in dimension.values])


def _frozen(
    trial: Trial,
    distributions: Mapping[str, optuna.distributions.BaseDistribution],
    space: Sequence[Dimension],
) -> optuna.trial.FrozenTrial:
    from optuna import trial as optuna_trial

    states = {
        TrialState.COMPLETE: optuna_trial.TrialState.COMPLETE,
        TrialState.PRUNED: optuna_trial.TrialState.PRUNED,
        TrialState.FAILED: optuna_trial.TrialState.FAIL,
    }
    return optuna_trial.create_trial(
        state=states[trial.state],
        value=trial.value if trial.state == TrialState.COMPLETE else None,
        params=_to_optuna(trial.params, space),
        distributions=dict(distributions),
        intermediate_values=dict(enumerate(trial.steps)),
    )


def _label(value: object) -> str:
    """Return a categorical value as Optuna takes it: it knows no tuples."""
    return json.dumps(value)


def _to_optuna(params: Params, space: Sequence[Dimension]) -> dict[str, Any]:
    return {
        dimension.name: _label(params[dimension.name])
        if isinstance(dimension, Categorical)
        else params[dimension.name]
        for dimension in space
    }


def _from_optuna(proposed: Params, space: Sequence[Dimension]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for dimension in space:
        value = proposed[dimension.name]
        if isinstance(dimension, Categorical):
            value = next(known for known in dimension.values if _label(known) == value)
        elif isinstance(dimension, Real):
            rounded = float(f"{value:.{PROPOSED_DIGITS}g}")
            value = min(max(rounded, dimension.low), dimension.high)
        params[dimension.name] = value
    return params
