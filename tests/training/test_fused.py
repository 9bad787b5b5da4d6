"""The fused layer against `keras.layers.LSTM`, a loop in plain numpy, and a worked example."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

#: The unit of StatQuest's "Better Stock Prediction with LSTM"; gates in Keras's order: input,
#: forget, candidate, output.
WORKED_UNIT = [
    np.array([[1.65, 1.63, 0.94, -0.19]]),
    np.array([[2.00, 2.70, 1.41, 4.38]]),
    np.array([0.62, 1.62, -0.32, 0.59]),
]
EITHER_LAYER = pytest.mark.parametrize("kind", ["plain", "fused"])


def layer_of(kind: str, *args: object, **options: object) -> Any:
    """Return a new layer, "plain" or "fused"."""
    import keras

    from pipeline.training.fused import FusedLSTM

    return {"plain": keras.layers.LSTM, "fused": FusedLSTM}[kind](*args, **options)


def numpy_lstm(x: np.ndarray, units: int, weights: list[np.ndarray]) -> np.ndarray:
    """Return all outputs (batch, steps, units), one step at a time in float64."""
    kernel, recurrent_kernel, bias = weights
    h = c = np.zeros((len(x), units))

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    outputs = []
    for step in range(x.shape[1]):
        i, f, g, o = np.split(x[:, step] @ kernel + h @ recurrent_kernel + bias, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, axis=1)


def twins(units: int, shape: tuple[int, ...], **options: object) -> tuple[Any, Any]:
    """Return a plain and a fused layer with the same random weights, none of them zero."""
    plain, fused = (layer_of(kind, units, **options) for kind in ("plain", "fused"))
    random = np.random.default_rng(0)
    plain.build(shape)
    fused.build(shape)
    weights = [random.normal(scale=0.5, size=variable.shape) for variable in plain.weights]
    plain.set_weights(weights)
    fused.set_weights(weights)
    return plain, fused


def outputs_and_gradients(layer: Any, x: np.ndarray, **call: object) -> list[np.ndarray]:
    import tensorflow as tf

    inputs = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = tf.nest.flatten(layer(inputs, **call))
        total = sum(tf.reduce_mean(tf.sin(3 * output)) for output in outputs)
    gradients = tape.gradient(total, [inputs, *layer.trainable_weights])
    return [np.asarray(value) for value in outputs + gradients]


def assert_alike(plain: Any, fused: Any, x: np.ndarray, **call: object) -> None:
    for expected, actual in zip(
        outputs_and_gradients(plain, x, **call),
        outputs_and_gradients(fused, x, **call),
        strict=True,
    ):
        np.testing.assert_allclose(actual, expected, atol=1e-6)


def operations(layer: Any, shape: tuple[int, ...], dtype: str = "") -> set[str]:
    """Return the kinds of operations in the layer's graph, those of inner functions included."""
    import tensorflow as tf

    inputs = tf.TensorSpec(shape, dtype or layer.compute_dtype)
    function = tf.function(layer).get_concrete_function(inputs)
    graph = function.graph.as_graph_def()
    parts = [graph.node, *(inner.node_def for inner in graph.library.function)]
    return {node.op for nodes in parts for node in nodes}


@pytest.mark.parametrize(
    ("batch", "steps", "features", "units", "options"),
    [
        (4, 7, 3, 5, {}),
        (4, 7, 3, 5, {"return_sequences": True}),
        (1, 60, 5, 32, {}),
        (3, 1, 1, 1, {"return_sequences": True}),
        (2, 5, 2, 3, {"go_backwards": True, "return_sequences": True}),
        (2, 5, 2, 3, {"return_state": True}),
        (2, 5, 2, 3, {"return_state": True, "return_sequences": True}),
        (6, 9, 4, 50, {"return_sequences": True, "unit_forget_bias": False}),
    ],
)
def test_outputs_and_gradients_are_those_of_the_plain_layer(batch, steps, features, units, options):
    x = np.random.default_rng(1).normal(size=(batch, steps, features))
    plain, fused = twins(units, x.shape, **options)
    assert_alike(plain, fused, x)


