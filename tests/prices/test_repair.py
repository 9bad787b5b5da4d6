"""Repair of bars on another basis: what is brought to the newest bar's, and what is left alone."""

import numpy as np
import pandas as pd
import pytest

from pipeline.prices import Histories, repaired
from pipeline.tables import ACTIONS, PRICE_COLUMNS, PRICES
from tests.made_prices import LAST, random_walk

COUNT = 200


def prices(ticker: str = "AAA") -> pd.DataFrame:
    bars = random_walk(1, COUNT).rename(columns={"date": "session"})
    return PRICES.conform(bars.assign(ticker=ticker))


def times(factor: float, first: int = 0, end: int | None = None) -> pd.DataFrame:
    """Return the bars with a block that is so many times as high."""
    bars = prices()
    bars.loc[bars.index[first:end], PRICE_COLUMNS] *= factor
    return bars


def actions(kind: str = "split", at: int = -20, value: float = 5.0) -> pd.DataFrame:
    session = prices()["session"].iloc[at]
    row = {"ticker": "AAA", "session": session, "kind": kind, "value": value}
    return ACTIONS.conform(pd.DataFrame([row]))


def as_traded(before: int = -20, ratio: float = 5.0) -> pd.DataFrame:
    """Return the bars of a stock that was split, as they were traded."""
    return times(ratio, 0, before)


def assert_is_right(bars: pd.DataFrame, right: pd.DataFrame) -> None:
    np.testing.assert_allclose(bars[PRICE_COLUMNS], right[PRICE_COLUMNS], rtol=1e-9)
    np.testing.assert_array_equal(bars["volume"], right["volume"])


@pytest.mark.parametrize("factor", [100.0, 0.01])
def test_a_block_in_a_subunit_between_right_bars_is_taken_back(factor):
    wrong = times(factor, 90, 100)
    done = repaired(wrong, ACTIONS.empty(), LAST)
    assert_is_right(done.bars, prices())
    [block] = done.blocks.to_dict("records")
    sessions = prices()["session"]
    assert (block["first"], block["last"], block["bars"]) == (sessions[90], sessions[99], 10)
    assert block["factor"] == 1 / factor
    assert block["basis"].startswith(f"{sessions[100]:%Y-%m-%d} ")
    assert "another unit of money" in block["basis"]


def test_the_newest_bar_stays_as_the_source_gives_it():
    wrong = times(100, -7)
    assert repaired(wrong, ACTIONS.empty(), LAST).bars is wrong, "which side is right is not known"
    lasting = times(100, -60)
    done = repaired(lasting, ACTIONS.empty(), LAST)
    assert_is_right(done.bars, times(100))
    assert (done.blocks["bars"].tolist(), done.blocks["factor"].tolist()) == ([140], [100.0])
    assert repaired(times(100, -59), ACTIONS.empty(), LAST).blocks.empty


@pytest.mark.parametrize("days_before", [0, 4])
@pytest.mark.parametrize("factor", [5.0, 0.2])
def test_bars_on_the_wrong_side_of_an_announced_split_are_brought_to_the_right_one(
    factor, days_before
):
    wrong = as_traded()
    wrong.loc[: COUNT - 21 - days_before, PRICE_COLUMNS] *= factor
    done = repaired(wrong, actions(), LAST)
    assert_is_right(done.bars, as_traded())
    assert done.blocks["factor"].tolist() == [1 / factor]
    assert "the ratio of its split" in done.blocks["basis"][0]


@pytest.mark.parametrize(
    ("bars", "split"),
    [
        (times(4, 0, 90), ACTIONS.empty()),
        (times(10, 90, 100), ACTIONS.empty()),
        (times(5, 0, 90), actions()),
        (times(7, 90, 100), actions(at=100, value=5.0)),
        (prices(), ACTIONS.empty()),
        (as_traded(), actions()),
    ],
    ids=[
        "a split that nobody announced",
        "ten times",
        "a split's ratio long before it",
        "another ratio than the split's",
        "right bars",
        "a split",
    ],
)
def test_what_leaves_a_doubt_is_left_alone(bars, split):
    before = bars.copy()
    done = repaired(bars, split, LAST)
    assert done.blocks.empty and done.bars is bars
    pd.testing.assert_frame_equal(bars, before)


def test_one_doubtful_change_leaves_the_ticker_alone():
    wrong = times(100, 90, 100)
    wrong.loc[:40, PRICE_COLUMNS] *= 4
    assert repaired(wrong, ACTIONS.empty(), LAST).blocks.empty


def test_a_move_by_the_ratio_in_busy_trading_stays():
    moved = times(100, 100)
    moved.loc[100, "volume"] *= 40
    assert repaired(moved, ACTIONS.empty(), LAST).blocks.empty


def test_a_dividend_behind_the_block_is_of_the_right_price():
    right, wrong = prices(), times(100, 90, 100)
    paid = actions("dividend", at=100, value=0.5)
    ours, theirs = (Histories(bars, paid, repair=True).of("AAA", LAST) for bars in (wrong, right))
    np.testing.assert_allclose(ours["adj_close"], theirs["adj_close"], rtol=1e-9)


def test_histories_are_repaired_at_every_cutoff_alike_and_bars_stay_as_they_are():
    wrong = times(100, 90, 100)
    cutoff = wrong["session"].iloc[95].date()
    stored = wrong.copy()
    histories = Histories(wrong, ACTIONS.empty(), repair=True)
    for masked in (True, False):
        assert_is_right(histories.of("AAA", LAST, masked), prices())
        assert_is_right(histories.of("AAA", cutoff, masked), prices().head(96))
    pd.testing.assert_frame_equal(histories.bars, stored)
    alone = Histories(wrong, ACTIONS.empty()).of("AAA", LAST)
    np.testing.assert_array_equal(alone["close"], stored["close"])


def test_one_tickers_fault_is_no_others():
    other = prices("BBB")
    both = pd.concat([times(100, 90, 100), other], ignore_index=True)
    done = repaired(both, ACTIONS.empty(), LAST)
    pd.testing.assert_frame_equal(
        done.bars[done.bars["ticker"] == "BBB"].reset_index(drop=True), other
    )
    assert done.blocks["ticker"].tolist() == ["AAA"]


def test_tickers_together_are_repaired_as_each_alone():
    made = {
        "BLOCK": (times(100, 90, 100), ACTIONS.empty()),
        "SPLIT": (as_traded(-24), actions()),
        "PAID": (times(100, 90, 100), actions("dividend", -110, 1.0)),
        "MOVED": (times(1.6, -30), ACTIONS.empty()),
        "CALM": (prices(), ACTIONS.empty()),
    }
    bars, acted = (
        pd.concat([tables[at].assign(ticker=ticker) for ticker, tables in sorted(made.items())])
        for at in (0, 1)
    )
    bars, acted = PRICES.conform(bars), ACTIONS.conform(acted)
    together = repaired(bars, acted, LAST)
    alone = [
        repaired(*(table[table["ticker"] == ticker] for table in (bars, acted)), LAST)
        for ticker in sorted(made)
    ]
    pd.testing.assert_frame_equal(together.bars, pd.concat([each.bars for each in alone]))
    blocks = pd.concat([each.blocks for each in alone], ignore_index=True)
    pd.testing.assert_frame_equal(together.blocks, blocks)
    assert blocks["ticker"].unique().tolist() == ["BLOCK", "PAID", "SPLIT"]
