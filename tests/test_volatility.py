"""Exponentially weighted volatility, against a plain loop."""

import math

import numpy as np
import pytest

from pipeline.volatility import DECAY, LOWEST, SESSIONS, exponentially_weighted
from tests.made_windows import walk

PRICES = walk(300)["close"].to_numpy()


def slow(prices, at):
    total = weight = 0.0
    for age in range(SESSIONS):
        day = at - age
        if day >= 1 and math.isfinite(prices[day]) and math.isfinite(prices[day - 1]):
            total += DECAY**age * math.log(prices[day] / prices[day - 1]) ** 2
            weight += DECAY**age
    return max(math.sqrt(total / weight), LOWEST) if weight else LOWEST


def test_the_volatility_is_that_of_a_plain_loop():
    made = exponentially_weighted(PRICES)
    assert made.shape == (300,)
    np.testing.assert_allclose(made, [slow(PRICES, at) for at in range(300)])


def test_a_price_that_is_missing_says_nothing_and_its_neighbours_count_the_more():
    prices = PRICES.copy()
    prices[[5, 150, 151]] = np.nan
    np.testing.assert_allclose(exponentially_weighted(prices), [slow(prices, at) for at in range(300)])


def test_where_the_series_begins_makes_no_difference_to_what_has_a_hundred_changes_behind_it():
    for begin in (1, 37, 199):
        np.testing.assert_array_equal(
            exponentially_weighted(PRICES[begin:])[SESSIONS:], exponentially_weighted(PRICES)[begin:][SESSIONS:]
        )
    assert exponentially_weighted(PRICES[199:])[SESSIONS - 1] != exponentially_weighted(PRICES)[199 + SESSIONS - 1]


def test_later_prices_change_nothing():
    changed = PRICES.copy()
    changed[200:] *= 3
    np.testing.assert_array_equal(exponentially_weighted(changed)[:200], exponentially_weighted(PRICES)[:200])


@pytest.mark.parametrize("prices", [np.full(150, 7.0), np.full(3, 7.0), np.array([7.0])])
def test_prices_that_stand_still_have_the_lowest(prices):
    assert set(exponentially_weighted(prices)) == {LOWEST}


def test_dollars_or_shares_make_no_difference():
    np.testing.assert_array_equal(exponentially_weighted(PRICES / 2), exponentially_weighted(PRICES))
    np.testing.assert_allclose(exponentially_weighted(PRICES / 3), exponentially_weighted(PRICES))


def test_it_follows_a_storm_and_forgets_it():
    changes = np.where((np.arange(400) >= 200) & (np.arange(400) < 250), 0.05, 0.01) * (-1.0) ** np.arange(400)
    made = exponentially_weighted(np.exp(np.cumsum(changes)))
    assert made[199] == pytest.approx(0.01) and made[399] == pytest.approx(0.01)
    assert made[249] == pytest.approx(0.049, abs=0.001)


def test_a_price_of_nought_is_no_change_that_counts():
    prices = PRICES.copy()
    prices[100] = 0.0
    made = exponentially_weighted(prices)
    assert np.isfinite(made).all()
    np.testing.assert_array_equal(made[:100], exponentially_weighted(PRICES)[:100])
