"""Windows against a loop that anyone can check, and what they must never do."""

import dataclasses
import datetime as dt
import io
import json
import math

import numpy as np
import pandas as pd
import pytest

from pipeline import windows
from pipeline.errors import LookAtTheData, NotEnoughHistory
from pipeline.models import baselines
from pipeline.normalisation import BlockMinMax, ByVolatility, FirstValue, LastClose, MinMax, PreviousWindow, Unscaled
from pipeline.spec import Spec, Windowing
from pipeline.splits import Fraction, LastYear, Newest, Since, Split
from pipeline.tables import OHLCV, column
from pipeline.volatility import LOWEST, exponentially_weighted
from tests.made_windows import FIRST, history_of, spec_of, walk

ALL = tuple(OHLCV)
#: Four sessions of all columns, as many ahead as the run asks for: the default recipe's shape.
WHOLE = Windowing(4, columns=ALL, outputs=0)
#: 10 sessions of validation and 8 of test.
HELD_OUT = Split(Newest(8), Newest(10), min_train_windows=5)
NORMALISATIONS = [
    LastClose(),
    PreviousWindow(),
    FirstValue(),
    MinMax("train"),
    MinMax("all"),
    BlockMinMax(25),
    BlockMinMax(25, "own"),
    Unscaled(),
]
#: Sees open, high, low, close and volume, whichever the window's columns would be.
BY_VOLATILITY = ByVolatility()


def default_spec(history, **changes):
    return spec_of(history, **{"window": WHOLE, "normalisation": LastClose(), "horizon": 2, "split": HELD_OUT, **changes})


def loaded(history, spec):
    return windows.load_dataset(windows.encode(history, spec))


def slow_windows(history, target, horizon, context):
    """past and future of the default recipe by the definition, one number at a time."""
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


# --- past, future and dollars --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["close", "high", "adj_close"])
def test_windows_are_what_a_loop_over_the_definition_gives(target):
    history = walk(20)
    made = windows.cut(history, spec_of(history, Windowing(5, columns=ALL, outputs=0), LastClose(), horizon=3, target=target))
    past, future = slow_windows(history, target, 3, 5)
    np.testing.assert_allclose(made.past, past, atol=1e-6)
    np.testing.assert_allclose(made.future, future, atol=1e-6)


@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=str)
@pytest.mark.parametrize(
    ("window", "shape"),
    [
        (Windowing(4, columns=ALL), (4, 5)),
        (WHOLE, (4, 5)),
        (Windowing(6, columns=ALL, outputs=3), (6, 5)),
        (Windowing(6, columns=ALL, outputs=3, block=3, stride=3), (2, 15)),
        (Windowing(1, columns=ALL), (1, 5)),
    ],
    ids=str,
)
def test_a_perfect_prediction_becomes_the_actual_price(normalisation, window, shape):
    history = walk(60)
    dataset = loaded(history, default_spec(history, window=window, normalisation=normalisation))
    closes = history.set_index("session")["close"]
    for part in (dataset.train, dataset.validation, dataset.test):
        actual = np.array([[closes[pd.Timestamp(day)] for day in days] for days in part.sessions])
        known = min(window.outputs or 2, 2)
        assert part.past.shape == (len(part), *shape) and len(part)
        np.testing.assert_array_equal(part.actual, actual)
        np.testing.assert_allclose(part.to_prices(part.future)[:, :known], actual[:, :known], rtol=1e-6)


@pytest.mark.parametrize("normalisation", NORMALISATIONS[1:], ids=str)
def test_a_window_of_the_target_alone_is_normalised_as_what_it_should_say(normalisation):
    """Past and future lie on one scale: the window's last value, said as a prediction, is the naive forecast."""
    history = walk(60)
    made = windows.cut(history, spec_of(history, Windowing(4), normalisation, target="high"))
    assert made.past.shape == (57, 4, 1)
    if normalisation != PreviousWindow():  # whose blocks have a scale each
        np.testing.assert_allclose(made.to_prices(made.past[:, -1:, 0])[:, 0], history["high"][3:], rtol=1e-6)
    np.testing.assert_array_equal(made.last, history["high"][3:])


