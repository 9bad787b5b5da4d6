"""Windows against a loop that anyone can check, and what they must never do."""

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest

from pipeline import windows
from pipeline.errors import LookAtTheData, NotEnoughHistory
from pipeline.tables import HISTORY, OHLCV

FIRST = dt.date(2020, 1, 1)


def made_history(count, seed=0, ticker="IBM"):
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.02, count)))
    frame = pd.DataFrame(
        {
            "ticker": ticker,
            "session": [FIRST + dt.timedelta(days=day) for day in range(count)],
            "open": close * (1 + random.normal(0, 0.005, count)),
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": random.integers(1, 1000, count),
            "adj_close": close * 0.9,
        }
    )
    return HISTORY.conform(frame)


def made_spec(history, **changes):
    last = history["session"].iloc[-1].date()
    spec = {"context_length": 4, "validation_sessions": 10, "test_sessions": 8, "min_train_sessions": 5, "horizon": 2}
    return windows.Spec(ticker="IBM", cutoff=last, target="close", **{**spec, **changes})


def slow_windows(history, target, horizon, context):
    """past and future by the definition in the module's docstring, one number at a time."""
    past, future = [], []
    for end in range(context - 1, len(history)):
        rows = [history.iloc[k] for k in range(end - context + 1, end + 1)]
        scale = rows[-1]["close"]
        mean_volume = sum(row["volume"] for row in rows) / context
        past.append(
            [
                [row[c] / scale - 1 for c in ("open", "high", "low", "close")] + [math.log(row["volume"] / mean_volume)]
                for row in rows
            ]
        )
        ahead = [end + step for step in range(1, horizon + 1)]
        future.append([(history[target][k] - history[target][end]) / scale if k < len(history) else math.nan for k in ahead])
    return np.array(past), np.array(future)


@pytest.mark.parametrize("target", ["close", "high", "adj_close"])
def test_windows_are_what_a_loop_over_the_definition_gives(target):
    history = made_history(20)
    cut = windows.cut(history, target, horizon=3, context_length=5)
    past, future = slow_windows(history, target, 3, 5)
    np.testing.assert_allclose(cut.past, past, atol=1e-6)
    np.testing.assert_allclose(cut.future, future, atol=1e-6)


def test_a_perfect_relative_prediction_becomes_the_actual_price():
    history = made_history(40)
    dataset = windows.load_dataset(windows.encode(history, made_spec(history)))
    closes = history.set_index("session")["close"]
    expected = [[closes[pd.Timestamp(day)] for day in days] for days in dataset.test.sessions]
    np.testing.assert_allclose(dataset.test.actual, expected, rtol=1e-6)


def test_predicting_zeros_is_the_naive_forecast():
    history = made_history(40)
    test = windows.load_dataset(windows.encode(history, made_spec(history))).test
    closes = history.set_index("session")["close"]
    expected = [[closes[pd.Timestamp(day)]] * 2 for day in test.origins]
    np.testing.assert_array_equal(test.to_prices(np.zeros((len(test), 2))), expected)


def test_parts_are_in_order_and_share_no_target_session():
    history = made_history(60)
    dataset = windows.load_dataset(windows.encode(history, made_spec(history)))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (33, 10, 8)
    assert dataset.train.sessions.max() < dataset.validation.sessions.min()
    assert dataset.validation.sessions.max() < dataset.test.sessions.min()
    assert dataset.test.sessions.max() == np.datetime64(history["session"].iloc[-1], "D")


def test_a_history_of_exactly_the_needed_sessions_is_trainable_and_one_session_less_has_too_few_windows():
    needed = made_spec(made_history(10)).needed_sessions
    counts = []
    for count in (needed, needed - 1):
        history = made_history(count)
        counts.append(len(windows.load_dataset(windows.encode(history, made_spec(history))).train))
    assert counts == [5, 4]


