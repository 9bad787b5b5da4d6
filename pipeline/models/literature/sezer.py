"""O. B. Sezer's tutorial: 25 units, half of the history for training and half for the test."""

from __future__ import annotations

from pipeline.models.layers.recurrent import Stack
from pipeline.models.optimisation import Constant, MeanSquaredError, Optimiser
from pipeline.models.recipe import Faithful, PriceRecipe
from pipeline.windows import MinMax, RowFraction, Split, Windowing

SEZER_DIS = PriceRecipe(
    name="sezer-dis",
    summary=(
        "25 units on 240 adjusted closes, half of the history for training and half for the test."
    ),
    source="O. B. Sezer, LSTM/RNN tutorial with stock/Bitcoin prediction",
    # What the source calls "Close (column[5])" is the adjusted close.
    targets=("adj_close", "close"),
    window=Windowing(240),
    normalisation=MinMax("train"),
    split=Split(test=RowFraction(0.5)),
    network=Stack((25,), dropout=0.1),
    optimiser=Optimiser("Adam", Constant(1e-3)),  # Keras's default rate: the source names none
    loss=MeanSquaredError(),
    epochs=1000,
    batch_size=240,
    faithful=Faithful(
        "MinMax is fitted on the whole history, test sessions included",
        {"normalisation": MinMax("all")},
    ),
    study="sezer",
    # Of the predictions that the source published, each compared with the day that it forecasts;
    # repeating yesterday's price has 0.814 there.
    published={"DIS": 2.172},
)

RECIPES = (SEZER_DIS,)
