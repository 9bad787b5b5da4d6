"""L. Weng's sliding windows.

Part 1 has one LSTM on an index, part 2 one for many stocks with a vector for each.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.models.layers.recurrent import Stack
from pipeline.models.optimisation import DecayAfter, DirectionAware, MeanSquaredError, Optimiser
from pipeline.models.recipe import PriceRecipe
from pipeline.windows import Fraction, PreviousWindow, Split, Windowing

#: The source's `num_steps`: the windows of an example; each spans its `input_size` sessions.
EXAMPLE_WINDOWS = 30

WENG_SP500 = PriceRecipe(
    name="weng-sp500",
    summary="One LSTM on an index's closes, each over the one before it.",
    source="L. Weng, Predict Stock Prices Using RNN, part 1",
    targets=("close",),
    window=Windowing(EXAMPLE_WINDOWS),
    normalisation=PreviousWindow(),
    split=Split(test=Fraction(0.1)),
    network=Stack((128,), dropout=0.2),
    optimiser=Optimiser("RMSprop", DecayAfter(0.001, decay=0.99, first_epochs=5)),
    loss=MeanSquaredError(),
    epochs=50,
    batch_size=64,
    study="weng",
)
WENG_SP500_32 = replace(
    WENG_SP500,
    name="weng-sp500-32",
    summary="weng-sp500 with 32 units.",
    network=Stack((32,), dropout=0.2),
)
WENG_SP500_W5 = replace(
    WENG_SP500,
    name="weng-sp500-w5",
    summary="weng-sp500 in windows of five sessions, and five forecast at once.",
    window=Windowing(5 * EXAMPLE_WINDOWS, outputs=5, block=5, stride=5),
    epochs=75,
)
#: It takes up what the source leaves as problems: the loss explodes now and then, and ignores the
#: direction.
WENG_SP500_DIRECTION = replace(
    WENG_SP500,
    name="weng-sp500-direction",
    summary="weng-sp500 with a loss that minds the direction, and clipped gradients.",
    optimiser=replace(WENG_SP500.optimiser, clip_norm=1.0),
    loss=DirectionAware(weight=1.0),
)
WENG_MULTI = replace(
    WENG_SP500,
    name="weng-multi",
    summary=(
        "One LSTM for all stocks of a universe (50 to 100 in the source), with a learnt vector for "
        "each."
    ),
    source="L. Weng, Predict Stock Prices Using RNN, part 2",
    window=Windowing(3 * EXAMPLE_WINDOWS, outputs=3, block=3, stride=3),
    network=Stack((256,), dropout=0.2, embedding=3),
    optimiser=Optimiser("RMSprop", DecayAfter(0.05, decay=0.99, first_epochs=5)),
    pooled=True,
)

RECIPES = (WENG_SP500, WENG_SP500_32, WENG_SP500_W5, WENG_SP500_DIRECTION, WENG_MULTI)
