"""The default recipe: the distribution of `har`, as wide as a network says.

All stocks learn its corrections together, then each stock tunes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Array
from pipeline.models.layers.recurrent import symbol_vector
from pipeline.models.network import Shape
from pipeline.models.optimisation import Constant, Optimiser, Pinball
from pipeline.models.recipe import FineTuning, PriceRecipe
from pipeline.quantiles import MEDIAN, QUANTILE_COUNT
from pipeline.tables import OHLCV
from pipeline.windows import ByHar, Newest, Split, Windowing

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class AnchoredQuantiles:
    """Corrections to the distribution of `har`.

    They are read from an LSTM, means of the newest sessions and the stock's own vector. For each
    horizon the network answers one number: the log of the factor by which all distances from the
    median grow. Zero is the anchor: the quantiles of the shocks about what `har` forecasts, its own
    of each stock. Whatever the answer, the quantiles cannot cross, and the median is that of `har`.
    With a factor for each of six distances, and a median of their own, networks that were better
    on validation were worse than `har` afterwards.

    Attributes:
        means: how many of the newest sessions each of the means is of.
        embedding: length of the stock's vector; the vector of a stock that training never saw is
            learnt too, from `unknown_share` of the examples.
    """

    units: int
    dropout: float
    means: tuple[int, ...]
    embedding: int
    unknown_share: float

    def build(self, shape: Shape, lstm: type[keras.layers.Layer]) -> keras.Model:
        """Return the network; the kernel of its corrections is zero.

        Standardise -> LSTM, means and the symbol's vector -> corrections -> quantiles. The order in
        which layers are made decides their first weights.
        """
        from keras import Input, Model, layers

        past = Input(shape.past_scale.shape, name="past")
        symbol = Input((1,), dtype="string", name="symbol")
        scaled = layers.Rescaling(
            (1 / shape.past_scale).tolist(),
            (-shape.past_mean / shape.past_scale).tolist(),
            name="standardised_past",
        )(past)
        long_view = layers.Dropout(self.dropout, name="dropout")(
            lstm(self.units, name="lstm")(scaled)
        )
        short_view = self._short_view(scaled, shape.steps)
        vector = symbol_vector(symbol, shape.symbols, self.embedding)
        seen = layers.Concatenate(name="seen")([long_view, vector, short_view])
        growth = layers.Dense(shape.outputs, kernel_initializer="zeros", name="log_growth")(seen)
        corrections = layers.Activation("exponential", name="growth")(growth)
        quantiles = layers.Dense(shape.outputs * QUANTILE_COUNT, trainable=False, name="quantiles")
        model = Model([past, symbol], quantiles(corrections))
        self.anchor(model, shape)
        return model

    def anchor(self, model: keras.Model, shape: Shape) -> None:
        """Make the quantiles of a shape what the network answers where it corrects nothing."""
        model.get_layer("quantiles").set_weights(_anchor(shape.future_quantiles))

    def _short_view(self, scaled: keras.KerasTensor, steps: int) -> keras.KerasTensor:
        """Return the means of the newest sessions, (batch, means * features)."""
        from keras import layers

        means = [
            layers.GlobalAveragePooling1D(name=f"mean_of_{count}")(
                layers.Cropping1D((max(steps - count, 0), 0), name=f"newest_{count}")(scaled)
            )
            for count in self.means
        ]
        return layers.Concatenate(name="short_view")(means)

    def __str__(self) -> str:
        return (
            f"LSTM({self.units}) -> dropout {self.dropout:g}, with means of the newest "
            f"{', '.join(map(str, self.means))} sessions and a symbol embedding of "
            f"{self.embedding} -> growth of the distances from the median, per horizon; all zero "
            "is har"
        )


def _anchor(quantiles: Array) -> list[Array]:
    """Return the kernel and the bias that turn growth into quantiles.

    Args:
        quantiles: (H, Q), of the shocks.

    Returns:
        The kernel (H, H * Q) and the bias (H * Q,).
    """
    horizons = len(quantiles)
    medians = quantiles[:, MEDIAN]
    kernel = np.zeros((horizons, horizons, QUANTILE_COUNT))
    for horizon in range(horizons):
        kernel[horizon, horizon] = quantiles[horizon] - medians[horizon]
    return [kernel.reshape(horizons, -1), np.repeat(medians, QUANTILE_COUNT)]


DEFAULT = PriceRecipe(
    name="default",
    summary=(
        "A distribution per stock: that of `har`, corrected by an LSTM that all stocks train "
        "together and each stock tunes."
    ),
    source="This project",
    targets=("close", "open", "high", "low", "adj_close", "mid"),
    window=Windowing(60, columns=tuple(OHLCV), outputs=0),
    normalisation=ByHar(),
    split=Split(test=Newest(252), validation=Newest(252)),
    network=AnchoredQuantiles(
        units=16,
        dropout=0.3,
        means=(1, 5, 20, 60),
        embedding=4,
        unknown_share=0.1,
    ),
    optimiser=Optimiser("Adam", Constant(1e-4), clip_norm=1.0),
    loss=Pinball(),
    epochs=30,
    batch_size=256,
    patience=5,
    fine_tuning=FineTuning(
        Optimiser("Adam", Constant(1e-4), clip_norm=1.0), epochs=10, batch_size=64, patience=2
    ),
)
