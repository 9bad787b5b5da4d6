"""Calibration by replay: what it may know, and that it keeps its promise."""

import math

import numpy as np
import pytest

from pipeline.calibration import RATE, TOGETHER, grown, replay, replay_all
from pipeline.models.baselines import NORMAL
from pipeline.quantiles import INTERVALS, coverage, pinball

LEVELS = {50: (2, 4), 80: (1, 5), 95: (0, 6)}


def made(count, horizon=3, width=1.0, seed=0):
    """(actual, quantiles): normal about 100 with a deviation of 2 per root of the horizon, said with `width` times that."""
    random, roots = np.random.default_rng(seed), np.sqrt(np.arange(1, horizon + 1))
    actual = 100 + 2 * roots * random.normal(size=(count, horizon))
    quantiles = 100 + 2 * width * roots[None, :, None] * np.tile(NORMAL, (count, 1, 1))
    return actual, quantiles


def slow(actual, quantiles, position, rate):
    """By the definition: at every window, all outcomes known by then are gone through anew in the order in which they became known."""
    count, horizon = actual.shape
    said, logs = [], [0.0, 0.0, 0.0]
    done = set()
    for now in range(count):
        for ahead in range(horizon):
            for before in range(now):
                if (before, ahead) in done or position[before] + ahead + 1 > position[now]:
                    continue
                done.add((before, ahead))
                came = actual[before][ahead]
                if math.isnan(came):
                    continue
                for place, (level, (low, high)) in enumerate(LEVELS.items()):
                    hit = said[before][ahead][low] <= came <= said[before][ahead][high]
                    logs[place] += rate / horizon * (level / 100 - hit)
        rows = []
        for row in quantiles[now]:
            factor = {2: logs[0], 4: logs[0], 1: logs[1], 5: logs[1], 0: logs[2], 6: logs[2], 3: 0.0}
            rows.append(sorted(max(row[3] + (row[k] - row[3]) * math.exp(factor[k]), 0.0) for k in range(7)))
        said.append(rows)
    return np.array(said), logs


def test_a_replay_is_what_a_plain_loop_gives_with_gaps_and_missing_outcomes():
    actual, quantiles = made(80, width=0.6)
    actual[[10, 40], 1] = np.nan
    actual[-3:, 2] = np.nan
    position = np.delete(np.arange(90), [3, 4, 20, 21, 22, 23, 50, 51, 60, 88])
    ours = replay(actual, quantiles, position, rate=0.2)
    expected, logs = slow(actual, quantiles, position, 0.2)
    np.testing.assert_allclose(ours.quantiles, expected)
    np.testing.assert_allclose(ours.growth, logs)


def test_forecasters_replayed_side_by_side_come_out_as_each_alone_to_the_last_bit():
    """Also those with gaps elsewhere, and more of them than are in memory together."""
    whole, gaps = np.arange(60), np.delete(np.arange(63), [5, 20, 21])
    series = []
    for seed in range(TOGETHER + 3):
        actual, quantiles = made(60, width=0.5 + seed / TOGETHER, seed=seed)
        actual[seed % 60, 1] = np.nan
        series.append((actual, quantiles, (gaps if seed % 3 else whole) + seed))
    for (actual, quantiles, position), together in zip(series, replay_all(series), strict=True):
        alone = replay(actual, quantiles, position)
        np.testing.assert_array_equal(together.quantiles, alone.quantiles)
        np.testing.assert_array_equal(together.growth, alone.growth)
    assert replay_all([]) == []


def test_the_first_forecasts_are_as_they_were_said():
    actual, quantiles = made(5, horizon=2)
    np.testing.assert_allclose(replay(actual, quantiles, np.arange(5)).quantiles[0], quantiles[0])


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_a_forecast_depends_on_outcomes_that_were_known_at_its_session_and_on_no_others(ahead):
    actual, quantiles = made(60)
    actual[30] = 100.0
    changed = actual.copy()
    changed[30, ahead] = 1e6
    ours, theirs = (replay(outcomes, quantiles, np.arange(60)).quantiles for outcomes in (actual, changed))
    known = 30 + ahead + 1  # one, two or three sessions later
    np.testing.assert_array_equal(ours[:known], theirs[:known])
    assert (ours[known:] != theirs[known:]).any(axis=(1, 2)).all()