def test_a_short_history_is_measured_without_training():
    history = made_history(30)
    spec = made_spec(history, validation_sessions=100, test_sessions=100).without_training(30)
    dataset = windows.load_dataset(windows.encode(history, spec))
    assert not dataset.trainable
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (0, 11, 11)


def test_a_dataset_file_has_the_same_bytes_each_time_and_reads_back_as_it_was():
    history = made_history(40)
    data = windows.encode(history, made_spec(history))
    spec, read = windows.decode(data)
    assert data == windows.encode(history.copy(), made_spec(history))
    assert spec == made_spec(history)
    pd.testing.assert_frame_equal(read, history)


def test_a_damaged_dataset_file_says_so():
    with pytest.raises(LookAtTheData, match="cannot be read"):
        windows.load_dataset(b"not a dataset")


def test_a_missing_target_leaves_out_the_windows_that_aim_at_it_and_no_others():
    history = made_history(60)
    missing = history.copy()
    missing.loc[56, "close"] = np.nan
    dataset = windows.load_dataset(windows.encode(missing, made_spec(history)))
    assert dataset.left_out == {"train": 0, "validation": 0, "test": 3}
    assert dataset.masked_cells == 1
    assert np.datetime64(history["session"][56], "D") not in dataset.test.sessions
    assert np.isfinite(dataset.test.past).all()


def test_a_missing_open_stands_in_as_its_bars_close_and_costs_no_target():
    history = made_history(60)
    missing = history.copy()
    missing.loc[50, "open"] = np.nan
    dataset = windows.load_dataset(windows.encode(missing, made_spec(history)))
    cut = windows.cut(missing, "close", 2, 4)
    assert dataset.left_out == {"train": 0, "validation": 0, "test": 0}
    assert cut.past[50 - 3, -1, 0] == cut.past[50 - 3, -1, 3]


def test_a_masked_price_to_forecast_from_is_refused():
    history = made_history(60)
    history.loc[59, "close"] = np.nan
    with pytest.raises(LookAtTheData, match=r"IBM .* close is missing"):
        windows.load_live(windows.encode(history, made_spec(history)))


def test_the_live_window_is_the_last_one_and_has_no_future():
    history = made_history(60)
    live = windows.load_live(windows.encode(history.tail(4), made_spec(history)))
    np.testing.assert_array_equal(live.past[0], windows.cut(history, "close", 2, 4).past[-1])
    assert (live.base[0], live.future.shape) == (history["close"].iloc[-1], (1, 0))


def test_missing_sessions_become_empty_rows_and_extra_days_go():
    history = made_history(10)
    sessions = [FIRST + dt.timedelta(days=day) for day in range(10) if day != 4]
    table = windows.on_calendar(history.drop(index=6), sessions)
    assert [day.date() for day in table["session"]] == sessions
    assert table[OHLCV].isna().all(axis=1).tolist() == [day == 5 for day in range(9)]


def test_cutting_changes_nothing_it_was_given():
    history = made_history(30)
    before = history.copy()
    windows.cut(history, "close", 2, 4)
    windows.encode(history, made_spec(history))
    pd.testing.assert_frame_equal(history, before)


def test_windows_before_a_day_do_not_depend_on_it():
    history = made_history(60)
    changed = history.copy()
    changed.loc[50:, [*OHLCV, "adj_close"]] *= 7
    ours, theirs = (windows.cut(table, "close", 2, 4) for table in (history, changed))
    until = 50 - 3
    np.testing.assert_array_equal(ours.past[:until], theirs.past[:until])
    np.testing.assert_array_equal(ours.future[: until - 2], theirs.future[: until - 2])


def test_too_few_sessions_for_one_window_are_refused():
    with pytest.raises(NotEnoughHistory, match=r"IBM: 3 sessions .* 4 needed"):
        windows.cut(made_history(3), "close", 2, 4)


def test_a_history_that_ends_elsewhere_is_refused():
    history = made_history(30)
    with pytest.raises(NotEnoughHistory, match="the history ends at"):
        windows.encode(history.iloc[:-1], made_spec(history))
