"""Restatements: what a new report of old bars changes, and how it is told."""

import numpy as np
import pandas as pd
import pytest

from pipeline.prices import absent_bars, basis_factor, is_behind, restatement
from pipeline.tables import PRICE_COLUMNS, PRICES

DAYS = pd.bdate_range("2016-03-09", periods=8)
CLOSES = [101.13, 102.27, 99.81, 100.35, 103.63, 104.01, 102.77, 105.19]


def bars(closes=CLOSES, days=DAYS, volume=1000.0):
    """Return PRICES of one ticker whose bars have no height."""
    prices = dict.fromkeys(PRICE_COLUMNS, closes)
    return PRICES.conform(
        pd.DataFrame({"ticker": "IBM", "session": days, **prices, "volume": volume})
    )


def restated(factor, rows=slice(None)):
    """Return the bars with prices in cents after some were divided by a factor."""
    table = bars()
    for name in PRICE_COLUMNS:
        table.loc[table.index[rows], name] = (table[name] / factor).round(4)
    return table


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (restated(4), "8 of 8 stored bars restated by 4:1 from 2016-03-09 to 2016-03-18"),
        (
            restated(1.5, slice(6)),
            "6 of 8 stored bars restated by 3:2 from 2016-03-09 to 2016-03-16",
        ),
        (restated(0.1), "8 of 8 stored bars restated by 1:10 from 2016-03-09 to 2016-03-18"),
        (
            restated(100, slice(2, 4)),
            "2 of 8 stored bars restated by 100:1 from 2016-03-11 to 2016-03-14",
        ),
        (
            restated(1 / 0.9923),
            "8 of 8 stored bars restated by a factor of 0.9923 from 2016-03-09 to 2016-03-18",
        ),
        (
            restated(1 / 0.82, slice(3)),
            "3 of 8 stored bars restated by a factor of 0.82 from 2016-03-09 to 2016-03-11",
        ),
        (restated(1.1, slice(2, 3)), "1 of 8 stored bars corrected (2016-03-11)"),
        (
            bars([*CLOSES[:5], 110.0, 90.0, 105.19]),
            "2 of 8 stored bars corrected from 2016-03-16 to 2016-03-17",
        ),
        (
            bars(volume=[1000.0] * 6 + [1001.0] * 2),
            "2 of 8 stored bars corrected from 2016-03-17 to 2016-03-18",
        ),
    ],
)
def test_what_changed_is_one_line(reported, expected):
    assert str(restatement(bars(), reported)) == expected


def test_a_report_of_the_same_bars_and_newer_ones_changes_nothing():
    days = pd.bdate_range("2016-03-09", periods=9)
    assert restatement(bars(), bars([*CLOSES, 106.0], days)) is None
    missing = bars([*CLOSES[:7], np.nan])
    assert restatement(missing, missing) is None


def dates(table):
    return [f"{session:%d}" for session in table["session"]]


def test_bars_that_the_source_no_longer_has_are_taken_back_within_what_it_covers():
    gone, kept = absent_bars(bars(), bars().drop([0, 3, 4, 7]))
    assert (dates(gone), kept) == (["14", "15"], 2)
    assert gone[PRICE_COLUMNS].isna().all(axis=None) and set(gone["volume"]) == {-1.0}
    line = str(restatement(bars(), bars().drop([0, 3, 4, 7]), len(gone), kept))
    assert line == (
        "2 of 8 stored bars taken back, which the source no longer has; 2 older or newer than all "
        "that it has now are kept"
    )


def test_a_shorter_file_keeps_the_bars_before_it_unless_they_would_stay_on_another_level():
    shorter = bars().iloc[4:]
    assert absent_bars(bars(), shorter)[1] == 4
    corrected = shorter.copy()
    corrected.loc[4, PRICE_COLUMNS] *= 1.02
    assert absent_bars(bars(), corrected)[1] == 4
    gone, kept = absent_bars(bars(), restated(4).iloc[4:])
    assert (dates(gone), kept) == (["09", "10", "11", "14"], 0)
    assert absent_bars(bars(), PRICES.empty())[1] == 8


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (bars(), False),
        (bars(volume=2.0), False),
        (restated(1.00001), False),
        (restated(4, slice(-1, None)), False),
        (restated(4, slice(-2, None)), True),
        (restated(4), True),
        (restated(1 / 0.9923), True),
        (restated(4).iloc[-1:], True),
        (bars([*CLOSES[:5], 110.0, 90.0, 105.19]), False),
    ],
    ids=["same", "volume", "rounding", "one", "two", "all", "dividend", "the only one", "apart"],
)
def test_newest_bars_that_differ_by_one_factor_tell_of_older_ones(reported, expected):
    assert is_behind(bars(), reported) is expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (restated(4), 4.0),
        (restated(1 / 0.9923), 1 / 0.9923),
        (bars(), 1.0),
        (restated(1.02, slice(-1, None)), 1.0),
        (restated(100, slice(-3, None)), np.nan),
        (restated(4, slice(-2)), 1.0),
        (bars([*CLOSES[:7], np.nan]), np.nan),
    ],
    ids=["split", "dividend", "same", "one bar", "a block", "before the cutoff alone", "gone"],
)
def test_the_level_of_the_prices_that_a_forecast_was_made_from(now, expected):
    before = bars()["close"].to_numpy()
    factor = basis_factor(before, now["close"].to_numpy())
    assert factor == pytest.approx(expected, rel=1e-4, nan_ok=True)


def test_without_prices_of_then_the_level_is_todays():
    assert basis_factor(np.array([]), np.array([])) == 1.0