def test_gradients_agree_with_finite_differences():
    """The kernel's second version fails this on a CPU: it mixes up the gradients of two gates."""
    x = np.random.default_rng(2).normal(size=(2, 4, 3))
    _, fused = twins(2, x.shape)
    weights = [weight.astype("float64") for weight in fused.get_weights()]

    def total(changed: list[np.ndarray]) -> float:
        return float(np.mean(np.sin(3 * numpy_lstm(x, 2, changed)[:, -1])))

    gradients = outputs_and_gradients(fused, x)[2:]
    for number, gradient in enumerate(gradients):
        for place in np.ndindex(gradient.shape):
            up, down = ([weight.copy() for weight in weights] for _ in range(2))
            up[number][place] += 1e-4
            down[number][place] -= 1e-4
            assert gradient[place] == pytest.approx((total(up) - total(down)) / 2e-4, abs=2e-6)


def test_it_runs_on_the_fused_kernel_and_not_on_its_second_version():
    _, fused = twins(3, (2, 5, 4))
    kinds = operations(fused, (2, 5, 4))
    assert "BlockLSTM" in kinds
    assert kinds.isdisjoint({"BlockLSTMV2", "While", "StatelessWhile"})


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "relu"},
        {"recurrent_activation": "hard_sigmoid"},
        {"use_bias": False},
        {"unroll": True},
        {"recurrent_dropout": 0.5},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_the_kernel_cannot_do_goes_the_plain_way(options):
    x = np.random.default_rng(3).normal(size=(2, 5, 4))
    plain, fused = twins(3, x.shape, **options)
    assert "BlockLSTM" not in operations(fused, x.shape)
    assert_alike(plain, fused, x)


def test_wide_layers_go_the_plain_way_which_is_faster_there():
    assert "BlockLSTM" in operations(layer_of("fused", 96), (2, 5, 4))
    assert "BlockLSTM" not in operations(layer_of("fused", 97), (2, 5, 4))


@pytest.mark.parametrize(
    ("units", "options", "kernel"),
    [
        (32, {}, "CudnnRNNV3"),
        (97, {"return_sequences": True, "dropout": 0.5}, "CudnnRNNV3"),
        (32, {"activation": "relu"}, "While"),
        (32, {"use_bias": False}, "While"),
        (32, {"recurrent_dropout": 0.5}, "While"),
    ],
)
def test_on_a_gpu_it_is_cudnns_layer_where_that_serves_and_else_the_loop(
    monkeypatch, units, options, kernel
):
    """No GPU is needed to draw the graph: it is enough that TensorFlow lists one."""
    import tensorflow as tf

    listed = tf.config.list_logical_devices
    monkeypatch.setattr(
        tf.config,
        "list_logical_devices",
        lambda kind=None: ["made"] if kind == "GPU" else listed(kind),
    )
    layer = layer_of("fused", units, **options)
    kinds = operations(functools.partial(layer, training=True), (2, 5, 4), "float32")
    assert kinds & {"BlockLSTM", "CudnnRNNV3", "While"} == {kernel}


def test_float64_goes_the_plain_way():
    plain, fused = twins(3, (2, 5, 4), dtype="float64")
    assert "BlockLSTM" not in operations(fused, (2, 5, 4))
    x = np.random.default_rng(3).normal(size=(2, 5, 4))
    np.testing.assert_allclose(fused(x), plain(x), atol=1e-12)


def test_a_mask_goes_the_plain_way():
    import tensorflow as tf

    x = np.random.default_rng(4).normal(size=(2, 5, 4)).astype("float32")
    plain, fused = twins(3, x.shape)
    mask = tf.constant([[True, True, False, False, False], [True, True, True, True, False]])
    np.testing.assert_allclose(fused(x, mask=mask), plain(x, mask=mask), atol=1e-6)
    assert not np.allclose(fused(x, mask=mask), fused(x))


def test_dropout_and_a_first_state_are_those_of_the_plain_layer():
    import tensorflow as tf

    x = np.random.default_rng(5).normal(size=(6, 5, 4))
    state = [tf.fill((6, 3), 0.5), tf.fill((6, 3), -0.25)]
    plain, fused = twins(3, x.shape, dropout=0.5, seed=11)
    for training in (True, False):
        assert_alike(plain, fused, x, initial_state=state, training=training)


