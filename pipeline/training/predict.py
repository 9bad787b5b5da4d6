"""Predicting: windows or made examples through `.keras` files.

Numpy asks each network that it serves (see `numpy_networks`), many at once and in any process.
Keras asks the others, in a worker process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pipeline.arrays import Array
from pipeline.quantiles import MEDIAN, QUANTILE_COUNT
from pipeline.training.keras_files import load_fused
from pipeline.training.numpy_networks import NumpyNetwork, answers_together, numpy_network
from pipeline.windows import (
    Course,
    LookAhead,
    Predict,
    Windows,
    followed,
    look_ahead,
    rolling,
)

if TYPE_CHECKING:
    import keras

    from pipeline.training.jobs import PredictJob

#: Examples that Keras measures or forecasts at once.
MEASURED_TOGETHER = 4096
#: Inputs by name, each (n, ...) -> outputs (n, width), float32.
Answering = Callable[[Mapping[str, Array]], Array]
#: Prices of each of some windows, float64: (n, horizon), or (n, horizon, Q) of a network that
#: forecasts quantiles (see `quantiles`).
Predictions: TypeAlias = tuple[np.ndarray, ...]


def predict(
    model: bytes, windows: Sequence[Windows], horizon: int, symbol: str = ""
) -> Predictions:
    """Forecast windows with a `.keras` file, beyond its outputs by rolling forward.

    Raises:
        LookAtTheData: it is no file that Keras can load; no code inside a file is ever run.
    """
    network = _Predictor.of(model, symbol)
    return followed(_forecasts(windows, horizon, network.width), network)


def predict_together(jobs: Sequence[PredictJob]) -> list[Predictions | Exception]:
    """Forecast as `predict` does with many networks at once, all of which numpy serves.

    Returns:
        For each job its forecasts, which are the same with any others to the bit, or its error.
    """
    results: dict[PredictJob, Predictions | Exception] = {}
    waiting: dict[PredictJob, _Asked] = {}

    def go_on(job: PredictJob, network: NumpyNetwork, course: _Course, outputs: Any) -> None:
        try:
            waiting[job] = _Asked(network, course, course.send(outputs))
        except StopIteration as end:
            results[job] = end.value
        except Exception as error:  # of this job alone
            results[job] = error

    for job in jobs:
        try:
            network = _served(job.model)
        except Exception as error:
            results[job] = error
            continue
        width = network.architecture.width
        go_on(job, network, _forecasts(job.windows, job.horizon, width), None)
    while waiting:
        asked, waiting = waiting, {}
        for alike in _alike(asked):
            inputs = [_inputs(asked[job].windows, job.label) for job in alike]
            try:
                outputs = answers_together([asked[job].network for job in alike], inputs)
            except Exception as error:
                results |= dict.fromkeys(alike, error)
                continue
            for job, each in zip(alike, outputs, strict=True):
                go_on(job, asked[job].network, asked[job].course, each)
    return [results[job] for job in jobs]


def look_ahead_with(model: bytes, windows: Windows, length: int, symbol: str = "") -> LookAhead:
    """Look ahead in three ways with the network in a `.keras` file; see `windows.look_ahead`."""
    return look_ahead(windows, _Predictor.of(model, symbol).median(), length)


def answering(model: bytes) -> Answering:
    """Load a `.keras` file; return the function from its inputs by name to its outputs."""
    return _loaded(model)[1]


def _loaded(model: bytes) -> tuple[int, Answering]:
    """Return the width of a network's outputs, and the function that answers inputs."""
    served = numpy_network(model)
    if served is not None:
        return served.architecture.width, lambda inputs: answers_together([served], [inputs])[0]
    network = load_fused(model)
    return network.output_shape[-1], lambda inputs: keras_outputs(network, inputs)


def _served(model: bytes) -> NumpyNetwork:
    network = numpy_network(model)
    if network is None:
        raise ValueError("A network that Keras must serve.")
    return network


@dataclass(frozen=True)
class _Predictor:
    """A loaded network; its input "symbol", where it has one, is `symbol`.

    Attributes:
        width: of its outputs.
    """

    width: int
    answers: Answering
    symbol: str

    @classmethod
    def of(cls, model: bytes, symbol: str) -> _Predictor:
        return cls(*_loaded(model), symbol)

    def __call__(self, windows: Windows) -> np.ndarray:
        return self.answers(_inputs(windows, self.symbol))

    def median(self) -> Predict:
        """Return the function from windows to normalised points (n, outputs)."""

        def medians(windows: Windows) -> np.ndarray:
            outputs = self(windows)
            if not _are_quantiles(self.width, windows):
                return outputs
            return outputs.reshape(len(windows), -1, QUANTILE_COUNT)[:, :, MEDIAN]

        return medians


_Course: TypeAlias = Course[Predictions]


@dataclass(frozen=True, eq=False)
class _Asked:
    """A network, and the windows that its course waits for the outputs of."""

    network: NumpyNetwork
    course: _Course
    windows: Windows


def _alike(asked: Mapping[PredictJob, _Asked]) -> Iterator[list[PredictJob]]:
    """Yield jobs whose networks can be stacked: of one architecture, with as many windows."""
    groups: dict[tuple[int, tuple[int, ...]], list[PredictJob]] = {}
    for job, each in asked.items():
        key = id(each.network.architecture), each.windows.past.shape
        groups.setdefault(key, []).append(job)
    yield from groups.values()


def _forecasts(windows: Sequence[Windows], horizon: int, width: int) -> _Course:
    made = []
    for some in windows:
        if _are_quantiles(width, some):
            prices = some.to_prices((yield some))
            made.append(prices.reshape(len(some), -1, QUANTILE_COUNT)[:, :horizon])
        else:
            made.append((yield from rolling(some, horizon)))
    return tuple(made)


def _are_quantiles(width: int, windows: Windows) -> bool:
    return width == windows.cut.outputs * QUANTILE_COUNT


def _inputs(windows: Windows, symbol: str) -> dict[str, Array]:
    return {"past": windows.past, **symbol_inputs(symbol, len(windows))}


def symbol_inputs(ticker: str, count: int) -> dict[str, np.ndarray]:
    """Return the input "symbol" of `count` windows of a ticker, (count, 1) strings."""
    return {"symbol": np.full((count, 1), ticker, dtype=object)}


def as_inputs(model: keras.Model, inputs: Mapping[str, Any]) -> Any:
    """Return the inputs that a network has, in its order, as Keras takes them."""
    import tensorflow as tf

    ordered = [inputs[tensor.name] for tensor in model.inputs]
    tensors = [tf.convert_to_tensor(v) if v.dtype == object else v for v in ordered]
    return tensors if len(tensors) > 1 else tensors[0]


def keras_outputs(network: keras.Model, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return what Keras answers, (n, width), float32, in pieces that fit into memory."""
    import tensorflow as tf

    count = len(inputs["past"])
    tensors = {name: tf.convert_to_tensor(values) for name, values in inputs.items()}
    pieces = []
    for start in range(0, max(count, 1), MEASURED_TOGETHER):
        some = {name: values[start : start + MEASURED_TOGETHER] for name, values in tensors.items()}
        pieces.append(np.asarray(network(as_inputs(network, some), training=False)))
    return np.concatenate(pieces)
