"""CRPS, QLIKE and the PIT's test, against closed forms, simulation and plain loops."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from pipeline.measures.distributions import (
    CRPS_WEIGHTS,
    LEAST_VARIANCE,
    crps,
    implied_variance,
    pit_moments,
    pit_p_value,
    qlike,
    realised_variance,
)
from pipeline.quantiles import PROBABILITIES, pinball

LEVELS = np.array(PROBABILITIES)


def quantiles_of(distribution, count, horizon=1):
    return np.tile(distribution.ppf(LEVELS), (count, horizon, 1))


def test_the_weights_integrate_polynomials_that_vanish_at_both_ends():
    for power in range(7):
        exact = integrate.quad(lambda p, power=power: p * (1 - p) * p**power, 0, 1)[0]
        assert CRPS_WEIGHTS @ (LEVELS * (1 - LEVELS) * LEVELS**power) == pytest.approx(exact)
    assert (CRPS_WEIGHTS > 0).all()


@pytest.mark.parametrize(
    ("distribution", "exact", "off"),
    [
        (stats.uniform(), 1 / 6, 0.0),
        (stats.norm(), 1 / math.sqrt(math.pi), 0.001),
        (stats.t(3), 3 * math.sqrt(3) / (2 * math.pi), 0.003),
    ],
)
def test_the_crps_of_a_right_distribution_is_its_own(distribution, exact, off):
    # The mean over outcomes that are spread evenly over the probabilities, tails in detail.
    tail = np.logspace(-9, -3, 20_000)
    grid = np.concatenate([[0.0], tail, np.linspace(tail[-1], 0.5, 40_000)[1:]])
    grid = np.concatenate([grid, 1 - grid[:-1][::-1]])
    middles, shares = (grid[1:] + grid[:-1]) / 2, np.diff(grid)
    outcomes = distribution.ppf(middles)[:, None]
    quantiles = quantiles_of(distribution, len(outcomes))
    score = float(shares @ crps(outcomes, quantiles, np.ones(len(outcomes)))[:, 0])
    assert score / exact - 1 == pytest.approx(off, abs=3e-4)


def test_the_plain_mean_of_the_losses_is_as_far_off_as_the_comment_says():
    draws = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None]
    plain = 2 * pinball(draws, quantiles_of(stats.norm(), 20_000)).mean()
    assert plain * math.sqrt(math.pi) - 1 == pytest.approx(-0.24, abs=0.005)


def test_the_crps_of_a_point_is_about_its_absolute_error_and_a_fraction_of_the_price():
    point = np.full((1, 1, 7), 103.0)
    assert crps(np.array([[100.0]]), point, np.array([50.0]))[0, 0] == pytest.approx(
        3 / 50, rel=0.02
    )


def test_the_variance_of_a_normal_interval_is_its_own_and_grows_with_the_price():
    quantiles = 100 + 3 * quantiles_of(stats.norm(), 2, 2)
    variance = implied_variance(quantiles, np.array([100.0, 200.0]))
    np.testing.assert_allclose(variance, [[0.03**2] * 2, [0.015**2] * 2], rtol=1e-6)


@pytest.mark.parametrize(("freedom", "off"), [(5, 0.032), (10, 0.034)])
def test_fat_tails_move_the_implied_variance_by_percents(freedom, off):
    distribution = stats.t(freedom)
    implied = implied_variance(quantiles_of(distribution, 1), np.ones(1))[0, 0]
    assert implied / distribution.var() - 1 == pytest.approx(off, abs=0.002)


def test_the_realised_variance_adds_up_the_squared_changes_of_each_session():
    realised = realised_variance(np.array([[101.0, 99.0, 99.0]]), np.array([100.0]))
    np.testing.assert_allclose(realised, [[0.01**2, 0.01**2 + 0.02**2, 0.01**2 + 0.02**2]])


def test_qlike_is_the_log_of_the_implied_variance_and_the_realised_over_it():
    quantiles = 100 + 3 * quantiles_of(stats.norm(), 1, 2)
    loss = qlike(np.array([[103.0, 100.0]]), quantiles, np.array([100.0]))
    implied = 0.03**2
    np.testing.assert_allclose(loss, math.log(implied) + np.array([[1.0, 2.0]]), rtol=1e-6)
    flat = np.full((1, 1, 7), 100.0)
    assert qlike(np.array([[100.0]]), flat, np.array([100.0]))[0, 0] == math.log(LEAST_VARIANCE)


def test_qlike_is_least_for_the_true_variance():
    random = np.random.default_rng(1)
    last = np.full(100_000, 100.0)
    outcomes = last[:, None] * (1 + random.normal(0, 0.02, (100_000, 1)))
    scales = (0.016, 0.019, 0.02, 0.021, 0.025)
    losses = [
        qlike(outcomes, 100 * (1 + scale * quantiles_of(stats.norm(), 100_000)), last).mean()
        for scale in scales
    ]
    assert min(losses) == losses[2]
    # 10% too large in the standard deviation is 21% in the variance: log 1.21 + 1 / 1.21 - 1.
    assert losses[3] - losses[2] == pytest.approx(2 * math.log(1.05) + 1 / 1.05**2 - 1, abs=0.0008)


def test_the_moments_of_the_pit_are_zero_in_the_mean_and_show_where_outcomes_lie():
    shares = np.diff([0, *PROBABILITIES, 1])
    quantiles = np.arange(7.0)[None, None].repeat(8, axis=0)
    outcomes = np.arange(8.0)[:, None] - 0.5
    moments = pit_moments(outcomes, quantiles)[:, 0]
    np.testing.assert_allclose(shares @ moments, 0, atol=1e-12)
    np.testing.assert_allclose(moments[0], [-0.4875, 0.4875**2 - 0.0801], atol=1e-4)
    assert (np.diff(moments[:, 0]) > 0).all()
    np.testing.assert_allclose(moments[:, 1], moments[::-1, 1])


def overlapping(random, horizon, count=500):
    """Return PIT moments of changes over `horizon` sessions, forecast rightly at each session."""
    level = np.concatenate([[0], np.cumsum(random.normal(size=count + horizon - 1))])
    changes = (level[horizon:] - level[:-horizon])[:, None] / math.sqrt(horizon)
    return changes, quantiles_of(stats.norm(), len(changes))


@pytest.mark.parametrize("horizon", [1, 5])
def test_right_quantiles_are_rejected_as_often_as_promised_however_forecasts_overlap(horizon):
    random = np.random.default_rng(2)
    p_values = []
    for _ in range(400):
        changes, quantiles = overlapping(random, horizon)
        p_values.append(pit_p_value(pit_moments(changes, quantiles)[:, 0], horizon))
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.075
    assert 0.4 < np.mean(p_values) < 0.6


@pytest.mark.parametrize(("shift", "scale"), [(0.3, 1.0), (0.0, 0.7), (0.0, 1.4)])
def test_a_wrong_location_or_spread_is_rejected(shift, scale):
    changes, quantiles = overlapping(np.random.default_rng(3), 5, 2000)
    moments = pit_moments(shift + scale * changes, quantiles)[:, 0]
    assert pit_p_value(moments, 5) < 0.01


def test_too_few_sessions_have_no_p_value():
    assert math.isnan(pit_p_value(np.zeros((1, 2)), 1))
    assert math.isnan(pit_p_value(np.random.default_rng(4).normal(size=(5, 2)), 5))
    assert math.isnan(pit_p_value(np.ones((100, 2)), 1))
