"""M. Walia's four layers on three quarters of a history; what the source leaves open is as in FAST-NU's report, which cites it."""

from __future__ import annotations

from pipeline.models.optimisation import Constant, MeanSquaredError, Optimiser
from pipeline.models.recipe import Recipe
from pipeline.models.recurrent import Stack
from pipeline.normalisation import MinMax
from pipeline.spec import Windowing
from pipeline.splits import Fraction, Split

WALIA = Recipe(
    name="walia",
    summary="Four LSTM layers of 50, the newest quarter for the test; else as fastnu-default.",
    source="M. Walia, as cited by FAST-NU",
    targets=("high", "close"),
    window=Windowing(60),
    normalisation=MinMax("train"),
    split=Split(test=Fraction(0.25)),
    network=Stack((50, 50, 50, 50), dropout=0.2),
    optimiser=Optimiser("RMSprop", Constant(1e-3)),
    loss=MeanSquaredError(),
    epochs=50,
    batch_size=32,
)

RECIPES = (WALIA,)