def test_what_predicts_no_change_is_the_naive_forecast():
    history = walk(40)
    test = loaded(history, default_spec(history)).test
    closes = history.set_index("session")["close"]
    expected = [[closes[pd.Timestamp(day)]] * 2 for day in test.origins]
    np.testing.assert_array_equal(test.to_prices(np.zeros((len(test), 2))), expected)
    np.testing.assert_array_equal(baselines.naive(test, 2), expected)


@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=str)
def test_the_naive_forecast_is_the_last_price_however_it_is_normalised(normalisation):
    history = walk(60)
    test = loaded(history, default_spec(history, normalisation=normalisation)).test
    closes = history.set_index("session")["close"]
    np.testing.assert_array_equal(test.last, [closes[pd.Timestamp(day)] for day in test.origins])
    np.testing.assert_array_equal(baselines.naive(test, 2), np.column_stack([test.last, test.last]))


@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=str)
def test_baselines_see_the_sessions_of_the_window_and_none_before(normalisation):
    history = walk(60)
    test = loaded(history, default_spec(history, normalisation=normalisation)).test
    closes = history["close"].tolist()
    means = [sum(closes[last - 3 : last + 1]) / 4 for last in test.position]
    np.testing.assert_allclose(baselines.window_average(test, 2), [[mean, mean] for mean in means])


def test_halfway_between_high_and_low():
    history = history_of([10, 11, 12, 13, 14], high=[12, 13, 14, 15, 20], low=[10, 10, 10, np.nan, 10])
    made = windows.cut(history, spec_of(history, Windowing(2), target="mid"))
    np.testing.assert_array_equal(made.past[:, :, 0], [[11, 11.5], [11.5, 12], [12, 14], [14, 15]])  # a missing low: the close
    np.testing.assert_array_equal(made.ahead[:, 0], [12, np.nan, 15, np.nan])


def test_a_smoothed_target_is_smoothed_before_anything_else():
    history = walk(60)
    history.loc[30, "close"] = np.nan
    average, expected = history["close"][0], []
    for value in history["close"].ffill():
        average = 0.1 * value + 0.9 * average
        expected.append(average)
    made = windows.cut(history, spec_of(history, Windowing(4, columns=("close", "volume")), smoothing=0.1))
    np.testing.assert_allclose(made.target_values[:, -1], expected[3:])
    np.testing.assert_allclose(made.past[:, -1], np.column_stack([expected, history["volume"]])[3:], rtol=1e-6)
    np.testing.assert_allclose(
        made.ahead[:, 0], [*[value if day != 30 else np.nan for day, value in enumerate(expected)][4:], np.nan]
    )


def test_blocks_must_fit_into_the_window():
    with pytest.raises(ValueError, match="7 sessions are no whole number of blocks of 3"):
        Windowing(7, block=3)


# --- parts -----------------------------------------------------------------------------------------------------------------------------


def test_parts_are_in_order_and_share_no_target_session():
    history = walk(60)
    dataset = loaded(history, default_spec(history))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (35, 10, 8)
    days = history["session"].to_numpy().astype("datetime64[D]")
    assert [str(part.sessions.max() - days[0]) for part in (dataset.train, dataset.validation)] == ["39 days", "50 days"]
    assert [str(part.sessions.min() - days[0]) for part in (dataset.validation, dataset.test)] == ["40 days", "51 days"]
    assert dataset.test.sessions.max() == days[-1]


def test_without_validation_training_ends_where_the_test_begins():
    history = walk(60)
    dataset = loaded(history, spec_of(history, Windowing(4), split=Split(Newest(8), min_train_windows=5)))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (48, 0, 8)
    assert dataset.test.sessions.min() - dataset.train.sessions.max() == np.timedelta64(1, "D")
    assert dataset.trainable


def test_the_last_year_is_tested_and_what_came_before_trains():
    history = walk(1500, last=dt.date(2017, 12, 29))
    dataset = loaded(history, spec_of(history, Windowing(60), MinMax("train"), split=Split(LastYear())))
    assert (str(dataset.train.sessions.max()), str(dataset.test.sessions.min())) == ("2016-12-30", "2017-01-02")
    assert windows.first_test_session(history, dataset.spec) == dt.date(2017, 1, 2)
    until_2016 = history[history["session"] < "2017"]["close"]
    assert dataset.test.offset[0] == until_2016.min()
    assert dataset.test.scale[0] == until_2016.max() - until_2016.min()


