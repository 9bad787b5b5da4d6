"""Significance: intervals and t statistics against simulation and plain loops."""

import math

import numpy as np
import pytest

from pipeline.measures.significance import (
    CONFIDENCE,
    Difference,
    Estimate,
    difference,
    kept_share,
    mean_estimate,
    ratio_estimate,
    share_estimate,
    t_statistic,
)


def autoregressive(random, count, memory):
    series, value = np.empty(count), 0.0
    for index in range(count):
        value = memory * value + math.sqrt(1 - memory**2) * random.normal()
        series[index] = value
    return series


def pairs(random, count, ratio):
    """Return losses of two forecasters on the same sessions.

    Their common part is correlated from session to session, and so is their difference.
    """
    common = np.exp(0.3 * autoregressive(random, count, 0.9))
    gap = 0.1 * autoregressive(random, count, 0.6)
    return common * (ratio + gap), common


def overlapping(random, horizon, count=252):
    """Return losses of two forecasters of `horizon` sessions, whose ratio is 1 in the long run.

    Neighbouring sessions' forecasts share all but one of the sessions that they are about.
    """

    def moving_sums(length):
        steps = np.concatenate([[0], np.cumsum(random.normal(size=count + length))])
        return (steps[length : length + count] - steps[:count]) / math.sqrt(length)

    common = np.exp(0.3 * moving_sums(max(horizon, 5)))
    return common * (1 + 0.1 * moving_sums(horizon)), common


@pytest.mark.parametrize("horizon", [1, 5, 20, 60])
def test_an_interval_holds_the_true_ratio_as_often_as_it_claims_however_forecasts_overlap(horizon):
    random, count = np.random.default_rng(11), 1500
    measured = [difference(*overlapping(random, horizon), horizon) for _ in range(count)]
    held = sum(each.low <= 0 <= each.high for each in measured) / count
    assert CONFIDENCE == 0.9
    assert 0.88 < held < 0.92


def test_two_equals_seldom_differ_significantly_and_a_clear_winner_does():
    random = np.random.default_rng(6)
    equals = [difference(*pairs(random, 252, 1.0), 5) for _ in range(100)]
    assert sum(measured.better or measured.worse for measured in equals) < 25
    assert all(difference(*pairs(random, 252, 0.9), 5).better for _ in range(20))
    assert all(difference(*pairs(random, 252, 1.1), 5).worse for _ in range(20))


def test_the_value_is_the_ratio_of_the_means_less_one_and_lies_inside():
    losses, others = pairs(np.random.default_rng(7), 100, 0.95)
    measured = difference(losses, others, 5)
    assert measured.value == pytest.approx(sum(losses) / sum(others) - 1)
    assert measured.low < measured.value < measured.high


def test_a_unit_of_account_makes_no_difference():
    losses, others = pairs(np.random.default_rng(9), 252, 0.97)
    assert difference(losses * 8, others * 8, 5) == difference(losses, others, 5)


def test_a_loss_that_is_always_the_same_share_less_is_surely_better_and_a_tie_is_neither():
    others = np.random.default_rng(10).uniform(1, 2, 50)
    measured = difference(0.9 * others, others, 5)
    assert (measured.value, measured.low, measured.high) == pytest.approx((-0.1, -0.1, -0.1))
    assert measured.better and not measured.worse
    tie = difference(others, others, 5)
    assert tie == Difference(0.0, 0.0, 0.0) and not tie.better and not tie.worse


@pytest.mark.parametrize("count", [2, 3, 19, 21])
def test_few_sessions_still_have_an_interval(count):
    losses, others = pairs(np.random.default_rng(11), count, 1.0)
    measured = difference(losses, others, 5)
    assert -1 < measured.low < measured.value < measured.high < math.inf


def test_a_single_session_is_no_evidence_at_all():
    measured = difference(np.array([0.5]), np.array([1.0]), 1)
    assert (measured.value, measured.low, measured.high) == (-0.5, -1.0, math.inf)
    assert not measured.better and not measured.worse


def test_a_loss_of_nothing_is_all_better():
    assert difference(np.zeros(9), np.ones(9), 1) == Difference(-1.0, -1.0, -1.0)


@pytest.mark.parametrize(("horizon", "freedom"), [(1, 12), (5, 12), (6, 10), (20, 3), (60, 1)])
def test_an_interval_is_students_with_the_slowest_cosines_as_a_plain_loop_has_them(
    horizon, freedom
):
    losses, others = pairs(np.random.default_rng(14), 252, 0.97)
    measured = difference(losses, others, horizon)
    relative = [x / losses.mean() - y / others.mean() for x, y in zip(losses, others, strict=True)]
    squares = []
    for number in range(1, freedom + 1):
        terms = [
            math.cos(math.pi * number * (place + 0.5) / 252) * value
            for place, value in enumerate(relative)
        ]
        squares.append(2 / 252 * sum(terms) ** 2)
    error = math.sqrt(sum(squares) / freedom / 252)
    from scipy import stats  # here, where collecting does not wait for it

    reach = error * stats.t.ppf(0.95, freedom)
    assert math.log1p(measured.high) == pytest.approx(math.log1p(measured.value) + reach)
    assert math.log1p(measured.low) == pytest.approx(math.log1p(measured.value) - reach)


