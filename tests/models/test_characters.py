"""Characters: their cutting, their naive forecast, and their cost in bits."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import LookAtTheData
from pipeline.models import characters
from pipeline.models.toys.meetup import CHARACTERS, SONNETS


def test_characters_are_cut_so_that_the_last_tenth_is_held_out():
    exercise = CHARACTERS.exercises(7, None)["sonnets"]
    held_out = len(SONNETS) // 10
    assert (len(exercise.train), len(exercise.test)) == (len(SONNETS) - held_out - 20, held_out)
    spelt = [exercise.alphabet[number] for number in exercise.test.targets[:, 0]]
    assert "".join(spelt) == SONNETS[-held_out:]
    first = exercise.test.inputs["past"][0].argmax(axis=1)
    assert (
        "".join(exercise.alphabet[number] for number in first)
        == (SONNETS[-held_out - 20 : -held_out])
    )


def test_the_naive_forecast_of_a_character_is_its_most_frequent_follower():
    exercise = CHARACTERS.exercises(7, "abac" * 100)["text"]
    assert exercise.alphabet == "abc"
    # b and c follow a equally often, but for the text's end.
    likeliest = {"a": "bc", "b": "a", "c": "a"}
    before = exercise.test.inputs["past"][:, -1].argmax(axis=1)
    for last, following in zip(before, exercise.naive.argmax(axis=1), strict=True):
        assert exercise.alphabet[following] in likeliest[exercise.alphabet[last]]
    np.testing.assert_allclose(exercise.naive.sum(axis=1), 1)


def test_bits_are_those_of_a_plain_loop():
    probabilities, actual = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]), np.array([[0], [2]])
    assert characters.bits(probabilities, actual) == pytest.approx((1 + 2) / 2)


def test_the_same_seed_writes_the_same_text():
    start = characters.one_hot(characters.numbered("ab", "ab"), 2)

    def text(seed: int) -> str:
        even = np.array([[0.5, 0.5]])
        return characters.write_on(lambda window: even, "ab", start, 20, seed)

    assert text(1) == text(1) != text(2)
    assert set(text(1)) == {"a", "b"}


def test_a_text_too_short_is_an_error_that_names_the_length_needed():
    with pytest.raises(LookAtTheData, match="has 100 characters; at least 210 are needed"):
        CHARACTERS.exercises(7, "x" * 100)


def test_the_shortest_text_and_a_long_one_can_be_cut():
    assert len(CHARACTERS.exercises(7, "abcdefg" * 30)["text"].test) == 21
    assert [*CHARACTERS.exercises(7, "ab" * 30_000)] == ["text-first-50000"]
