"""J. Aungiers's networks for prices.

The first has two layers on windows over their first value, the later one three layers that see the
volume as well.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.models.layers.recurrent import Stack
from pipeline.models.optimisation import Constant, MeanSquaredError, Optimiser
from pipeline.models.recipe import PriceRecipe
from pipeline.windows import FirstValue, Fraction, RowFraction, Split, Windowing

AUNGIERS_SP500 = PriceRecipe(
    name="aungiers-sp500",
    summary="Two LSTM layers on 50 closes over the first of them, trained for one epoch.",
    source="J. Aungiers, LSTM Neural Network for Time Series Prediction, first version",
    targets=("close",),
    window=Windowing(50),
    normalisation=FirstValue(),
    split=Split(test=Fraction(0.1), validation=Fraction(0.05)),
    network=Stack((50, 100), dropout=0.2),
    optimiser=Optimiser("RMSprop", Constant(1e-3)),  # Keras's default rate: the source names none
    loss=MeanSquaredError(),
    epochs=1,
    batch_size=512,
    study="aungiers",
    published_loss={"training": 2.4e-3, "validation": 9.8068e-4},
)
AUNGIERS_SP500_LATER = replace(
    AUNGIERS_SP500,
    name="aungiers-sp500-later",
    summary="Three LSTM layers on 49 closes and volumes over the first of each.",
    source="J. Aungiers, LSTM Neural Network for Time Series Prediction, later version",
    window=Windowing(49, columns=("close", "volume")),
    split=Split(test=RowFraction(0.15, spare=1)),
    network=Stack((100, 100, 100), dropout=(0.2, 0.0, 0.2)),
    optimiser=Optimiser("Adam", Constant(1e-3)),  # likewise
    epochs=2,
    batch_size=32,
    published_loss={},
)

RECIPES = (AUNGIERS_SP500, AUNGIERS_SP500_LATER)
