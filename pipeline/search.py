"""Which values to try next: Optuna's TPE sampler and median pruner over a space of plain dimensions. The only optuna import.

What is proposed for trial n depends on the space, the seed, n and the trials before it, and on nothing else: the study is built anew from the
trials that are done, in memory, and the sampler is seeded by n. So a search that is stopped and taken up again tries what it would have tried.

Bergstra et al. 2011 (TPE); Golovin et al. 2017 (median stopping).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    import optuna

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
#: Trials that are drawn at random before the sampler learns from them.
AT_RANDOM = 5
#: Complete trials before any other is pruned.
BEFORE_PRUNING = 3
#: Numbers are proposed to so many significant digits, which a person can read.
DIGITS = 3


@dataclass(frozen=True)
class Between:
    """A number between two, both included; `log`: as likely between 4 and 8 as between 8 and 16."""

    name: str
    low: float
    high: float
    log: bool = False

    def holding(self, value: float) -> Self:
        """The same dimension, wide enough for `value`."""
        return replace(self, low=min(self.low, value), high=max(self.high, value))


class Whole(Between):
    """A whole one."""


class Real(Between):
    """Any."""


@dataclass(frozen=True)
class Choice:
    """One of some values, without an order."""

    name: str
    values: tuple[object, ...]

    def holding(self, value: object) -> Choice:
        """The same dimension with `value` among its values."""
        return self if value in self.values else replace(self, values=(*self.values, value))


Dimension = Whole | Real | Choice


@dataclass(frozen=True)
class Trial:
    """A trial that is done.

    Attributes:
        state: complete, pruned or failed.
        params: value by dimension.
        steps: what it lost up to and with each step, less is better; a complete trial's last one is its `value`.
        seconds: that it took.
    """

    number: int
    state: str
    params: Mapping[str, object]
    steps: tuple[float, ...]
    seconds: float

    @property
    def value(self) -> float:
        """NaN where it was not completed."""
        return self.steps[-1] if self.state == COMPLETE else float("nan")


def best(trials: Sequence[Trial]) -> Trial:
    """The complete trial that lost least; the first of equals."""
    return min((trial for trial in trials if trial.state == COMPLETE), key=lambda trial: (trial.value, trial.number))


def carry_out(
    space: Sequence[Dimension],
    own: Mapping[str, object],
    done: Sequence[Trial],
    seed: int,
    measure: Callable[[Mapping[str, object], Callable[[float], bool]], tuple[str, float]],
) -> Trial:
    """The trial after those that are `done`: proposes values and has them measured.

    Args:
        own: what trial 0 tries.
        measure: given the values and a function that takes what was lost so far, after each step, and says whether to stop there; returns
            the state and the seconds.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    number = len(done)
    state = np.random.SeedSequence([seed, number]).generate_state(1)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=int(state[0]), n_startup_trials=AT_RANDOM),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=BEFORE_PRUNING, n_warmup_steps=0),
    )
    distributions = {dimension.name: _distribution(dimension) for dimension in space}
    for trial in done:
        study.add_trial(_frozen(trial, distributions, space))
    if number == 0:
        study.enqueue_trial(_labelled(own, space))
    asked = study.ask(distributions)
    params = dict(own) if number == 0 else _read(asked.params, space)
    steps: list[float] = []

    def report(lost: float) -> bool:
        steps.append(lost)
        asked.report(lost, len(steps) - 1)
        return asked.should_prune()

    outcome, seconds = measure(params, report)
    return Trial(number, outcome, params, tuple(steps), seconds)


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    from optuna import distributions

    if isinstance(dimension, Whole):
        return distributions.IntDistribution(dimension.low, dimension.high, log=dimension.log)
    if isinstance(dimension, Real):
        return distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    return distributions.CategoricalDistribution([_label(value) for value in dimension.values])


def _frozen(trial: Trial, distributions: dict, space: Sequence[Dimension]) -> optuna.trial.FrozenTrial:
    from optuna.trial import TrialState, create_trial

    states = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}
    return create_trial(
        state=states[trial.state],
        value=trial.value if trial.state == COMPLETE else None,
        params=_labelled(trial.params, space),
        distributions=distributions,
        intermediate_values=dict(enumerate(trial.steps)),
    )


def _label(value: object) -> str:
    """A choice as Optuna takes it: it knows no tuples."""
    return json.dumps(value)


def _labelled(params: Mapping[str, object], space: Sequence[Dimension]) -> dict[str, object]:
    return {
        dimension.name: _label(params[dimension.name]) if isinstance(dimension, Choice) else params[dimension.name]
        for dimension in space
    }


def _read(asked: Mapping[str, object], space: Sequence[Dimension]) -> dict[str, object]:
    params: dict[str, object] = {}
    for dimension in space:
        value = asked[dimension.name]
        if isinstance(dimension, Choice):
            value = next(each for each in dimension.values if _label(each) == value)
        elif isinstance(dimension, Real):
            value = min(max(float(f"{value:.{DIGITS}g}"), dimension.low), dimension.high)
        params[dimension.name] = value
    return params
