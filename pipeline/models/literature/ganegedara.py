"""T. Ganegedara's ladder on the mid price.

Its rungs are the mean of 100 days, an exponential moving average, and three LSTM layers. The source
smooths what it then forecasts and scales blocks of 2,500 sessions by their own range. Its errors
(half the MSE in those units) of 0.00418 for the mean and 0.00003 for the moving average say more
about the smoothing than about either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.models.layers.recurrent import Stack
from pipeline.models.network import Shape
from pipeline.models.optimisation import (
    NOTHING_LEARNT,
    HalvedOnPlateau,
    MeanSquaredError,
    Optimiser,
)
from pipeline.models.recipe import Faithful, PriceRecipe
from pipeline.windows import BlockMinMax, Fraction, Split, Windowing

if TYPE_CHECKING:
    import keras

#: Sessions that are scaled by one range.
SCALED_BLOCK = 2500
#: The fields of the recipes that the source's leak changes.
SMOOTHED = {"normalisation": BlockMinMax(SCALED_BLOCK, known="own"), "smoothing": 0.1}
#: A leak's words enter the hash of a recipe's configuration: other words make new networks.
SMOOTHING_LEAK = (
    "what is forecast is the exponentially smoothed price (weight .1), most of which was known the "
    "session before; MinMax is fitted on the block that the forecast session lies in, later "
    "sessions included"
)


@dataclass(frozen=True)
class WindowMean:
    """The mean of the window: nothing to learn."""

    def build(self, shape: Shape, lstm: type[keras.layers.Layer]) -> keras.Model:
        """Return the network; see `Network.build`."""
        from keras import Input, Model, layers

        past = Input((shape.steps, shape.features), name="past")
        return Model(past, layers.GlobalAveragePooling1D(name="mean")(past))

    def __str__(self) -> str:
        return "mean of the window"


@dataclass(frozen=True)
class ExponentialMean:
    """average = decay * average + (1 - decay) * price, from 0 on.

    It is a recurrent unit with two given weights.
    """

    decay: float

    def build(self, shape: Shape, lstm: type[keras.layers.Layer]) -> keras.Model:
        """Return the network; see `Network.build`."""
        from keras import Input, Model, initializers, layers

        past = Input((shape.steps, shape.features), name="past")
        average = layers.SimpleRNN(
            1,
            activation="linear",
            use_bias=False,
            kernel_initializer=initializers.Constant(1 - self.decay),
            recurrent_initializer=initializers.Constant(self.decay),
            trainable=False,
            name="average",
        )
        return Model(past, average(past))

    def __str__(self) -> str:
        return f"exponential moving average of the window, decay {self.decay:g}"


GANEGEDARA_AVERAGE = PriceRecipe(
    name="ganegedara-average",
    summary="The mean of the last 100 mid prices.",
    source="T. Ganegedara, Stock Market Predictions with LSTM in Python",
    targets=("mid", "close"),
    window=Windowing(100),
    normalisation=BlockMinMax(SCALED_BLOCK, known="previous"),
    # The source's test is what follows its first 11,000 sessions of some 12,000.
    split=Split(test=Fraction(0.1)),
    network=WindowMean(),
    optimiser=NOTHING_LEARNT,
    loss=MeanSquaredError(),
    epochs=0,
    batch_size=500,
    faithful=Faithful(SMOOTHING_LEAK, SMOOTHED),
)
GANEGEDARA_EMA = replace(
    GANEGEDARA_AVERAGE,
    name="ganegedara-ema",
    summary="The exponential moving average of the mid price, decay 0.5.",
    network=ExponentialMean(decay=0.5),
)
GANEGEDARA_LSTM = replace(
    GANEGEDARA_AVERAGE,
    name="ganegedara-lstm",
    summary="Three LSTM layers on 50 mid prices.",
    window=Windowing(50),
    # A loss must decide when to halve the learning rate: where it is not the test's, that of the
    # sessions before.
    split=Split(test=Fraction(0.1), validation=Fraction(0.1)),
    network=Stack((200, 200, 150), dropout=0.2),
    optimiser=Optimiser("Adam", HalvedOnPlateau(1e-4, least=1e-6, watches="validation")),
    epochs=30,
    faithful=Faithful(
        f"the learning rate is halved by the test loss; {SMOOTHING_LEAK}",
        {
            **SMOOTHED,
            "split": Split(test=Fraction(0.1)),
            "optimiser": Optimiser("Adam", HalvedOnPlateau(1e-4, least=1e-6, watches="test")),
        },
    ),
)

RECIPES = (GANEGEDARA_AVERAGE, GANEGEDARA_EMA, GANEGEDARA_LSTM)
