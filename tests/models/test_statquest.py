"""The published unit: its numbers from every LSTM of this project, its file, and learning what it does from random weights."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from pipeline.keras_files import load_model, plain_file  # noqa: E402
from pipeline.models.fused import FusedLSTM, fused_lstm, fused_twin  # noqa: E402
from pipeline.models.recipe import Shape  # noqa: E402
from pipeline.models.statquest import COMPANIES, STATQUEST_UNIT, worked_weights  # noqa: E402
from pipeline.training import fit_examples  # noqa: E402

SHAPE = Shape(4, 1, 1, np.zeros((4, 1)), np.ones((4, 1)), np.ones(1), np.zeros((1, 7)))
PRICES = np.array([days for days, _ in COMPANIES.values()], "float32")[:, :, None]
#: The unit's short-term memory after each day, as published.
MEMORY = np.array([[-0.127755, -0.096522, -0.166218, 0.006393], [0.276438, 0.611733, 0.867005, 0.969393]])


def worked(lstm: type) -> keras.Model:
    network = STATQUEST_UNIT.network.build(SHAPE, lstm)
    network.set_weights(worked_weights())
    return network


def test_the_weights_are_the_published_ones_in_keras_order():
    assert [weights.tolist() for weights in worked_weights()] == [
        [[1.65, 1.63, 0.94, -0.19]],
        [[2.00, 2.70, 1.41, 4.38]],
        [0.62, 1.62, -0.32, 0.59],
    ]


def test_the_gates_of_one_step_are_the_published_ones():
    kernel, recurrent, bias = worked_weights()
    i, f, candidate, o = (kernel + recurrent + bias)[0]  # h = 1 and x = 1
    gates = [*(1 / (1 + np.exp(-np.array([f, i, o])))), np.tanh(candidate)]
    assert gates == pytest.approx([0.997401, 0.986211, 0.991674, 0.966087], abs=1e-6)


def test_one_step_of_the_kernel_itself():
    one, two = tf.ones((1, 1)), tf.fill((1, 1), 2.0)
    weights = [tf.constant(values, tf.float32) for values in worked_weights()]
    carries, outputs = fused_lstm(tf.ones((1, 1, 1)), one, two, *weights)
    assert [float(carries[0, 0, 0]), float(outputs[0, 0, 0])] == pytest.approx([2.947567, 0.986229], abs=1e-6)


@pytest.mark.parametrize("options", [{}, {"unroll": True}, {"dtype": "float64"}], ids=["as it is", "unrolled", "float64"])
@pytest.mark.parametrize("lstm", [keras.layers.LSTM, FusedLSTM])
def test_every_way_that_a_layer_computes_has_the_published_memory(lstm, options):
    layer = lstm(1, return_sequences=True, **options)
    layer.build(PRICES.shape)
    layer.set_weights(worked_weights())
    np.testing.assert_allclose(np.asarray(layer(PRICES))[:, :, 0], MEMORY, atol=1e-6)


@pytest.mark.parametrize("lstm", [keras.layers.LSTM, FusedLSTM])
def test_the_network_forecasts_the_published_fifth_day_also_from_its_file(lstm):
    network = worked(lstm)
    loaded = load_model(plain_file(network))
    assert [type(layer) for layer in loaded.layers[1:]] == [keras.layers.LSTM]
    for one in (network, loaded, fused_twin(loaded)):
        np.testing.assert_allclose(np.asarray(one(PRICES))[:, 0], MEMORY[:, -1], atol=1e-6)


def test_both_lstms_make_the_same_file():
    made = []
    for lstm in (keras.layers.LSTM, FusedLSTM):
        keras.utils.clear_session()  # networks are numbered
        made.append(plain_file(worked(lstm)))
    assert made[0] == made[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 7, 42])
def test_it_learns_0_for_a_and_1_for_b_from_random_weights(seed):
    exercise = STATQUEST_UNIT.exercises(seed, None)["companies"]
    trained = fit_examples(STATQUEST_UNIT, exercise.train, exercise.test, exercise.test, seed)
    fifth = np.asarray(load_model(trained.model)(exercise.test.inputs["past"]))
    assert (np.abs(fifth - exercise.test.targets) < 0.1).all()
    assert trained.weights == 12
    assert exercise.naive.ravel().tolist() == [1.0, 1.0]
