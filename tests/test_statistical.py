"""Forecasters of statsforecast as distributions: against hand formulas and plain loops, and what none of them may do."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import assembly, forecasters, statistical, windows
from pipeline.errors import LookAtTheData, NotEnoughHistory, SettingsError
from pipeline.models.baselines import BASELINES, NORMAL
from pipeline.quantiles import COUNT, MEDIAN, losses
from pipeline.settings import Settings
from pipeline.spec import Windowing
from pipeline.splits import Newest, Split
from pipeline.statistical import NAMES
from tests import made_windows

HORIZON = 5


def walk(count: int = 300, seed: int = 0) -> np.ndarray:
    return 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0005, 0.015, count)))


def test_no_name_is_that_of_another_baseline():
    assert set(NAMES) & set(BASELINES) == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_forecast_is_ordered_quantiles_about_the_price_and_wider_with_the_horizon(name):
    prices = walk()
    said = statistical.forecast(name, prices, HORIZON).quantiles
    assert said.shape == (HORIZON, COUNT)
    assert (np.diff(said, axis=1) > 0).all()
    assert (np.abs(said[:, MEDIAN] / prices[-1] - 1) < 0.2).all()
    width = said[:, -1] - said[:, 0]
    assert width[-1] > width[0] > 0.01 * prices[-1]


@pytest.mark.parametrize("name", NAMES)
def test_no_method_is_replaced_on_an_ordinary_history(name):
    for seed in range(3):
        assert statistical.forecast(name, walk(500, seed), HORIZON).reason == ""


def test_the_random_walk_is_the_last_price_with_the_root_mean_square_of_all_changes():
    prices = walk()
    deviation = np.sqrt(np.mean(np.diff(np.log(prices)) ** 2))
    wanted = [[prices[-1] * np.exp(z * deviation * np.sqrt(ahead)) for z in NORMAL] for ahead in range(1, HORIZON + 1)]
    np.testing.assert_allclose(statistical.forecast("random_walk", prices, HORIZON).quantiles, wanted, rtol=1e-6)


def test_drift_adds_the_mean_change_and_its_own_uncertainty():
    prices = walk()
    changes = np.diff(np.log(prices))
    slope, deviation = changes.mean(), changes.std()
    wanted = [
        [prices[-1] * np.exp(slope * h + z * deviation * np.sqrt(h * (1 + h / len(changes)))) for z in NORMAL]
        for h in range(1, HORIZON + 1)
    ]
    np.testing.assert_allclose(statistical.forecast("drift", prices, HORIZON).quantiles, wanted, rtol=1e-6)


def test_the_moving_average_is_as_wide_as_its_errors_were():
    prices = walk(200)
    logs, at = np.log(prices), prices[-1]
    for ahead, row in enumerate(statistical.forecast("moving_average", prices, 3).quantiles, start=1):
        errors = [abs(logs[t + ahead] - logs[t - 19 : t + 1].mean()) for t in range(19, len(logs) - ahead)]
        centre, half = logs[-20:].mean(), np.quantile(errors, 0.8)
        np.testing.assert_allclose(row[[1, MEDIAN, 5]] / at, np.exp([centre - half, centre, centre + half]) / at, rtol=1e-9)


def test_exponential_smoothing_of_a_random_walk_is_nearly_the_random_walk():
    prices = walk(1000, 3)
    smoothed, wanted = (statistical.forecast(name, prices, HORIZON).quantiles for name in ("ses", "random_walk"))
    np.testing.assert_allclose(smoothed, wanted, rtol=0.02)


@pytest.mark.parametrize(("name", "lags"), [("garch", 1), ("arch", 0)])
def test_variances_ahead_are_those_of_simulated_paths(name, lags):
    """The sum of the variances that are expected is the variance of the sum: 40,000 paths of the same coefficients agree."""
    prices = stormy(newest=20)
    changes = np.diff(np.log(prices))
    shocks = (changes - changes.mean()) / changes.std()
    from statsforecast.models import GARCH

    base, own, *lagged = GARCH(1, lags).fit(shocks).model_["coeff"]
    start = statistical.variances_of(shocks, base, own, sum(lagged))[-1]
    random, total, variance = np.random.default_rng(1), np.zeros(40_000), np.full(40_000, start)
    for _ in range(HORIZON):
        shock = random.normal(size=40_000) * np.sqrt(variance)
        total, variance = total + shock, base + own * shock**2 + sum(lagged) * variance
    said = np.log(statistical.forecast(name, prices, HORIZON).quantiles[-1] / prices[-1])
    assert said[MEDIAN] == pytest.approx(HORIZON * changes.mean())
    assert (said[-1] - said[MEDIAN]) / NORMAL[-1] == pytest.approx(total.std() * changes.std(), rel=0.03)


def stormy(newest: int, seed: int = 2) -> np.ndarray:
    """Prices whose volatility comes and goes; the `newest` changes are a storm of three times the usual (0: a calm of a third)."""
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


@pytest.mark.parametrize("name", NAMES)
def test_a_price_in_cents_is_forecast_as_in_dollars(name):
    prices = walk(400, 5)
    dollars, cents = (statistical.forecast(name, prices * scale, HORIZON).quantiles for scale in (1, 100))
    np.testing.assert_allclose(cents, 100 * dollars, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_prices_give_the_same_forecast_and_leave_everyones_random_numbers_alone(name):
    prices = walk(250, 6)
    before = prices.copy()
    np.random.seed(11)
    wanted = np.random.random(3)
    np.random.seed(11)
    first, second = (statistical.forecast(name, prices, HORIZON).quantiles for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(np.random.random(3), wanted)
    assert np.array_equal(prices, before)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_newest_prices_count(name):
    prices = walk(statistical.LONGEST + 50, 7)
    changed = prices.copy()
    changed[:50] *= 3
    assert np.array_equal(statistical.forecast(name, prices, 2).quantiles, statistical.forecast(name, changed, 2).quantiles)


@pytest.mark.parametrize("name", NAMES)
def test_a_price_that_stands_still_gets_a_narrow_random_walk_and_the_reason_is_told(name):
    still = np.full(200, 20.0)
    said = statistical.forecast(name, still, HORIZON)
    assert said.reason == "the random walk with EWMA volatility stands in: the price has not moved"
    wanted = [[20 * np.exp(z * 1e-4 * np.sqrt(ahead)) for z in NORMAL] for ahead in range(1, HORIZON + 1)]
    np.testing.assert_allclose(said.quantiles, wanted)


def test_a_fit_that_fails_is_stood_in_for_and_says_why(monkeypatch):
    def broken(logs, horizon):
        raise ZeroDivisionError("float division by zero")

    crossed = np.tile(np.arange(COUNT)[::-1], (2, 1)) / 100.0
    for method, why in (
        (broken, "ZeroDivisionError: float division by zero"),
        (lambda logs, horizon: np.full((horizon, COUNT), np.nan), "it forecasts no numbers"),
        (lambda logs, horizon: crossed, "its quantiles cross"),
        (lambda logs, horizon: np.zeros((horizon, COUNT)), "it forecasts a price that hardly moves"),
    ):
        monkeypatch.setitem(statistical.METHODS, "auto_arima", method)
        said = statistical.forecast("auto_arima", walk(), 2)
        assert said.reason == f"the random walk with EWMA volatility stands in: {why}"
        assert (np.diff(said.quantiles, axis=1) > 0).all()


@pytest.mark.parametrize("bad", [np.nan, 0.0, -1.0, np.inf])
def test_a_price_that_has_no_log_is_an_error_that_says_where(bad):
    prices = walk(100)
    prices[41] = bad
    with pytest.raises(LookAtTheData, match=rf"the history: price 42 of 100 is {bad:g}, and drift takes logs"):
        statistical.forecast("drift", prices, HORIZON)


def test_too_few_prices_and_unknown_names_say_what_there_must_be():
    with pytest.raises(NotEnoughHistory, match="the history: 64 prices, garch needs 65"):
        statistical.forecast("garch", walk(64), HORIZON)
    with pytest.raises(SettingsError, match=r"There is no statistical baseline 'prophet'\. There are: random_walk, drift"):
        statistical.forecast("prophet", walk(), HORIZON)


def test_asked_for_in_the_daily_run_they_are_measured_on_every_21st_test_session_beside_ewma(tmp_path):
    history = made_windows.walk(500)
    spec = made_windows.spec_of(history, Windowing(10), horizon=2, split=Split(Newest(100), Newest(100), min_train_windows=50))
    file = windows.encode(history, spec)
    settings = Settings(home=tmp_path, store_url=f"sqlite:///{tmp_path}/s.db", baselines="drift, random_walk")
    told = []
    with assembly.parts(settings, progress=lambda *words: told.append(words)) as parts:
        name = parts.artifacts.put_content("datasets", ".npz", file)
        the = forecasters.Stock("IBM", name, windows.load_dataset(file))
        forecasters.evaluate_statistical(parts, the)
        figures = forecasters.statistical_figures(parts, name)
        forecasters.evaluate_statistical(parts, the)
    assert len(told) == 2  # once per dataset
    close, test = history["close"].to_numpy(), the.dataset.test
    rows = [15, 36, 57, 78, 99]
    assert len(test) == 100
    for baseline in ("drift", "random_walk"):
        said = np.stack([statistical.forecast(baseline, close[: test.position[row] + 1], 2).quantiles for row in rows])
        part = test.take(np.array(rows))
        assert figures[f"test/pinball_{baseline}"] == pytest.approx(losses(part.actual, said, part.last).mean())
    ewma = losses(part.actual, the.baselines["ewma"].test[rows], part.last).mean()
    assert figures["test/pinball_ewma_every_21"] == pytest.approx(ewma)
    assert figures["test/sessions_every_21"] == 5
