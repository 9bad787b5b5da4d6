"""J. Aungiers's sine wave: two LSTM layers, and three ways to look ahead over what they learnt."""

from __future__ import annotations

import datetime as dt

import numpy as np

from pipeline.models.optimisation import DecayAfter, MeanSquaredError, Optimiser
from pipeline.models.recipe import Examples, Exercise, Recipe
from pipeline.models.recurrent import Stack
from pipeline.normalisation import Unscaled
from pipeline.spec import Spec, Windowing
from pipeline.splits import Fraction, Split

#: The published series: sin(1 + 2 pi k / 100) for k = 0 .. 5000.
VALUES, PERIOD = 5001, 100
#: The wave is a history like any other, with a session on every day; these dates mean nothing.
FIRST_DAY = dt.date(2000, 1, 1)


def sine_wave() -> np.ndarray:
    """The published values, float64 (5001,)."""
    return np.sin(1 + 2 * np.pi * np.arange(VALUES) / PERIOD)


def cut_wave(recipe: Recipe) -> Exercise:
    """The wave in the windows of a recipe. It repeats: every window of the test part has a twin among those trained on."""
    from pipeline import windows

    spec = Spec("SINE", FIRST_DAY + dt.timedelta(VALUES - 1), "close", 1, recipe.window, recipe.normalisation, recipe.split)
    dataset = windows.load_dataset(windows.encode(_history(), spec))
    train, validation, test = (
        Examples({"past": part.past}, part.future) for part in (dataset.train, dataset.validation, dataset.test)
    )
    return Exercise(
        train,
        test,
        naive=dataset.test.last[:, None],
        naive_is="the last value goes on",
        validation=validation,
        windows=dataset.test,
    )


def _history():
    import pandas as pd

    from pipeline.tables import HISTORY, PRICE_COLUMNS

    wave = {name: sine_wave() for name in (*PRICE_COLUMNS, "adj_close")}
    return HISTORY.conform(
        pd.DataFrame({"ticker": "SINE", "session": pd.date_range(FIRST_DAY, periods=VALUES), "volume": 0.0, **wave})
    )


def sine(seed: int, text: str | None) -> dict[str, Exercise]:
    """The published windows, nine of ten to learn from."""
    return {"sine": cut_wave(AUNGIERS_SINE)}


AUNGIERS_SINE = Recipe(
    name="aungiers-sine",
    summary="Two LSTM layers that learn a sine wave one step ahead, and look farther ahead in three ways; "
    "published with 1 epoch in batches of 512, which does not beat the naive forecast.",
    source='J. Aungiers, "LSTM Neural Network for Time Series Prediction", sine wave',
    targets=(),
    window=Windowing(50),
    # Not over each window's first value, as the source's stock prices are: the wave crosses 0, and lies between -1 and 1 as it is.
    normalisation=Unscaled(),
    split=Split(test=Fraction(0.1), validation=Fraction(0.05)),
    network=Stack((50, 100), dropout=0.2),
    # As published (one epoch in batches of 512, a rate of .001 throughout), the network is updated 9 times, and its error on the test part is
    # 29 times the naive forecast's; after 20 such epochs it still is 1.1 times as large. Smaller batches and a falling rate reach an eighth of it.
    optimiser=Optimiser("RMSprop", DecayAfter(1e-3, decay=0.5, first_epochs=2)),
    loss=MeanSquaredError(),
    epochs=5,
    batch_size=32,
    exercises=sine,
)

RECIPES = (AUNGIERS_SINE,)
