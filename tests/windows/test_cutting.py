"""Windows against a loop that anyone can check, and what they must never know."""

import dataclasses
import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest

from pipeline.models.baselines import naive, window_average
from pipeline.tables import column
from pipeline.windows.cutting import cut_windows, surely_trainable
from pipeline.windows.dataset_file import encode, first_test_session
from pipeline.windows.min_max import MinMax
from pipeline.windows.normalisation import FirstValue, LastClose, PreviousWindow
from pipeline.windows.spec import Windowing
from pipeline.windows.train_test_splits import LastYear, Newest, Split
from pipeline.windows.volatility import LOWEST_VOLATILITY, exponentially_weighted
from tests.made_windows import (
    ALL_COLUMNS,
    FIRST,
    HELD_OUT,
    NORMALISATIONS,
    WHOLE_BARS,
    dataset_of,
    default_spec,
    history_of,
    spec_of,
    walk,
)

PRICES = ["open", "high", "low", "close"]
CLOSE_AND_VOLUME = Windowing(4, columns=("close", "volume"))


def sizes(dataset):
    """Return the number of windows in train, validation and test."""
    return tuple(len(part) for part in dataset.parts.values())


def slow_past(history, end, context):
    """Return the default recipe's input up to session `end`, one number at a time."""
    rows = [history.iloc[day] for day in range(end - context + 1, end + 1)]
    mean_volume = sum(row["volume"] for row in rows) / context
    return [
        [row[name] / rows[-1]["close"] - 1 for name in PRICES]
        + [math.log(row["volume"] / mean_volume)]
        for row in rows
    ]


def slow_future(history, target, end, horizon):
    """Return the default recipe's targets after session `end`, one number at a time."""
    last, scale = history[target][end], history["close"][end]
    return [
        (history[target][day] - last) / scale if day < len(history) else math.nan
        for day in range(end + 1, end + 1 + horizon)
    ]


# Past, future and dollars


@pytest.mark.parametrize("target", ["close", "high", "adj_close"])
def test_windows_are_what_a_loop_over_the_definition_gives(target):
    history = walk(20)
    window = Windowing(5, columns=ALL_COLUMNS, outputs=0)
    made = cut_windows(history, spec_of(history, window, LastClose(), horizon=3, target=target))
    ends = range(4, 20)
    np.testing.assert_allclose(made.past, [slow_past(history, end, 5) for end in ends], atol=1e-6)
    future = [slow_future(history, target, end, 3) for end in ends]
    np.testing.assert_allclose(made.future, future, atol=1e-6)


@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=str)
@pytest.mark.parametrize(
    ("window", "shape"),
    [
        (Windowing(4, columns=ALL_COLUMNS), (4, 5)),
        (WHOLE_BARS, (4, 5)),
        (Windowing(6, columns=ALL_COLUMNS, outputs=3), (6, 5)),
        (Windowing(6, columns=ALL_COLUMNS, outputs=3, block=3, stride=3), (2, 15)),
        (Windowing(1, columns=ALL_COLUMNS), (1, 5)),
    ],
    ids=str,
)
def test_a_perfect_prediction_becomes_the_actual_price(normalisation, window, shape):
    history = walk(60)
    dataset = dataset_of(history, default_spec(history, window=window, normalisation=normalisation))
    closes = history.set_index("session")["close"]
    for part in dataset.parts.values():
        actual = np.array([[closes[pd.Timestamp(day)] for day in days] for days in part.sessions])
        known = min(window.outputs or 2, 2)
        assert part.past.shape == (len(part), *shape) and len(part)
        np.testing.assert_array_equal(part.actual, actual)
        np.testing.assert_allclose(
            part.to_prices(part.future)[:, :known], actual[:, :known], rtol=1e-6
        )


@pytest.mark.parametrize("normalisation", NORMALISATIONS[1:], ids=str)
def test_past_and_future_of_the_target_alone_are_on_one_scale(normalisation):
    """The window's last value, taken as a prediction, is the naive forecast."""
    history = walk(60)
    made = cut_windows(history, spec_of(history, Windowing(4), normalisation, target="high"))
    assert made.past.shape == (57, 4, 1)
    if normalisation != PreviousWindow():  # whose blocks have a scale each
        np.testing.assert_allclose(
            made.to_prices(made.past[:, -1:, 0])[:, 0], history["high"][3:], rtol=1e-6
        )
    np.testing.assert_array_equal(made.last, history["high"][3:])


