"""Adjustment for splits and dividends, against a loop over bars and actions."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.prices.adjustment import adjust, undo_splits
from pipeline.tables import ACTIONS, HISTORY, OHLCV, PRICE_COLUMNS, PRICES
from tests.prices.oracles import adjusted_by_loop

FIRST = dt.date(2020, 1, 1)
#: No deadline: a busy machine is not a finding.
examples = settings(max_examples=20, deadline=None)


def day(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=number)


def prices_of(closes: list[float], ticker: str = "A") -> pd.DataFrame:
    """Return bars on consecutive days, with their range around the close."""
    close = np.array(closes, dtype="float64")
    rows = {
        "open": close * 0.99,
        "high": close * 1.02,
        "low": close * 0.97,
        "close": close,
        "volume": 1000.0 + np.arange(len(close)),
    }
    return PRICES.conform(
        pd.DataFrame(
            {
                "ticker": ticker,
                "session": pd.to_datetime([day(i) for i in range(len(close))]),
                **rows,
            }
        )
    )


def actions_of(*rows: tuple[int, str, float], ticker: str = "A") -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["session", "kind", "value"])
    return ACTIONS.conform(
        frame.assign(
            ticker=ticker, session=pd.to_datetime([day(number) for number in frame["session"]])
        )
    )


closes = st.lists(st.floats(20, 900) | st.just(float("nan")), min_size=1, max_size=12)
splits = st.tuples(
    st.integers(-1, 13), st.just("split"), st.sampled_from([0.0, 0.1, 2.0, 7.0, 1.5])
)
dividends = st.tuples(st.integers(-1, 13), st.just("dividend"), st.just(0.0) | st.floats(1e-4, 0.2))
action_lists = st.lists(splits | dividends, max_size=8, unique_by=lambda action: action[:2])


@examples
@given(closes, action_lists, st.integers(0, 12))
def test_adjusting_gives_what_a_loop_over_bars_and_actions_gives(closes, actions, cutoff):
    prices, actions = prices_of(closes), actions_of(*actions)
    history = adjust(prices, actions, day(cutoff))
    expected = np.array(adjusted_by_loop(prices, actions, day(cutoff))).reshape(-1, 6)
    np.testing.assert_allclose(history[[*OHLCV, "adj_close"]].to_numpy(), expected, rtol=1e-12)


@examples
@given(closes, action_lists, action_lists, st.integers(0, 11), st.floats(0.1, 10))
def test_nothing_after_the_cutoff_changes_anything(closes, actions, others, cutoff, factor):
    prices, actions = prices_of(closes), actions_of(*actions)
    later = prices["session"] > pd.Timestamp(day(cutoff))
    other_prices = prices.assign(
        close=prices["close"].where(~later, prices["close"] * factor),
        volume=prices["volume"].where(~later, 5.0),
    )
    other_actions = pd.concat(
        [
            actions[actions["session"] <= pd.Timestamp(day(cutoff))],
            actions_of(*(action for action in others if action[0] > cutoff)),
        ]
    )
    pd.testing.assert_frame_equal(
        adjust(prices, actions, day(cutoff)),
        adjust(other_prices, other_actions, day(cutoff)),
        check_exact=True,
    )


@examples
@given(closes, action_lists)
def test_at_the_cutoff_every_price_is_the_one_on_the_tape(closes, actions):
    prices = prices_of(closes)
    last = adjust(prices, actions_of(*actions), day(len(closes) - 1)).iloc[-1]
    assert last[OHLCV].tolist() == pytest.approx(
        prices.iloc[-1][OHLCV].tolist(), nan_ok=True, rel=0
    )
    assert last["adj_close"] == pytest.approx(prices.iloc[-1]["close"], nan_ok=True, rel=0)


def later_splits(actions: pd.DataFrame, session: pd.Timestamp) -> float:
    """Return the number of shares that one share of `session` has become, split by split."""
    shares = 1.0
    for action in actions.itertuples():
        if action.kind == "split" and action.value != 0 and action.session > session:
            shares *= action.value
    return shares


@examples
@given(closes, action_lists)
def test_undoing_splits_restores_prices_volumes_and_dividends(closes, actions):
    traded, paid = prices_of(closes), actions_of(*actions)
    shares = np.array([later_splits(paid, session) for session in traded["session"]])
    sent = traded.assign(
        **{column: traded[column] / shares for column in PRICE_COLUMNS},
        volume=traded["volume"] * shares,
    )
    per_share = [
        later_splits(paid, action.session) if action.kind == "dividend" else 1.0
        for action in paid.itertuples()
    ]
    prices, actions = undo_splits(sent, paid.assign(value=paid["value"] / per_share))
    np.testing.assert_allclose(prices[OHLCV], traded[OHLCV], rtol=1e-12)
    np.testing.assert_allclose(actions["value"], paid["value"], rtol=1e-12)


def test_a_two_for_one_split_halves_the_bars_before_its_ex_date():
    history = adjust(prices_of([88.0, 90.0, 44.0]), actions_of((2, "split", 2.0)), day(2))
    assert history["close"].tolist() == [44.0, 45.0, 44.0]
    assert history["volume"].tolist() == [2000.0, 2002.0, 1002.0]


def test_a_split_after_the_cutoff_is_not_known_yet():
    history = adjust(prices_of([88.0, 90.0, 44.0]), actions_of((2, "split", 2.0)), day(1))
    assert history["close"].tolist() == [88.0, 90.0]


def test_a_dividend_takes_its_share_of_the_close_before_out_of_adj_close_only():
    history = adjust(prices_of([50.0, 40.0, 41.0]), actions_of((2, "dividend", 1.0)), day(2))
    assert history["close"].tolist() == [50.0, 40.0, 41.0]
    assert history["adj_close"].tolist() == [50.0 * 0.975, 40.0 * 0.975, 41.0]


def test_a_dividend_on_the_day_of_a_split_counts_in_the_new_shares():
    history = adjust(
        prices_of([80.0, 40.0]), actions_of((1, "split", 2.0), (1, "dividend", 1.0)), day(1)
    )
    assert history["adj_close"].tolist() == [40.0 * 0.975, 40.0]


def test_each_ticker_has_its_own_actions():
    prices = pd.concat([prices_of([10.0, 5.0]), prices_of([10.0, 10.0], ticker="B")])
    history = adjust(prices, actions_of((1, "split", 2.0)), day(1))
    assert history[["ticker", "close"]].values.tolist() == [
        ["A", 5.0],
        ["A", 5.0],
        ["B", 10.0],
        ["B", 10.0],
    ]


def test_no_prices_give_an_empty_history():
    pd.testing.assert_frame_equal(
        adjust(PRICES.empty(), actions_of((1, "split", 2.0)), day(3)), HISTORY.empty()
    )


def test_inputs_are_left_as_they_were():
    prices, actions = prices_of([80.0, 40.0]), actions_of((1, "split", 2.0), (1, "dividend", 1.0))
    before = prices.copy(), actions.copy()
    adjust(prices, actions, day(1))
    undo_splits(prices, actions)
    pd.testing.assert_frame_equal(prices, before[0])
    pd.testing.assert_frame_equal(actions, before[1])


@pytest.mark.parametrize("dividend", [80.0, 90.0, 1e6])
def test_before_a_dividend_no_smaller_than_the_price_no_adjusted_close_is_known(dividend):
    prices = prices_of([70.0, 80.0, 40.0, 41.0])
    actions = actions_of((2, "dividend", dividend), (3, "dividend", 1.0), (1, "split", 2.0))
    seen = adjust(prices, actions, day(3))
    np.testing.assert_array_equal(seen["adj_close"], [np.nan, np.nan, 40 * (1 - 1 / 40), 41.0])
    without = adjust(prices, actions[actions["kind"] == "split"], day(3))
    pd.testing.assert_frame_equal(seen[["session", *OHLCV]], without[["session", *OHLCV]])
