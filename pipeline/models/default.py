"""The default recipe: a distribution about a random walk with EWMA volatility.

All stocks learn its corrections together, then each stock tunes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Array, Floats
from pipeline.models.layers.recurrent import symbol_vector
from pipeline.models.network import Examples, Shape
from pipeline.models.optimisation import Constant, Optimiser, Pinball
from pipeline.models.recipe import FineTuning, PriceRecipe
from pipeline.quantiles import MEDIAN, QUANTILE_COUNT
from pipeline.tables import OHLCV
from pipeline.windows import ByVolatility, Newest, Split, Windowing

if TYPE_CHECKING:
    import keras

#: Errors beyond this many standard deviations count by their size, not its square, where the
#: straight line is fitted.
HUBER_DELTA = 0.5
#: Distances between neighbouring quantiles.
GAPS = QUANTILE_COUNT - 1


@dataclass(frozen=True)
class AnchoredQuantiles:
    """Corrections to the distribution of a random walk.

    They are read from an LSTM, means of the newest sessions and the stock's own vector. For each
    horizon the network answers seven numbers: how far the median moves, and the logs of the factors
    by which the six distances between neighbouring quantiles grow. All zero is the anchor: the
    quantiles of the training targets, which are changes in multiples of the EWMA volatility.
    Whatever the answer, the quantiles cannot cross.

    Attributes:
        means: how many of the newest sessions each of the means is of.
        embedding: length of the stock's vector; the vector of a stock that training never saw is
            learnt too, from `unknown_share` of the examples.
        strengths: candidates for the penalty on the squared weights of the straight line that the
            median starts from; validation chooses, also whether there is a line at all.
        rounds: of reweighting, which make that line's least squares a Huber regression.
    """

    units: int
    dropout: float
    means: tuple[int, ...]
    embedding: int
    unknown_share: float
    strengths: tuple[float, ...]
    rounds: int

    def build(self, shape: Shape, lstm: type[keras.layers.Layer]) -> keras.Model:
        """Return the network; the kernels of its corrections are zero.

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
        corrections = _corrections(seen, shape.outputs)
        quantiles = layers.Dense(shape.outputs * QUANTILE_COUNT, trainable=False, name="quantiles")
        model = Model([past, symbol], quantiles(corrections))
        quantiles.set_weights(_anchor(shape.future_quantiles))
        return model

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

    def start(self, model: keras.Model, train: Examples, validation: Examples) -> None:
        """Give the median the straight line through `short_view` that is best on validation.

        Where no line is best, the median's kernel stays zero. It matters where the last price is a
        poor forecast: a high is best forecast from all prices of its session.
        """
        if not len(validation):
            return
        import keras

        short_view = keras.Model(model.input, model.get_layer("short_view").output)
        seen, seen_later = (
            _with_ones(short_view(_model_inputs(model, part), training=False))
            for part in (train, validation)
        )
        anchor = np.asarray(model.get_layer("quantiles").get_weights()[1])
        medians = anchor.reshape(-1, QUANTILE_COUNT)[:, MEDIAN]
        scale = train.targets.std(axis=0, dtype="float64")
        targets, later_targets = ((part.targets - medians) / scale for part in (train, validation))
        no_line = np.zeros((seen.shape[1], targets.shape[1]))
        lines = [_line(seen, targets, strength, self.rounds) for strength in self.strengths]
        # Of equals, the first: no line.
        best = min(
            [no_line, *lines], key=lambda line: _huber_loss(later_targets, seen_later @ line)
        )
        weights = best * scale
        location = model.get_layer("location")
        kernel, _ = location.get_weights()
        kernel[-len(weights) + 1 :] = weights[:-1]
        location.set_weights([kernel, weights[-1]])

    def __str__(self) -> str:
        return (
            f"LSTM({self.units}) -> dropout {self.dropout:g}, with means of the newest "
            f"{', '.join(map(str, self.means))} sessions and a symbol embedding of "
            f"{self.embedding} -> shift of the median and growth of the six distances between "
            "quantiles, per horizon; all zero is the random walk with EWMA volatility"
        )