def test_a_stateful_layer_remembers_as_the_plain_one_does():
    x = np.random.default_rng(6).normal(size=(2, 5, 4)).astype("float32")
    plain, fused = twins(3, x.shape, stateful=True)
    first = np.asarray(fused(x))
    np.testing.assert_allclose(first, plain(x), atol=1e-6)
    second = np.asarray(fused(x))
    np.testing.assert_allclose(second, plain(x), atol=1e-6)
    assert not np.allclose(first, second)


@EITHER_LAYER
def test_one_step_of_the_worked_unit(kind):
    import tensorflow as tf

    layer = layer_of(kind, 1, return_state=True)
    layer.build((1, 1, 1))
    layer.set_weights(WORKED_UNIT)
    state = [tf.fill((1, 1), 1.0), tf.fill((1, 1), 2.0)]
    output, _, carry = layer(np.ones((1, 1, 1), "float32"), initial_state=state)
    assert [float(carry[0, 0]), float(output[0, 0])] == pytest.approx(
        [2.947567, 0.986229], abs=1e-6
    )


@EITHER_LAYER
@pytest.mark.parametrize(
    ("prices", "outputs"),
    [
        ([0, 0.5, 0.25, 1], [-0.127755, -0.096522, -0.166218, 0.006393]),
        ([1, 0.5, 0.25, 1], [0.276438, 0.611733, 0.867005, 0.969393]),
    ],
    ids=["company A", "company B"],
)
def test_the_worked_unit_tells_two_companies_apart(kind, prices, outputs):
    layer = layer_of(kind, 1, return_sequences=True)
    layer.build((1, 4, 1))
    layer.set_weights(WORKED_UNIT)
    actual = np.asarray(layer(np.array(prices, "float32").reshape(1, 4, 1)))[0, :, 0]
    np.testing.assert_allclose(actual, outputs, atol=1e-6)


@pytest.fixture(scope="module")
def fused_network():
    """Two layers, compiled with a loss that only this file knows, weights all random."""
    import keras

    past = keras.Input((7, 3), name="past")
    scaled = keras.layers.Rescaling(2.0)(past)
    hidden = layer_of("fused", 4, return_sequences=True)(scaled)
    model = keras.Model(past, keras.layers.Dense(2)(layer_of("fused", 3)(hidden)))
    model.compile(
        "adam",
        lambda actual, forecast: keras.ops.mean(keras.ops.abs(actual - forecast)),
        jit_compile=False,
    )
    return model


def test_the_plain_twin_has_the_same_weights_and_numbers_and_no_layer_of_ours(fused_network):
    from pipeline.training.fused import fused_twin, plain_twin

    x = np.random.default_rng(7).normal(size=(5, 7, 3)).astype("float32")
    twin = plain_twin(fused_network)
    assert {type(layer).__module__.split(".")[0] for layer in twin.layers} == {"keras"}
    np.testing.assert_allclose(twin(x), fused_network(x), atol=1e-6)
    again = fused_twin(twin)
    assert list(map(type, again.layers)) == list(map(type, fused_network.layers))
    np.testing.assert_array_equal(again(x), fused_network(x))


#: Runs apart from this project: importing it is an error, and nothing of it may be imported.
STRANGER = """
import sys
sys.modules["pipeline"] = None
import keras, numpy
model = keras.saving.load_model("model.keras", safe_mode=True)
numpy.save("forecast.npy", model.predict(numpy.load("x.npy"), verbose=0))
assert not [name for name in sys.modules if name.startswith("pipeline.")]
"""


def test_a_python_without_this_project_loads_the_file_and_forecasts_the_same(
    fused_network, tmp_path: Path
):
    from pipeline.training.keras_files import plain_file

    x = np.random.default_rng(8).normal(size=(5, 7, 3)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "model.keras").write_bytes(plain_file(fused_network))
    subprocess.run([sys.executable, "-I", "-c", STRANGER], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "forecast.npy"), fused_network(x), atol=1e-6)
