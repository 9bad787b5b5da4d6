"""The values to try next depend on what was tried, and on nothing else."""

from __future__ import annotations

import json

import pytest

from pipeline.research.search import (
    TRIALS_BEFORE_PRUNING,
    Categorical,
    Integer,
    Real,
    Trial,
    TrialState,
    best_trial,
    dimension_text,
    next_trial,
)

SPACE = (
    Integer("units", 4, 64, log=True),
    Real("rate", 1e-5, 1e-2, log=True),
    Categorical("means", ((1, 2), (3,), (1, 2, 3))),
)
OWN_VALUES = {"units": 16, "rate": 3e-4, "means": (1, 2)}
COMPLETE, PRUNED, FAILED = TrialState


def loss_of(params) -> float:
    return abs(params["units"] - 30) / 30 + len(params["means"])


def measure(params, report):
    """Report the same loss three times; values with a mean of three sessions alone may fail."""
    for step in range(3):
        if step and params["means"] == (3,) and params["units"] > 50:
            return FAILED, 1.0
        if report(loss_of(params)):
            return PRUNED, 1.0
    return COMPLETE, 1.0


def trials_after(done: list[Trial], count: int, seed: int = 7) -> list[Trial]:
    trials = list(done)
    while len(trials) < count:
        trials.append(next_trial(SPACE, OWN_VALUES, trials, seed, measure))
    return trials


def test_two_sittings_try_what_one_would_have_tried():
    together = trials_after([], 14)
    stored = [  # as a store keeps them
        Trial(
            trial.number,
            trial.state,
            json.loads(json.dumps(trial.params), object_hook=with_tuples),
            trial.steps,
            trial.seconds,
        )
        for trial in together[:6]
    ]
    assert trials_after(stored, 14) == together
    assert [trial.number for trial in together] == list(range(14))


def with_tuples(params: dict) -> dict:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in params.items()
    }


def test_the_first_trial_is_the_recipe_as_it_is_and_another_seed_tries_others():
    first, other = trials_after([], 6, seed=7), trials_after([], 6, seed=8)
    assert first[0].params == other[0].params == OWN_VALUES
    assert [trial.params for trial in first[1:]] != [trial.params for trial in other[1:]]


def test_all_that_is_tried_lies_in_the_space_and_can_be_read():
    for trial in trials_after([], 20):
        params = trial.params
        assert 4 <= params["units"] <= 64 and isinstance(params["units"], int)
        assert 1e-5 <= params["rate"] <= 1e-2 and float(f"{params['rate']:.3g}") == params["rate"]
        assert params["means"] in SPACE[2].values


def test_a_trial_worse_than_the_median_is_pruned_at_its_first_step_once_three_are_complete():
    trials = trials_after([], 20)
    pruned = [trial for trial in trials if trial.state == PRUNED]
    assert pruned
    for trial in pruned:
        earlier = trials[: trial.number]
        losses = sorted(done.steps[0] for done in earlier if done.state == COMPLETE)
        assert len(losses) >= TRIALS_BEFORE_PRUNING
        assert trial.steps[0] > losses[(len(losses) - 1) // 2]
        assert len(trial.steps) == 1


def test_later_trials_learn_from_earlier_ones():
    trials = trials_after([], 30)
    later = min(loss_of(trial.params) for trial in trials[10:])
    assert later < min(loss_of(trial.params) for trial in trials[:3])
    complete = [loss_of(trial.params) for trial in trials if trial.state == COMPLETE]
    assert best_trial(trials).value == min(complete)


def test_of_equals_the_first_is_the_best_and_no_pruned_or_failed_one_ever_is():
    rows = [
        (0, COMPLETE, 1.0),
        (1, FAILED, 0.1),
        (2, PRUNED, 0.2),
        (3, COMPLETE, 0.9),
        (4, COMPLETE, 0.9),
    ]
    trials = [Trial(number, state, {}, (value,), 0.0) for number, state, value in rows]
    assert best_trial(trials).number == 3


@pytest.mark.parametrize(
    ("dimension", "value", "wider"),
    [
        (Integer("units", 4, 64), 128, Integer("units", 4, 128)),
        (Real("rate", 1e-5, 1e-2), 0.05, Real("rate", 1e-5, 0.05)),
        (Categorical("means", ((1,),)), (2,), Categorical("means", ((1,), (2,)))),
        (Categorical("means", ((1,),)), (1,), Categorical("means", ((1,),))),
    ],
)
def test_a_dimension_is_widened_to_hold_a_recipes_own_value(dimension, value, wider):
    assert dimension.holding(value) == wider


def test_dimensions_have_the_texts_that_older_searches_are_known_by():
    assert [dimension_text(dimension) for dimension in SPACE] == [
        "Whole(name='units', low=4, high=64, log=True)",
        "Real(name='rate', low=1e-05, high=0.01, log=True)",
        "Choice(name='means', values=((1, 2), (3,), (1, 2, 3)))",
    ]
