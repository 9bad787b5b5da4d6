"""Text for a network that forecasts the next character: coding, the naive forecast, and writing on from what it says.

Characters are numbered by an alphabet, a string of all that occur, sorted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

#: One-hot windows (n, steps, characters) -> probabilities (n, characters).
Predict = Callable[[np.ndarray], np.ndarray]


def alphabet_of(text: str) -> str:
    return "".join(sorted(set(text)))


def numbered(text: str, alphabet: str) -> np.ndarray:
    """int32 (len(text),): each character's place in the alphabet."""
    places = {character: place for place, character in enumerate(alphabet)}
    return np.array([places[character] for character in text], dtype="int32")


def one_hot(numbers: np.ndarray, count: int) -> np.ndarray:
    """uint8 (..., count): 1 at the character's number, else 0."""
    return np.eye(count, dtype="uint8")[numbers]


def windows(numbers: np.ndarray, steps: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(one-hot characters (n, steps, count), number of the character after each window (n, 1))."""
    return one_hot(sliding_window_view(numbers[:-1], steps), count), numbers[steps:, None]


def followers(train: np.ndarray, last: np.ndarray, count: int) -> np.ndarray:
    """The naive forecast: how often each character came after this one in `train`, counted from 1, as probabilities (n, count).

    Its likeliest is the most frequent follower. Counting from 1 leaves nothing impossible, so that bits can be counted too.

    Args:
        last: numbers of the characters to forecast from, (n,).
    """
    times = np.ones((count, count))
    np.add.at(times, (train[:-1], train[1:]), 1)
    return (times / times.sum(axis=1, keepdims=True))[last]


def bits(probabilities: np.ndarray, actual: np.ndarray) -> float:
    """Mean bits per character: what it costs to spell out `actual` (n, 1) to someone who knows the probabilities (n, count)."""
    of_actual = np.take_along_axis(probabilities.astype("float64"), actual, axis=1)
    return float(-np.log2(np.maximum(of_actual, np.finfo("float32").tiny)).mean())


def written(predict: Predict, alphabet: str, start: np.ndarray, length: int, seed: int) -> str:
    """Text that goes on after `start`, each character drawn from the probabilities that the network gives it; the same for the same seed.

    Args:
        start: one-hot (steps, characters).
    """
    random = np.random.default_rng(seed)
    window, text = start, ""
    for _ in range(length):
        probabilities = np.cumsum(predict(window[None])[0].astype("float64"))
        number = min(int(np.searchsorted(probabilities, random.random() * probabilities[-1], side="right")), len(alphabet) - 1)
        window = np.concatenate([window[1:], one_hot(np.array([number]), len(alphabet))])
        text += alphabet[number]
    return text
