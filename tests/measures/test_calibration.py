"""Calibration by replay: it knows only what was known then, and its intervals hold their share."""

import math

import numpy as np
import pytest

from pipeline.measures.calibration import (
    CALIBRATION_RATE,
    REPLAYED_TOGETHER,
    replay,
    replay_all,
    widened,
)
from pipeline.models.baselines import NORMAL_QUANTILES
from pipeline.quantiles import INTERVALS, coverage, pinball

LEVELS = {50: (2, 4), 80: (1, 5), 95: (0, 6)}


def forecasts(count, horizon=3, width=1.0, seed=0):
    """Return actuals and quantiles about 100.

    Actuals are normal with a deviation of 2 per root of the horizon, forecast with `width` times
    that.
    """
    random, roots = np.random.default_rng(seed), np.sqrt(np.arange(1, horizon + 1))
    actual = 100 + 2 * roots * random.normal(size=(count, horizon))
    quantiles = 100 + 2 * width * roots[None, :, None] * np.tile(NORMAL_QUANTILES, (count, 1, 1))
    return actual, quantiles


def slow_widened(row, logs):
    """Return a window's quantiles, each widened by the factor of its interval."""
    growth = {2: logs[0], 4: logs[0], 1: logs[1], 5: logs[1], 0: logs[2], 6: logs[2], 3: 0.0}
    wide = [row[3] + (row[place] - row[3]) * math.exp(growth[place]) for place in range(7)]
    return sorted(max(quantile, 0.0) for quantile in wide)


def slow_replay(actual, quantiles, position, rate):
    """Return quantiles and logs by the definition.

    At every window, all outcomes known by then are gone through again in the order in which they
    became known.
    """
    count, horizon = actual.shape
    calibrated, logs = [], [0.0, 0.0, 0.0]
    done = set()
    for now in range(count):
        for ahead in range(horizon):
            for before in range(now):
                if (before, ahead) in done or position[before] + ahead + 1 > position[now]:
                    continue
                done.add((before, ahead))
                outcome = actual[before][ahead]
                if math.isnan(outcome):
                    continue
                forecast = calibrated[before][ahead]
                for place, (level, (low, high)) in enumerate(LEVELS.items()):
                    hit = forecast[low] <= outcome <= forecast[high]
                    logs[place] += rate / horizon * (level / 100 - hit)
        calibrated.append([slow_widened(row, logs) for row in quantiles[now]])
    return np.array(calibrated), logs


def test_a_replay_is_what_a_plain_loop_gives_with_gaps_and_missing_outcomes():
    actual, quantiles = forecasts(80, width=0.6)
    actual[[10, 40], 1] = np.nan
    actual[-3:, 2] = np.nan
    position = np.delete(np.arange(90), [3, 4, 20, 21, 22, 23, 50, 51, 60, 88])
    replayed = replay(actual, quantiles, position, rate=0.2)
    expected, logs = slow_replay(actual, quantiles, position, 0.2)
    np.testing.assert_allclose(replayed.quantiles, expected)
    np.testing.assert_allclose(replayed.growth, logs)


def test_forecasters_replayed_together_come_out_as_each_alone_to_the_last_bit():
    """Also those with other gaps, and more of them than are in memory together."""
    whole, gaps = np.arange(60), np.delete(np.arange(63), [5, 20, 21])
    series = []
    for seed in range(REPLAYED_TOGETHER + 3):
        actual, quantiles = forecasts(60, width=0.5 + seed / REPLAYED_TOGETHER, seed=seed)
        actual[seed % 60, 1] = np.nan
        series.append((actual, quantiles, (gaps if seed % 3 else whole) + seed))
    for (actual, quantiles, position), together in zip(series, replay_all(series), strict=True):
        alone = replay(actual, quantiles, position)
        np.testing.assert_array_equal(together.quantiles, alone.quantiles)
        np.testing.assert_array_equal(together.growth, alone.growth)
    assert replay_all([]) == []


def test_the_first_forecasts_stay_as_they_were():
    actual, quantiles = forecasts(5, horizon=2)
    np.testing.assert_allclose(replay(actual, quantiles, np.arange(5)).quantiles[0], quantiles[0])


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_a_forecast_depends_on_outcomes_that_were_known_at_its_session_and_on_no_others(ahead):
    actual, quantiles = forecasts(60)
    actual[30] = 100.0
    changed = actual.copy()
    changed[30, ahead] = 1e6
    ours, theirs = (
        replay(outcomes, quantiles, np.arange(60)).quantiles for outcomes in (actual, changed)
    )
    known = 30 + ahead + 1  # one, two or three sessions later
    np.testing.assert_array_equal(ours[:known], theirs[:known])
    assert (ours[known:] != theirs[known:]).any(axis=(1, 2)).all()