def test_nothing_of_what_comes_later_moves_an_earlier_forecast():
    actual, quantiles = made(60)
    for now in (1, 17, 40):
        later = actual.copy()
        for row in range(60):
            for ahead in range(3):
                if row + ahead + 1 > now:
                    later[row, ahead] = -1e6
        ours, theirs = (replay(outcomes, quantiles, np.arange(60)).quantiles for outcomes in (actual, later))
        np.testing.assert_array_equal(ours[: now + 1], theirs[: now + 1])
        unknown = np.where(later == -1e6, np.nan, actual)
        np.testing.assert_array_equal(replay(unknown, quantiles, np.arange(60)).quantiles[now], ours[now])


def test_over_a_gap_more_becomes_known_at_once():
    actual, quantiles = made(3)
    actual[0] = 1e6
    near = replay(actual, quantiles, np.array([0, 1, 2]), rate=0.3)
    far = replay(actual, quantiles, np.array([0, 3, 4]), rate=0.3)
    widths = [float(np.ptp(each.quantiles[1, 0])) / float(np.ptp(quantiles[1, 0])) for each in (near, far)]
    assert widths == pytest.approx([math.exp(0.1 * 0.95), math.exp(0.3 * 0.95)])


def test_outcomes_that_have_not_come_change_nothing():
    actual, quantiles = made(30)
    ours = replay(np.full_like(actual, np.nan), quantiles, np.arange(30))
    np.testing.assert_allclose(ours.quantiles, quantiles)
    assert ours.growth.tolist() == [0, 0, 0]


@pytest.mark.parametrize(("width", "wider"), [(0.5, True), (2.0, False)])
def test_intervals_that_are_too_narrow_or_too_wide_come_to_hold_their_share(width, wider):
    actual, quantiles = made(4000, horizon=2, width=width)
    ours = replay(actual, quantiles, np.arange(4000))
    assert ((ours.growth > 0) == wider).all()
    for level in INTERVALS:
        raw, after = (coverage(actual[2000:], said[2000:], level).mean() for said in (quantiles, ours.quantiles))
        assert abs(after - level / 100) < 0.02 < abs(raw - level / 100)
    assert pinball(actual[2000:], ours.quantiles[2000:]).mean() < pinball(actual[2000:], quantiles[2000:]).mean()


def test_what_is_right_already_is_left_nearly_as_it_is():
    actual, quantiles = made(2000, horizon=2)
    ours = replay(actual, quantiles, np.arange(2000))
    assert abs(ours.growth).max() < 0.3
    assert pinball(actual, ours.quantiles).mean() < 1.005 * pinball(actual, quantiles).mean()


def test_in_a_storm_the_intervals_hold_their_share_all_the_same():
    """Every outcome is twice as far out in every other half year."""
    actual, quantiles = made(3000, horizon=1)
    actual = 100 + (actual - 100) * np.where(np.arange(3000) // 125 % 2, 2.0, 1.0)[:, None]
    ours = replay(actual, quantiles, np.arange(3000))
    raw, after = (coverage(actual, said, 80)[0] for said in (quantiles, ours.quantiles))
    assert abs(after - 0.8) < 0.03 and abs(raw - 0.8) > 0.1


def test_calibrated_quantiles_are_in_order_and_never_below_nought():
    actual, quantiles = made(300, width=0.3)
    ours = replay(actual - 95, quantiles - 95, np.arange(300), rate=0.5).quantiles
    assert (np.diff(ours, axis=-1) >= 0).all() and ours.min() == 0.0


def test_growth_widens_about_the_median_each_interval_by_its_own_factor():
    quantiles = np.array([4.0, 6.0, 8.0, 10.0, 13.0, 16.0, 19.0])
    ours = grown(quantiles, np.log([1.0, 1.5, 1.0]))
    np.testing.assert_allclose(ours, [4, 4, 8, 10, 13, 19, 19])
    np.testing.assert_allclose(grown(quantiles, np.log([4.0, 1.0, 1.0])), [2, 4, 6, 10, 16, 19, 22])  # crossed, and put in order
    np.testing.assert_allclose(grown(quantiles, np.log([1.0, 1.0, 9.0])), [0, 6, 8, 10, 13, 16, 91])


def test_nothing_that_was_given_is_changed():
    actual, quantiles = made(20)
    before = actual.copy(), quantiles.copy()
    replay(actual, quantiles, np.arange(20), RATE)
    np.testing.assert_array_equal(actual, before[0])
    np.testing.assert_array_equal(quantiles, before[1])
