"""Keras's layers in numpy, as they forecast: many windows of many networks at once.

A stack holds networks that differ in their weights alone. Values are (stack, windows, ...), and
weights are (stack, ...). A window's numbers do not depend on what else is computed with it, to the
bit: products are exact (see `exact_products`), and everything else is done number by number, or
summed in a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.arrays import Array, Floats
from pipeline.training.exact_products import Columns, product, rounded_rows

Config = Mapping[str, Any]
#: (configuration, weights, inputs) -> output
Compute = Callable[[Config, Sequence[Array], Sequence[Array]], Array]


def _summed(values: Array, axis: int) -> Floats:
    """Return sums along an axis, added from its beginning to its end."""
    # numpy's own sums change their order with the shape.
    columns = np.moveaxis(values.astype("float64"), axis, 0)
    total = np.zeros(columns.shape[1:])
    for column in columns:
        total += column
    return total


# Activations: float64 -> float64


def _softmax(values: Floats) -> Floats:
    powers: Floats = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / _summed(powers, -1)[..., None]


_ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "linear": lambda values: values,
    "tanh": np.tanh,
    "sigmoid": lambda values: np.tanh(values * 0.5) * 0.5 + 0.5,
    "exponential": np.exp,
    "softplus": lambda values: np.log1p(np.exp(-np.abs(values))) + np.maximum(values, 0.0),
    "softmax": _softmax,
}


def _activated(config: Config, values: Floats) -> Array:
    return _ACTIVATIONS[config["activation"]](values).astype("float32")


# Recurrent layers


def _lstm(config: Config, weights: Sequence[Array], inputs: Sequence[Array]) -> Array:
    units = config["units"]
    # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2: all gates in one call. A half changes no digit.
    halved = np.repeat([0.5, 0.5, 1.0, 0.5], units)
    kernel, recurrent = (Columns.of(each * halved) for each in weights[:2])
    bias = weights[2][:, None] * halved if config["use_bias"] else 0.0
    carry: Array = np.zeros((*inputs[0].shape[:2], units), "float32")

    def step(seen: Floats, state: Array) -> Array:
        nonlocal carry
        gates = product(seen, kernel)
        gates += product(rounded_rows(state, bound=1.0), recurrent)
        gates += bias
        values = np.tanh(gates.astype("float32"))
        shares = values * np.float32(0.5) + np.float32(0.5)
        enter, keep, _, leave = np.split(shares, 4, axis=-1)
        carry = keep * carry + enter * values[..., 2 * units : 3 * units]
        new: Array = leave * np.tanh(carry)
        return new

    return _over_time(config, inputs[0], step)


def _gru(config: Config, weights: Sequence[Array], inputs: Sequence[Array]) -> Array:
    units = config["units"]
    halved = np.repeat([0.5, 0.5, 1.0], units)
    kernel, recurrent = (Columns.of(each * halved) for each in weights[:2])
    biases = weights[2][:, :, None] * halved if config["use_bias"] else np.zeros((1, 2, 1, 1))

    def step(seen: Floats, state: Array) -> Array:
        past = (product(seen, kernel) + biases[:, 0]).astype("float32")
        own = (product(rounded_rows(state), recurrent) + biases[:, 1]).astype("float32")
        shares = past[..., : 2 * units] + own[..., : 2 * units]
        shares = np.tanh(shares) * np.float32(0.5) + np.float32(0.5)
        keep, reset = np.split(shares, 2, axis=-1)
        candidate = np.tanh(past[..., 2 * units :] + reset * own[..., 2 * units :])
        new: Array = keep * state + (1 - keep) * candidate
        return new

    return _over_time(config, inputs[0], step)


def _simple_rnn(config: Config, weights: Sequence[Array], inputs: Sequence[Array]) -> Array:
    kernel, recurrent = map(Columns.of, weights[:2])
    bias = weights[2][:, None] if config["use_bias"] else 0.0

    def step(seen: Floats, state: Array) -> Array:
        own = product(rounded_rows(state), recurrent)
        return _activated(config, product(seen, kernel) + own + bias)

    return _over_time(config, inputs[0], step)


def _over_time(config: Config, sequences: Array, step: Callable[[Floats, Array], Array]) -> Array:
    """Return the states after all steps, or after the last."""
    seen = rounded_rows(sequences)
    state: Array = np.zeros((*sequences.shape[:2], config["units"]), "float32")
    states = []
    for number in range(sequences.shape[2]):
        state = step(seen[:, :, number], state)
        if config["return_sequences"]:
            states.append(state)
    return np.stack(states, axis=2) if states else state


# Other layers


def _dense(config: Config, weights: Sequence[Array], inputs: Sequence[Array]) -> Array:
    [values] = inputs
    rows = values.reshape(len(values), -1, values.shape[-1])
    answer = product(rounded_rows(rows), Columns.of(weights[0]))
    if config["use_bias"]:
        answer += weights[1][:, None]
    return _activated(config, answer.reshape(*values.shape[:-1], answer.shape[-1]))


def _activation(config: Config, weights: Sequence[Array], inputs: Sequence[Array]) -> Array:
    return _activated(config, inputs[0].astype("float64"))


def _rescaling(config: Config, weights: Sequence[Array], inputs: Sequence[Array]) -> Array:
    scale, offset = (np.array(config[name], "float32") for name in ("scale", "offset"))
    rescaled: Array = inputs[0].astype("float32") * scale + offset
    return rescaled


def _mean_over_time(config: Config, weights: Sequence[Array], inputs: Sequence[Array]) -> Array:
    mean: Array = (_summed(inputs[0], 2) / inputs[0].shape[2]).astype("float32")
    return mean


def _cropping(config: Config, weights: Sequence[Array], inputs: Sequence[Array]) -> Array:
    first, last = config["cropping"]
    return inputs[0][:, :, first : inputs[0].shape[2] - last]


def _repeated(config: Config, weights: Sequence[Array], inputs: Sequence[Array]) -> Array:
    return np.repeat(inputs[0][:, :, None], config["n"], axis=2)


def _concatenated(config: Config, weights: Sequence[Array], inputs: Sequence[Array]) -> Array:
    return np.concatenate(inputs, axis=-1)


def _flattened(config: Config, weights: Sequence[Array], inputs: Sequence[Array]) -> Array:
    stack, count, *rest = inputs[0].shape
    return inputs[0].reshape(stack, count, math.prod(rest))


def _unchanged(config: Config, weights: Sequence[Array], inputs: Sequence[Array]) -> Array:
    return inputs[0]


def _numbered(config: Config, weights: Sequence[Array], inputs: Sequence[Array]) -> Array:
    """Return the number of each word in the vocabulary, from 1; 0: it is not there."""
    numbers = {word: number for number, word in enumerate(config["vocabulary"], start=1)}
    found = [numbers.get(word, 0) for word in inputs[0].ravel()]
    return np.array(found, "int64").reshape(inputs[0].shape)


def _embedded(config: Config, weights: Sequence[Array], inputs: Sequence[Array]) -> Array:
    stack = np.arange(len(inputs[0])).reshape(-1, *[1] * (inputs[0].ndim - 1))
    vectors: Array = weights[0][stack, inputs[0]]
    return vectors


# Which layers are known


@dataclass(frozen=True)
class NumpyLayer:
    """A layer of Keras that numpy can compute.

    Attributes:
        options: the values of its configuration that it is known with; (): any.
    """

    compute: Compute
    options: Mapping[str, tuple[Any, ...]]

    def knows(self, config: Config) -> bool:
        """Return whether it computes what Keras would with this configuration."""
        return all(
            name in _WITHOUT_EFFECT
            or name.endswith(_ENDINGS_WITHOUT_EFFECT)
            or (name in self.options and _is_among(value, self.options[name]))
            for name, value in config.items()
        )


#: What a configuration says of a layer that decides nothing of what it forecasts.
_WITHOUT_EFFECT = {
    *("name", "trainable", "dropout", "recurrent_dropout", "rate", "noise_shape", "seed"),
    *("unroll", "implementation", "unit_forget_bias"),
}
_ENDINGS_WITHOUT_EFFECT = ("_initializer", "_regularizer", "_constraint")
_FLOAT32 = {
    "module": "keras",
    "class_name": "DTypePolicy",
    "config": {"name": "float32"},
    "registered_name": None,
}
_ANY: tuple[Any, ...] = ()
_TYPE = {"dtype": (_FLOAT32, "float32")}
_RECURRENT = {
    **_TYPE,
    **dict.fromkeys(("units", "return_sequences", "use_bias"), _ANY),
    **dict.fromkeys(("return_state", "go_backwards", "stateful", "zero_output_for_mask"), (False,)),
}
_TANH, _SIGMOID = {"activation": ("tanh",)}, {"recurrent_activation": ("sigmoid",)}
_LAST = {"data_format": ("channels_last",)}
_WORDS = {
    **_TYPE,
    "vocabulary": _ANY,
    "vocabulary_size": _ANY,
    **dict.fromkeys(("invert", "sparse", "pad_to_max_tokens"), (False,)),
    **dict.fromkeys(("max_tokens", "mask_token", "idf_weights"), (None,)),
    # A word that is not there is number 0, whichever way of choosing among several such numbers.
    **dict.fromkeys(("oov_token", "oov_method", "salt"), _ANY),
    "num_oov_indices": (1,),
    "output_mode": ("int",),
    "encoding": ("utf-8",),
}
#: By Keras's name.
NUMPY_LAYERS = {
    "LSTM": NumpyLayer(_lstm, {**_RECURRENT, **_TANH, **_SIGMOID}),
    "GRU": NumpyLayer(_gru, {**_RECURRENT, **_TANH, **_SIGMOID, "reset_after": (True,)}),
    "SimpleRNN": NumpyLayer(_simple_rnn, {**_RECURRENT, "activation": tuple(_ACTIVATIONS)}),
    "Dense": NumpyLayer(
        _dense,
        {
            **_TYPE,
            "units": _ANY,
            "use_bias": _ANY,
            "activation": tuple(_ACTIVATIONS),
            "quantization_config": (None,),
        },
    ),
    "Activation": NumpyLayer(_activation, {**_TYPE, "activation": tuple(_ACTIVATIONS)}),
    "Rescaling": NumpyLayer(_rescaling, {**_TYPE, "scale": _ANY, "offset": _ANY}),
    "GlobalAveragePooling1D": NumpyLayer(_mean_over_time, {**_TYPE, **_LAST, "keepdims": (False,)}),
    "Cropping1D": NumpyLayer(_cropping, {**_TYPE, **_LAST, "cropping": _ANY}),
    "RepeatVector": NumpyLayer(_repeated, {**_TYPE, "n": _ANY}),
    "Concatenate": NumpyLayer(_concatenated, {**_TYPE, "axis": (-1,)}),
    "Flatten": NumpyLayer(_flattened, {**_TYPE, **_LAST}),
    "Dropout": NumpyLayer(_unchanged, _TYPE),
    "StringLookup": NumpyLayer(_numbered, _WORDS),
    "Embedding": NumpyLayer(
        _embedded,
        {
            **_TYPE,
            **dict.fromkeys(("input_dim", "output_dim"), _ANY),
            "mask_zero": (False,),
            "quantization_config": (None,),
        },
    ),
}


def _is_among(value: Any, values: tuple[Any, ...]) -> bool:
    return not values or value in values
