"""The line that moves the median of `har`: what it is worth, for a high and for a close."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.models import har, har_medians
from pipeline.quantiles import MEDIAN
from tests.made_panels import clustered

HORIZON, FITTED = 3, 900


@pytest.fixture(scope="module")
def closes():
    return clustered(0, 4, 1200)


@pytest.fixture(scope="module")
def highs(closes):
    return dataclasses.replace(closes, target=closes.bars[:, :, 1])


@pytest.fixture(scope="module")
def of_highs(highs):
    deviations = har.ridge(highs, HORIZON, FITTED)
    return deviations, har_medians.fitted_lines(highs, deviations, FITTED)


def test_a_high_is_forecast_from_all_prices_of_its_session(highs):
    quantiles = har.forecast("har", highs, HORIZON, FITTED)
    before, actual = highs.target[FITTED:-1], highs.target[FITTED + 1 :]
    errors = np.sqrt(np.mean((actual - quantiles[:-1, :, 0, MEDIAN]) ** 2))
    assert errors < 0.85 * np.sqrt(np.mean((actual - before) ** 2))
    plain = har.forecast("har_range", highs, HORIZON, FITTED)
    np.testing.assert_allclose(plain[:-1, :, 0, MEDIAN], before, rtol=0.02)
    assert (np.diff(quantiles, axis=3) > 0).all()


def test_the_centre_is_the_line_through_the_distances_of_the_prices(highs, of_highs):
    deviations, lines = of_highs
    centres = har_medians.centres_of(highs, deviations, lines)
    prices, high = highs.bars[950, 2, :4], highs.target[950, 2]
    distances = np.log(prices / high) / deviations[0, 950, 2]
    for ahead in range(HORIZON):
        expected = deviations[ahead, 950, 2] * (lines[ahead, 0] + lines[ahead, 1:] @ distances)
        assert centres[ahead, 950, 2] == pytest.approx(expected)
    assert lines[0, 2] == 0, "the high is no distance from itself"


def test_the_line_is_least_squares_shrunk_by_what_it_gained_in_a_year(highs, of_highs):
    deviations, lines = of_highs
    logs = np.log(highs.target)
    shocks = ((logs[1:] - logs[:-1]) / deviations[0, :-1])[22:FITTED]
    distances = (np.log(highs.bars[:, :, :4]) - logs[..., None]) / deviations[0][..., None]
    design = np.concatenate([np.ones((FITTED - 22, 4, 1)), distances[22:FITTED]], axis=2)
    plain = np.linalg.lstsq(design.reshape(-1, 5), shocks.reshape(-1))[0]
    weight = lines[0, 4] / plain[4]
    assert 0.9 < weight < 1
    np.testing.assert_allclose(lines[0], weight * plain, atol=0.02)  # the penalty is weak


def test_a_line_that_has_gained_nothing_is_none():
    market = clustered(5, 4, 1200)
    deviations = har.ridge(market, HORIZON, FITTED)
    lines = har_medians.fitted_lines(market, deviations, FITTED)
    assert not lines.any()
    assert not har_medians.centres_of(market, deviations, lines).any()


def test_a_line_that_moves_all_by_the_same_has_no_evidence():
    shocks = np.random.default_rng(0).normal(size=(252, 3)) + 1
    assert har_medians._evidence(shocks, np.ones((252, 3)), 1) == 0
    assert har_medians._evidence(np.full((252, 3), np.nan), np.ones((252, 3)), 1) == 0
    assert har_medians._evidence(shocks, shocks / 2, 1) > 0.95


def test_without_a_year_to_show_a_gain_there_is_no_line(highs, of_highs):
    deviations, _ = of_highs
    assert not har_medians.fitted_lines(highs, deviations, 280).any()


def test_a_session_with_a_missing_price_moves_nothing(highs, of_highs):
    deviations, lines = of_highs
    bars = highs.bars.copy()
    bars[950, 2, 0] = np.nan
    centres = har_medians.centres_of(dataclasses.replace(highs, bars=bars), deviations, lines)
    whole = har_medians.centres_of(highs, deviations, lines)
    assert not centres[:, 950, 2].any() and whole[:, 950, 2].all()
    centres[:, 950, 2] = whole[:, 950, 2]
    assert np.array_equal(centres, whole)


def test_nothing_after_the_training_cutoff_is_fitted(highs, of_highs):
    deviations, lines = of_highs
    bars = highs.bars.copy()
    bars[FITTED + 1 :] *= 2
    later = dataclasses.replace(highs, bars=bars, target=bars[:, :, 1])
    assert np.array_equal(har_medians.fitted_lines(later, deviations, FITTED), lines)


def test_dividends_move_no_price_away_from_the_target(highs, of_highs):
    """The bars are those that the last session sees: all dividends are off them."""
    deviations, lines = of_highs
    steps = np.ones(highs.target.shape)
    steps[60::60, 0] = 0.9
    paid = np.cumprod(steps, axis=0)
    bars = np.concatenate([highs.bars[:, :, :4] * paid[-1, :, None], highs.bars[:, :, 4:]], axis=2)
    traded = dataclasses.replace(highs, bars=bars, target=highs.target * paid, steps=steps)
    np.testing.assert_allclose(
        har_medians.centres_of(traded, deviations, lines),
        har_medians.centres_of(highs, deviations, lines),
        atol=1e-12,
    )
