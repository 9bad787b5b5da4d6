"""Networks asked in numpy: as Keras answers for every recipe, many at once, and which it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.models import RECIPES, PriceRecipe, Recipe
from pipeline.training import PredictJob
from pipeline.training.examples import network_shape
from pipeline.training.keras_files import load_model, plain_file
from pipeline.training.numpy_networks import (
    answers_together,
    is_served_by_numpy,
    numpy_network,
)
from pipeline.training.predict import answering, predict, predict_together
from tests.models.test_recipes import MODES, of_each, shape_of_network
from tests.training.made_networks import relative

pytestmark = pytest.mark.slow

#: Windows that are asked about.
COUNT = 37


def inputs_of(recipe: Recipe) -> dict[str, np.ndarray]:
    """Return windows as a recipe's network takes them."""
    random = np.random.default_rng(5)
    if not isinstance(recipe, PriceRecipe):
        exercise = next(iter(recipe.exercises(7, None).values()))
        return {name: values[:COUNT] for name, values in exercise.train.inputs.items()}
    shape = shape_of_network(recipe)
    past = random.normal(scale=0.1, size=(COUNT, shape.steps, shape.features))
    symbols = random.choice(np.array(["AAA", "BBB", "ZZZ", ""], dtype=object), (COUNT, 1))
    return {"past": past.astype("float32"), "symbol": symbols}


def built(recipe: Recipe) -> Any:
    """Return a recipe's network of its own size, moved away from its first weights."""
    import keras

    if isinstance(recipe, PriceRecipe):
        shape = shape_of_network(recipe)
    else:
        exercise = next(iter(recipe.exercises(7, None).values()))
        shape = network_shape(exercise.train, ())
    keras.utils.set_random_seed(7)
    model = recipe.network.build(shape, keras.layers.LSTM)
    random = np.random.default_rng(9)
    if model.trainable_weights:
        moved = [
            weight + random.normal(scale=0.05, size=weight.shape) for weight in model.get_weights()
        ]
        model.set_weights(moved)
    return model


def keras_answers(model: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    import tensorflow as tf

    tensors = [tf.constant(inputs[tensor.name].tolist(), tensor.dtype) for tensor in model.inputs]
    return np.asarray(model(tensors if len(tensors) > 1 else tensors[0], training=False))


@of_each(MODES)
def test_numpy_answers_as_keras_does_for_every_recipe(recipe):
    file, inputs = plain_file(built(recipe)), inputs_of(recipe)
    network = numpy_network(file)
    assert network is not None and is_served_by_numpy(file)
    expected = keras_answers(load_model(file), inputs)
    made = answering(file)(inputs)
    assert made.dtype == expected.dtype == np.float32
    assert network.architecture.width == expected.shape[1]
    np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-6)


@of_each([*RECIPES.for_prices[:1], RECIPES.find("yadav-gru"), RECIPES.find("weng-multi")])
def test_many_networks_at_once_answer_as_each_alone_to_the_bit(recipe):
    model, inputs = built(recipe), inputs_of(recipe)
    files = []
    for number in range(5):
        model.set_weights([weight * (1 + 0.1 * number) for weight in model.get_weights()])
        files.append(plain_file(model))
    networks = [numpy_network(file) for file in files]
    for rows in (slice(None), slice(4, 5)):  # stacked, and one after the other
        some = {name: values[rows] for name, values in inputs.items()}
        together = answers_together(networks * 3, [some] * 15)
        for file, made in zip(files, together, strict=False):
            np.testing.assert_array_equal(made, answering(file)(inputs)[rows])


def test_a_trained_network_forecasts_as_keras_alone_does(trained, dataset):
    past = dataset.test.past
    symbol = np.full((len(past), 1), "UP", dtype=object)
    expected = keras_answers(load_model(trained.model), {"past": past, "symbol": symbol})
    made = answering(trained.model)({"past": past, "symbol": symbol})
    np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-6)
    forecast = relative(trained.model, dataset.test)
    np.testing.assert_allclose(forecast.reshape(made.shape), made, rtol=1e-9, atol=1e-12)


def test_the_newest_window_alone_is_forecast_as_among_all_others(trained, dataset):
    [prices] = predict(trained.model, (dataset.test,), 2, "UP")
    for rows in (slice(-1, None), slice(3, 11)):
        [some] = predict(trained.model, (dataset.test.take(rows),), 2, "UP")
        np.testing.assert_array_equal(some, prices[rows])


def test_jobs_together_are_answered_as_each_alone_and_one_that_fails_fails_alone(trained, dataset):
    narrow = replace(dataset.test, values=dataset.test.values[:, 1:])
    parts = [(dataset.test,), (dataset.validation, dataset.test), (narrow,), (dataset.test,)]
    jobs = [PredictJob(f"S{n}", trained.model, windows, 2) for n, windows in enumerate(parts)]
    jobs.append(PredictJob("BAD", b"no zip", (dataset.test,), 2))
    answered = predict_together(jobs)
    assert [type(answer).__name__ for answer in answered[2:]] == [
        "ValueError",
        "tuple",
        "LookAtTheData",
    ]
    for number in (0, 1, 3):
        alone = predict(trained.model, parts[number], 2, f"S{number}")
        for made, expected in zip(answered[number], alone, strict=True):
            np.testing.assert_array_equal(made, expected)


def unknown_networks() -> dict[str, Callable[[Any, Any], Any]]:
    from keras import Model, layers

    def shared(past: Any, lstm: Any) -> Any:
        dense = layers.Dense(3)
        return Model(past, layers.Dense(1)(lstm(2)(dense(dense(past)))))

    return {
        "backwards": lambda past, lstm: Model(past, lstm(2, go_backwards=True)(past)),
        "bidirectional": lambda past, lstm: Model(past, layers.Bidirectional(lstm(2))(past)),
        "masked": lambda past, lstm: Model(past, lstm(2)(layers.Masking()(past))),
        "shared": shared,
    }


@pytest.mark.parametrize("name", ["backwards", "bidirectional", "masked", "shared"])
def test_keras_serves_a_network_that_numpy_does_not_know(name, tmp_path):
    import keras

    past = keras.Input((6, 3), name="past")
    model = unknown_networks()[name](past, keras.layers.LSTM)
    model.save(Path(tmp_path, "model.keras"))
    file = Path(tmp_path, "model.keras").read_bytes()
    assert numpy_network(file) is None and not is_served_by_numpy(file)
    assert PredictJob("ANY", file, (), 1).needs_keras
    windows = np.random.default_rng(1).normal(size=(4, 6, 3)).astype("float32")
    np.testing.assert_allclose(answering(file)({"past": windows}), model(windows), atol=1e-6)
