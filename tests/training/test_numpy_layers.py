"""Layers in numpy: a window's bits depend on nothing but the window and its network's weights."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.training.numpy_layers import NUMPY_LAYERS

ROOT = Path(__file__).parents[2]
UNITS, STEPS, FEATURES = 70, 9, 5
RECURRENT = {"units": UNITS, "return_sequences": True, "use_bias": True, "activation": "tanh"}
#: Layers with numbers of their own: (configuration, shapes of the weights, shape of a window).
CASES = {
    "LSTM": (RECURRENT, [(FEATURES, 280), (UNITS, 280), (280,)], (STEPS, FEATURES)),
    "GRU": (RECURRENT, [(FEATURES, 210), (UNITS, 210), (2, 210)], (STEPS, FEATURES)),
    "SimpleRNN": (RECURRENT, [(FEATURES, UNITS), (UNITS, UNITS), (UNITS,)], (STEPS, FEATURES)),
    "Dense": ({"use_bias": True, "activation": "softmax"}, [(70, 11), (11,)], (70,)),
    "Activation": ({"activation": "exponential"}, [], (30,)),
    "Activation softplus": ({"activation": "softplus"}, [], (30,)),
    "Activation sigmoid": ({"activation": "sigmoid"}, [], (30,)),
    "Rescaling": ({"scale": 0.3, "offset": [0.1] * FEATURES}, [], (STEPS, FEATURES)),
    "GlobalAveragePooling1D": ({}, [], (STEPS, 1)),
}


def answers(case: str, weights: list[np.ndarray], windows: np.ndarray) -> np.ndarray:
    """Return a layer's output of stacked windows (stack, n, ...)."""
    return NUMPY_LAYERS[case.split()[0]].compute(CASES[case][0], weights, [windows])


def made(case: str, stack: int, count: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return random weights and windows of a case."""
    random = np.random.default_rng(3)
    _, shapes, window = CASES[case]
    weights = [random.normal(scale=0.3, size=(stack, *s)).astype("float32") for s in shapes]
    return weights, random.normal(size=(stack, count, *window)).astype("float32")


@pytest.mark.parametrize("case", CASES)
def test_no_bit_depends_on_the_other_windows_and_networks_or_on_their_order(case):
    weights, windows = made(case, stack=3, count=41)
    together = answers(case, weights, windows)
    order = np.random.default_rng(1).permutation(41)
    np.testing.assert_array_equal(answers(case, weights, windows[:, order]), together[:, order])
    backwards = answers(case, [each[::-1] for each in weights], windows[::-1])
    np.testing.assert_array_equal(backwards, together[::-1])
    for network in range(3):
        own = [each[network : network + 1] for each in weights]
        for rows in (slice(0, 1), slice(7, 20), slice(40, 41), slice(None)):
            alone = answers(case, own, windows[network : network + 1, rows])
            np.testing.assert_array_equal(alone[0], together[network, rows])


@pytest.mark.slow
def test_no_bit_depends_on_the_number_of_threads_of_blas():
    code = "from tests.training.test_numpy_layers import digest; print(digest())"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert printed == {f"{digest()}\n"}


def digest() -> str:
    """Return a hash of all bits of a layer that BLAS shares among threads."""
    return hashlib.sha256(answers("LSTM", *made("LSTM", 1, 400)).tobytes()).hexdigest()


def test_a_network_without_windows_has_no_answers():
    for case in CASES:
        weights, windows = made(case, stack=2, count=0)
        assert answers(case, weights, windows).shape[:2] == (2, 0)


@pytest.mark.parametrize(
    ("layer", "option", "value"),
    [
        ("LSTM", "go_backwards", True),
        ("LSTM", "activation", "relu"),
        ("LSTM", "recurrent_activation", "hard_sigmoid"),
        ("LSTM", "option_of_a_later_keras", 1),
        ("GRU", "reset_after", False),
        ("Dense", "quantization_config", {"mode": "int8"}),
        ("Dense", "dtype", "mixed_float16"),
        ("Embedding", "mask_zero", True),
        ("StringLookup", "num_oov_indices", 2),
        ("Concatenate", "axis", 1),
    ],
)
def test_an_option_that_would_compute_something_else_is_left_to_keras(layer, option, value):
    known = NUMPY_LAYERS[layer]
    usual = {name: values[0] for name, values in known.options.items() if values}
    assert known.knows({**usual, "name": "any", "kernel_initializer": {}})
    assert not known.knows({**usual, option: value})
