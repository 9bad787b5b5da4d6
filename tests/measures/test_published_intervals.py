"""The record of published intervals: means over sessions, their bounds, and tests by ticker."""

import numpy as np
import pandas as pd
import pytest

from pipeline.measures import exceedance_test, interval_record, mean_estimate


def sums_of(below, above, inside=None, forecasts=1, horizon=1, backfilled=False, outer=None):
    """Return sums by session, of as many forecasts each.

    Args:
        outer: how many outcomes are below the 98% interval, -1 where there is none; None: no
            outcome is.
    """
    count = len(below)
    below_98 = np.zeros(count) if outer is None else np.asarray(outer)
    return pd.DataFrame(
        {
            "ticker": "AAA",
            "horizon": horizon,
            "backfilled": backfilled,
            "session": pd.date_range("2013-01-01", periods=count),
            "forecasts": forecasts,
            "crps": 0.01 * np.arange(1, count + 1) * forecasts,
            "width_80": 0.04 * forecasts,
            "inside_80": np.full(count, forecasts) if inside is None else inside,
            "below_95": below,
            "above_95": above,
            "forecasts_98": forecasts if outer is None else forecasts * (below_98 >= 0),
            "below_98": np.maximum(below_98, 0),
            "above_98": 0,
        }
    )


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_tickers_record_has_means_bounds_and_tests(horizon):
    random = np.random.default_rng(1)
    below, above = random.random(200) < 0.04, random.random(200) < 0.02
    above &= ~below
    [row] = interval_record(
        sums_of(below, above, ~(below | above), horizon=horizon), ["ticker", "horizon"]
    ).to_dict("records")
    test = exceedance_test(below | above, 0.05, horizon)
    bounds = mean_estimate(below.astype(float), horizon)
    assert row == pytest.approx(
        {
            "ticker": "AAA",
            "horizon": horizon,
            "backfilled": False,
            "forecasts": 200,
            "sessions": 200,
            "crps": 0.01 * 201 / 2,
            "width_80": 0.04,
            "inside_80": 1 - test.share,
            "inside_80_low": row["inside_80_low"],
            "inside_80_high": row["inside_80_high"],
            "below_95": below.mean(),
            "below_95_low": max(bounds.low, 0.0),
            "below_95_high": bounds.high,
            "above_95": above.mean(),
            "above_95_low": row["above_95_low"],
            "above_95_high": row["above_95_high"],
            "kupiec": test.kupiec,
            "christoffersen": test.conditional,
            **{name: row[name] for name in row if "98" in name},
        },
        nan_ok=True,
    )
    assert (row["inside_98"], row["below_98"], row["above_98"]) == (1.0, 0.0, 0.0)


def test_the_98_percent_interval_is_judged_by_the_sessions_that_have_one():
    random = np.random.default_rng(2)
    outer = np.where(np.arange(300) < 100, -1.0, random.random(300) < 0.03)
    [row] = interval_record(
        sums_of(np.zeros(300), np.zeros(300), outer=outer), ["ticker", "horizon"]
    ).to_dict("records")
    test = exceedance_test(outer[100:], 0.02)
    assert (row["sessions"], row["below_98"], row["inside_98"]) == (
        300,
        test.share,
        pytest.approx(1 - test.share),
    )
    assert (row["kupiec_98"], row["christoffersen_98"]) == (test.kupiec, test.conditional)
    assert row["inside_98_low"] < row["inside_98"] < row["inside_98_high"]


def test_what_an_earlier_version_published_has_no_98_percent_interval_and_the_rest_as_before():
    sums = sums_of(np.zeros(50), np.ones(50))
    [row] = interval_record(sums.assign(forecasts_98=0), ["ticker", "horizon"]).to_dict("records")
    [now] = interval_record(sums, ["ticker", "horizon"]).to_dict("records")
    assert all(np.isnan(row[name]) for name in row if "98" in name)
    before = [name for name in row if "98" not in name]
    pd.testing.assert_series_equal(pd.Series(row)[before], pd.Series(now)[before])


def test_several_tickers_are_averaged_by_session_and_have_no_test():
    below = np.zeros(40)
    below[0] = 4  # all four tickers, in one storm
    [row] = interval_record(sums_of(below, np.zeros(40), forecasts=4), ["horizon"]).to_dict(
        "records"
    )
    alone = sums_of(below / 4, np.zeros(40))
    [as_one] = interval_record(alone, ["horizon"]).to_dict("records")
    assert (row["forecasts"], row["sessions"], row["below_95"]) == (160, 40, 0.025)
    assert (row["below_95_low"], row["below_95_high"]) == (
        as_one["below_95_low"],
        as_one["below_95_high"],
    )
    assert np.isnan(row["kupiec"]) and not np.isnan(as_one["kupiec"])


def test_where_nothing_lay_beyond_there_are_no_bounds_and_kupiec_counts():
    [row] = interval_record(sums_of(np.zeros(300), np.zeros(300)), ["horizon"]).to_dict("records")
    assert row["below_95"] == 0.0 and np.isnan(row["below_95_low"])
    assert row["kupiec"] < 0.001


def test_few_sessions_have_shares_alone():
    [row] = interval_record(sums_of(np.zeros(19), np.zeros(19)), ["horizon"]).to_dict("records")
    assert row["below_95"] == 0.0
    assert all(np.isnan(row[name]) for name in ("below_95_low", "kupiec", "christoffersen"))


def test_backfilled_forecasts_and_those_published_in_time_are_apart():
    sums = pd.concat(
        [sums_of(np.ones(5), np.zeros(5)), sums_of(np.zeros(5), np.zeros(5), backfilled=True)]
    )
    record = interval_record(sums, ["ticker", "horizon"])
    assert record[["backfilled", "below_95"]].values.tolist() == [[False, 1.0], [True, 0.0]]


def test_nothing_scored_is_a_table_without_rows():
    record = interval_record(sums_of(np.zeros(0), np.zeros(0)), ["horizon"])
    assert record.empty and "kupiec" in record
