"""Changes of the basis of prices: they are told from moves by their ratio and an ordinary day."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.prices.price_basis import basis_changes
from pipeline.tables import ACTIONS, HISTORY, PRICE_COLUMNS

BEFORE = 30
DAY = pd.Timestamp("2016-05-16")


def changed(
    ratio: float, volume: float = 1.0, move: float = 1.0, width: float = 1.0
) -> pd.DataFrame:
    """Return a HISTORY whose prices are multiplied by a ratio from `DAY` on.

    Args:
        volume: that day's over the usual one.
        move: its open over what it would be.
        width: its range over the usual one.
    """
    noise = np.random.default_rng(3).normal(0, 0.008, 2 * BEFORE)
    close = 100 * np.exp(np.cumsum(noise))
    sessions = pd.bdate_range(end=DAY + pd.offsets.BDay(BEFORE - 1), periods=2 * BEFORE).as_unit(
        "s"
    )
    assert sessions[BEFORE] == DAY
    bars = pd.DataFrame({"open": np.r_[close[0], close[:-1]], "close": close})
    bars["high"], bars["low"] = bars.max(axis=1) * 1.004, bars.min(axis=1) * 0.996
    bars["volume"] = 1e6 + np.arange(2.0 * BEFORE)
    bars.loc[BEFORE:, PRICE_COLUMNS] *= ratio
    bars.loc[BEFORE, ["open", "high"]] *= [move, max(move, 1.0)]
    bars.loc[BEFORE, "low"] /= width
    bars.loc[BEFORE, "volume"] *= volume
    return HISTORY.conform(bars.assign(ticker="A", session=sessions, adj_close=bars["close"]))


def found(
    history: pd.DataFrame, paid: float | None = None, split: float | None = None
) -> list[tuple[pd.Timestamp, str]]:
    """Return each change of the basis.

    Args:
        paid: a dividend on `DAY`, as a share of the close before.
        split: one announced for three days later.
    """
    shares = pd.Series(np.where(history["session"] == DAY, paid, None), dtype="float64")
    row = {"ticker": "A", "session": DAY + pd.Timedelta(days=3), "kind": "split", "value": split}
    splits = ACTIONS.conform(pd.DataFrame([row])) if split else ACTIONS.empty()
    changes = basis_changes(history, shares, splits)
    assert (changes["ticker"] == "A").all()
    return list(zip(changes["session"], changes["basis"], strict=True))


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (0.01, "1/100 of the bars before, the ratio of another unit of money"),
        (100, "100 times the bars before, the ratio of another unit of money"),
        (0.001, "1/1000 of the bars before, the ratio of another unit of money"),
        (0.5, "1/2 of the bars before, the ratio of a split of 2:1"),
        (1 / 1.5, "1/1.5 of the bars before, the ratio of a split of 1.5:1"),
        (0.25, "1/4 of the bars before, the ratio of a split of 4:1"),
        (0.1, "1/10 of the bars before, the ratio of a split of 10:1 or another unit of money"),
        (20, "20 times the bars before, the ratio of a split of 1:20"),
    ],
)
def test_a_round_ratio_in_ordinary_trading_is_a_change_of_the_basis(ratio, words):
    assert found(changed(ratio)) == [(DAY, words)]


def test_a_block_is_found_where_it_begins_and_where_it_ends():
    history = changed(0.01)
    history.loc[history.index[-7:], PRICE_COLUMNS] *= 100
    [(begin, _), (end, words)] = found(history)
    assert (begin, end) == (DAY, history["session"].iloc[-7])
    assert words.startswith("100 times the bars before")


@pytest.mark.parametrize("volume", [5.5, 18.0])
def test_a_move_that_everybody_trades_on_is_none_whatever_its_ratio(volume):
    """VRTX on 2013-04-19: half as much again, at 16 times the usual volume."""
    assert found(changed(1.5, volume)) == []


def test_twice_the_shares_at_half_the_price_are_ordinary_trading():
    assert len(found(changed(0.25, volume=4 * 1.5))) == 1
    assert found(changed(0.25, volume=4 * 6)) == []


@pytest.mark.parametrize("ratio", [1.36, 1.75, 0.58, 2.4, 13.0])
def test_another_ratio_is_none(ratio):
    assert found(changed(ratio)) == []


def test_the_open_has_to_be_at_the_ratio_already():
    """AMD on 2016-04-22 opened 22% up and closed 52% up."""
    assert len(found(changed(1.5, move=0.97))) == 1
    assert found(changed(1.5, move=0.81)) == []


@pytest.mark.parametrize("volume", [0.0, np.nan])
def test_without_volumes_the_range_of_the_day_tells(volume):
    assert len(found(changed(0.5, volume))) == 1
    assert found(changed(0.5, volume, width=1.08)) == []


def test_closes_alone_are_enough():
    history = changed(0.5)
    history[["open", "high", "low", "volume"]] = np.nan
    assert len(found(history)) == 1


def test_a_dividend_that_explains_it_is_no_change_and_one_that_is_not_shown_is_none_either():
    assert found(changed(0.5), paid=0.5) == []
    assert found(changed(1.0), paid=0.5) == []


def test_the_ratio_of_an_announced_split_counts_however_odd_it_is():
    history = changed(1 / 0.4714)
    assert found(history) == []
    words = "2.12134 times the bars before, the ratio of its split of 2016-05-19"
    assert found(history, split=0.4714) == [(DAY, words)]


def test_a_hole_does_not_hide_it_and_tickers_are_no_neighbours_of_each_other():
    history = changed(0.5)
    history.loc[BEFORE - 3 : BEFORE - 1, [*PRICE_COLUMNS, "volume"]] = np.nan
    assert len(found(history)) == 1
    one = changed(1.0)
    ten = one.assign(ticker="B", **{name: one[name] * 10 for name in PRICE_COLUMNS})
    both = pd.concat([one, ten], ignore_index=True)
    assert basis_changes(both, pd.Series(np.nan, both.index), ACTIONS.empty()).empty


def test_no_rows_change_nothing():
    none = basis_changes(HISTORY.empty(), pd.Series(dtype="float64"), ACTIONS.empty())
    assert (list(none.columns), len(none)) == (["ticker", "session", "basis", "ratio"], 0)
