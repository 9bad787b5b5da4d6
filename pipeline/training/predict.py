"""Predicting: windows or made examples through a `.keras` file. It runs in a worker process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.quantiles import MEDIAN, QUANTILE_COUNT
from pipeline.training.keras_files import load_fused, load_model
from pipeline.windows import LookAhead, Predict, Windows, look_ahead, roll_forward

if TYPE_CHECKING:
    import keras

#: Examples that are measured or forecast at once.
MEASURED_TOGETHER = 4096


def predict(
    model: bytes, windows: Sequence[Windows], horizon: int, symbol: str = ""
) -> tuple[np.ndarray, ...]:
    """Forecast windows with a `.keras` file, beyond its outputs by rolling forward.

    Returns:
        For each of `windows` prices, float64: (n, horizon), or (n, horizon, Q) of a network that
        forecasts quantiles (see `quantiles`).

    Raises:
        LookAtTheData: plain Keras cannot load the file; no code inside a file is ever run.
    """
    network = _Predictor(load_fused(model), symbol)
    return tuple(
        network.quantiles(some)[:, :horizon]
        if network.forecasts_quantiles(some)
        else roll_forward(some, network.median(), horizon)
        for some in windows
    )


def look_ahead_with(model: bytes, windows: Windows, length: int, symbol: str = "") -> LookAhead:
    """Look ahead in three ways with the network in a `.keras` file; see `windows.look_ahead`."""
    return look_ahead(windows, _Predictor(load_fused(model), symbol).median(), length)


def answering(model: bytes) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    """Load a `.keras` file; return the function from its inputs by name to its outputs."""
    network = load_model(model)
    return lambda inputs: _outputs(network, inputs)


@dataclass(frozen=True)
class _Predictor:
    """A loaded network; its input "symbol", where it has one, is `symbol`."""

    model: keras.Model
    symbol: str

    def __call__(self, windows: Windows) -> np.ndarray:
        symbol = symbol_inputs(self.symbol, len(windows))
        return _outputs(self.model, {"past": windows.past, **symbol})

    def forecasts_quantiles(self, windows: Windows) -> bool:
        width: int = self.model.output_shape[-1]
        return width == windows.cut.outputs * QUANTILE_COUNT

    def quantiles(self, windows: Windows) -> np.ndarray:
        """Return prices (n, outputs, Q)."""
        return windows.to_prices(self(windows)).reshape(len(windows), -1, QUANTILE_COUNT)

    def median(self) -> Predict:
        """Return the function from windows to normalised points (n, outputs)."""

        def medians(windows: Windows) -> np.ndarray:
            outputs = self(windows)
            if not self.forecasts_quantiles(windows):
                return outputs
            return outputs.reshape(len(windows), -1, QUANTILE_COUNT)[:, :, MEDIAN]

        return medians


def symbol_inputs(ticker: str, count: int) -> dict[str, np.ndarray]:
    """Return the input "symbol" of `count` windows of a ticker, (count, 1) strings."""
    return {"symbol": np.full((count, 1), ticker, dtype=object)}


def as_inputs(model: keras.Model, inputs: Mapping[str, Any]) -> Any:
    """Return the inputs that a network has, in its order, as Keras takes them."""
    import tensorflow as tf

    ordered = [inputs[tensor.name] for tensor in model.inputs]
    tensors = [tf.convert_to_tensor(v) if v.dtype == object else v for v in ordered]
    return tensors if len(tensors) > 1 else tensors[0]


def _outputs(network: keras.Model, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return (n, outputs), float32, computed in pieces that fit into memory."""
    import tensorflow as tf

    count = len(inputs["past"])
    tensors = {name: tf.convert_to_tensor(values) for name, values in inputs.items()}
    pieces = []
    for start in range(0, max(count, 1), MEASURED_TOGETHER):
        some = {name: values[start : start + MEASURED_TOGETHER] for name, values in tensors.items()}
        pieces.append(np.asarray(network(as_inputs(network, some), training=False)))
    return np.concatenate(pieces)
