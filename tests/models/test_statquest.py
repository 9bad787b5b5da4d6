"""The published unit: its numbers from every LSTM of this project, its file, and its learning."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.models import Shape
from pipeline.models.toys.statquest import COMPANIES, STATQUEST_UNIT

SHAPE = Shape(4, 1, 1, np.zeros((4, 1)), np.ones((4, 1)), np.ones(1), np.zeros((1, 7)))
PRICES = np.array([days for days, _ in COMPANIES.values()], "float32")[:, :, None]
#: The published weights in Keras's order: the kernel, the recurrent kernel and the bias, each of
#: the input gate, the forget gate, the candidate and the output gate.
WORKED_WEIGHTS = [
    np.array([[1.65, 1.63, 0.94, -0.19]]),
    np.array([[2.00, 2.70, 1.41, 4.38]]),
    np.array([0.62, 1.62, -0.32, 0.59]),
]
#: The unit's short-term memory after each day, as published.
MEMORY = np.array(
    [[-0.127755, -0.096522, -0.166218, 0.006393], [0.276438, 0.611733, 0.867005, 0.969393]]
)
EITHER_LSTM = pytest.mark.parametrize("kind", ["plain", "fused"])


def lstm_layer(kind: str) -> type:
    import keras

    from pipeline.training.fused import FusedLSTM

    return {"plain": keras.layers.LSTM, "fused": FusedLSTM}[kind]


def worked_network(kind: str):
    """Return the network with the published weights."""
    network = STATQUEST_UNIT.network.build(SHAPE, lstm_layer(kind))
    network.set_weights(WORKED_WEIGHTS)
    return network


def test_the_gates_of_one_step_are_the_published_ones():
    kernel, recurrent, bias = WORKED_WEIGHTS
    i, f, candidate, o = (kernel + recurrent + bias)[0]  # h = 1 and x = 1
    gates = [*(1 / (1 + np.exp(-np.array([f, i, o])))), np.tanh(candidate)]
    assert gates == pytest.approx([0.997401, 0.986211, 0.991674, 0.966087], abs=1e-6)


@pytest.mark.slow
def test_one_step_of_the_kernel_itself():
    import tensorflow as tf

    from pipeline.training.fused import fused_lstm

    one, two = tf.ones((1, 1)), tf.fill((1, 1), 2.0)
    weights = [tf.constant(values, tf.float32) for values in WORKED_WEIGHTS]
    carries, outputs = fused_lstm(tf.ones((1, 1, 1)), one, two, *weights)
    assert [float(carries[0, 0, 0]), float(outputs[0, 0, 0])] == pytest.approx(
        [2.947567, 0.986229], abs=1e-6
    )


@EITHER_LSTM
@pytest.mark.parametrize(
    "options", [{}, {"unroll": True}, {"dtype": "float64"}], ids=["as it is", "unrolled", "float64"]
)
@pytest.mark.slow
def test_every_way_that_a_layer_computes_has_the_published_memory(kind, options):
    layer = lstm_layer(kind)(1, return_sequences=True, **options)
    layer.build(PRICES.shape)
    layer.set_weights(WORKED_WEIGHTS)
    np.testing.assert_allclose(np.asarray(layer(PRICES))[:, :, 0], MEMORY, atol=1e-6)


@EITHER_LSTM
@pytest.mark.slow
def test_the_network_forecasts_the_published_fifth_day_also_from_its_file(kind):
    from pipeline.training.fused import fused_twin
    from pipeline.training.keras_files import load_model, plain_file

    network = worked_network(kind)
    loaded = load_model(plain_file(network))
    assert [type(layer) for layer in loaded.layers[1:]] == [lstm_layer("plain")]
    for same in (network, loaded, fused_twin(loaded)):
        np.testing.assert_allclose(np.asarray(same(PRICES))[:, 0], MEMORY[:, -1], atol=1e-6)


@pytest.mark.slow
def test_both_lstms_make_the_same_file():
    import keras

    from pipeline.training.keras_files import plain_file

    files = []
    for kind in ("plain", "fused"):
        keras.utils.clear_session()  # networks are numbered
        files.append(plain_file(worked_network(kind)))
    assert files[0] == files[1]


@pytest.mark.parametrize("seed", [0, 7, 42])
@pytest.mark.slow
def test_it_learns_0_for_a_and_1_for_b_from_random_weights(seed):
    from pipeline.training.fit import fit_examples
    from pipeline.training.keras_files import load_model

    exercise = STATQUEST_UNIT.exercises(seed, None)["companies"]
    trained = fit_examples(STATQUEST_UNIT, exercise.train, exercise.test, exercise.test, seed)
    fifth = np.asarray(load_model(trained.model)(exercise.test.inputs["past"]))
    assert (np.abs(fifth - exercise.test.targets) < 0.1).all()
    assert trained.weights == 12
    assert exercise.naive.ravel().tolist() == [1.0, 1.0]
