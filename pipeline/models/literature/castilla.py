"""P. Castilla's question whether a stock will rise, put to two layers that see the last close."""

from __future__ import annotations

from pipeline.models.layers.recurrent import Stack
from pipeline.models.optimisation import Constant, MeanSquaredError, Optimiser
from pipeline.models.recipe import Faithful, PriceRecipe
from pipeline.windows import Fraction, MinMax, Split, Windowing

CASTILLA = PriceRecipe(
    name="castilla",
    summary="Will the stock rise? Two LSTM layers that see the last close alone.",
    source="P. Castilla, as cited by FAST-NU",
    targets=("close",),
    window=Windowing(1),
    normalisation=MinMax("train"),
    split=Split(test=Fraction(0.2)),
    network=Stack((50, 100), dropout=0.2),
    optimiser=Optimiser("RMSprop", Constant(1e-3)),  # Keras's default rate: the source names none
    loss=MeanSquaredError(),
    epochs=10,
    batch_size=128,
    faithful=Faithful(
        "MinMax is fitted on the whole history, test sessions included",
        {"normalisation": MinMax("all")},
    ),
)

RECIPES = (CASTILLA,)