def test_a_prediction_of_no_change_is_the_naive_forecast():
    history = walk(40)
    test = dataset_of(history, default_spec(history)).test
    closes = history.set_index("session")["close"]
    expected = [[closes[pd.Timestamp(day)]] * 2 for day in test.origins]
    np.testing.assert_array_equal(test.to_prices(np.zeros((len(test), 2))), expected)
    np.testing.assert_array_equal(naive(test, 2), expected)


@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=str)
def test_the_naive_forecast_is_the_last_price_under_every_normalisation(normalisation):
    history = walk(60)
    test = dataset_of(history, default_spec(history, normalisation=normalisation)).test
    closes = history.set_index("session")["close"]
    np.testing.assert_array_equal(test.last, [closes[pd.Timestamp(day)] for day in test.origins])
    np.testing.assert_array_equal(naive(test, 2), np.column_stack([test.last, test.last]))


@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=str)
def test_baselines_see_the_sessions_of_the_window_and_none_before(normalisation):
    history = walk(60)
    test = dataset_of(history, default_spec(history, normalisation=normalisation)).test
    closes = history["close"].tolist()
    means = [sum(closes[last - 3 : last + 1]) / 4 for last in test.position]
    np.testing.assert_allclose(window_average(test, 2), [[mean, mean] for mean in means])


def test_mid_is_halfway_between_high_and_low():
    history = history_of(
        [10, 11, 12, 13, 14], high=[12, 13, 14, 15, 20], low=[10, 10, 10, np.nan, 10]
    )
    made = cut_windows(history, spec_of(history, Windowing(2), target="mid"))
    # A missing low takes the close.
    np.testing.assert_array_equal(made.past[:, :, 0], [[11, 11.5], [11.5, 12], [12, 14], [14, 15]])
    np.testing.assert_array_equal(made.ahead[:, 0], [12, np.nan, 15, np.nan])


def test_every_column_can_be_a_target():
    history = walk(40)
    for target in ("open", "high", "low", "close", "adj_close", "mid"):
        spec = spec_of(history, Windowing(4), target=target, split=HELD_OUT)
        np.testing.assert_array_equal(
            dataset_of(history, spec).test.actual[:, 0], column(history, target)[32:]
        )


def test_a_smoothed_target_is_smoothed_before_anything_else():
    history = walk(60)
    history.loc[30, "close"] = np.nan
    average, smoothed = history["close"][0], []
    for value in history["close"].ffill():
        average = 0.1 * value + 0.9 * average
        smoothed.append(average)
    made = cut_windows(history, spec_of(history, CLOSE_AND_VOLUME, smoothing=0.1))
    np.testing.assert_allclose(made.target_values[:, -1], smoothed[3:])
    np.testing.assert_allclose(
        made.past[:, -1], np.column_stack([smoothed, history["volume"]])[3:], rtol=1e-6
    )
    ahead = [value if day != 30 else np.nan for day, value in enumerate(smoothed)][4:]
    np.testing.assert_allclose(made.ahead[:, 0], [*ahead, np.nan])


def test_the_unit_is_the_volatility_at_the_windows_last_session_for_any_context_length():
    history = walk(60)
    history.loc[30, "close"] = np.nan  # stands still for a day
    closes = history["close"].ffill()
    dollars = exponentially_weighted(closes.to_numpy()) * closes
    for context in (1, 30):
        made = cut_windows(history, spec_of(history, Windowing(context), PreviousWindow()))
        np.testing.assert_array_equal(made.unit, dollars[context - 1 :])


def test_prices_that_stood_still_have_a_unit():
    history = walk(60).assign(close=100.0)
    unit = cut_windows(history, spec_of(history, Windowing(30))).unit
    assert unit.tolist() == [100 * LOWEST_VOLATILITY] * 31


# Parts


def test_parts_are_in_order_and_share_no_target_session():
    history = walk(60)
    dataset = dataset_of(history, default_spec(history))
    assert sizes(dataset) == (35, 10, 8)
    first = np.datetime64(FIRST)
    days = [
        ((part.sessions.min() - first).astype(int), (part.sessions.max() - first).astype(int))
        for part in dataset.parts.values()
    ]
    assert days == [(4, 39), (40, 50), (51, 59)]


