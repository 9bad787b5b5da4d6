"""Test answers of exercises: their errors by plain loops, and the table that people read."""

import math

import numpy as np
import pytest

from pipeline.research.exercise_figures import answer_picture, answer_table, error_figures
from tests.made_exercises import planned


def test_the_errors_of_a_gate_are_those_of_plain_loops():
    [_, _, xor] = planned("meetup-logic-gates")
    answers = np.array([[0.1], [0.6], [0.4], [0.2]], "float32")  # of 0, 1, 1, 0
    figures = error_figures(xor, answers)
    errors = [0.1, 0.4, 0.6, 0.2]
    assert figures["test_mse"] == pytest.approx(sum(error**2 for error in errors) / 4)
    assert figures["test_mse_naive"] == 0.25
    assert (figures["test_right"], figures["test_right_naive"]) == (0.75, 0.5)


def test_the_errors_of_characters_are_bits_and_the_share_right():
    [text] = planned("meetup-characters")
    actuals = text.exercise.test.targets[:, 0]
    answers = np.tile(np.array([0.5, 0.25, 0.25], "float32"), (len(actuals), 1))
    figures = error_figures(text, answers)
    bits = [1.0 if number == 0 else 2.0 for number in actuals]
    assert figures["test_bits"] == pytest.approx(sum(bits) / len(bits))
    assert figures["test_right"] == pytest.approx(np.mean(actuals == 0))
    assert math.isfinite(figures["test_bits_naive"])


def test_the_table_of_a_gate_has_a_row_per_example():
    [_, _, xor] = planned("meetup-logic-gates")
    table = answer_table(xor, np.array([[0.25], [0.5], [0.75], [1.0]], "float32"))
    assert table.to_numpy().tolist() == [
        ["0 0", 0.0, 0.25, 0.5],
        ["0 1", 1.0, 0.5, 0.5],
        ["1 0", 1.0, 0.75, 0.5],
        ["1 1", 0.0, 1.0, 0.5],
    ]
    assert list(table) == ["input", "actual", "prediction", "naive"]


def test_the_table_of_a_long_input_shows_its_newest_numbers():
    [sine] = planned("meetup-sine-rnn")
    table = answer_table(sine, sine.exercise.naive)
    newest = sine.exercise.test.inputs["past"][0].reshape(-1)[-4:]
    assert table["input"][0] == " ".join(["...", *(f"{value:g}" for value in newest)])


def test_the_table_of_characters_has_the_likeliest_and_the_actual_one_s_probability():
    [text] = planned("meetup-characters")
    count = len(text.exercise.test)
    table = answer_table(text, np.tile(np.array([0.2, 0.7, 0.1]), (count, 1)))
    assert set(table["prediction"]) == {"b"}
    probabilities = {"a": 0.2, "b": 0.7, "c": 0.1}
    assert table["probability"].tolist() == [probabilities[letter] for letter in table["actual"]]
    first = table.iloc[0]
    assert len(first["input"]) == 20
    assert ("abac" * 10).find(first["input"] + first["actual"]) >= 0


def test_the_picture_of_characters_is_of_how_they_were_learnt():
    [text], [*_, xor] = planned("meetup-characters"), planned("meetup-logic-gates")
    figures = {"test_bits": 1.5, "test_bits_naive": 2.5}
    naive = text.exercise.naive
    learnt = answer_picture(text, naive, [2.0, 1.0], figures)
    assert learnt == answer_picture(text, naive, [2.0, 1.0], figures)
    assert learnt != answer_picture(text, naive, [2.0, 0.5], figures)
    answers = xor.exercise.naive
    assert answer_picture(xor, answers, [2.0], {}) != answer_picture(xor, answers + 0.1, [2.0], {})
    assert answer_picture(xor, answers, [2.0], {}) == answer_picture(xor, answers, [1.0], {})