def test_training_windows_that_do_not_overlap_follow_each_other_from_the_first_session_on():
    history = walk(60)
    window = Windowing(6, outputs=3, block=3, stride=3)
    dataset = loaded(history, spec_of(history, window, PreviousWindow(), horizon=3, split=HELD_OUT))
    first = np.datetime64(FIRST)
    assert (dataset.train.origins - first).astype(int).tolist() == list(range(5, 33, 3))
    np.testing.assert_array_equal(dataset.train.sessions[:-1, 2] + 1, dataset.train.sessions[1:, 0])
    assert len(dataset.validation) == 10 and len(dataset.test) == 8  # these slide


def test_a_network_that_looks_farther_than_the_horizon_learns_and_chooses_before_the_test_all_the_same():
    history = walk(60)
    dataset = loaded(history, spec_of(history, Windowing(4, outputs=3), split=HELD_OUT))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (34, 10, 8)
    closes = history["close"].to_numpy()
    assert dataset.train.ahead.max() <= closes[:40].max()
    np.testing.assert_array_equal(dataset.train.ahead[-1], closes[37:40])
    np.testing.assert_array_equal(dataset.validation.ahead[[0, -1]], [closes[40:43], closes[49:52]])
    np.testing.assert_array_equal(dataset.test.ahead[[0, -1]], [closes[52:55], [closes[59], np.nan, np.nan]])
    np.testing.assert_array_equal(dataset.test.actual[:, 0], closes[52:])


WEEKDAY_SPLITS = [
    (Split(Newest(252), Newest(252)), dt.date(2017, 12, 29)),
    (Split(Newest(20), Newest(30), min_train_windows=50), dt.date(2017, 12, 29)),
    (Split(Fraction(0.1)), dt.date(2017, 12, 29)),
    (Split(Fraction(0.15), Fraction(0.05)), dt.date(2017, 12, 29)),
    (Split(LastYear()), dt.date(2017, 12, 29)),
    (Split(LastYear()), dt.date(2013, 3, 1)),
    (Split(Since(dt.date(2016, 10, 3)), Newest(252)), dt.date(2017, 12, 29)),
]


@pytest.mark.parametrize(("split", "last"), WEEKDAY_SPLITS, ids=lambda value: str(value))
@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("outputs", [1, 0, 7])
def test_a_history_of_exactly_the_needed_sessions_is_trainable_and_one_session_less_has_too_few_windows(
    split, last, horizon, outputs
):
    def train(count):
        history = walk(count, last=last)
        return len(loaded(history, spec_of(history, Windowing(30, outputs=outputs), horizon=horizon, split=split)).train)

    needed = spec_of(walk(100, last=last), Windowing(30, outputs=outputs), horizon=horizon, split=split).needed_sessions
    assert (train(needed), train(needed - 1)) == (split.min_train_windows, split.min_train_windows - 1)


def test_a_short_history_is_measured_without_training():
    history = walk(30)
    spec = default_spec(history, split=Split(Newest(100), Newest(100))).without_training(30)
    dataset = loaded(history, spec)
    assert not dataset.trainable
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (0, 12, 12)
    naive = baselines.naive(dataset.test, 2)
    closes = history["close"].to_numpy()
    np.testing.assert_array_equal(naive[:, 0], closes[16:28])
    assert np.isfinite(dataset.test.unit).all()


@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=str)
def test_every_short_history_is_measured_or_refused_in_one_line(horizon, normalisation):
    refused = []
    for count in range(1, 40):
        history = walk(count)
        spec = spec_of(history, Windowing(60, columns=ALL, block=3, outputs=0), normalisation, horizon, Split(LastYear()))
        try:
            dataset = loaded(history, spec.without_training(count))
        except NotEnoughHistory as error:
            refused.append(count)
            assert str(error) == (
                f"IBM: {count} sessions up to {spec.cutoff} leave none to measure a forecast of {horizon} sessions on. "
                "Fetch from an earlier date, or ask for a shorter horizon."
            )
        else:
            assert not dataset.trainable
            assert len(dataset.validation) == len(dataset.test) > 0
            assert dataset.validation.sessions.max() < dataset.test.sessions.min()
    assert refused == list(range(1, 3 if horizon == 1 else 14))


# --- cells that are missing, or 0 -----------------------------------------------------------------------------------------------------


