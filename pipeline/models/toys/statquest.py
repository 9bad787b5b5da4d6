"""The worked LSTM unit of StatQuest ("Better Stock Prediction with LSTM").

Its recipe learns from random weights to do what the published weights do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.models.network import Examples, Shape
from pipeline.models.optimisation import Constant, MeanSquaredError, Optimiser
from pipeline.models.recipe import Exercise, ExerciseRecipe

if TYPE_CHECKING:
    import keras

#: Four days' prices of two companies, and the price of the fifth.
COMPANIES = {"A": ((0.0, 0.5, 0.25, 1.0), 0.0), "B": ((1.0, 0.5, 0.25, 1.0), 1.0)}
#: Times that the two examples are shown in an epoch: Keras's own loop, which runs once an epoch,
#: then costs nothing.
SHOWN_AN_EPOCH = 100


@dataclass(frozen=True)
class Unit:
    """One LSTM unit and nothing else: its short-term memory after the last day is the answer."""

    def build(self, shape: Shape, lstm: type[keras.layers.Layer]) -> keras.Model:
        """Return the network; see `Network.build`."""
        from keras import Input, Model

        past = Input((shape.steps, shape.features), name="past")
        return Model(past, lstm(shape.outputs, name="unit")(past))

    def __str__(self) -> str:
        return "LSTM(1), whose output is the forecast"


def companies(seed: int, text: str | None) -> dict[str, Exercise]:
    """Make one exercise of both companies.

    They differ in the first of four days alone, and the unit has to remember it.
    """
    days = np.array([days for days, _ in COMPANIES.values()], "float32")[:, :, None]
    fifth = np.array([[price] for _, price in COMPANIES.values()], "float32")
    repeated = Examples(
        {"past": np.tile(days, (SHOWN_AN_EPOCH, 1, 1))}, np.tile(fifth, (SHOWN_AN_EPOCH, 1))
    )
    both = Examples({"past": days}, fifth)
    exercise = Exercise(repeated, both, naive=days[:, -1], naive_is="the last price goes on")
    return {"companies": exercise}


STATQUEST_UNIT = ExerciseRecipe(
    name="statquest-unit",
    summary=(
        "One LSTM unit that learns from four days' prices that company A's fifth is 0 and company "
        "B's is 1."
    ),
    source='StatQuest, "Better Stock Prediction with LSTM"',
    network=Unit(),
    # The source's rate. Its 300 epochs of 2 updates leave some first weights unfinished; 2,000
    # updates finished all of the 60 seeds tried.
    optimiser=Optimiser("Adam", Constant(0.1)),
    loss=MeanSquaredError(),
    epochs=20,
    batch_size=2,
    shuffle=False,
    exercises=companies,
)

RECIPES = (STATQUEST_UNIT,)
