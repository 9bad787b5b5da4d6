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
from pipeline.models.recipe import FineTuning, OnePass, PriceRecipe
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

        Standardise -> LSTM, means and the symbol's vector -> corrections -> quantiles.
        """
        from keras import layers

        past, symbol, scaled = self._inputs(shape, shape.steps)
        means = [
            layers.GlobalAveragePooling1D(name=f"mean_of_{count}")(
                layers.Cropping1D((max(shape.steps - count, 0), 0), name=f"newest_{count}")(scaled)
            )
            for count in self.means
        ]
        long_view = lstm(self.units, name="lstm")(scaled)
        vector = symbol_vector(symbol, shape.symbols, self.embedding)
        return self._model([past, symbol], [long_view, vector, *means], shape)

    def build_pass(self, shape: Shape, span: int, lstm: type[keras.layers.Layer]) -> keras.Model:
        """Return the network over `span` windows, each a session after the one before.

        Its layers with weights have the names and the weights of those of `build`. Its input "past"
        is (batch, steps + span - 1, features), its output (batch, span, outputs * Q). The first
        window's answer is that of `build`; the LSTM has seen up to span - 1 sessions more before
        the others.
        """
        from keras import layers

        length = shape.steps + span - 1
        past, symbol, scaled = self._inputs(shape, length)
        means = []
        for count in self.means:
            pooled = min(count, shape.steps)
            every = layers.AveragePooling1D(pooled, strides=1, name=f"means_of_{count}")(scaled)
            means.append(layers.Cropping1D((shape.steps - pooled, 0), name=f"last_{count}")(every))
        states = lstm(self.units, return_sequences=True, name="lstm")(scaled)
        long_view = layers.Cropping1D((shape.steps - 1, 0), name="last_states")(states)
        vector = symbol_vector(symbol, shape.symbols, self.embedding)
        repeated = layers.RepeatVector(span, name="repeated")(vector)
        return self._model([past, symbol], [long_view, repeated, *means], shape)

    def _inputs(self, shape: Shape, length: int) -> tuple[keras.KerasTensor, ...]:
        """Return inputs "past" and "symbol", and what is seen of `length` sessions, standardised.

        The order in which layers are made decides their first weights.
        """
        from keras import Input, layers

        past = Input((length, shape.features), name="past")
        symbol = Input((1,), dtype="string", name="symbol")
        mean, scale = shape.past_mean.mean(axis=0), shape.past_scale.mean(axis=0)
        scaled = layers.Rescaling(
            (1 / scale).tolist(), (-mean / scale).tolist(), name="standardised_past"
        )(past)
        return past, symbol, scaled

    def _model(
        self, inputs: list[keras.KerasTensor], views: list[keras.KerasTensor], shape: Shape
    ) -> keras.Model:
        """Return the network that answers from the LSTM's view, the vector and the means."""
        from keras import Model, layers

        long_view, vector, *means = views
        short_view = layers.Concatenate(name="short_view")(means)
        kept = layers.Dropout(self.dropout, name="dropout")(long_view)
        seen = layers.Concatenate(name="seen")([kept, vector, short_view])
        growth = layers.Dense(shape.outputs, kernel_initializer="zeros", name="log_growth")(seen)
        corrections = layers.Activation("exponential", name="growth")(growth)
        quantiles = layers.Dense(shape.outputs * QUANTILE_COUNT, trainable=False, name="quantiles")
        model = Model(inputs, quantiles(corrections))
        self.anchor(model, shape)
        return model

    def anchor(self, model: keras.Model, shape: Shape) -> None:
        """Make the quantiles of a shape what the network answers where it corrects nothing."""
        model.get_layer("quantiles").set_weights(anchor_weights(shape.future_quantiles))

    def __str__(self) -> str:
        return (
            f"LSTM({self.units}) -> dropout {self.dropout:g}, with means of the newest "
            f"{', '.join(map(str, self.means))} sessions and a symbol embedding of "
            f"{self.embedding} -> growth of the distances from the median, per horizon; all zero "
            "is har"
        )


def anchor_weights(quantiles: Array) -> list[Array]:
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
    optimiser=Optimiser("Adam", Constant(3e-4), clip_norm=1.0),
    loss=Pinball(),
    epochs=60,
    batch_size=16,
    patience=5,
    one_pass=OnePass(60),
    fine_tuning=FineTuning(
        Optimiser("Adam", Constant(1e-4), clip_norm=1.0),
        epochs=10,
        batch_size=64,
        patience=2,
        layer="log_growth",
    ),
)