def test_a_missing_target_leaves_out_the_windows_that_aim_at_it_and_no_others():
    history = walk(60)
    missing = history.copy()
    missing.loc[56, "close"] = np.nan
    dataset = loaded(missing, default_spec(history))
    assert dataset.left_out == {"train": 0, "validation": 0, "test": 3}
    assert dataset.masked_cells == 1
    assert np.datetime64(history["session"][56], "D") not in dataset.test.sessions
    assert np.isfinite(dataset.test.past).all()


def test_windows_are_left_out_of_the_part_that_they_belong_to():
    history = walk(60)
    missing = history.copy()
    missing.loc[[20, 45, 46, 56], "high"] = np.nan
    missing.loc[22, "open"] = np.nan
    dataset = loaded(missing, spec_of(history, Windowing(4), target="high", split=HELD_OUT))
    # A target that is missing costs the window that aims at it, and the one that would begin the forecast with it.
    assert dataset.left_out == {"train": 2, "validation": 3, "test": 2}
    assert dataset.masked_cells == 5
    gone = np.array(["2020-01-21", "2020-02-15", "2020-02-16", "2020-02-26"], "datetime64[D]")
    for part in (dataset.train, dataset.validation, dataset.test):
        assert not np.isin(part.sessions, gone).any() and not np.isin(part.origins, gone).any()
        assert np.isfinite(part.past).all() and np.isfinite(part.future).all()


def test_beyond_the_horizon_a_missing_target_costs_what_is_learnt_from_and_nothing_measured():
    history = walk(60)
    history.loc[[30, 45, 57], "high"] = np.nan
    dataset = loaded(history, spec_of(history, Windowing(4, outputs=3), target="high", split=HELD_OUT))
    assert dataset.left_out == {"train": 4, "validation": 4, "test": 2}
    assert np.isfinite(dataset.validation.future).all()


def test_a_missing_open_stands_in_as_its_bars_close_and_costs_no_target():
    history = walk(60)
    missing = history.copy()
    missing.loc[50, "open"] = np.nan
    dataset = loaded(missing, default_spec(history))
    made = windows.cut(missing, default_spec(history))
    assert dataset.left_out == {"train": 0, "validation": 0, "test": 0}
    assert made.past[50 - 3, -1, 0] == made.past[50 - 3, -1, 3]


@pytest.mark.parametrize(("horizon", "lost"), [(1, [23]), (3, [21, 22, 23])])
def test_a_window_that_begins_without_volume_or_would_when_rolled_is_left_out_and_counted(horizon, lost):
    history = walk(60)
    history.loc[20, "volume"] = 0
    spec = spec_of(history, Windowing(4, columns=("close", "volume")), FirstValue(), horizon, HELD_OUT)
    dataset = loaded(history, spec)
    assert dataset.left_out == {"train": len(lost), "validation": 0, "test": 0}
    seen = (dataset.train.origins - np.datetime64(FIRST)).astype(int).tolist()
    assert seen == [day for day in range(3, seen[-1] + 1) if day not in lost]
    assert np.isfinite(dataset.train.past).all()


def test_an_index_without_any_volume_cannot_be_trained_on_where_volume_counts():
    history = walk(60).assign(volume=0.0)
    dataset = loaded(history, spec_of(history, Windowing(4, columns=("close", "volume")), FirstValue(), split=HELD_OUT))
    assert (len(dataset.train), dataset.trainable, dataset.left_out["test"]) == (0, False, 8)


@pytest.mark.parametrize("horizon", [1, 3])
def test_what_is_surely_trainable_is_so_once_it_is_cut(horizon):
    random, told = np.random.default_rng(0), []
    for missing in range(0, 48, 3):
        for _ in range(4):
            history = walk(60)
            for name in ("open", "high", "low", "close", "adj_close", "volume"):
                history.loc[random.choice(60, missing, replace=False), name] = np.nan
            spec = spec_of(history, Windowing(4, columns=("close", "volume")), FirstValue(), horizon, HELD_OUT)
            surely, dataset = windows.surely_trainable(history, spec), loaded(history, spec)
            told.append((surely, dataset.trainable))
            assert dataset.trainable or not surely
    assert {(True, True), (False, True), (False, False)} == set(told)
    assert not windows.surely_trainable(walk(60).assign(volume=0.0), spec)


# --- the live window --------------------------------------------------------------------------------------------------------------------


