"""Significance: intervals and t statistics against simulation and plain loops."""

import math

import numpy as np
import pytest

from pipeline.measures.significance import CONFIDENCE, Difference, difference, t_statistic


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


@pytest.mark.parametrize("ratio", [1.0, 0.97])
def test_an_interval_holds_the_true_ratio_about_as_often_as_it_claims(ratio):
    random, held = np.random.default_rng(5), 0
    for _ in range(200):
        measured = difference(*pairs(random, 252, ratio))
        held += measured.low <= ratio - 1 <= measured.high
    assert CONFIDENCE == 0.9
    assert 0.8 < held / 200 < 0.96


def test_two_equals_seldom_differ_significantly_and_a_clear_winner_does():
    random = np.random.default_rng(6)
    equals = [difference(*pairs(random, 252, 1.0)) for _ in range(100)]
    assert sum(measured.better or measured.worse for measured in equals) < 25
    assert all(difference(*pairs(random, 252, 0.9)).better for _ in range(20))
    assert all(difference(*pairs(random, 252, 1.1)).worse for _ in range(20))


def test_the_value_is_the_ratio_of_the_means_less_one_and_lies_inside():
    losses, others = pairs(np.random.default_rng(7), 100, 0.95)
    measured = difference(losses, others)
    assert measured.value == pytest.approx(sum(losses) / sum(others) - 1)
    assert measured.low < measured.value < measured.high


def test_the_same_losses_have_the_same_interval_and_another_seed_nearly_the_same():
    losses, others = pairs(np.random.default_rng(8), 252, 0.97)
    measured = difference(losses, others)
    assert measured == difference(losses.copy(), others.copy())
    other = difference(losses, others, seed=1)
    assert other != measured and other.value == measured.value
    assert (other.low, other.high) == pytest.approx(
        (measured.low, measured.high), abs=0.1 * (measured.high - measured.low)
    )


def test_a_unit_of_account_makes_no_difference():
    losses, others = pairs(np.random.default_rng(9), 252, 0.97)
    assert difference(losses * 8, others * 8) == difference(losses, others)


def test_a_loss_that_is_always_the_same_share_less_is_surely_better_and_a_tie_is_neither():
    others = np.random.default_rng(10).uniform(1, 2, 50)
    measured = difference(0.9 * others, others)
    assert (measured.value, measured.low, measured.high) == pytest.approx((-0.1, -0.1, -0.1))
    assert measured.better and not measured.worse
    tie = difference(others, others)
    assert tie == Difference(0.0, 0.0, 0.0) and not tie.better and not tie.worse


@pytest.mark.parametrize("count", [1, 2, 19, 21])
def test_few_sessions_still_have_an_interval(count):
    losses, others = pairs(np.random.default_rng(11), count, 1.0)
    measured = difference(losses, others)
    assert measured.low <= measured.value <= measured.high or count > 19
    assert np.isfinite([measured.value, measured.low, measured.high]).all()
    assert measured.low < measured.high or count == 1, "a few sessions are not certain"


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
    measured = difference(np.array(losses), np.array(others))
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
