"""T. Ganegedara's two averages are those of plain loops, in the network's units and in dollars."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.models import RECIPES, Shape
from pipeline.windows import encode, load_dataset, training_part
from tests.made_windows import walk

pytestmark = pytest.mark.slow


def plain_mean(prices: np.ndarray) -> float:
    total = 0.0
    for price in prices:
        total += price
    return total / len(prices)


def plain_average(prices: np.ndarray) -> float:
    average = 0.0
    for price in prices:
        average = 0.5 * average + 0.5 * price
    return average


AVERAGES = pytest.mark.parametrize(
    ("name", "plain"),
    [("ganegedara-average", plain_mean), ("ganegedara-ema", plain_average)],
    ids=["average", "ema"],
)
SHAPE = Shape(
    steps=100,
    features=1,
    outputs=1,
    past_mean=np.zeros((100, 1)),
    past_scale=np.ones((100, 1)),
    future_scale=np.ones(1),
    future_quantiles=np.zeros((1, 7)),
)


@AVERAGES
def test_the_moving_averages_are_those_of_a_plain_loop(name, plain):
    import keras

    model = RECIPES.for_price(name).network.build(SHAPE, keras.layers.LSTM)
    assert model.trainable_weights == []
    past = np.random.default_rng(0).uniform(size=(5, 100, 1)).astype("float32")
    expected = [plain(window[:, 0]) for window in past]
    np.testing.assert_allclose(np.asarray(model(past))[:, 0], expected, rtol=1e-5)


@AVERAGES
def test_the_moving_averages_are_of_dollars(name, plain):
    from pipeline.training.fit import fit
    from pipeline.training.predict import predict

    recipe = RECIPES.for_price(name)
    recipe = replace(recipe, split=replace(recipe.split, min_train_windows=20))
    table = walk(600)
    file = encode(table, recipe.spec("IBM", table["session"].iloc[-1].date(), "mid", 3))
    trained, test = fit(recipe, {"IBM": training_part(file)}, seed=7), load_dataset(file).test
    (prices,) = predict(trained.model, (test,), 1)
    mid = ((table["high"] + table["low"]) / 2).to_numpy()
    expected = [plain(mid[last - 99 : last + 1]) for last in test.position]
    np.testing.assert_allclose(prices[:, 0], expected, rtol=1e-5)