def assert_same_windows(ours, theirs):
    for name in ("past", "offset", "scale", "target_values", "values", "origins", "volatility", "ahead", "sessions"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)


#: A year is a long time for a test.
@pytest.fixture
def ten_replayed(monkeypatch):
    monkeypatch.setattr(windows, "REPLAYED", 10)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("normalisation", [*NORMALISATIONS, BY_VOLATILITY], ids=str)
@pytest.mark.parametrize("window", [WHOLE, Windowing(6, columns=ALL, block=3, outputs=3)], ids=str)
def test_a_replay_ends_with_the_live_window_and_is_cut_from_the_newest_sessions_alike(
    normalisation, window, smoothing, ten_replayed
):
    if normalisation == BY_VOLATILITY and window.block > 1:
        pytest.skip("it has no blocks")
    history = walk(200)
    # One of them in what is replayed, and what the windows would begin with is carried from before them.
    history.loc[[80, 81, 82, 83, 84, 192], ["open", "close", "volume"]] = np.nan
    spec = default_spec(history, window=window, normalisation=normalisation, smoothing=smoothing)
    whole, kept = windows.encode(history, spec), windows.encode(windows.live_part(history, spec), spec)
    assert spec.needs_history or len(windows.live_part(history, spec)) < 125
    cut = windows.cut(history, spec)
    expected = cut.take(np.array([at for at in range(len(cut) - 11, len(cut)) if cut.position[at] != 192]))
    for replayed in (windows.load_replay(whole), windows.load_replay(kept, whole)):
        assert len(replayed) == 10
        assert_same_windows(replayed, expected)
        np.testing.assert_array_equal(np.diff(replayed.position), np.diff(expected.position))


def test_what_is_yet_to_come_is_missing_from_a_replay_and_what_has_come_is_there(ten_replayed):
    history = walk(60)
    replayed = windows.load_replay(windows.encode(history, default_spec(history)))
    closes = history["close"].tolist()
    assert len(replayed) == 11
    for row, last in enumerate(range(49, 60)):
        ahead = [closes[day] if day < 60 else math.nan for day in (last + 1, last + 2)]
        np.testing.assert_array_equal(replayed.actual[row], ahead)
        assert replayed.last[row] == closes[last]
        assert np.isnat(replayed.sessions[row]).tolist() == [day >= 60 for day in (last + 1, last + 2)]


def test_a_short_history_is_replayed_as_far_as_it_goes():
    history = walk(60)
    replayed = windows.load_replay(windows.encode(history, default_spec(history)))
    assert replayed.position.tolist() == list(range(3, 60))


@pytest.mark.parametrize("normalisation", [*NORMALISATIONS, BY_VOLATILITY], ids=str)
def test_a_split_of_the_shares_changes_the_dollars_and_nothing_that_a_network_sees(normalisation):
    """The network was trained 20 sessions ago in dollars of then; two for one since, and history is told in halves."""
    history = walk(80)
    halved = history.assign(
        **{name: history[name] / 2 for name in windows.COLUMNS if name != "volume"}, volume=history["volume"] * 2
    )
    trained = windows.encode(history.head(60), default_spec(history.head(60), normalisation=normalisation))
    prediction = np.array([[0.25, -0.5]])
    replays, tests = [], []
    for table in (history, halved):
        data = windows.encode(table, default_spec(table, normalisation=normalisation))
        replays.append(windows.load_replay(data, trained))
        tests.append(windows.load_dataset(data, trained).test)
    if normalisation != Unscaled():
        np.testing.assert_array_equal(replays[0].past, replays[1].past)
        np.testing.assert_array_equal(tests[0].past, tests[1].past)
        np.testing.assert_array_equal(tests[0].future, tests[1].future)
        np.testing.assert_array_equal(replays[0].to_prices(prediction), 2 * replays[1].to_prices(prediction))
    np.testing.assert_array_equal(tests[0].actual, 2 * tests[1].actual)
    np.testing.assert_array_equal(replays[0].last, 2 * replays[1].last)
    np.testing.assert_array_equal(replays[0].unit, 2 * replays[1].unit)


