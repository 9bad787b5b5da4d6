"""The default recipe: a distribution anchored to a random walk with EWMA volatility, whose corrections are learnt from all stocks, then from each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.models.optimisation import Constant, Optimiser, Pinball
from pipeline.models.recipe import Examples, FineTuning, Recipe, Shape
from pipeline.models.recurrent import symbol_vector
from pipeline.normalisation import ByVolatility
from pipeline.quantiles import COUNT, MEDIAN
from pipeline.spec import Windowing
from pipeline.splits import Newest, Split
from pipeline.tables import OHLCV

if TYPE_CHECKING:
    import keras

#: Errors beyond this many standard deviations count by their size, not its square, where the straight line is fitted.
DELTA = 0.5


@dataclass(frozen=True)
class AnchoredQuantiles:
    """Corrections to the distribution of a random walk, from an LSTM beside means of the newest sessions and the stock's own vector.

    For each horizon the network says seven numbers: how far the median moves, and the logs of the factors by which the six
    distances between neighbouring quantiles grow. All zero is the anchor: the quantiles of the training targets, which are changes in
    multiples of the EWMA volatility. Whatever it says, the quantiles cannot cross.

    Attributes:
        means: of so many newest sessions each, beside the LSTM.
        embedding: length of the stock's vector; the vector of a stock that training never saw is learnt too, from `unknown_share`
            of the examples.
        strengths: candidates for the penalty on the squared weights of the straight line that the median starts from; validation
            chooses, also whether there is a line at all.
        rounds: of reweighting, which make that line's least squares a Huber regression.
    """

    units: int
    dropout: float
    means: tuple[int, ...]
    embedding: int
    unknown_share: float
    strengths: tuple[float, ...]
    rounds: int

    def build(self, shape: Shape, lstm: type) -> keras.Model:
        """Standardise -> LSTM, beside means and the symbol's vector -> corrections -> quantiles. The kernels of the corrections are zero."""
        from keras import Input, Model, layers

        past, symbol = Input(shape.past_scale.shape, name="past"), Input((1,), dtype="string", name="symbol")
        scaled = layers.Rescaling(
            (1 / shape.past_scale).tolist(), (-shape.past_mean / shape.past_scale).tolist(), name="standardised_past"
        )(past)
        long_view = layers.Dropout(self.dropout, name="dropout")(lstm(self.units, name="lstm")(scaled))
        means = [
            layers.GlobalAveragePooling1D(name=f"mean_of_{count}")(
                layers.Cropping1D((max(shape.steps - count, 0), 0), name=f"newest_{count}")(scaled)
            )
            for count in self.means
        ]
        short_view = layers.Concatenate(name="short_view")(means)
        vector = symbol_vector(symbol, shape.symbols, self.embedding)
        seen = layers.Concatenate(name="seen")([long_view, vector, short_view])
        zeros = {"kernel_initializer": "zeros"}
        location = layers.Dense(shape.outputs, name="location", **zeros)(seen)
        growth = layers.Dense(shape.outputs * (COUNT - 1), name="log_growth", **zeros)(seen)
        parts = layers.Concatenate(name="parts")([location, layers.Activation("exponential", name="growth")(growth)])
        quantiles = layers.Dense(shape.outputs * COUNT, trainable=False, name="quantiles")
        model = Model([past, symbol], quantiles(parts))
        quantiles.set_weights(_anchor(shape.future_quantiles))
        return model

    def start(self, model: keras.Model, train: Examples, validation: Examples) -> None:
        """Gives the median the straight line through `short_view` that is best on validation; where that is none, it stays zero.

        It matters where the last price is a poor forecast: a high is best forecast from all prices of its session.
        """
        if not len(validation):
            return
        import keras

        short_view = keras.Model(model.input, model.get_layer("short_view").output)
        seen, seen_later = (_with_one(short_view(_given(model, part), training=False)) for part in (train, validation))
        anchor = np.asarray(model.get_layer("quantiles").get_weights()[1]).reshape(-1, COUNT)[:, MEDIAN]
        scale = train.targets.std(axis=0, dtype="float64")
        wanted, wanted_later = ((part.targets - anchor) / scale for part in (train, validation))
        none = np.zeros((seen.shape[1], wanted.shape[1]))
        lines = [none, *(_line(seen, wanted, strength, self.rounds) for strength in self.strengths)]
        best = min(lines, key=lambda line: _loss(wanted_later, seen_later @ line)) * scale  # the first of equals: none
        layer = model.get_layer("location")
        kernel, _ = layer.get_weights()
        kernel[-len(best) + 1 :] = best[:-1]
        layer.set_weights([kernel, best[-1]])

    def __str__(self) -> str:
        return (
            f"LSTM({self.units}) -> dropout {self.dropout:g}, beside means of the newest {', '.join(map(str, self.means))} sessions and a symbol "
            f"embedding of {self.embedding} -> shift of the median and growth of the six distances between quantiles, per horizon; all zero is "
            "the random walk with EWMA volatility"
        )


def _anchor(quantiles: np.ndarray) -> list[np.ndarray]:
    """Kernel and bias that make (horizons + 6 * horizons) corrections the quantiles (horizons * 7); `quantiles` (horizons, 7)."""
    horizons = len(quantiles)
    kernel, gaps = np.zeros((horizons + horizons * (COUNT - 1), horizons * COUNT)), np.diff(quantiles, axis=1)
    for horizon in range(horizons):
        own = slice(horizon * COUNT, (horizon + 1) * COUNT)
        kernel[horizon, own] = 1
        for gap in range(COUNT - 1):
            row = kernel[horizons + horizon * (COUNT - 1) + gap, own]
            if gap >= MEDIAN:
                row[gap + 1 :] = gaps[horizon, gap]
            else:
                row[: gap + 1] = -gaps[horizon, gap]
    return [kernel, np.repeat(quantiles[:, MEDIAN], COUNT)]


def _given(model: keras.Model, part: Examples) -> list:
    from keras import ops

    return [ops.convert_to_tensor(part.inputs[tensor.name]) for tensor in model.inputs]


def _with_one(values: object) -> np.ndarray:
    inputs = np.asarray(values, "float64")
    return np.column_stack([inputs, np.ones(len(inputs))])


def _line(seen: np.ndarray, wanted: np.ndarray, strength: float, rounds: int) -> np.ndarray:
    """(inputs, horizon): the weights of least Huber error plus penalty; the last input, always one, goes free of it."""
    penalty = strength * np.diag([1.0] * (seen.shape[1] - 1) + [0.0])
    columns = []
    for target in wanted.T:
        importance = np.ones(len(seen))
        for _ in range(rounds):
            weighted = seen * (importance / importance.sum())[:, None]
            column = np.linalg.solve(weighted.T @ seen + penalty, weighted.T @ target)
            importance = DELTA / np.maximum(np.abs(target - seen @ column), DELTA)
        columns.append(column)
    return np.column_stack(columns)


def _loss(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Mean Huber loss of values in standard deviations, over the root of the horizon."""
    error = np.abs(actual - forecast) / np.arange(1, actual.shape[1] + 1) ** 0.5
    return float(np.where(error < DELTA, error**2 / 2, DELTA * (error - DELTA / 2)).mean())


DEFAULT = Recipe(
    name="default",
    summary="A distribution per stock: EWMA volatility, corrected by an LSTM that all stocks train together and each stock tunes.",
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
    fine_tuning=FineTuning(Optimiser("Adam", Constant(1e-4), clip_norm=1.0), epochs=10, batch_size=64, patience=2),
)
