"""Lone misprints of high and low: they go, and what the market really did stays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.prices.masking import mask, unusable
from pipeline.tables import HISTORY, PRICE_COLUMNS

#: Sessions before the bar in question.
BEFORE = 30


def history(
    *bars: tuple[float, ...], around: float = 48.0, usual: float = 0.02, volume: float = 1e6
) -> pd.DataFrame:
    """Return a quiet HISTORY in which these bars come last: open, high, low, close and volume.

    Args:
        around: the price before them.
        usual: the range of the bars before, as a share of the price.
        volume: theirs.
    """
    noise = np.random.default_rng(4).normal(0, 0.002, BEFORE)
    closes = around * np.exp(noise)
    quiet = [
        (c, c * (1 + usual / 2), c * (1 - usual / 2), c, volume + i) for i, c in enumerate(closes)
    ]
    rows = pd.DataFrame([*quiet, *bars], columns=[*PRICE_COLUMNS, "volume"], dtype="float64")
    sessions = pd.bdate_range("2008-04-25", periods=len(rows)).as_unit("s")
    return HISTORY.conform(rows.assign(ticker="TRV", session=sessions, adj_close=rows["close"]))


def masked(table: pd.DataFrame) -> list[tuple[int, str, str]]:
    """Return (bars after the quiet ones, column, rule) of each cell that is masked."""
    of_session = {session: at - BEFORE for at, session in enumerate(table["session"])}
    cells = unusable(table).itertuples()
    return [(of_session[cell.session], cell.column, cell.rule) for cell in cells]


TRV_2008_06_06 = (49.71, 49.9, 0.01, 47.25, 1.5e6)
TRV_NEXT = (47.3, 47.9, 46.8, 47.5, 1.1e6)
JNJ_2012_01_26 = (65.47, 65.6, 55.76, 65.28, 1.1e6)
JNJ_NEXT = (65.1, 65.3, 64.9, 65.2, 1e6)


def test_a_low_of_a_cent_is_masked_alone_whatever_the_volume():
    bars = history(TRV_2008_06_06, TRV_NEXT)
    assert masked(bars) == [(0, "low", "wrong_range")]
    assert mask(bars).loc[BEFORE, PRICE_COLUMNS].isna().tolist() == [False, False, True, False]
    busy = (*TRV_2008_06_06[:4], 3e7)
    assert masked(history(busy, TRV_NEXT)) == [(0, "low", "wrong_range")]


def test_a_low_at_six_sevenths_of_its_neighbours_is_masked_on_an_ordinary_day():
    bars = history(JNJ_2012_01_26, JNJ_NEXT, around=65.4, usual=0.01)
    assert masked(bars) == [(0, "low", "wrong_range")]


def test_a_high_is_judged_as_a_low_is():
    ge_2011_08_19 = (15.1, 20.0, 15.03, 15.09, 1e6)
    bars = history(ge_2011_08_19, (15.2, 15.4, 14.9, 15.1, 1e6), around=15.6)
    assert masked(bars) == [(0, "high", "wrong_range")]


@pytest.mark.parametrize(
    ("bar", "after", "usual"),
    [
        # A flash crash: JPM on 2015-08-24, GE on 2010-05-06, HCA on 2015-08-24.
        ((59.29, 62.92, 50.07, 60.25, 3e6), (61.1, 62.5, 60.5, 60.8, 2e6), 0.013),
        ((18.0, 18.15, 15.0, 17.31, 2.3e6), (17.4, 17.7, 16.5, 16.9, 2e6), 0.02),
        ((81.54, 85.97, 43.91, 84.31, 2.8e6), (84.0, 86.0, 83.0, 85.0, 2e6), 0.018),
    ],
)
def test_a_flash_crash_stays(bar, after, usual):
    assert masked(history(bar, after, around=bar[0] * 1.02, usual=usual)) == []


def test_a_low_that_the_next_session_confirms_stays():
    assert (
        masked(history((65.47, 65.6, 55.76, 65.28, 1e6), (64, 65, 56, 57, 1e6), around=65.4)) == []
    )


def test_a_low_within_what_the_stock_is_used_to_stays():
    bars = history(JNJ_2012_01_26, (65.1, 66, 64, 65.2, 1e6), around=65.4, usual=0.06)
    assert masked(bars) == []


@pytest.mark.parametrize("volume", [0.0, np.nan])
def test_without_a_volume_only_what_is_beyond_doubt_goes(volume):
    doubtful = history((*JNJ_2012_01_26[:4], volume), JNJ_NEXT, around=65.4, usual=0.01)
    assert masked(doubtful) == []
    bars = history((*TRV_2008_06_06[:4], volume), TRV_NEXT, volume=0)
    assert masked(bars) == [(0, "low", "wrong_range")]


def test_the_last_session_is_judged_by_the_one_before_and_a_first_one_is_not_judged():
    assert masked(history(TRV_2008_06_06)) == [(0, "low", "wrong_range")]
    first = history(TRV_2008_06_06, TRV_NEXT).tail(2)
    assert unusable(first).empty


def test_a_hole_does_not_hide_a_misprint():
    hole = (np.nan,) * 5
    bars = history(hole, TRV_2008_06_06, hole, TRV_NEXT)
    assert masked(bars) == [(1, "low", "wrong_range")]


def test_tickers_are_no_neighbours_of_each_other():
    dear = history(around=65.4)
    cheap = history(around=2.0).assign(ticker="UUU")
    assert unusable(pd.concat([dear, cheap, dear.assign(ticker="VVV")], ignore_index=True)).empty