def test_a_live_window_is_scaled_by_what_its_network_learnt_from():
    history = walk(80)
    trained = windows.encode(history.head(60), default_spec(history.head(60), window=Windowing(4), normalisation=MinMax("train")))
    data = windows.encode(history, default_spec(history, window=Windowing(4), normalisation=MinMax("train")))
    learnt = history["close"][:40]  # of the 60: 8 of test, 10 of validation, one between each
    for made in (windows.load_replay(data, trained), windows.load_dataset(data, trained).test):
        assert made.offset[0] == learnt.min()
        assert made.scale[0] == learnt.max() - learnt.min()
    assert windows.load_dataset(data).test.scale[0] != made.scale[0]


@pytest.mark.parametrize(("target", "named"), [("close", "close"), ("high", "high or close")])
def test_a_masked_price_to_forecast_from_is_refused(target, named):
    history = walk(60)
    history.loc[59, ["high", "close"]] = np.nan
    with pytest.raises(LookAtTheData, match=rf"IBM 2020-02-29: its {named} is missing or masked"):
        windows.load_replay(windows.encode(history, default_spec(history, target=target)))


def test_too_few_sessions_for_one_window_are_refused():
    history = walk(3)
    for cut in (windows.cut, lambda history, spec: windows.load_replay(windows.encode(history, spec))):
        with pytest.raises(NotEnoughHistory, match=r"IBM: 3 sessions .* 4 needed"):
            cut(history, default_spec(history))


# --- dataset files ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        *({"normalisation": normalisation} for normalisation in NORMALISATIONS),
        *({"split": split} for split, _ in WEEKDAY_SPLITS),
        *({"window": window} for window in (Windowing(4), Windowing(6, block=3, outputs=3, stride=3))),
        {"smoothing": 0.1},
        {"normalisation": ByVolatility(limit=4.0), "split": Split(Newest(8), Newest(10), embargo=5)},
    ],
    ids=str,
)
def test_a_dataset_file_has_the_same_bytes_each_time_and_reads_back_as_it_was(changes):
    history = walk(40)
    history.loc[7, "close"] = np.nan
    spec = default_spec(history, **changes)
    data = windows.encode(history, spec)
    read_spec, read = windows.decode(data)
    assert data == windows.encode(history.copy(), dataclasses.replace(spec))
    assert (read_spec, hash(read_spec)) == (spec, hash(spec))
    pd.testing.assert_frame_equal(read, history)


def test_whatever_differs_makes_another_file():
    history = walk(40)
    changed = history.copy()
    changed.loc[3, "open"] += 1
    specs = [
        default_spec(history, **change) for change in ({}, {"horizon": 3}, {"smoothing": 0.1}, {"normalisation": FirstValue()})
    ]
    specs += [default_spec(history, split=Split(Newest(8))), default_spec(history, window=Windowing(4))]
    specs += [default_spec(history, split=dataclasses.replace(HELD_OUT, embargo=1))]
    files = [windows.encode(history, spec) for spec in specs] + [windows.encode(changed, specs[0])]
    assert len(set(files)) == 8


def test_a_dataset_file_from_before_there_were_embargoes_has_none():
    history = walk(40)
    about = default_spec(history).to_json()
    del about["split"]["embargo"]
    assert Spec.from_json(about) == default_spec(history)


def damaged_files():
    history = walk(40)
    data = windows.encode(history, default_spec(history))
    about = default_spec(history).to_json()
    middle = len(data) // 2
    yield from (b"", b"not a dataset", data[:100], data[:-30], data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :])
    array = io.BytesIO()
    np.save(array, np.arange(3))
    yield array.getvalue()
    specs = [
        None,
        [],
        {},
        {"context_length": 60},
        {**about, "normalisation": ["Nobody", {}]},
        {**about, "cutoff": "someday"},
        {**about, "x": 1},
    ]
    for spec in (*specs, {**about, "split": {**about["split"], "test": ["Newest", {"months": 3}]}}, {**about, "split": 7}):
        file = io.BytesIO()
        np.savez(
            file, spec=np.frombuffer(json.dumps(spec).encode(), "uint8"), sessions=np.zeros(40, "int32"), values=np.zeros((40, 6))
        )
        yield file.getvalue()
    file = io.BytesIO()
    np.savez(
        file, spec=np.frombuffer(json.dumps(about).encode(), "uint8"), sessions=np.zeros(40, "int32"), values=np.zeros((40, 5))
    )
    yield file.getvalue()