def test_without_validation_training_ends_where_the_test_begins():
    history = walk(60)
    split = Split(Newest(8), min_train_windows=5)
    dataset = dataset_of(history, spec_of(history, Windowing(4), split=split))
    assert sizes(dataset) == (48, 0, 8)
    assert dataset.test.sessions.min() - dataset.train.sessions.max() == np.timedelta64(1, "D")
    assert dataset.trainable


def test_an_embargo_is_between_the_parts_of_a_dataset():
    history = walk(60)
    split = dataclasses.replace(HELD_OUT, embargo=3)
    dataset = dataset_of(history, default_spec(history, split=split))
    assert sizes(dataset) == (29, 10, 8)
    for earlier, later in ((dataset.train, dataset.validation), (dataset.validation, dataset.test)):
        assert later.sessions.min() - earlier.sessions.max() == np.timedelta64(4, "D")


def test_the_last_year_is_tested_and_all_before_trains():
    history = walk(1500, last=dt.date(2017, 12, 29))
    spec = spec_of(history, Windowing(60), MinMax("train"), split=Split(LastYear()))
    dataset = dataset_of(history, spec)
    assert str(dataset.train.sessions.max()) == "2016-12-30"
    assert str(dataset.test.sessions.min()) == "2017-01-02"
    assert first_test_session(history, spec) == dt.date(2017, 1, 2)
    until_2016 = history[history["session"] < "2017"]["close"]
    assert dataset.test.offset[0] == until_2016.min()
    assert dataset.test.scale[0] == until_2016.max() - until_2016.min()


def test_training_windows_that_do_not_overlap_follow_each_other_from_the_first_session_on():
    history = walk(60)
    window = Windowing(6, outputs=3, block=3, stride=3)
    spec = spec_of(history, window, PreviousWindow(), horizon=3, split=HELD_OUT)
    dataset = dataset_of(history, spec)
    days = (dataset.train.origins - np.datetime64(FIRST)).astype(int)
    assert days.tolist() == list(range(5, 33, 3))
    np.testing.assert_array_equal(dataset.train.sessions[:-1, 2] + 1, dataset.train.sessions[1:, 0])
    assert sizes(dataset)[1:] == (10, 8)  # these slide


def test_outputs_beyond_the_horizon_are_learnt_and_validated_before_the_test_all_the_same():
    history = walk(60)
    dataset = dataset_of(history, spec_of(history, Windowing(4, outputs=3), split=HELD_OUT))
    assert sizes(dataset) == (34, 10, 8)
    closes = history["close"].to_numpy()
    assert dataset.train.ahead.max() <= closes[:40].max()
    np.testing.assert_array_equal(dataset.train.ahead[-1], closes[37:40])
    np.testing.assert_array_equal(dataset.validation.ahead[[0, -1]], [closes[40:43], closes[49:52]])
    np.testing.assert_array_equal(
        dataset.test.ahead[[0, -1]], [closes[52:55], [closes[59], np.nan, np.nan]]
    )
    np.testing.assert_array_equal(dataset.test.actual[:, 0], closes[52:])


# Cells that are missing, or 0


def test_a_missing_target_leaves_out_the_windows_that_aim_at_it_and_no_others():
    history = walk(60)
    missing = history.copy()
    missing.loc[56, "close"] = np.nan
    dataset = dataset_of(missing, default_spec(history))
    assert dataset.left_out == {"train": 0, "validation": 0, "test": 3}
    assert dataset.masked_cells == 1
    assert np.datetime64(history["session"][56], "D") not in dataset.test.sessions
    assert np.isfinite(dataset.test.past).all()


def test_windows_are_left_out_of_the_part_that_they_belong_to():
    history = walk(60)
    missing = history.copy()
    missing.loc[[20, 45, 46, 56], "high"] = np.nan
    missing.loc[22, "open"] = np.nan
    dataset = dataset_of(missing, spec_of(history, Windowing(4), target="high", split=HELD_OUT))
    # A missing target costs the window that aims at it, and the one that would begin the forecast
    # with it.
    assert dataset.left_out == {"train": 2, "validation": 3, "test": 2}
    assert dataset.masked_cells == 5
    gone = np.array(["2020-01-21", "2020-02-15", "2020-02-16", "2020-02-26"], "datetime64[D]")
    for part in dataset.parts.values():
        assert not np.isin(part.sessions, gone).any() and not np.isin(part.origins, gone).any()
        assert np.isfinite(part.past).all() and np.isfinite(part.future).all()


