"""The worked LSTM unit of StatQuest ("Better Stock Prediction with LSTM"), and a recipe that learns what it does from random weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.models.optimisation import Constant, MeanSquaredError, Optimiser
from pipeline.models.recipe import Examples, Exercise, Recipe, Shape

if TYPE_CHECKING:
    import keras

#: The published weights, gate by gate: of the short-term memory h, of the input x, and the bias.
GATES = {
    "input": (2.00, 1.65, 0.62),
    "forget": (2.70, 1.63, 1.62),
    "candidate": (1.41, 0.94, -0.32),
    "output": (4.38, -0.19, 0.59),
}
#: Four days' prices of two companies, and the price of the fifth.
COMPANIES = {"A": ((0.0, 0.5, 0.25, 1.0), 0.0), "B": ((1.0, 0.5, 0.25, 1.0), 1.0)}
#: The two examples are shown so many times an epoch: Keras's own loop, which runs once an epoch, then costs nothing.
REPEATS = 100


def worked_weights() -> list[np.ndarray]:
    """The published weights as Keras has them, gates in its order: kernel (1, 4), recurrent kernel (1, 4), bias (4,)."""
    recurrent, kernel, bias = np.array(list(GATES.values())).T
    return [kernel[None], recurrent[None], bias]


@dataclass(frozen=True)
class Unit:
    """One LSTM unit and nothing else: its short-term memory after the last day is the answer."""

    def build(self, shape: Shape, lstm: type) -> keras.Model:
        from keras import Input, Model

        past = Input((shape.steps, shape.features), name="past")
        return Model(past, lstm(shape.outputs, name="unit")(past))

    def __str__(self) -> str:
        return "LSTM(1), whose output is the forecast"


def companies(seed: int, text: str | None) -> dict[str, Exercise]:
    """Both companies in one exercise: they differ in the first of four days alone, and the unit has to remember it."""
    prices = np.array([days for days, _ in COMPANIES.values()], "float32")[:, :, None]
    fifth = np.array([[day] for _, day in COMPANIES.values()], "float32")
    learnt = Examples({"past": np.tile(prices, (REPEATS, 1, 1))}, np.tile(fifth, (REPEATS, 1)))
    shown = Examples({"past": prices}, fifth)
    return {"companies": Exercise(learnt, shown, naive=prices[:, -1], naive_is="the last price goes on")}


STATQUEST_UNIT = Recipe(
    name="statquest-unit",
    summary="One LSTM unit that learns from four days' prices that company A's fifth is 0 and company B's is 1.",
    source='StatQuest, "Better Stock Prediction with LSTM"',
    targets=(),
    window=None,
    normalisation=None,
    split=None,
    network=Unit(),
    # The source's rate. Its 300 epochs of 2 updates leave some first weights unfinished; 2,000 updates finished all of the 60 seeds tried.
    optimiser=Optimiser("Adam", Constant(0.1)),
    loss=MeanSquaredError(),
    epochs=20,
    batch_size=2,
    shuffle=False,
    exercises=companies,
)

RECIPES = (STATQUEST_UNIT,)