@pytest.mark.parametrize(
    ("losses", "others"),
    [
        ([], []),
        ([1.0, 1.0], [0.0, 0.0]),
        ([math.nan, 1.0], [1.0, 1.0]),
        ([1.0, 1.0], [math.nan, 1.0]),
    ],
    ids=["none", "zero", "NaN in one", "NaN in the other"],
)
def test_without_numbers_neither_is_better_or_worse(losses, others):
    measured = difference(np.array(losses), np.array(others), 5)
    assert (
        math.isnan(measured.low)
        and math.isnan(measured.high)
        and not measured.better
        and not measured.worse
    )


def test_a_difference_is_written_in_percent():
    assert str(Difference(-0.0123, -0.02, 0.001)) == "-1.23% [-2.00%, +0.10%]"


def slow_t(gains, lags):
    count, mean = len(gains), sum(gains) / len(gains)
    variance = sum((gain - mean) ** 2 for gain in gains) / count
    for lag in range(1, lags + 1):
        products = [
            (gains[later] - mean) * (gains[later - lag] - mean) for later in range(lag, count)
        ]
        variance += 2 * (1 - lag / (lags + 1)) * sum(products) / count
    return mean / math.sqrt(variance / count)


@pytest.mark.parametrize("lags", [0, 1, 20])
def test_the_t_statistic_is_that_of_a_plain_loop(lags):
    gains = autoregressive(np.random.default_rng(12), 120, 0.7) + 0.2
    assert t_statistic(gains, lags) == pytest.approx(slow_t(gains.tolist(), lags))


def test_correlated_gains_are_less_evidence():
    gains = autoregressive(np.random.default_rng(13), 500, 0.9) + 1.0
    assert 0 < t_statistic(gains, 20) < 0.6 * t_statistic(gains, 0)


@pytest.mark.parametrize("gains", [[], [1.0], [0.0, 0.0, 0.0]])
def test_where_nothing_moves_there_is_no_evidence(gains):
    assert t_statistic(np.array(gains), 20) == 0.0


@pytest.mark.parametrize("horizon", [1, 5])
def test_the_interval_of_a_mean_or_a_ratio_holds_it_as_often_as_it_claims(horizon):
    random, count = np.random.default_rng(12), 800
    means, ratios = [], []
    for _ in range(count):
        ours, others = overlapping(random, horizon)
        means.append(mean_estimate(ours - others, horizon))
        ratios.append(ratio_estimate(ours, others, horizon))
    for estimates, truth in ((means, 0.0), (ratios, 1.0)):
        held = sum(each.low <= truth <= each.high for each in estimates) / count
        assert 0.87 < held < 0.93


def test_an_estimate_is_the_mean_or_the_ratio_of_the_means():
    ours, others = np.array([1.0, 2.0, 6.0]), np.array([2.0, 2.0, 2.0])
    assert mean_estimate(ours, 1).value == 3.0
    assert ratio_estimate(ours, others, 1).value == 1.5
    assert mean_estimate(ours[:1], 1) == Estimate(1.0, -math.inf, math.inf)
    assert math.isnan(mean_estimate(ours[:0], 1).value)
    assert math.isnan(ratio_estimate(ours, -others, 1).value)
    assert mean_estimate(others, 1) == Estimate(2.0, 2.0, pytest.approx(2.0))


def test_a_share_of_what_has_never_happened_has_no_bounds():
    never = share_estimate(np.zeros(100), 1)
    assert never.value == 0.0 and math.isnan(never.low) and math.isnan(never.high)
    once = np.zeros(100)
    once[50] = 1.0
    bounds = mean_estimate(once, 1)
    assert bounds.low < 0
    assert share_estimate(once, 1) == Estimate(0.01, 0.0, bounds.high)


def test_of_a_change_as_much_is_kept_as_its_gains_are_certain():
    gains = np.random.default_rng(3).normal(size=400) + 0.2
    t = t_statistic(gains, 20)
    assert kept_share(gains, 5) == pytest.approx(1 - 1 / t**2)
    long = t_statistic(gains, 60)
    assert kept_share(gains, 30) == pytest.approx(1 - 1 / long**2)
    assert kept_share(-gains, 5) == 0.0
    assert kept_share(gains - gains.mean() + 1e-9, 5) == 0.0
