"""The standing opponents: points against plain loops, distributions learnt from training alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from pipeline.models import BASELINES, linear
from pipeline.models.baselines import (
    FEWEST_SHAPED_WINDOWS,
    NORMAL_QUANTILES,
    exponential_moving_average,
    naive,
    window_average,
)
from pipeline.quantiles import PROBABILITIES, coverage
from pipeline.tables import OHLCV
from pipeline.windows import Dataset, Newest, Split, Windowing, encode, load_dataset
from tests.made_windows import spec_of, walk

HELD_OUT = Split(Newest(150), Newest(150), min_train_windows=5)


def dataset_of(history: pd.DataFrame) -> Dataset:
    return load_dataset(encode(history, spec_of(history, Windowing(30), horizon=2, split=HELD_OUT)))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return dataset_of(walk(700))


def test_points_are_those_of_a_plain_loop(dataset):
    part = dataset.test
    for row in (0, 7):
        past = part.target_past[row]
        weights = [0.5 ** (len(past) - 1 - k) for k in range(len(past))]
        weighted = sum(weight * price for weight, price in zip(weights, past, strict=True))
        expected = {
            naive: past[-1],
            window_average: sum(past) / len(past),
            exponential_moving_average: weighted / sum(weights),
        }
        for baseline, price in expected.items():
            np.testing.assert_allclose(
                baseline(part, 2)[row], [price, price], err_msg=baseline.__name__
            )


@pytest.mark.parametrize("name", BASELINES)
def test_a_distribution_is_the_point_with_the_quantiles_of_the_errors_that_training_saw(
    name, dataset
):
    baseline, train, test = BASELINES[name], dataset.train, dataset.test
    quantiles = baseline.fit(train, 2)(test)
    assert quantiles.shape == (150, 2, 7)
    unit = {"naive": lambda part: part.last}.get(name, lambda part: part.last * part.volatility)
    points, learnt = baseline.point(test, 2), baseline.point(train, 2)
    for horizon in range(2):
        errors = sorted(
            (train.actual[row, horizon] - learnt[row, horizon]) / unit(train)[row]
            for row in range(len(train))
        )
        for place, probability in enumerate(PROBABILITIES):
            at = probability * (len(errors) - 1)
            below = int(at)
            above = min(below + 1, len(errors) - 1)
            shape = errors[below] + (at - below) * (errors[above] - errors[below])
            np.testing.assert_allclose(
                quantiles[:, horizon, place], points[:, horizon] + unit(test) * shape
            )


@pytest.mark.parametrize("name", BASELINES)
def test_nothing_is_learnt_from_validation_or_test(name, dataset):
    history = walk(700)
    first = int(dataset.train.position[-1]) + 2  # the last session that training knows
    later = np.linspace(2, 5, len(history) - first - 1)[:, None]
    history.loc[first + 1 :, [*OHLCV, "adj_close"]] *= later
    other = dataset_of(history)
    np.testing.assert_array_equal(other.train.actual, dataset.train.actual)
    one, same = (BASELINES[name].fit(part.train, 2)(dataset.test) for part in (dataset, other))
    np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("name", BASELINES)
def test_too_few_windows_have_no_shape_of_their_own(name, dataset):
    normal = np.sqrt([[1.0], [2.0]]) * np.array(NORMAL_QUANTILES)
    part, baseline = dataset.test, BASELINES[name]
    unit = part.last * part.volatility
    expected = baseline.point(part, 2)[:, :, None] + unit[:, None, None] * normal[None]

    def fitted_on(count: int) -> np.ndarray:
        return baseline.fit(dataset.train.take(slice(count)), 2)(part)

    np.testing.assert_allclose(fitted_on(0), expected)
    np.testing.assert_allclose(fitted_on(FEWEST_SHAPED_WINDOWS - 1), expected)
    assert not np.allclose(fitted_on(FEWEST_SHAPED_WINDOWS), expected)


def test_the_random_walks_spread_follows_the_volatility_and_the_naive_forecasts_does_not(dataset):
    calm = dataset.test
    wild = dataclasses.replace(calm, volatility=calm.volatility * 3)
    for name, factor in (("naive", 1), ("ewma", 3)):
        forecaster = BASELINES[name].fit(dataset.train, 2)
        calm_width, wild_width = (
            quantiles[:, :, 6] - quantiles[:, :, 0]
            for quantiles in (forecaster(calm), forecaster(wild))
        )
        np.testing.assert_allclose(wild_width, factor * calm_width)
        spread = calm_width[:, 0] / calm.last
        assert (np.ptp(spread) < 1e-12) == (name == "naive")


def test_distributions_cover_their_levels_on_sessions_like_those_of_training(dataset):
    for name in ("naive", "ewma"):
        quantiles = BASELINES[name].fit(dataset.train, 2)(dataset.test)
        for level in (50, 80, 95):
            np.testing.assert_allclose(
                coverage(dataset.test.actual, quantiles, level), level / 100, atol=0.12
            )


def test_no_price_is_forecast_below_zero(dataset):
    part = dataclasses.replace(dataset.test, volatility=np.full(150, 0.9))
    for baseline in BASELINES.values():
        quantiles = baseline.fit(dataset.train.take(slice(0)), 2)(part)
        assert quantiles.min() == 0.0
        assert (np.diff(quantiles, axis=2) >= 0).all()


def test_the_linear_model_is_fitted_on_training_alone(dataset):
    forecast = linear(dataset.train, dataset.test)
    changed = dataclasses.replace(dataset.test, ahead=dataset.test.ahead * 2)
    np.testing.assert_array_equal(linear(dataset.train, changed), forecast)
