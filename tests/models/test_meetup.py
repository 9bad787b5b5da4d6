"""The meetup's networks: how many weights they have, every row of every gate, a sine from 28 weights, and characters."""

from __future__ import annotations

import operator

import numpy as np
import pytest

from pipeline import characters
from pipeline.errors import LookAtTheData
from pipeline.keras_files import load_model
from pipeline.models.meetup import CHARACTERS, GATES, LOGIC_GATES, ROWS, SINE_RNN, SONNETS
from pipeline.training import fit_examples

#: The gates as Python computes them.
PLAIN = {"AND": operator.and_, "OR": operator.or_, "XOR": operator.xor}


def trained_on(recipe, exercise, seed):
    return fit_examples(recipe, exercise.train, exercise.test, exercise.test, seed)


def weights_of(trained):
    return [weights.shape for weights in load_model(trained.model).get_weights()]


@pytest.mark.slow
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("seed", [0, 7, 42])
def test_every_row_of_a_gate_is_right(gate, seed):
    exercise = LOGIC_GATES.exercises(seed, None)[gate]
    assert exercise.test.inputs["past"].tolist() == [list(row) for row in ROWS]
    trained = trained_on(LOGIC_GATES, exercise, seed)
    said = np.asarray(load_model(trained.model)(exercise.test.inputs["past"]))[:, 0]
    assert [int(answer > 0.5) for answer in said] == [PLAIN[gate](a, b) for a, b in ROWS]
    assert weights_of(trained) == [(2, 4), (4, 1)]
    assert trained.weights == 8 + 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 7, 42])
def test_the_plain_rnn_beats_the_last_value_with_28_weights(seed):
    exercise = SINE_RNN.exercises(seed, None)["sine"]
    trained = trained_on(SINE_RNN, exercise, seed)
    said = np.asarray(load_model(trained.model)(exercise.test.inputs["past"]))
    network, naive = (np.mean((values - exercise.test.targets) ** 2) for values in (said, exercise.naive))
    assert network < naive / 4
    assert weights_of(trained) == [(2, 4), (4, 4), (4, 1)]
    assert trained.weights == 8 + 16 + 4


def test_characters_are_cut_so_that_the_last_tenth_is_held_out():
    exercise = CHARACTERS.exercises(7, None)["sonnets"]
    held_out = len(SONNETS) // 10
    assert (len(exercise.train), len(exercise.test)) == (len(SONNETS) - held_out - 20, held_out)
    spelt = [exercise.alphabet[number] for number in exercise.test.targets[:, 0]]
    assert "".join(spelt) == SONNETS[-held_out:]
    first = "".join(exercise.alphabet[number] for number in exercise.test.inputs["past"][0].argmax(axis=1))
    assert first == SONNETS[-held_out - 20 : -held_out]


def test_the_naive_forecast_of_a_character_is_its_most_frequent_follower():
    exercise = CHARACTERS.exercises(7, "abac" * 100)["text"]
    assert exercise.alphabet == "abc"
    likeliest = {"a": "bc", "b": "a", "c": "a"}  # b and c follow a equally often, but for the text's end
    before = exercise.test.inputs["past"][:, -1].argmax(axis=1)
    for last, following in zip(before, exercise.naive.argmax(axis=1), strict=True):
        assert exercise.alphabet[following] in likeliest[exercise.alphabet[last]]
    np.testing.assert_allclose(exercise.naive.sum(axis=1), 1)


def test_bits_are_what_a_plain_loop_counts():
    probabilities, actual = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]), np.array([[0], [2]])
    assert characters.bits(probabilities, actual) == pytest.approx((1 + 2) / 2)


@pytest.mark.slow
def test_a_text_with_a_rule_is_learnt_where_the_naive_forecast_fails_and_goes_on_by_the_rule():
    """After a comes b and c in turns: only who looks two characters back can know."""
    exercise = CHARACTERS.exercises(7, "abac" * 100)["text"]
    trained = trained_on(CHARACTERS, exercise, 7)
    network = load_model(trained.model)
    said = np.asarray(network(exercise.test.inputs["past"]))
    assert (said.argmax(axis=1) == exercise.test.targets[:, 0]).all()
    assert (exercise.naive.argmax(axis=1) == exercise.test.targets[:, 0]).mean() < 0.8
    assert characters.bits(said, exercise.test.targets) < characters.bits(exercise.naive, exercise.test.targets)
    assert trained.weights == 4 * 64 * (3 + 64 + 1) + (64 + 1) * 3

    def predict(window):
        return np.asarray(network(window))

    written = [characters.written(predict, "abc", exercise.test.inputs["past"][0], 12, seed) for seed in (1, 1, 2)]
    assert written[0] == written[1]
    assert [text for text in written if text not in "abac" * 10] == []


def test_a_text_too_short_is_told_how_long_it_must_be():
    with pytest.raises(LookAtTheData, match="has 100 characters; at least 210 are needed"):
        CHARACTERS.exercises(7, "x" * 100)


def test_the_shortest_text_and_a_long_one_can_be_cut():
    assert len(CHARACTERS.exercises(7, "abcdefg" * 30)["text"].test) == 21
    assert [*CHARACTERS.exercises(7, "ab" * 30_000)] == ["text-first-50000"]
