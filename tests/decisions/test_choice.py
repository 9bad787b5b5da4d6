"""Choices: their identity, and the files that keep them between two trainings."""

import numpy as np
import pytest

from pipeline.decisions import (
    ChoiceReplay,
    Contestant,
    Observed,
    choice_identity,
    decode_choice,
    decode_replay,
    encode_choice,
    encode_replay,
)
from pipeline.models import EWMA, NAIVE
from pipeline.storage import pack_arrays, unpack_arrays
from tests.decisions.made_choices import (
    CURRENT,
    CUTOFF,
    PREVIOUS,
    choice_among,
    knowing,
    stock_with,
)


@pytest.fixture(scope="module")
def stock():
    return stock_with()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_choice_comes_back_from_its_file_as_it_was_made(stock, count):
    networks = [(CURRENT, knowing(stock, 0.3)), (PREVIOUS, knowing(stock, 0.6))][:count]
    made = choice_among(stock, networks, "" if networks else "too young")
    read = decode_choice(encode_choice(made))
    assert (read.ticker, read.decision, read.shown, read.headline) == (
        made.ticker,
        made.decision,
        made.shown,
        "a headline",
    )
    assert read.has_network == (count > 0)
    assert read.decision.champion == {0: made.decision.baseline, 1: "lstm", 2: "previous"}[count]
    for part in ("validation", "test"):
        for name, values in vars(getattr(made, part)).items():
            np.testing.assert_array_equal(getattr(getattr(read, part), name), values)
        if networks:
            ours, theirs = (getattr(each.forecasts, part) for each in (read, made))
            np.testing.assert_array_equal(ours, theirs)
    for name in (NAIVE, EWMA):
        np.testing.assert_array_equal(read.baseline(name).test, stock.baselines[name].test)
    if networks:
        np.testing.assert_array_equal(read.loss_curve().losses, made.loss_curve().losses)


def test_the_network_that_is_shown_is_the_chosen_one_or_else_the_current(stock):
    better = [(CURRENT, knowing(stock, 0.3)), (PREVIOUS, knowing(stock, 0.6))]
    worse = [(CURRENT, knowing(stock, -0.3)), (PREVIOUS, knowing(stock, -0.6))]
    assert choice_among(stock, better).shown == PREVIOUS
    refused = choice_among(stock, worse)
    assert (refused.has_network, refused.shown) == (False, CURRENT)


def test_without_a_network_there_is_nothing_to_weigh(stock):
    with pytest.raises(ValueError, match="IBM has no network, so there is nothing to weigh"):
        choice_among(stock, [], "too young").loss_curve()


def test_a_baseline_of_few_windows_comes_back_in_the_units_that_it_had():
    stock = stock_with(fewest=1, count=230)
    assert len(stock.dataset.train) < 60
    read = decode_choice(encode_choice(choice_among(stock, [], "too young")))
    for name in (NAIVE, EWMA):
        np.testing.assert_array_equal(read.baseline(name).test, stock.baselines[name].test)


def test_a_choice_of_the_first_version_has_a_network_without_its_role(stock):
    about, arrays = unpack_arrays(
        encode_choice(choice_among(stock, [(CURRENT, knowing(stock, 1))]))
    )
    about["shown"] = about["shown"][:2]
    shown = decode_choice(pack_arrays(about, arrays)).shown
    assert shown == Contestant("", "m1", CUTOFF)


def test_all_that_decides_a_choice_identifies_it():
    names = [
        choice_identity("d1", "", [CURRENT], "", 0.05),
        choice_identity("d2", "", [CURRENT], "", 0.05),
        choice_identity("d1", "too young", [CURRENT], "", 0.05),
        choice_identity("d1", "", [Contestant("lstm", "m2", CUTOFF)], "", 0.05),
        choice_identity("d1", "", [Contestant("previous", "m1", CUTOFF)], "", 0.05),
        choice_identity("d1", "", [], "", 0.05),
        choice_identity("d1", "", [CURRENT], "it peeks", 0.05),
        choice_identity("d1", "", [CURRENT], "", 0.1),
    ]
    assert len(set(names)) == len(names)
    assert choice_identity("d1", "", [CURRENT], "", 0.05) == names[0]


@pytest.mark.parametrize("by_network", [True, False])
def test_a_replay_comes_back_from_its_file_as_it_was_made(stock, by_network):
    windows = stock.dataset.test
    forecasts = knowing(stock, 0.5).test if by_network else None
    inputs = windows.past[:, -1] if by_network else None
    replay = ChoiceReplay(Observed.of(windows), forecasts, inputs)
    read = decode_replay(encode_replay(replay))
    for name, values in vars(replay.observed).items():
        np.testing.assert_array_equal(getattr(read.observed, name), values)
    for name in ("forecasts", "inputs"):
        expected, values = getattr(replay, name), getattr(read, name)
        if expected is None:
            assert values is None
        else:
            np.testing.assert_array_equal(values, expected)