def test_later_outcomes_do_not_move_an_earlier_forecast():
    actual, quantiles = forecasts(60)
    for now in (1, 17, 40):
        later = actual.copy()
        for row in range(60):
            for ahead in range(3):
                if row + ahead + 1 > now:
                    later[row, ahead] = -1e6
        ours, theirs = (
            replay(outcomes, quantiles, np.arange(60)).quantiles for outcomes in (actual, later)
        )
        np.testing.assert_array_equal(ours[: now + 1], theirs[: now + 1])
        unknown = np.where(later == -1e6, np.nan, actual)
        np.testing.assert_array_equal(
            replay(unknown, quantiles, np.arange(60)).quantiles[now], ours[now]
        )


def test_over_a_gap_more_becomes_known_at_once():
    actual, quantiles = forecasts(3)
    actual[0] = 1e6
    near = replay(actual, quantiles, np.array([0, 1, 2]), rate=0.3)
    far = replay(actual, quantiles, np.array([0, 3, 4]), rate=0.3)
    raw_width = float(np.ptp(quantiles[1, 0]))
    widths = [float(np.ptp(replayed.quantiles[1, 0])) / raw_width for replayed in (near, far)]
    assert widths == pytest.approx([math.exp(0.1 * 0.95), math.exp(0.3 * 0.95)])


def test_unknown_outcomes_change_nothing():
    actual, quantiles = forecasts(30)
    replayed = replay(np.full_like(actual, np.nan), quantiles, np.arange(30))
    np.testing.assert_allclose(replayed.quantiles, quantiles)
    assert replayed.growth.tolist() == [0, 0, 0]


@pytest.mark.parametrize(("width", "wider"), [(0.5, True), (2.0, False)])
def test_intervals_that_are_too_narrow_or_too_wide_learn_to_hold_their_share(width, wider):
    actual, quantiles = forecasts(4000, horizon=2, width=width)
    replayed = replay(actual, quantiles, np.arange(4000))
    assert ((replayed.growth > 0) == wider).all()
    actual, raw, calibrated = actual[2000:], quantiles[2000:], replayed.quantiles[2000:]
    for level in INTERVALS:
        before, after = (coverage(actual, each, level).mean() for each in (raw, calibrated))
        assert abs(after - level / 100) < 0.02 < abs(before - level / 100)
    assert pinball(actual, calibrated).mean() < pinball(actual, raw).mean()


def test_intervals_that_are_right_already_stay_nearly_as_they_are():
    actual, quantiles = forecasts(2000, horizon=2)
    replayed = replay(actual, quantiles, np.arange(2000))
    assert abs(replayed.growth).max() < 0.3
    assert pinball(actual, replayed.quantiles).mean() < 1.005 * pinball(actual, quantiles).mean()


def test_in_a_storm_the_intervals_hold_their_share_all_the_same():
    """Every outcome is twice as far out in every other half year."""
    actual, quantiles = forecasts(3000, horizon=1)
    actual = 100 + (actual - 100) * np.where(np.arange(3000) // 125 % 2, 2.0, 1.0)[:, None]
    calibrated = replay(actual, quantiles, np.arange(3000)).quantiles
    before, after = (coverage(actual, each, 80)[0] for each in (quantiles, calibrated))
    assert abs(after - 0.8) < 0.03 and abs(before - 0.8) > 0.1


def test_calibrated_quantiles_are_in_order_and_never_below_zero():
    actual, quantiles = forecasts(300, width=0.3)
    calibrated = replay(actual - 95, quantiles - 95, np.arange(300), rate=0.5).quantiles
    assert (np.diff(calibrated, axis=-1) >= 0).all() and calibrated.min() == 0.0


def test_growth_widens_each_interval_about_the_median_by_its_own_factor():
    quantiles = np.array([4.0, 6.0, 8.0, 10.0, 13.0, 16.0, 19.0])
    np.testing.assert_allclose(
        widened(quantiles, np.log([1.0, 1.5, 1.0])), [4, 4, 8, 10, 13, 19, 19]
    )
    np.testing.assert_allclose(
        widened(quantiles, np.log([4.0, 1.0, 1.0])), [2, 4, 6, 10, 16, 19, 22]
    )  # crossed, and put in order
    np.testing.assert_allclose(
        widened(quantiles, np.log([1.0, 1.0, 9.0])), [0, 6, 8, 10, 13, 16, 91]
    )


def test_a_replay_does_not_change_its_arguments():
    actual, quantiles = forecasts(20)
    before = actual.copy(), quantiles.copy()
    replay(actual, quantiles, np.arange(20), CALIBRATION_RATE)
    np.testing.assert_array_equal(actual, before[0])
    np.testing.assert_array_equal(quantiles, before[1])