def test_beyond_the_horizon_a_missing_target_costs_windows_to_learn_from_and_none_to_test():
    history = walk(60)
    history.loc[[30, 45, 57], "high"] = np.nan
    spec = spec_of(history, Windowing(4, outputs=3), target="high", split=HELD_OUT)
    dataset = dataset_of(history, spec)
    assert dataset.left_out == {"train": 4, "validation": 4, "test": 2}
    assert np.isfinite(dataset.validation.future).all()


def test_a_missing_open_takes_its_bars_close_and_costs_no_target():
    history = walk(60)
    missing = history.copy()
    missing.loc[50, "open"] = np.nan
    dataset = dataset_of(missing, default_spec(history))
    made = cut_windows(missing, default_spec(history))
    assert dataset.left_out == {"train": 0, "validation": 0, "test": 0}
    assert made.past[50 - 3, -1, 0] == made.past[50 - 3, -1, 3]


@pytest.mark.parametrize(("horizon", "lost"), [(1, [23]), (3, [21, 22, 23])])
def test_a_window_that_begins_without_volume_or_would_when_rolled_is_left_out_and_counted(
    horizon, lost
):
    history = walk(60)
    history.loc[20, "volume"] = 0
    spec = spec_of(history, CLOSE_AND_VOLUME, FirstValue(), horizon, HELD_OUT)
    dataset = dataset_of(history, spec)
    assert dataset.left_out == {"train": len(lost), "validation": 0, "test": 0}
    seen = (dataset.train.origins - np.datetime64(FIRST)).astype(int).tolist()
    assert seen == [day for day in range(3, seen[-1] + 1) if day not in lost]
    assert np.isfinite(dataset.train.past).all()


def test_an_index_without_any_volume_cannot_be_trained_on_where_volume_counts():
    history = walk(60).assign(volume=0.0)
    spec = spec_of(history, CLOSE_AND_VOLUME, FirstValue(), split=HELD_OUT)
    dataset = dataset_of(history, spec)
    assert (len(dataset.train), dataset.trainable, dataset.left_out["test"]) == (0, False, 8)


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_surely_trainable_history_is_trainable_once_it_is_cut(horizon):
    random, judged, whole = np.random.default_rng(0), set(), walk(60)
    for missing in range(0, 48, 3):
        for _ in range(4):
            history = whole.copy()
            for name in ("open", "high", "low", "close", "adj_close", "volume"):
                history.loc[random.choice(60, missing, replace=False), name] = np.nan
            spec = spec_of(history, CLOSE_AND_VOLUME, FirstValue(), horizon, HELD_OUT)
            surely, trainable = surely_trainable(history, spec), dataset_of(history, spec).trainable
            judged.add((surely, trainable))
            assert trainable or not surely
    assert judged == {(True, True), (False, True), (False, False)}
    assert not surely_trainable(whole.assign(volume=0.0), spec)


# What cutting must not do


@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=str)
def test_cutting_does_not_change_its_arguments(normalisation):
    history = walk(60)
    history.loc[10, "close"] = np.nan
    before = history.copy()
    spec = default_spec(history, normalisation=normalisation, smoothing=0.1)
    made = cut_windows(history, spec)
    made.rolled(np.zeros((len(made), 2)))
    encode(history, spec)
    pd.testing.assert_frame_equal(history, before)


def test_windows_before_a_day_do_not_depend_on_it():
    history = walk(60)
    changed = history.copy()
    changed.loc[50:, [*ALL_COLUMNS, "adj_close"]] *= 7
    ours, theirs = (cut_windows(table, default_spec(history)) for table in (history, changed))
    until = 50 - 3
    np.testing.assert_array_equal(ours.past[:until], theirs.past[:until])
    np.testing.assert_array_equal(ours.future[: until - 2], theirs.future[: until - 2])
