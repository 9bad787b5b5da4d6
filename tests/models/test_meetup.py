"""The meetup's networks learn every row of every gate, a sine from 28 weights, and characters."""

from __future__ import annotations

import operator

import numpy as np
import pytest

from pipeline.models import Exercise, ExerciseRecipe, characters
from pipeline.models.toys.meetup import (
    CHARACTERS,
    GATE_ANSWERS,
    GATE_INPUTS,
    LOGIC_GATES,
    SINE_RNN,
)

#: The gates as Python computes them.
PLAIN = {"AND": operator.and_, "OR": operator.or_, "XOR": operator.xor}


def trained_on(recipe: ExerciseRecipe, exercise: Exercise, seed: int):
    from pipeline.training.fit import fit_examples

    return fit_examples(recipe, exercise.train, exercise.test, exercise.test, seed)


def test_the_gates_are_those_of_python():
    for gate, answers in GATE_ANSWERS.items():
        assert list(answers) == [PLAIN[gate](a, b) for a, b in GATE_INPUTS]


@pytest.mark.parametrize("seed", [0, 7, 42])
@pytest.mark.parametrize("gate", GATE_ANSWERS)
@pytest.mark.slow
def test_every_row_of_a_gate_is_learnt(gate, seed):
    from pipeline.training.keras_files import load_model

    exercise = LOGIC_GATES.exercises(seed, None)[gate]
    assert exercise.test.inputs["past"].tolist() == [list(row) for row in GATE_INPUTS]
    trained = trained_on(LOGIC_GATES, exercise, seed)
    network = load_model(trained.model)
    answers = np.asarray(network(exercise.test.inputs["past"]))[:, 0]
    assert [int(answer > 0.5) for answer in answers] == [PLAIN[gate](a, b) for a, b in GATE_INPUTS]
    assert [weights.shape for weights in network.get_weights()] == [(2, 4), (4, 1)]
    assert trained.weights == 8 + 4


@pytest.mark.parametrize("seed", [0, 7, 42])
@pytest.mark.slow
def test_the_plain_rnn_beats_the_last_value_with_28_weights(seed):
    from pipeline.training.keras_files import load_model

    exercise = SINE_RNN.exercises(seed, None)["sine"]
    trained = trained_on(SINE_RNN, exercise, seed)
    network, targets = load_model(trained.model), exercise.test.targets
    forecast = np.asarray(network(exercise.test.inputs["past"]))
    error, naive_error = (np.mean((values - targets) ** 2) for values in (forecast, exercise.naive))
    assert error < naive_error / 4
    assert [weights.shape for weights in network.get_weights()] == [(2, 4), (4, 4), (4, 1)]
    assert trained.weights == 8 + 16 + 4


@pytest.mark.slow
def test_a_text_with_a_rule_is_learnt_where_the_naive_forecast_fails_and_goes_on_by_the_rule():
    """After a comes b and c in turns: only a network that looks two characters back can know."""
    from pipeline.training.keras_files import load_model

    exercise = CHARACTERS.exercises(7, "abac" * 100)["text"]
    trained = trained_on(CHARACTERS, exercise, 7)
    network, test = load_model(trained.model), exercise.test

    def predict(window: np.ndarray) -> np.ndarray:
        return np.asarray(network(window))

    probabilities, actual = predict(test.inputs["past"]), test.targets[:, 0]
    assert (probabilities.argmax(axis=1) == actual).all()
    assert (exercise.naive.argmax(axis=1) == actual).mean() < 0.8
    naive_bits = characters.bits(exercise.naive, test.targets)
    assert characters.bits(probabilities, test.targets) < naive_bits
    assert trained.weights == 4 * 64 * (3 + 64 + 1) + (64 + 1) * 3
    texts = [
        characters.write_on(predict, "abc", test.inputs["past"][0], 12, seed) for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1]
    assert [text for text in texts if text not in "abac" * 10] == []
