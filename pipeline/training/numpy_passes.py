"""One pass of a network in numpy: what its layers see of windows that follow each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.arrays import Array
from pipeline.training.numpy_layers import NUMPY_LAYERS
from pipeline.training.numpy_networks import Architecture, NumpyNetwork, Step

#: Stretches that are computed at once.
PASSED_TOGETHER = 256
_RECURRENT = tuple(NUMPY_LAYERS[name] for name in ("LSTM", "GRU", "SimpleRNN"))
_EACH_SESSION = tuple(NUMPY_LAYERS[name] for name in ("Activation", "Dense", "Dropout"))


def seen_in_one_pass(network: NumpyNetwork, layer: str, past: Array, symbols: Array) -> Array:
    """Return what a layer reads at the end of each window.

    What is returned of a stretch is the same with any others, to the bit. Where a recurrent layer
    reads sessions, it has seen up to span - 1 sessions before a window's first.

    Args:
        layer: its name; it reads the output of one other.
        past: (n, steps + span - 1, features), stretches.
        symbols: (n, 1), of each stretch.

    Returns:
        (n, span, width), float32.
    """
    pieces = [
        _seen(
            network, layer, past[begin : begin + PASSED_TOGETHER], symbols[begin:][:PASSED_TOGETHER]
        )
        for begin in range(0, max(len(past), 1), PASSED_TOGETHER)
    ]
    return np.concatenate(pieces)


def _seen(network: NumpyNetwork, layer: str, past: Array, symbols: Array) -> Array:
    architecture = network.architecture
    steps = architecture.inputs["past"][0]
    span = past.shape[1] - steps + 1
    values = {"past": past[None], "symbol": np.repeat(symbols, span, axis=0)[None]}
    in_sequence = {"past"}
    for step in architecture.steps:
        if step.name == layer:
            break
        own = [network.weights[place][None] for place in step.places]
        read = [values[name] for name in step.reads]
        sequences = [name for name in step.reads if name in in_sequence]
        if sequences and step.layer in _RECURRENT and not step.config["return_sequences"]:
            states = step.layer.compute({**step.config, "return_sequences": True}, own, read)
            values[step.name] = _in_a_row(states[:, :, -span:])
            continue
        if sequences and _works_on_each_session(step):
            in_sequence.add(step.name)
        else:
            read = [
                _windows(values[n], steps) if n in in_sequence else values[n] for n in step.reads
            ]
        values[step.name] = step.layer.compute(step.config, own, read)
    [read_by_layer] = _step(architecture, layer).reads
    seen = values[read_by_layer]
    return seen.reshape(len(past), span, seen.shape[-1])


def _step(architecture: Architecture, name: str) -> Step:
    return next(step for step in architecture.steps if step.name == name)


def _works_on_each_session(step: Step) -> bool:
    is_rescaling = step.layer is NUMPY_LAYERS["Rescaling"]
    return step.layer in _EACH_SESSION or (is_rescaling and np.ndim(step.config["scale"]) < 2)


def _windows(sequences: Array, steps: int) -> Array:
    """Return the windows of sequences, (1, n * span, steps, features)."""
    return _in_a_row(np.moveaxis(sliding_window_view(sequences, steps, axis=2), -1, 3))


def _in_a_row(values: Array) -> Array:
    """Return values (1, n, span, ...) as (1, n * span, ...)."""
    _, count, span, *rest = values.shape
    shape: Any = (1, count * span, *rest)
    return values.reshape(shape)
