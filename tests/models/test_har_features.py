"""Inputs of the HAR regressions: on examples that can be checked by hand, and by plain loops."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.models import Panel
from pipeline.models.har_features import (
    LEAST_SHARE,
    MEAN_SESSIONS,
    calendar_inputs,
    carried,
    market_inputs,
    past_inputs,
    range_variances,
    report_inputs,
    report_scores,
    trailing_mean,
    true_variances,
)
from tests.made_panels import clustered, of_stocks, with_bars


def panel_of(bars, first="2016-07-01", hours=6.5):
    """Return a panel of one stock on weekdays from its bars (T, 5), six days later known."""
    bars = np.array(bars, "float64")[:, None]
    days = np.busday_offset(first, np.arange(len(bars) + 6))
    lengths = np.full(len(days), hours)
    return Panel(days[: len(bars)], days[len(bars) :], lengths, bars, bars[:, :, 3])


def parkinson(high, low):
    return np.log(high / low) ** 2 / (4 * np.log(2))


def test_means_are_over_the_last_sessions_that_are_known():
    values = np.array([[np.nan], [1.0], [3.0], [np.nan], [8.0]])
    assert trailing_mean(values, 2)[1:, 0].tolist() == [1.0, 2.0, 3.0, 8.0]
    assert np.isnan(trailing_mean(values, 2)[0, 0])
    assert carried(values)[1:, 0].tolist() == [1.0, 3.0, 3.0, 8.0]


def test_a_variance_is_that_of_the_range_or_of_the_true_range():
    panel = panel_of([[10, 11, 10, 11, 1], [12, 13, 12, 12.5, 1], [12, 12.2, 11.8, 12, 1]])
    assert range_variances(panel)[:, 0] == pytest.approx(
        [parkinson(11, 10), parkinson(13, 12), parkinson(12.2, 11.8)]
    )
    # The second opened above the close before, which its true range takes in.
    assert true_variances(panel)[:, 0] == pytest.approx(
        [parkinson(11, 10), parkinson(13, 11), parkinson(12.5, 11.8)]
    )


def test_closes_alone_have_the_variance_of_their_changes():
    missing = np.nan
    panel = panel_of([[missing, missing, missing, close, 0] for close in (10, 11, 10.5)])
    expected = [parkinson(11, 10), parkinson(11, 10.5)]
    assert range_variances(panel)[1:, 0] == pytest.approx(expected)
    assert true_variances(panel)[1:, 0] == pytest.approx(expected)


def test_a_session_that_hardly_moved_counts_for_a_share_of_the_usual_variance():
    panel = panel_of([*[[10, 11, 10, 10, 1]] * 9, [10, 10, 10, 10, 1]])
    usual = parkinson(11, 10) * 9 / 10
    assert true_variances(panel)[-1, 0] == pytest.approx(LEAST_SHARE * usual)


def test_a_missing_session_has_no_variance_and_the_next_is_measured_from_the_last_close():
    missing = [np.nan] * 5
    panel = panel_of([[10, 11, 10, 11, 1], missing, [12, 13, 12, 12.5, 1]])
    variances = true_variances(panel)[:, 0]
    assert np.isnan(variances[1])
    assert variances[2] == pytest.approx(parkinson(13, 11))


def test_inputs_of_the_past_are_what_a_plain_loop_makes_of_them():
    panel = clustered(0, 2, 120)
    variances = true_variances(panel)
    inputs = past_inputs(panel, variances, market_inputs(panel))
    logs = np.log(variances)
    for at, count in enumerate(MEAN_SESSIONS):
        expected = [logs[max(row + 1 - count, 0) : row + 1, 1].mean() for row in range(120)]
        np.testing.assert_allclose(inputs[:, 1, at], expected)
    # After the means: signed changes of 1, 5 and 22 sessions, in multiples of the usual range.
    close = panel.bars[:, 1, 3]
    usual = [np.sqrt(variances[max(row - 65, 0) : row + 1, 1].mean()) for row in range(120)]
    signed = np.append(0.0, np.log(close[1:] / close[:-1]) / usual[1:])
    np.testing.assert_allclose(inputs[:, 1, 7], np.clip(signed, -4, 4))
    np.testing.assert_allclose(inputs[80, 1, 8], np.clip(signed, -4, 4)[76:81].mean() * 5**0.5)
    # After the two volumes: the market's variance above each stock's own level.
    levels = np.array([logs[: row + 1].mean(axis=0) for row in range(120)])
    np.testing.assert_allclose(inputs[:, 0, 12], (logs - levels).mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(inputs[:, 0, 12], inputs[:, 1, 12])


def test_one_stock_alone_has_no_market():
    panel = clustered(0, 2, 60)
    alone = of_stocks(panel, [0])
    inputs = past_inputs(alone, true_variances(alone), None)
    both = past_inputs(panel, true_variances(panel), market_inputs(panel))
    assert inputs.shape == (60, 1, 12)
    assert both.shape == (60, 2, 19)
    assert np.array_equal(inputs[:, 0], both[:, 0, :12])


def test_a_price_in_cents_has_the_inputs_of_one_in_dollars():
    panel = clustered(1, 2, 80)
    cents = with_bars(panel, panel.bars * [128, 128, 128, 128, 1])  # a power of two: no rounding
    inputs = [
        past_inputs(each, true_variances(each), market_inputs(each)) for each in (panel, cents)
    ]
    assert np.array_equal(*inputs)
    assert np.array_equal(*(report_scores(each) for each in (panel, cents)))


def test_the_calendar_knows_weekends_holidays_and_half_days():
    panel = clustered(0, 1, 300)  # up to 2016-12-30
    rows = {str(day): row for row, day in enumerate(panel.sessions)}
    wednesday = rows["2016-11-23"]  # then Thanksgiving, a Friday of half a day, a weekend
    one, two = (calendar_inputs(panel, ahead)[wednesday] for ahead in (1, 2))
    assert one.tolist() == [np.log(2), np.log(3), 1, 0, 0, 0, 0, 1, 0]
    assert two.tolist() == [np.log(3), 0, 0, 1, 0, 0, 0, 0, 0]
    last = calendar_inputs(panel, 5)[-1]  # 2017-01-09, a Monday
    assert last.tolist() == [np.log(3), 0, 0, 1, 0, 0, 0, 0, 0]


def test_where_no_length_of_a_session_is_known_none_is_half_a_day():
    panel = panel_of([[10, 11, 10, 11, 1]] * 5, hours=np.nan)
    assert calendar_inputs(panel, 1)[:, 2].tolist() == [0] * 5


def reported(day, count=400):
    """Return a quiet panel that opens 10% up on one day, at eight times its volume."""
    bars = np.tile([10, 10.1, 9.9, 10, 1000.0], (count, 1))
    bars[1::2, 0] = 10.02
    panel = panel_of(bars)
    row = int(np.searchsorted(panel.sessions, np.datetime64(day)))
    changed = panel.bars.copy()
    changed[row, 0] = [11, 11.1, 9.9, 10, 8000]
    return with_bars(panel, changed), row


def test_a_report_is_expected_on_the_same_weekday_of_the_next_quarters():
    panel, row = reported("2016-10-20")
    scores = report_scores(panel)
    assert scores.argmax() == row
    assert scores[row, 0] == pytest.approx(np.log(1 + 10))  # capped
    ahead = 3
    inputs = report_inputs(panel, scores, ahead)[:, 0]
    targets = np.append(panel.sessions, panel.later)[np.arange(400) + ahead]
    for lag, column in ((91, 0), (182, 1), (273, 2), (364, 3)):
        expected = targets == np.datetime64("2016-10-20") + lag
        assert (inputs[expected, column] == scores[row, 0]).all()
        assert inputs[expected].shape[0] == 1
    assert inputs[:, 4].max() < 0.1  # no two quarters agree


def test_two_quarters_that_agree_are_an_input_of_their_own():
    panel, row = reported("2016-10-20")
    scores = np.zeros((400, 1))
    scores[[row, row + 65], 0] = 1.5, 2.0  # 65 weekdays are 91 days
    inputs = report_inputs(panel, scores, 1)[:, 0]
    assert inputs[row + 129].tolist() == [2.0, 1.5, 0, 0, 1.5]
    assert inputs[row + 64].tolist() == [1.5, 0, 0, 0, 0]


def known(panel, *reports):
    """Return a panel that knows reports of its stock: day, first row and end."""
    rows = [(0, np.datetime64(day).astype("int64"), *rows) for day, *rows in reports]
    return dataclasses.replace(panel, reports=np.array(rows, "int64"))


def test_a_known_day_has_the_scores_of_the_reports_before_and_its_season_none():
    """The report of October is known to be followed by one in January, two days off the season."""
    panel, row = reported("2016-10-20")
    scores, ahead = report_scores(panel), 3
    season = report_inputs(panel, scores, ahead)[:, 0]
    days = np.append(panel.sessions, panel.later)
    expected, target = (
        int(np.searchsorted(days, np.datetime64(day))) - ahead
        for day in ("2017-01-19", "2017-01-23")
    )
    assert season[expected, 0] == scores[row, 0]
    inputs = report_inputs(known(panel, ("2017-01-23", target - 2, 400)), scores, ahead)[:, 0]
    assert inputs.shape == (400, 6)
    assert inputs[target, [0, 5]].tolist() == [scores[row, 0], 1.0]
    assert not inputs[target - 2 : target].any() and not inputs[target + 1 : target + 25].any()
    before = slice(0, target - 2)
    assert np.array_equal(inputs[before, :5], season[before]), "it is not known yet"
    assert inputs[:, 5].sum() == 1
    after = slice(target + 40, None)
    assert np.array_equal(inputs[after, :5], season[after]), "the season stands in again"


def test_a_day_that_is_moved_counts_as_long_as_it_was_known():
    panel, _ = reported("2016-10-20")
    scores = report_scores(panel)
    target = int(np.searchsorted(panel.sessions, np.datetime64("2017-01-23"))) - 1
    moved = known(panel, ("2017-01-23", 100, target), ("2017-01-25", target, 400))
    inputs = report_inputs(moved, scores, 1)[:, 0, 5]
    assert np.flatnonzero(inputs).tolist() == [target + 2]
    stands = known(panel, ("2017-01-21", 100, 400))  # a Saturday: it trades on Monday
    assert np.flatnonzero(report_inputs(stands, scores, 1)[:, 0, 5]).tolist() == [target]


def test_without_volume_there_are_no_reports_and_no_numbers_are_missing():
    panel = clustered(0, 2, 150)
    without = with_bars(panel, panel.bars * [1, 1, 1, 1, np.nan])
    assert not report_scores(without).any()
    assert np.isfinite(past_inputs(without, true_variances(without), market_inputs(without))).all()


def test_no_input_looks_at_a_later_session():
    panel = clustered(2, 3, 300)
    changed = panel.bars.copy()
    changed[200:] *= np.random.default_rng(0).uniform(0.5, 2, (100, 3, 5))
    other = dataclasses.replace(panel, bars=changed)
    for inputs in (
        lambda each: past_inputs(each, true_variances(each), market_inputs(each)),
        range_variances,
        report_scores,
        lambda each: report_inputs(each, report_scores(each), 5),
        lambda each: report_inputs(known(each, ("2016-09-01", 50, 300)), report_scores(each), 5),
    ):
        assert np.array_equal(inputs(panel)[:200], inputs(other)[:200])
