"""Exponentially weighted volatility, against a plain loop."""

import math

import numpy as np
import pytest

from pipeline.windows.volatility import (
    LONGEST_MEMORY,
    LOWEST_VOLATILITY,
    VOLATILITY_DECAY,
    exponentially_weighted,
)
from tests.made_windows import walk

PRICES = walk(300)["close"].to_numpy()


def slow_volatility(prices, at):
    total = weight = 0.0
    for age in range(LONGEST_MEMORY):
        day = at - age
        if day >= 1 and math.isfinite(prices[day]) and math.isfinite(prices[day - 1]):
            total += VOLATILITY_DECAY**age * math.log(prices[day] / prices[day - 1]) ** 2
            weight += VOLATILITY_DECAY**age
    return max(math.sqrt(total / weight), LOWEST_VOLATILITY) if weight else LOWEST_VOLATILITY


def test_the_volatility_is_that_of_a_plain_loop():
    volatility = exponentially_weighted(PRICES)
    assert volatility.shape == (300,)
    np.testing.assert_allclose(volatility, [slow_volatility(PRICES, at) for at in range(300)])


def test_a_missing_price_does_not_count_and_its_neighbours_count_the_more():
    prices = PRICES.copy()
    prices[[5, 150, 151]] = np.nan
    expected = [slow_volatility(prices, at) for at in range(300)]
    np.testing.assert_allclose(exponentially_weighted(prices), expected)


def test_where_the_series_begins_makes_no_difference_after_a_hundred_changes():
    whole = exponentially_weighted(PRICES)
    for begin in (1, 37, 199):
        np.testing.assert_array_equal(
            exponentially_weighted(PRICES[begin:])[LONGEST_MEMORY:], whole[begin:][LONGEST_MEMORY:]
        )
    last_that_differs = LONGEST_MEMORY - 1
    later = exponentially_weighted(PRICES[199:])
    assert later[last_that_differs] != whole[199 + last_that_differs]


def test_later_prices_change_nothing():
    changed = PRICES.copy()
    changed[200:] *= 3
    np.testing.assert_array_equal(
        exponentially_weighted(changed)[:200], exponentially_weighted(PRICES)[:200]
    )


@pytest.mark.parametrize("prices", [np.full(150, 7.0), np.full(3, 7.0), np.array([7.0])])
def test_prices_that_stand_still_have_the_lowest(prices):
    assert set(exponentially_weighted(prices)) == {LOWEST_VOLATILITY}


def test_dollars_or_shares_make_no_difference():
    volatility = exponentially_weighted(PRICES)
    np.testing.assert_array_equal(exponentially_weighted(PRICES / 2), volatility)
    np.testing.assert_allclose(exponentially_weighted(PRICES / 3), volatility)


def test_it_follows_a_storm_and_forgets_it():
    days = np.arange(400)
    changes = np.where((days >= 200) & (days < 250), 0.05, 0.01) * (-1.0) ** days
    volatility = exponentially_weighted(np.exp(np.cumsum(changes)))
    assert volatility[199] == pytest.approx(0.01) and volatility[399] == pytest.approx(0.01)
    assert volatility[249] == pytest.approx(0.049, abs=0.001)


def test_a_price_of_zero_is_no_change_that_counts():
    prices = PRICES.copy()
    prices[100] = 0.0
    volatility = exponentially_weighted(prices)
    assert np.isfinite(volatility).all()
    np.testing.assert_array_equal(volatility[:100], exponentially_weighted(PRICES)[:100])