@pytest.mark.parametrize("data", list(damaged_files()), ids=lambda data: f"{len(data)} bytes")
def test_a_damaged_dataset_file_says_so(data):
    with pytest.raises(LookAtTheData, match=r"cannot be read \(.+\)\. Delete it and repeat build_windows\.$"):
        windows.load_dataset(data)


def test_a_history_that_ends_elsewhere_is_refused():
    history = walk(30)
    with pytest.raises(NotEnoughHistory, match="the history ends at"):
        windows.encode(history.iloc[:-1], default_spec(history))


# --- what goes in ------------------------------------------------------------------------------------------------------------------------


def test_missing_sessions_become_empty_rows_and_extra_days_go():
    history = walk(10)
    sessions = [FIRST + dt.timedelta(days=day) for day in range(10) if day != 4]
    table = windows.on_calendar(history.drop(index=6), sessions)
    assert [day.date() for day in table["session"]] == sessions
    assert table[OHLCV].isna().all(axis=1).tolist() == [day == 5 for day in range(9)]


@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=str)
def test_cutting_changes_nothing_it_was_given(normalisation):
    history = walk(60)
    history.loc[10, "close"] = np.nan
    before = history.copy()
    spec = default_spec(history, normalisation=normalisation, smoothing=0.1)
    made = windows.cut(history, spec)
    made.rolled(np.zeros((len(made), 2)))
    windows.encode(history, spec)
    pd.testing.assert_frame_equal(history, before)


def test_windows_before_a_day_do_not_depend_on_it():
    history = walk(60)
    changed = history.copy()
    changed.loc[50:, list(windows.COLUMNS)] *= 7
    ours, theirs = (windows.cut(table, default_spec(history)) for table in (history, changed))
    until = 50 - 3
    np.testing.assert_array_equal(ours.past[:until], theirs.past[:until])
    np.testing.assert_array_equal(ours.future[: until - 2], theirs.future[: until - 2])


def test_the_unit_is_the_volatility_at_the_windows_last_session_in_dollars_whatever_the_window_spans():
    history = walk(60)
    history.loc[30, "close"] = np.nan  # stands still for a day
    volatility = exponentially_weighted(history["close"].ffill().to_numpy())
    for context in (1, 30):
        made = windows.cut(history, spec_of(history, Windowing(context), PreviousWindow()))
        np.testing.assert_array_equal(made.unit, (volatility * history["close"].ffill())[context - 1 :])


def test_prices_that_stood_still_still_have_a_unit():
    history = walk(60).assign(close=100.0)
    assert windows.cut(history, spec_of(history, Windowing(30))).unit.tolist() == [100 * LOWEST] * 31


def test_an_embargo_is_between_the_parts_of_a_dataset():
    history = walk(60)
    dataset = loaded(history, default_spec(history, split=dataclasses.replace(HELD_OUT, embargo=3)))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (29, 10, 8)
    for earlier, later in ((dataset.train, dataset.validation), (dataset.validation, dataset.test)):
        assert later.sessions.min() - earlier.sessions.max() == np.timedelta64(4, "D")


def test_a_short_history_keeps_its_window_where_other_stocks_network_is_to_be_measured_on_it():
    spec = default_spec(walk(100), window=Windowing(10, columns=ALL, outputs=0), normalisation=ByVolatility(), horizon=2)
    enough = 10 + 2 + 2 * 40  # a window, the sessions that two parts share, 40 for either
    kept, cut_short, asked_for_less = (
        spec.without_training(enough, as_it_is=True),
        spec.without_training(enough - 1, as_it_is=True),
        spec.without_training(enough),
    )
    assert (kept.window, kept.normalisation, kept.split.test) == (spec.window, ByVolatility(), Newest(40))
    long = spec.without_training(900, as_it_is=True)
    assert (long.split.test, long.split.validation) == (Newest(252), Newest(252)), "no session that the others were trained on"
    for other in (cut_short, asked_for_less):
        assert (other.window, other.normalisation) == (Windowing(10), Unscaled())


def test_every_column_can_be_a_target():
    history = walk(40)
    for target in ("open", "high", "low", "close", "adj_close", "mid"):
        spec = Spec("IBM", history["session"].iloc[-1].date(), target, 1, Windowing(4), Unscaled(), HELD_OUT)
        np.testing.assert_array_equal(loaded(history, spec).test.actual[:, 0], column(history, target)[32:])
