"""Predicting with a `.keras` file: in this process, and as Keras alone does."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.training.keras_files import load_model
from pipeline.training.predict import answering, look_ahead_with, predict
from tests.training.made_networks import relative

pytestmark = pytest.mark.slow


def test_loaded_by_keras_alone_a_network_forecasts_the_same(dataset, trained):
    import tensorflow as tf

    plain, test = load_model(trained.model), dataset.test
    assert {type(layer).__module__.split(".")[0] for layer in plain.layers} == {"keras"}
    outputs = plain([tf.constant(test.past), tf.constant([["UP"]] * len(test))])
    np.testing.assert_allclose(
        np.reshape(outputs, (-1, 2, 7)), relative(trained.model, test), atol=1e-5
    )


def test_a_shorter_horizon_is_the_beginning_of_the_longer_one(dataset, trained):
    windows = (dataset.validation, dataset.test)
    for one, two in zip(
        predict(trained.model, windows, 1, "UP"),
        predict(trained.model, windows, 2, "UP"),
        strict=True,
    ):
        assert two.shape[1:] == (2, 7)
        np.testing.assert_array_equal(one, two[:, :1])


def test_answers_are_the_networks_outputs_by_the_names_of_its_inputs(dataset, trained):
    past = dataset.test.past
    symbol = np.full((len(past), 1), "UP", dtype=object)
    outputs = answering(trained.model)({"symbol": symbol, "past": past})
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(
        outputs.reshape(-1, 2, 7), relative(trained.model, dataset.test), atol=1e-5
    )


def test_looking_ahead_point_by_point_is_the_median_of_the_forecast(dataset, trained):
    look = look_ahead_with(trained.model, dataset.test, 20, "UP")
    [prices] = predict(trained.model, (dataset.test,), 1, "UP")
    np.testing.assert_allclose(look.point_by_point, prices[:, 0, 3], rtol=1e-9)
    np.testing.assert_array_equal(look.actual, dataset.test.actual[:, 0])
