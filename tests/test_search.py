"""What is tried next depends on what was tried, and on nothing else."""

from __future__ import annotations

import json

import pytest

from pipeline import search
from pipeline.search import COMPLETE, FAILED, PRUNED, Choice, Real, Trial, Whole

SPACE = (Whole("units", 4, 64, log=True), Real("rate", 1e-5, 1e-2, log=True), Choice("means", ((1, 2), (3,), (1, 2, 3))))
OWN = {"units": 16, "rate": 3e-4, "means": (1, 2)}


def lost(params) -> float:
    return abs(params["units"] - 30) / 30 + len(params["means"])


def measured(params, report):
    """Three steps of the same loss; a trial with a mean of three sessions alone fails at the second."""
    for step in range(3):
        if step and params["means"] == (3,) and params["units"] > 50:
            return FAILED, 1.0
        if report(lost(params)):
            return PRUNED, 1.0
    return COMPLETE, 1.0


def after(done: list[Trial], count: int, seed: int = 7) -> list[Trial]:
    done = list(done)
    while len(done) < count:
        done.append(search.carry_out(SPACE, OWN, done, seed, measured))
    return done


def test_two_sittings_try_what_one_would_have_tried():
    together = after([], 14)
    in_between = [  # as a store keeps them
        Trial(trial.number, trial.state, json.loads(json.dumps(trial.params), object_hook=tuples), trial.steps, trial.seconds)
        for trial in together[:6]
    ]
    assert after(in_between, 14) == together
    assert [trial.number for trial in together] == list(range(14))


def tuples(params: dict) -> dict:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in params.items()}


def test_the_first_trial_is_the_recipe_as_it_is_and_another_seed_tries_others():
    first, other = after([], 6, seed=7), after([], 6, seed=8)
    assert first[0].params == other[0].params == OWN
    assert [trial.params for trial in first[1:]] != [trial.params for trial in other[1:]]


def test_all_that_is_tried_lies_in_the_space_and_can_be_read():
    for trial in after([], 20):
        params = trial.params
        assert 4 <= params["units"] <= 64 and isinstance(params["units"], int)
        assert 1e-5 <= params["rate"] <= 1e-2 and float(f"{params['rate']:.3g}") == params["rate"]
        assert params["means"] in SPACE[2].values


def test_a_trial_worse_than_the_median_is_given_up_after_its_first_step_once_three_are_complete():
    trials = after([], 20)
    pruned = [trial for trial in trials if trial.state == PRUNED]
    assert pruned
    for trial in pruned:
        before = sorted(each.steps[0] for each in trials[: trial.number] if each.state == COMPLETE)
        assert len(before) >= search.BEFORE_PRUNING
        assert trial.steps[0] > before[(len(before) - 1) // 2]
        assert len(trial.steps) == 1


def test_later_trials_learn_from_earlier_ones():
    trials = after([], 30)
    assert min(lost(trial.params) for trial in trials[10:]) < min(lost(trial.params) for trial in trials[:3])
    assert search.best(trials).value == min(lost(trial.params) for trial in trials if trial.state == COMPLETE)


def test_of_equals_the_first_is_the_best_and_no_pruned_or_failed_one_ever_is():
    rows = [(0, COMPLETE, 1.0), (1, FAILED, 0.1), (2, PRUNED, 0.2), (3, COMPLETE, 0.9), (4, COMPLETE, 0.9)]
    assert search.best([Trial(number, state, {}, (value,), 0.0) for number, state, value in rows]).number == 3


@pytest.mark.parametrize(
    ("dimension", "value", "wanted"),
    [
        (Whole("units", 4, 64), 128, Whole("units", 4, 128)),
        (Real("rate", 1e-5, 1e-2), 0.05, Real("rate", 1e-5, 0.05)),
        (Choice("means", ((1,),)), (2,), Choice("means", ((1,), (2,)))),
        (Choice("means", ((1,),)), (1,), Choice("means", ((1,),))),
    ],
)
def test_a_dimension_is_widened_to_hold_a_recipes_own_value(dimension, value, wanted):
    assert dimension.holding(value) == wanted
