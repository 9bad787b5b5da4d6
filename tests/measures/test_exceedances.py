"""Exceedances and their tests, against published regions, counts by hand and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from pipeline.measures.exceedances import (
    REJECTED_BELOW,
    ExceedanceTest,
    exceedance_test,
    exceeded,
    kupiec_ratio,
    promised_share,
    scatter_ratio,
)

#: Where Kupiec's test does not reject at 5%: promised share, sessions, the counts on either side of
#: the region (Kupiec 1995, as P. Jorion, Value at Risk, prints them; None: no count is too few).
REGIONS = [
    (0.01, 510, 1, 11),
    (0.01, 1000, 4, 17),
    (0.025, 255, 2, 12),
    (0.025, 510, 6, 21),
    (0.025, 1000, 15, 36),
    (0.05, 255, 6, 21),
    (0.05, 510, 16, 36),
    (0.05, 1000, 37, 65),
    (0.075, 255, 11, 28),
    (0.075, 510, 27, 51),
    (0.075, 1000, 59, 92),
    (0.10, 255, 16, 36),
    (0.10, 510, 38, 65),
    (0.10, 1000, 81, 120),
]


@pytest.mark.parametrize(("promised", "sessions", "too_few", "too_many"), REGIONS)
def test_kupiec_accepts_the_counts_that_his_table_does(promised, sessions, too_few, too_many):
    accepted = [
        count
        for count in range(sessions + 1)
        if stats.chi2.sf(kupiec_ratio(sessions, count, promised), 1) >= 0.05
    ]
    assert (accepted[0] - 1, accepted[-1] + 1) == (too_few, too_many)


def marks_of(text):
    return np.array([{"-": 0.0, "x": 1.0, "?": math.nan}[each] for each in text])


def test_counts_by_hand():
    # 10 sessions, 3 exceedances; pairs: 00 4, 01 2, 10 2, 11 1.
    marks = marks_of("--x---xx--")
    free = 7 * math.log(0.7) + 3 * math.log(0.3)
    kupiec = 2 * (free - 7 * math.log(0.9) - 3 * math.log(0.1))
    apart = 4 * math.log(4 / 6) + 2 * math.log(2 / 6) + 2 * math.log(2 / 3) + math.log(1 / 3)
    together = 6 * math.log(6 / 9) + 3 * math.log(3 / 9)
    assert kupiec_ratio(10, 3, 0.1) == pytest.approx(kupiec)
    assert scatter_ratio(marks) == pytest.approx(2 * (apart - together), abs=1e-12)
    test = exceedance_test(marks, 0.1)
    assert (test.sessions, test.exceedances, test.promised, test.share) == (10, 3, 0.1, 0.3)
    assert test.kupiec == pytest.approx(stats.chi2.sf(kupiec, 1))
    assert test.independence == pytest.approx(1.0)
    assert test.conditional == pytest.approx(stats.chi2.sf(kupiec, 2))


def test_exceedances_in_a_row_are_as_many_and_not_as_scattered():
    marks = np.zeros(200)
    marks[100:110] = 1
    test = exceedance_test(marks, 0.05)
    assert test.kupiec == 1.0
    assert test.independence < 1e-6
    assert test.independence < test.conditional < REJECTED_BELOW


def test_none_at_all_is_too_few_and_independent():
    assert exceedance_test(np.zeros(500), 0.025) == ExceedanceTest(
        500,
        0,
        0.025,
        pytest.approx(stats.chi2.sf(-1000 * math.log(0.975), 1)),
        1.0,
        pytest.approx(stats.chi2.sf(-1000 * math.log(0.975), 2)),
    )


def test_every_session_exceeds_a_bound_of_nothing():
    assert exceedance_test(np.ones(5), 0.0).kupiec == 0.0


def test_unknown_outcomes_are_left_out_with_their_pairs():
    # The pair x? and ?x is no pair of neighbours.
    marks = marks_of("-x?x--")
    assert exceedance_test(marks, 0.1).sessions == 5
    assert scatter_ratio(marks) == pytest.approx(
        2 * (math.log(1 / 2) * 2 - 2 * math.log(2 / 3) - math.log(1 / 3))
    )
    unknown = exceedance_test(marks_of("??"), 0.1)
    assert (unknown.sessions, unknown.exceedances) == (0, 0)
    assert all(
        math.isnan(each)
        for each in (unknown.kupiec, unknown.independence, unknown.conditional, unknown.share)
    )


def test_an_outcome_exceeds_a_quantile_on_the_side_away_from_the_median():
    actual = np.array([89.0, 90.0, 100.0, 110.0, 111.0, math.nan])
    below, above = (np.full(6, bound) for bound in (90.0, 110.0))
    nan = math.nan
    np.testing.assert_array_equal(exceeded(actual, below, 0.025), [1, 0, 0, 0, 0, nan])
    np.testing.assert_array_equal(exceeded(actual, above, 0.975), [0, 0, 0, 0, 1, nan])
    assert [promised_share(each) for each in (0.025, 0.975)] == [0.025, pytest.approx(0.025)]


@pytest.mark.parametrize("horizon", [1, 5])
def test_a_right_bound_is_seldom_rejected_though_forecasts_overlap(horizon):
    # The outcome of h sessions is the sum of h changes: neighbours share all but one.
    random, count = np.random.default_rng(3), 400
    bound = stats.norm.ppf(0.9) * math.sqrt(horizon)
    rejected = 0
    for _ in range(count):
        level = np.concatenate([[0], np.cumsum(random.normal(size=1000 + horizon))])
        marks = exceeded(level[horizon:] - level[:-horizon], np.full(1001, bound), 0.9)
        rejected += exceedance_test(marks, 0.1, horizon).conditional < REJECTED_BELOW
    assert rejected / count < 0.08


def test_a_bound_that_is_too_near_is_found_though_forecasts_overlap():
    random = np.random.default_rng(4)
    level = np.concatenate([[0], np.cumsum(random.normal(size=1005))])
    near = np.full(1001, 0.7 * stats.norm.ppf(0.9) * math.sqrt(5))
    assert exceedance_test(exceeded(level[5:] - level[:-5], near, 0.9), 0.1, 5).kupiec < 0.05
