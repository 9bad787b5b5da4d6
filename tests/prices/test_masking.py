"""Masked cells: wrong prints go, genuine moves stay, nothing after the last row decides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.prices.masking import mask, unusable
from pipeline.tables import HISTORY, OHLCV, PRICE_COLUMNS


def history(*bars: tuple[float, float, float, float], volume: float = 1000.0) -> pd.DataFrame:
    """Return one ticker's HISTORY from (open, high, low, close) of each session."""
    sessions = pd.bdate_range("2016-05-16", periods=len(bars)).as_unit("s")
    frame = pd.DataFrame(bars, columns=PRICE_COLUMNS, dtype="float64")
    return HISTORY.conform(
        frame.assign(
            ticker="LNT",
            session=sessions,
            volume=volume + np.arange(len(bars)),
            adj_close=frame["close"] * 0.9,
        )
    )


def masked_cells(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return (session, column, rule) of each cell that is masked."""
    cells = unusable(table)
    return [(f"{row.session:%m-%d}", row.column, row.rule) for row in cells.itertuples()]


QUIET = (100.0, 101.0, 99.0, 100.0)


def test_a_clean_history_is_left_alone():
    table = history(QUIET, (100, 102, 99, 101), (101, 103, 100, 102))
    assert masked_cells(table) == []
    pd.testing.assert_frame_equal(mask(table), table)


def test_a_close_at_half_price_that_reverts_is_masked_alone():
    table = history(
        (35.2, 35.5, 35.0, 35.35), (35.19, 35.785, 35.085, 17.87), (35.8, 36.0, 35.5, 35.91)
    )
    assert masked_cells(table) == [("05-17", "close", "wrong_print")]
    assert mask(table)["adj_close"].isna().tolist() == [False, True, False]


def test_a_whole_bar_of_another_day_is_masked_whole():
    table = history(
        (39.9, 40.5, 39.8, 40.14), (50.81, 51.44, 50.6, 50.62), (40.45, 40.6, 40.0, 40.43)
    )
    assert masked_cells(table) == [("05-17", column, "wrong_print") for column in PRICE_COLUMNS]


def test_a_genuine_jump_survives():
    amd_2016_04_22 = history(
        (2.6, 2.7, 2.55, 2.62), (3.42, 3.99, 3.4, 3.99), (3.9, 3.95, 3.6, 3.65)
    )
    assert masked_cells(amd_2016_04_22) == []


def test_a_crash_that_recovers_during_the_next_day_survives():
    jpm_2009_01_20 = history(
        (23, 23.5, 22, 22.82), (21, 21.27, 17.7, 18.09), (19.29, 22.9, 19.2, 22.63)
    )
    assert masked_cells(jpm_2009_01_20) == []


def test_an_overnight_reversal_that_touches_its_neighbours_survives():
    amzn_2016_01_28 = history(
        (601, 611, 582, 583.35), (608.37, 638.06, 597.55, 635.35), (571.98, 600, 570, 587)
    )
    assert masked_cells(amzn_2016_01_28) == []


def test_the_last_session_is_never_called_a_wrong_print():
    table = history(QUIET, QUIET, (50, 50.5, 49.5, 50))
    assert masked_cells(table) == []


def test_a_missing_session_does_not_hide_a_wrong_print():
    hole = (np.nan,) * 4
    table = history(
        (40, 40.5, 39.8, 40.1), hole, (50.8, 51.4, 50.6, 50.6), hole, (40.4, 40.6, 40.0, 40.4)
    )
    assert masked_cells(table) == [("05-18", column, "wrong_print") for column in PRICE_COLUMNS]


@pytest.mark.parametrize(
    ("bar", "expected"),
    [
        ((101.6, 101.0, 99.0, 100.0), ["open", "high"]),
        ((98.0, 101.0, 99.0, 100.0), ["open", "low"]),
        ((100.0, 101.0, 99.0, 102.0), ["high", "close"]),
        ((100.0, 101.0, 99.0, 97.0), ["low", "close"]),
        ((101.4, 101.0, 99.0, 100.0), []),
        ((0.0, 101.0, 99.0, 100.0), ["open"]),
        ((100.0, 101.0, -99.0, 100.0), ["low"]),
        ((100.0, np.inf, 99.0, 100.0), ["high"]),
        ((np.nan, 101.0, 99.0, 100.0), []),
    ],
)
def test_a_bar_that_contradicts_itself_loses_the_cells_in_question(bar, expected):
    assert [column for _, column, _ in masked_cells(history(QUIET, bar, QUIET))] == expected


def test_a_bar_copied_to_the_last_share_is_masked_whole():
    table = history(QUIET, QUIET, (100, 101, 99, 100.5)).assign(volume=[500.0, 500.0, 600.0])
    assert masked_cells(table) == [("05-17", column, "copied_bar") for column in OHLCV]


def test_the_same_prices_with_another_volume_are_kept():
    assert masked_cells(history(QUIET, QUIET, QUIET)) == []


def test_a_negative_volume_is_masked_and_no_volume_is_kept():
    table = history(QUIET, (100, 102, 99, 100), QUIET).assign(volume=[0.0, -5.0, np.nan])
    assert masked_cells(table) == [("05-17", "volume", "volume_negative")]


def test_tickers_are_no_neighbours_of_each_other():
    cheap = history((10, 10.1, 9.9, 10), (10, 10.2, 9.9, 10.1)).assign(ticker="A")
    dear = history(QUIET).assign(ticker="B")
    again = history((10, 10.1, 9.9, 10), (10, 10.2, 9.9, 10.1)).assign(ticker="C")
    assert masked_cells(pd.concat([cheap, dear, again], ignore_index=True)) == []


def test_missing_cells_stay_missing_and_the_input_stays_as_it_was():
    table = history(QUIET, (np.nan, 101, 99, 100), (0, 101, 99, 100))
    before = table.copy()
    assert mask(table)["open"].isna().tolist() == [False, True, True]
    pd.testing.assert_frame_equal(table, before)


def test_what_comes_later_changes_only_the_verdict_on_the_last_session():
    noise = np.random.default_rng(5)
    closes = 100 * np.exp(np.cumsum(noise.normal(0, 0.08, 80)))
    bars = [
        (c * (1 + e), c * 1.02, c * 0.98, c)
        for c, e in zip(closes, noise.normal(0, 0.015, 80), strict=True)
    ]
    table = history(*bars)
    whole = mask(table)
    assert whole[PRICE_COLUMNS].isna().to_numpy().any()
    for cut in range(3, 80):
        pd.testing.assert_frame_equal(mask(table.head(cut)).head(cut - 1), whole.head(cut - 1))


def test_no_rows_are_no_cells():
    assert unusable(HISTORY.empty()).empty
    assert mask(HISTORY.empty()).empty
