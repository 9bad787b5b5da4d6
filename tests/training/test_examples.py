"""Examples: what is cut from the training files of stocks, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import LookAtTheData
from pipeline.models import Optimiser, Stack
from pipeline.models.optimisation import HalvedOnPlateau
from pipeline.training.examples import training_examples
from pipeline.training.jobs import UNKNOWN_SYMBOL
from pipeline.windows import Split, encode, load_dataset, training_part
from tests.made_days import SMALL
from tests.training.made_networks import (
    SPLIT,
    dataset_file,
    made_history,
    small,
    spec_of,
    training_files,
)

POOLED = small(network=Stack((4,), embedding=2), pooled=True)


def test_a_network_of_many_stocks_learns_from_as_many_windows_of_each_the_newest_among_them(
    monkeypatch, dataset
):
    monkeypatch.setattr("pipeline.training.examples.LEARNT_AN_EPOCH", 100)
    [file] = training_files().values()
    train, validation, _ = training_examples(POOLED, {"UP": file, "WALK": file}, seed=7)
    for examples, whole in ((train, dataset.train), (validation, dataset.validation)):
        stride = -(-len(whole) // 50)
        assert stride > 1
        assert len(examples) == 2 * len(range(len(whole) - 1, -1, -stride)) <= 100
        np.testing.assert_array_equal(examples.targets[-1], whole.future[-1])
        np.testing.assert_array_equal(examples.targets[-2], whole.future[-1 - stride])


def test_a_share_of_a_pooled_networks_training_examples_goes_without_its_symbol():
    files = training_files("UP") | training_files("WALK", 0.0)
    train, validation, test = training_examples(POOLED, files, seed=7)
    unknown = (train.inputs["symbol"] == UNKNOWN_SYMBOL).mean()
    assert unknown == pytest.approx(POOLED.network.unknown_share, abs=0.03)
    assert set(train.inputs["symbol"].ravel()) == {"", "UP", "WALK"}
    assert set(validation.inputs["symbol"].ravel()) == {"UP", "WALK"}
    assert len(test) == 0
    again, _, _ = training_examples(POOLED, dict(reversed(files.items())), seed=7)
    np.testing.assert_array_equal(again.inputs["symbol"], train.inputs["symbol"])
    np.testing.assert_array_equal(again.targets, train.targets)


def test_only_a_recipe_that_watches_the_test_gets_it(dataset):
    watching = Optimiser("Adam", HalvedOnPlateau(0.01, least=0.001, watches="test"))
    for recipe, count in ((small(), 0), (small(optimiser=watching), len(dataset.test))):
        _, _, test = training_examples(recipe, {"UP": dataset_file()}, seed=7)
        assert len(test) == count


def test_a_missing_number_is_never_trained_on(monkeypatch, dataset):
    values = dataset.train.values.copy()
    values[3, 2, 1] = np.nan
    broken = replace(dataset, train=replace(dataset.train, values=values))
    monkeypatch.setattr("pipeline.training.examples.load_dataset", lambda data: broken)
    with pytest.raises(LookAtTheData, match=r"UP: .* has a missing number"):
        training_examples(small(), training_files(), seed=7)


def test_too_little_history_to_train_on_is_a_matter_for_a_person():
    history = made_history(sessions=200)
    file = encode(history, spec_of(history, Split(SPLIT.test, min_train_windows=0)))
    with pytest.raises(LookAtTheData, match="UP: too little history up to 2010-10-08 to train on"):
        training_examples(small(), {"UP": file}, seed=7)


def test_too_few_usable_windows_are_counted():
    history = made_history()
    history.loc[:379, "close"] = np.nan  # all of the training sessions
    with pytest.raises(LookAtTheData, match=r"UP: too few windows .* are usable, 0 of train"):
        training_examples(small(), {"UP": encode(history, spec_of(history))}, seed=7)


def test_in_one_pass_a_stocks_windows_are_all_learnt_from_once(dataset, monkeypatch):
    recipe = replace(SMALL, pooled=True, fine_tuning=None)
    spec = recipe.spec("UP", made_history()["session"].iloc[-1].date(), "close", 2)
    file = training_part(encode(made_history(), spec))
    whole = load_dataset(file)
    train, validation, test = training_examples(recipe, {"UP": file}, seed=7)
    for examples, windows in ((train, whole.train), (validation, whole.validation)):
        counts = np.isfinite(examples.targets).all(axis=2)
        assert counts.sum() == len(windows)
        np.testing.assert_allclose(examples.targets[counts], windows.future, atol=1e-5)
        length = recipe.window.context_length + recipe.one_pass.span - 1
        assert examples.inputs["past"].shape == (len(examples), length, 8)
        assert examples.inputs["symbol"].shape == (len(examples), 1)
    assert len(test) == 0
    monkeypatch.setattr("pipeline.training.examples.PASSED_AN_EPOCH", 2 * recipe.one_pass.span)
    fewer, _, _ = training_examples(recipe, {"UP": file, "WALK": file}, seed=7)
    assert len(fewer) == 2 < len(train)
    np.testing.assert_array_equal(fewer.targets[0], train.targets[-1])


def test_in_one_pass_too_little_is_said_alike():
    recipe = replace(SMALL, pooled=True, fine_tuning=None)
    history = made_history(sessions=150)
    spec = recipe.spec("UP", history["session"].iloc[-1].date(), "close", 2)
    with pytest.raises(LookAtTheData, match=r"UP: too few windows .*|UP: too little history"):
        training_examples(recipe, {"UP": encode(history, spec)}, seed=7)
