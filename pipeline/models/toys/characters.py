"""Text for a network that forecasts the next character: coding, a naive forecast, and writing on.

Characters are numbered by an alphabet, a string of all that occur, sorted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.arrays import Array, Floats

#: One-hot windows (n, steps, characters) -> probabilities (n, characters).
PredictCharacter: TypeAlias = Callable[[Array], Array]


def alphabet_of(text: str) -> str:
    """Return the characters that occur in a text, sorted."""
    return "".join(sorted(set(text)))


def numbered(text: str, alphabet: str) -> Array:
    """Return each character's place in the alphabet, int32 (len(text),)."""
    places = {character: place for place, character in enumerate(alphabet)}
    return np.array([places[character] for character in text], dtype="int32")


def one_hot(numbers: Array, count: int) -> Array:
    """Return 1 at each character's number, else 0, uint8 (..., count)."""
    codes: Array = np.eye(count, dtype="uint8")[numbers]
    return codes


def character_windows(numbers: Array, steps: int, count: int) -> tuple[Array, Array]:
    """Cut numbered characters into windows, each with the character after it.

    Returns:
        One-hot characters (n, steps, count), and the number of the next one (n, 1).
    """
    return one_hot(sliding_window_view(numbers[:-1], steps), count), numbers[steps:, None]


def followers(train: Array, last: Array, count: int) -> Floats:
    """Forecast naively: how often each character followed this one in `train`, counted from 1.

    The likeliest is the most frequent follower. Counting from 1 leaves nothing impossible, so that
    bits can be counted too.

    Args:
        last: numbers of the characters to forecast from, (n,).

    Returns:
        Probabilities (n, count).
    """
    times = np.ones((count, count))
    np.add.at(times, (train[:-1], train[1:]), 1)
    probabilities: Floats = (times / times.sum(axis=1, keepdims=True))[last]
    return probabilities


def bits(probabilities: Array, actual: Array) -> float:
    """Return the mean bits per character.

    They are what it costs to spell out `actual` (n, 1) to someone who knows the probabilities
    (n, count).
    """
    of_actual = np.take_along_axis(probabilities.astype("float64"), actual, axis=1)
    return float(-np.log2(np.maximum(of_actual, np.finfo("float32").tiny)).mean())


def write_on(predict: PredictCharacter, alphabet: str, start: Array, length: int, seed: int) -> str:
    """Return text that goes on after `start`, the same for the same seed.

    Each character is drawn from the probabilities that the network gives it.

    Args:
        start: one-hot (steps, characters).
    """
    random = np.random.default_rng(seed)
    window, text = start, ""
    for _ in range(length):
        cumulated = np.cumsum(predict(window[None])[0].astype("float64"))
        place = np.searchsorted(cumulated, random.random() * cumulated[-1], side="right")
        number = min(int(place), len(alphabet) - 1)
        window = np.concatenate([window[1:], one_hot(np.array([number]), len(alphabet))])
        text += alphabet[number]
    return text