def _corrections(seen: keras.KerasTensor, outputs: int) -> keras.KerasTensor:
    """Return the shifts of the medians and the growth of the gaps, (batch, outputs * 7)."""
    from keras import layers

    zeros = {"kernel_initializer": "zeros"}
    location = layers.Dense(outputs, name="location", **zeros)(seen)
    growth = layers.Dense(outputs * GAPS, name="log_growth", **zeros)(seen)
    return layers.Concatenate(name="parts")(
        [location, layers.Activation("exponential", name="growth")(growth)]
    )


def _anchor(quantiles: Array) -> list[Array]:
    """Return the kernel and the bias that turn corrections into quantiles.

    Args:
        quantiles: (H, Q), of the training targets.

    Returns:
        The kernel (H + H * (Q - 1), H * Q) and the bias (H * Q,).
    """
    horizons = len(quantiles)
    gaps = np.diff(quantiles, axis=1)
    kernel = np.zeros((horizons + horizons * GAPS, horizons * QUANTILE_COUNT))
    for horizon in range(horizons):
        columns = slice(horizon * QUANTILE_COUNT, (horizon + 1) * QUANTILE_COUNT)
        kernel[horizon, columns] = 1
        for gap in range(GAPS):
            row = kernel[horizons + horizon * GAPS + gap, columns]
            if gap >= MEDIAN:
                row[gap + 1 :] = gaps[horizon, gap]
            else:
                row[: gap + 1] = -gaps[horizon, gap]
    return [kernel, np.repeat(quantiles[:, MEDIAN], QUANTILE_COUNT)]


# The straight line that the median starts from


def _model_inputs(model: keras.Model, part: Examples) -> list[keras.KerasTensor]:
    from keras import ops

    return [ops.convert_to_tensor(part.inputs[tensor.name]) for tensor in model.inputs]


def _with_ones(values: object) -> Floats:
    inputs = np.asarray(values, "float64")
    return np.column_stack([inputs, np.ones(len(inputs))])


def _line(seen: Floats, targets: Floats, strength: float, rounds: int) -> Floats:
    """Return the weights of least Huber error plus penalty, (inputs, horizon).

    The last input, which is always one, goes free of the penalty.
    """
    penalty = strength * np.diag([1.0] * (seen.shape[1] - 1) + [0.0])
    columns = []
    for target in targets.T:
        importance = np.ones(len(seen))
        for _ in range(rounds):
            weighted = seen * (importance / importance.sum())[:, None]
            column = np.linalg.solve(weighted.T @ seen + penalty, weighted.T @ target)
            importance = HUBER_DELTA / np.maximum(np.abs(target - seen @ column), HUBER_DELTA)
        columns.append(column)
    return np.column_stack(columns)


def _huber_loss(actual: Floats, forecast: Floats) -> float:
    """Return the mean Huber loss of standardised values, over the root of the horizon."""
    error = np.abs(actual - forecast) / np.arange(1, actual.shape[1] + 1) ** 0.5
    linear = HUBER_DELTA * (error - HUBER_DELTA / 2)
    return float(np.where(error < HUBER_DELTA, error**2 / 2, linear).mean())


DEFAULT = PriceRecipe(
    name="default",
    summary=(
        "A distribution per stock: EWMA volatility, corrected by an LSTM that all stocks train "
        "together and each stock tunes."
    ),
    source="This project",
    targets=("close", "open", "high", "low", "adj_close", "mid"),
    window=Windowing(60, columns=tuple(OHLCV), outputs=0),
    normalisation=ByVolatility(),
    split=Split(test=Newest(252), validation=Newest(252)),
    network=AnchoredQuantiles(
        units=16,
        dropout=0.3,
        means=(1, 5, 20, 60),
        embedding=4,
        unknown_share=0.1,
        strengths=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
        rounds=8,
    ),
    optimiser=Optimiser("Adam", Constant(3e-4), clip_norm=1.0),
    loss=Pinball(),
    epochs=30,
    batch_size=256,
    patience=5,
    fine_tuning=FineTuning(
        Optimiser("Adam", Constant(1e-4), clip_norm=1.0), epochs=10, batch_size=64, patience=2
    ),
)
