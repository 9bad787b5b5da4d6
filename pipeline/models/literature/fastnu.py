"""The FAST-NU report's two models, of four layers each; the second is the first one, tuned."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from pipeline.models.layers.recurrent import Stack
from pipeline.models.optimisation import Constant, MeanSquaredError, Optimiser
from pipeline.models.recipe import PriceRecipe
from pipeline.windows import LastYear, MinMax, Split, Windowing

#: Of each layer.
FASTNU_UNITS = (50, 50, 50, 50)

FASTNU_DEFAULT = PriceRecipe(
    name="fastnu-default",
    summary="Four LSTM layers of 50 on 60 highs, tested on the last calendar year.",
    source="FAST-NU, Using LSTM to Predict Changes in Stock Prices",
    targets=("high", "close"),
    window=Windowing(60),
    normalisation=MinMax("train"),
    split=Split(test=LastYear()),
    network=Stack(FASTNU_UNITS, dropout=0.2),
    optimiser=Optimiser("RMSprop", Constant(1e-3)),  # Keras's default rate: the source names none
    loss=MeanSquaredError(),
    epochs=50,
    batch_size=32,
    study="fastnu",
    tested=(dt.date(2017, 1, 1), dt.date(2017, 12, 31)),
    published={"IBM": 3.0946, "AAPL": 17.6443, "AMZN": 160.634, "HD": 22.4909},
)
FASTNU_IMPROVED = replace(
    FASTNU_DEFAULT,
    name="fastnu-improved",
    summary="fastnu-default with less dropout, fewer epochs and smaller batches.",
    network=Stack(FASTNU_UNITS, dropout=0.1),
    epochs=20,
    batch_size=12,
    published={"IBM": 1.9054, "AAPL": 14.2768, "AMZN": 140.331, "HD": 18.4878},
)

RECIPES = (FASTNU_DEFAULT, FASTNU_IMPROVED)
