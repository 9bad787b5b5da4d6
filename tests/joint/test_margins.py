"""Margins: the published quantiles, and what stands between and beyond them."""

import numpy as np
import pytest
from scipy.stats import t as student

from pipeline.joint import outer_quantiles, quantiles_at, strata
from pipeline.joint.margins import TAIL_FREEDOM
from pipeline.quantiles import PROBABILITIES

PUBLISHED = np.array([[90.0, 95.0, 98.0, 100.0, 101.0, 104.0, 111.0], [7.1, 8, 9, 10, 11, 12, 13]])


def test_strata_are_the_middles_of_equal_parts():
    assert strata(4).tolist() == [0.125, 0.375, 0.625, 0.875]


def test_a_published_level_is_the_published_quantile_to_the_last_bit():
    same = quantiles_at(np.array(PROBABILITIES), PROBABILITIES, PUBLISHED)
    assert same.tolist() == PUBLISHED.tolist()


def test_students_own_quantiles_are_continued_exactly():
    published = 100 + 3 * student.ppf(PROBABILITIES, TAIL_FREEDOM)
    wanted = np.array([0.0005, 0.01, 0.18, 0.5, 0.66, 0.99, 0.9995])
    exact = 100 + 3 * student.ppf(wanted, TAIL_FREEDOM)
    assert quantiles_at(wanted, PROBABILITIES, published) == pytest.approx(exact, abs=1e-9)


def test_each_tail_is_as_wide_as_its_own_outermost_quantiles():
    low, high = quantiles_at(np.array([0.01, 0.99]), PROBABILITIES, PUBLISHED[0])
    step = (student.ppf(0.99, 5) - student.ppf(0.975, 5)) / (
        student.ppf(0.975, 5) - student.ppf(0.9, 5)
    )
    assert (low, high) == (pytest.approx(90 - 5 * step), pytest.approx(111 + 7 * step))


def test_the_outer_quantiles_are_those_of_the_margins_and_never_inside():
    outer = outer_quantiles(PUBLISHED)
    assert outer.tolist() == quantiles_at(np.array([0.01, 0.99]), PROBABILITIES, PUBLISHED).tolist()
    assert (outer[:, 0] < PUBLISHED[:, 0]).all() and (outer[:, 1] > PUBLISHED[:, -1]).all()
    for value in np.random.default_rng(1).lognormal(3, 2, 1000):  # a price that does not move
        low, high = outer_quantiles(np.full(7, value))
        assert low <= value <= high
        assert (low, high) == pytest.approx((value, value), rel=1e-15)


def test_no_outer_quantile_is_below_zero():
    assert outer_quantiles(np.array([0.0, 0.5, 1, 2, 3, 4, 5]))[0] == 0.0


def test_one_and_99_percent_are_taken_where_they_are_published():
    levels = (0.01, *PROBABILITIES, 0.99)
    published = np.array([70.0, *PUBLISHED[0], 140.0])
    assert quantiles_at(np.array([0.01, 0.99]), levels, published).tolist() == [70.0, 140.0]


def test_draws_ascend_and_no_price_is_below_zero():
    near_zero = np.array([[0.001, 0.3, 0.6, 1.0, 1.4, 1.7, 2.0]])
    draws = quantiles_at(strata(1000), PROBABILITIES, near_zero)
    assert draws.shape == (1, 1000) and draws[0, 0] == 0.0
    assert (np.diff(draws[0]) >= 0).all()
