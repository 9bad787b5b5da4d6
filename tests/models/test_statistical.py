"""Forecasters of statsforecast as distributions: against hand formulas and plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import LookAtTheData, NotEnoughHistory, SettingsError
from pipeline.models import BASELINES, statistical
from pipeline.models.baselines import NORMAL_QUANTILES
from pipeline.models.statistical import (
    LONGEST_FITTED,
    STATISTICAL_METHODS,
    STATISTICAL_NAMES,
    conditional_variances,
)
from pipeline.quantiles import MEDIAN, QUANTILE_COUNT

HORIZON = 5


def walk(count: int = 300, seed: int = 0) -> np.ndarray:
    return 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0005, 0.015, count)))


def test_no_name_is_that_of_another_baseline():
    assert set(STATISTICAL_NAMES) & set(BASELINES) == set()


@pytest.mark.parametrize("name", STATISTICAL_NAMES)
def test_a_forecast_is_ordered_quantiles_about_the_price_and_wider_with_the_horizon(name):
    prices = walk()
    quantiles = statistical.forecast(name, prices, HORIZON).quantiles
    assert quantiles.shape == (HORIZON, QUANTILE_COUNT)
    assert (np.diff(quantiles, axis=1) > 0).all()
    assert (np.abs(quantiles[:, MEDIAN] / prices[-1] - 1) < 0.2).all()
    width = quantiles[:, -1] - quantiles[:, 0]
    assert width[-1] > width[0] > 0.01 * prices[-1]


@pytest.mark.parametrize("name", STATISTICAL_NAMES)
def test_no_method_is_replaced_on_an_ordinary_history(name):
    for seed in range(3):
        assert statistical.forecast(name, walk(500, seed), HORIZON).reason == ""


def test_the_random_walk_is_the_last_price_with_the_root_mean_square_of_all_changes():
    prices = walk()
    deviation = np.sqrt(np.mean(np.diff(np.log(prices)) ** 2))
    expected = [
        [prices[-1] * np.exp(z * deviation * np.sqrt(ahead)) for z in NORMAL_QUANTILES]
        for ahead in range(1, HORIZON + 1)
    ]
    np.testing.assert_allclose(
        statistical.forecast("random_walk", prices, HORIZON).quantiles, expected, rtol=1e-6
    )


def test_drift_adds_the_mean_change_and_its_own_uncertainty():
    prices = walk()
    changes = np.diff(np.log(prices))
    slope, deviation = changes.mean(), changes.std()
    expected = [
        [
            prices[-1] * np.exp(slope * h + z * deviation * np.sqrt(h * (1 + h / len(changes))))
            for z in NORMAL_QUANTILES
        ]
        for h in range(1, HORIZON + 1)
    ]
    np.testing.assert_allclose(
        statistical.forecast("drift", prices, HORIZON).quantiles, expected, rtol=1e-6
    )


def test_the_moving_average_is_as_wide_as_its_errors_were():
    prices = walk(200)
    logs, last = np.log(prices), prices[-1]
    quantiles = statistical.forecast("moving_average", prices, 3).quantiles
    for ahead, row in enumerate(quantiles, start=1):
        errors = [
            abs(logs[t + ahead] - logs[t - 19 : t + 1].mean()) for t in range(19, len(logs) - ahead)
        ]
        centre, half = logs[-20:].mean(), np.quantile(errors, 0.8)
        expected = np.exp([centre - half, centre, centre + half])
        np.testing.assert_allclose(row[[1, MEDIAN, 5]] / last, expected / last, rtol=1e-9)


def test_exponential_smoothing_of_a_random_walk_is_nearly_the_random_walk():
    prices = walk(1000, 3)
    smoothed, expected = (
        statistical.forecast(name, prices, HORIZON).quantiles for name in ("ses", "random_walk")
    )
    np.testing.assert_allclose(smoothed, expected, rtol=0.02)


@pytest.mark.parametrize(("name", "lags"), [("garch", 1), ("arch", 0)])
def test_variances_ahead_are_those_of_simulated_paths(name, lags):
    """The sum of the expected variances is the variance of the sum.

    40,000 paths of the same coefficients agree.
    """
    from statsforecast.models import GARCH

    prices = stormy(newest=20)
    changes = np.diff(np.log(prices))
    shocks = (changes - changes.mean()) / changes.std()
    constant, of_shock, *lagged = GARCH(1, lags).fit(shocks).model_["coeff"]
    start = conditional_variances(shocks, constant, of_shock, sum(lagged))[-1]
    random, total, variance = np.random.default_rng(1), np.zeros(40_000), np.full(40_000, start)
    for _ in range(HORIZON):
        shock = random.normal(size=40_000) * np.sqrt(variance)
        total = total + shock
        variance = constant + of_shock * shock**2 + sum(lagged) * variance
    quantiles = statistical.forecast(name, prices, HORIZON).quantiles
    logs = np.log(quantiles[-1] / prices[-1])
    assert logs[MEDIAN] == pytest.approx(HORIZON * changes.mean())
    deviation = (logs[-1] - logs[MEDIAN]) / NORMAL_QUANTILES[-1]
    assert deviation == pytest.approx(total.std() * changes.std(), rel=0.03)


def stormy(newest: int, seed: int = 2) -> np.ndarray:
    """Return prices of changing volatility.

    Args:
        newest: 0: the last changes are a calm, a third of the usual volatility; else a storm, three
            times the usual.
    """
    random = np.random.default_rng(seed)
    changes, variance = [], 1.0
    for _ in range(900):
        changes.append(random.normal() * np.sqrt(variance))
        variance = 0.05 + 0.15 * changes[-1] ** 2 + 0.8 * variance
    end = random.normal(size=20) * (3.0 if newest else 0.33)
    return 50 * np.exp(0.01 * np.cumsum([*changes, *end]))


@pytest.mark.parametrize("name", ["garch", "arch"])
def test_a_storm_widens_what_follows_and_a_calm_narrows_it(name):
    def width(prices: np.ndarray) -> float:
        first = statistical.forecast(name, prices, 1).quantiles[0]
        return float(np.log(first[-1] / first[0]))

    calm, storm = width(stormy(0)), width(stormy(20))
    assert storm > 1.3 * calm


@pytest.mark.parametrize("name", STATISTICAL_NAMES)
def test_a_price_in_cents_is_forecast_as_in_dollars(name):
    prices = walk(400, 5)
    dollars, cents = (
        statistical.forecast(name, prices * scale, HORIZON).quantiles for scale in (1, 100)
    )
    np.testing.assert_allclose(cents, 100 * dollars, rtol=1e-6)


@pytest.mark.parametrize("name", STATISTICAL_NAMES)
def test_the_same_prices_give_the_same_forecast_and_leave_everyones_random_numbers_alone(name):
    prices = walk(250, 6)
    before = prices.copy()
    np.random.seed(11)
    expected = np.random.random(3)
    np.random.seed(11)
    first, second = (statistical.forecast(name, prices, HORIZON).quantiles for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(np.random.random(3), expected)
    assert np.array_equal(prices, before)


@pytest.mark.parametrize("name", STATISTICAL_NAMES)
def test_only_the_newest_prices_count(name):
    prices = walk(LONGEST_FITTED + 50, 7)
    changed = prices.copy()
    changed[:50] *= 3
    assert np.array_equal(
        statistical.forecast(name, prices, 2).quantiles,
        statistical.forecast(name, changed, 2).quantiles,
    )


@pytest.mark.parametrize("name", STATISTICAL_NAMES)
def test_a_price_that_stands_still_gets_a_narrow_random_walk_and_the_reason(name):
    still = np.full(200, 20.0)
    forecast = statistical.forecast(name, still, HORIZON)
    assert (
        forecast.reason == "the random walk with EWMA volatility stands in: the price has not moved"
    )
    expected = [
        [20 * np.exp(z * 1e-4 * np.sqrt(ahead)) for z in NORMAL_QUANTILES]
        for ahead in range(1, HORIZON + 1)
    ]
    np.testing.assert_allclose(forecast.quantiles, expected)


def test_the_random_walk_stands_in_for_a_fit_that_fails_with_the_reason(monkeypatch):
    def broken(logs, horizon):
        raise ZeroDivisionError("float division by zero")

    crossed = np.tile(np.arange(QUANTILE_COUNT)[::-1], (2, 1)) / 100.0
    missing = np.full((2, QUANTILE_COUNT), np.nan)
    still = np.zeros((2, QUANTILE_COUNT))
    for method, reason in (
        (broken, "ZeroDivisionError: float division by zero"),
        (lambda logs, horizon: missing, "it forecasts no numbers"),
        (lambda logs, horizon: crossed, "its quantiles cross"),
        (lambda logs, horizon: still, "it forecasts a price that hardly moves"),
    ):
        monkeypatch.setitem(STATISTICAL_METHODS, "auto_arima", method)
        forecast = statistical.forecast("auto_arima", walk(), 2)
        assert forecast.reason == f"the random walk with EWMA volatility stands in: {reason}"
        assert (np.diff(forecast.quantiles, axis=1) > 0).all()


@pytest.mark.parametrize("bad", [np.nan, 0.0, -1.0, np.inf])
def test_a_price_that_has_no_log_is_an_error_that_numbers_it(bad):
    prices = walk(100)
    prices[41] = bad
    with pytest.raises(
        LookAtTheData, match=rf"the history: price 42 of 100 is {bad:g}, and drift takes logs"
    ):
        statistical.forecast("drift", prices, HORIZON)


def test_too_few_prices_and_unknown_names_are_errors_that_name_what_is_needed():
    with pytest.raises(NotEnoughHistory, match="the history: 64 prices, garch needs 65"):
        statistical.forecast("garch", walk(64), HORIZON)
    message = r"There is no statistical baseline 'prophet'\. There are: random_walk, drift"
    with pytest.raises(SettingsError, match=message):
        statistical.forecast("prophet", walk(), HORIZON)
