"""Test answers of an exercise's network: error figures, a table and pictures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.models import CrossEntropy, characters
from pipeline.reporting import charts
from pipeline.research.planned_exercise import PlannedExercise

#: Numbers of an input that a table shows, the newest.
SHOWN_NUMBERS = 4


def error_figures(planned: PlannedExercise, answers: np.ndarray) -> dict[str, float]:
    """Return the test errors of the network and, as `..._naive`, of the naive forecast.

    They are the MSE, or bits per character. Where answers are right or wrong, the share of right
    ones is among them.

    Args:
        answers: the network's to the test examples, (n, outputs).
    """
    exercise = planned.exercise
    actuals = exercise.test.targets
    figures: dict[str, float] = {}
    for suffix, given in (("", answers), ("_naive", exercise.naive)):
        if exercise.alphabet:
            figures[f"test_bits{suffix}"] = characters.bits(given, actuals)
            figures[f"test_right{suffix}"] = float((given.argmax(axis=1) == actuals[:, 0]).mean())
            continue
        figures[f"test_mse{suffix}"] = float(np.mean((given.astype("float64") - actuals) ** 2))
        if isinstance(planned.recipe.loss, CrossEntropy):
            figures[f"test_right{suffix}"] = float(((given > 0.5) == (actuals > 0.5)).mean())
    return figures


def answer_table(planned: PlannedExercise, answers: np.ndarray) -> pd.DataFrame:
    """Return the test examples as people read them: input, actual, prediction, naive.

    Of characters, predictions are the likeliest ones; the actual one's probability is a column.

    Args:
        answers: the network's to the test examples, (n, outputs).
    """
    exercise = planned.exercise
    actuals, past, naive = exercise.test.targets[:, 0], exercise.test.inputs["past"], exercise.naive
    alphabet = exercise.alphabet
    if not alphabet:
        inputs = [_numbers(example) for example in past]
        columns = {"actual": actuals, "prediction": answers[:, 0], "naive": naive[:, 0]}
        return pd.DataFrame({"input": inputs, **columns})
    return pd.DataFrame(
        {
            "input": [spelt(example, alphabet) for example in past],
            "actual": [alphabet[number] for number in actuals],
            "prediction": list(spelt(answers, alphabet)),
            "naive": list(spelt(naive, alphabet)),
            "probability": answers[np.arange(len(actuals)), actuals],
        }
    )


def answer_picture(
    planned: PlannedExercise,
    answers: np.ndarray,
    losses: list[float],
    figures: Mapping[str, float],
) -> bytes:
    """Return the picture of the test answers; of characters, of how they were learnt.

    Args:
        losses: by epoch, the untrained network's first.
        figures: of `error_figures`.
    """
    title = f"{planned.title}, seed {planned.seed}"
    if planned.exercise.alphabet:
        return charts.bits_plot(title, losses, figures["test_bits"], figures["test_bits_naive"])
    return charts.answers_plot(title, answer_table(planned, answers))


def spelt(characters_by_number: np.ndarray, alphabet: str) -> str:
    """Return the text of the likeliest characters; (n, characters), one-hot or probabilities."""
    return "".join(alphabet[number] for number in characters_by_number.argmax(axis=1))


def _numbers(example: np.ndarray) -> str:
    values = example.reshape(-1)
    more = ["..."] if len(values) > SHOWN_NUMBERS else []
    return " ".join([*more, *(f"{value:g}" for value in values[-SHOWN_NUMBERS:])])
