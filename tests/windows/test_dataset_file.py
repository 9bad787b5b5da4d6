"""Dataset files: their bytes, the live window at their end, and the part that training may see."""

import dataclasses
import datetime as dt
import io
import json
import math

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import LookAtTheData, NotEnoughHistory
from pipeline.models import RECIPES
from pipeline.windows import replays
from pipeline.windows.cutting import cut_windows
from pipeline.windows.dataset_file import (
    STORED_COLUMNS,
    decode,
    encode,
    load_dataset,
    target_series,
    training_part,
)
from pipeline.windows.min_max import MinMax
from pipeline.windows.normalisation import (
    ByVolatility,
    FirstValue,
    Unscaled,
    exponentially_smoothed,
)
from pipeline.windows.replays import live_part, load_replay
from pipeline.windows.spec import Windowing
from pipeline.windows.train_test_splits import Fraction, LastYear, Newest, RowFraction, Since, Split
from tests.made_windows import (
    ALL_COLUMNS,
    BY_VOLATILITY,
    HELD_OUT,
    NORMALISATIONS,
    WHOLE_BARS,
    dataset_of,
    default_spec,
    spec_of,
    walk,
)

FRIDAY = dt.date(2017, 12, 29)
SPLITS = [
    Split(Newest(252), Newest(252)),
    Split(Fraction(0.15), Fraction(0.05)),
    Split(RowFraction(0.5, spare=1)),
    Split(LastYear()),
    Split(Since(dt.date(2016, 10, 3)), Newest(252)),
    Split(Newest(8), Newest(10), embargo=5),
]
WINDOW_ARRAYS = (
    *("past", "future", "offset", "scale", "actual", "ahead", "position", "origins", "sessions"),
    *("values", "target_values", "volatility", "unit"),
)


def assert_same_windows(ours, theirs, arrays=WINDOW_ARRAYS):
    for name in arrays:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)


# Bytes


@pytest.mark.parametrize(
    "changes",
    [
        *({"normalisation": normalisation} for normalisation in NORMALISATIONS),
        *({"split": split} for split in SPLITS),
        {"window": Windowing(4)},
        {"window": Windowing(6, block=3, outputs=3, stride=3)},
        {"smoothing": 0.1},
        {"normalisation": ByVolatility(limit=4.0)},
    ],
    ids=str,
)
def test_a_dataset_file_has_the_same_bytes_each_time_and_reads_back_as_it_was(changes):
    history = walk(40)
    history.loc[7, "close"] = np.nan
    spec = default_spec(history, **changes)
    data = encode(history, spec)
    read_spec, read = decode(data)
    assert data == encode(history.copy(), dataclasses.replace(spec))
    assert (read_spec, hash(read_spec)) == (spec, hash(spec))
    pd.testing.assert_frame_equal(read, history)


def test_every_difference_makes_another_file():
    history = walk(40)
    changed = history.copy()
    changed.loc[3, "open"] += 1
    changes = (
        {},
        {"horizon": 3},
        {"smoothing": 0.1},
        {"normalisation": FirstValue()},
        {"split": Split(Newest(8))},
        {"split": dataclasses.replace(HELD_OUT, embargo=1)},
        {"window": Windowing(4)},
    )
    files = {encode(history, default_spec(history, **change)) for change in changes}
    assert len(files | {encode(changed, default_spec(changed))}) == 8


def npz(spec, columns=6):
    """Return a file like `encode` writes, with any values for its spec."""
    file = io.BytesIO()
    np.savez(
        file,
        spec=np.frombuffer(json.dumps(spec).encode(), "uint8"),
        sessions=np.zeros(40, "int32"),
        values=np.zeros((40, columns)),
    )
    return file.getvalue()


def damaged_files():
    """Yield files that are cut off, changed, no dataset or of an unknown spec."""
    history = walk(40)
    data = encode(history, default_spec(history))
    values = default_spec(history).to_json()
    middle = len(data) // 2
    yield from (b"", b"not a dataset", data[:100], data[:-30])
    yield data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
    array = io.BytesIO()
    np.save(array, np.arange(3))
    yield array.getvalue()
    for spec in (
        None,
        [],
        {},
        {"context_length": 60},
        {**values, "normalisation": ["Nobody", {}]},
        {**values, "cutoff": "someday"},
        {**values, "x": 1},
        {**values, "split": {**values["split"], "test": ["Newest", {"months": 3}]}},
        {**values, "split": 7},
    ):
        yield npz(spec)
    yield npz(values, columns=5)


@pytest.mark.parametrize("data", list(damaged_files()), ids=lambda data: f"{len(data)} bytes")
def test_a_damaged_dataset_file_is_refused_with_what_to_do(data):
    with pytest.raises(
        LookAtTheData, match=r"cannot be read \(.+\)\. Delete it and repeat build_windows\.$"
    ):
        load_dataset(data)


def test_a_history_that_ends_elsewhere_is_refused():
    history = walk(30)
    with pytest.raises(NotEnoughHistory, match="the history ends at 2020-01-29, the cutoff is"):
        encode(history.iloc[:-1], default_spec(history))


def test_the_target_series_is_what_the_windows_see():
    history = walk(30)
    history.loc[12, "close"] = np.nan
    filled = history["close"].ffill().to_numpy()
    for smoothing, expected in ((0.0, filled), (0.1, exponentially_smoothed(filled, 0.1))):
        series = target_series(encode(history, default_spec(history, smoothing=smoothing)))
        np.testing.assert_array_equal(series.prices, expected)
        np.testing.assert_array_equal(series.up_to(20), expected[:21])


# The live window


@pytest.fixture
def ten_replayed(monkeypatch):
    """A replay of ten sessions instead of two years."""
    monkeypatch.setattr(replays, "REPLAYED", 10)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    ("normalisation", "window"),
    [
        (BY_VOLATILITY, WHOLE_BARS),
        *((each, WHOLE_BARS) for each in NORMALISATIONS),
        *((each, Windowing(6, columns=ALL_COLUMNS, block=3, outputs=3)) for each in NORMALISATIONS),
    ],
    ids=str,
)
def test_a_replay_ends_with_the_live_window_and_is_cut_from_the_newest_sessions_alike(
    normalisation, window, smoothing, ten_replayed
):
    history = walk(200)
    # Missing cells before the windows that are replayed, which they take their values from, and one
    # session among them.
    history.loc[[80, 81, 82, 83, 84, 192], ["open", "close", "volume"]] = np.nan
    spec = default_spec(history, window=window, normalisation=normalisation, smoothing=smoothing)
    kept_history = live_part(history, spec)
    whole, kept = encode(history, spec), encode(kept_history, spec)
    assert spec.needs_history or len(kept_history) < 125
    windows = cut_windows(history, spec)
    newest = range(len(windows) - 11, len(windows))
    expected = windows.take(np.array([at for at in newest if windows.position[at] != 192]))
    arrays = set(WINDOW_ARRAYS) - {"position"}  # it counts from the first session that is kept
    for replayed in (load_replay(whole), load_replay(kept, whole)):
        assert len(replayed) == 10
        assert_same_windows(replayed, expected, arrays)
        np.testing.assert_array_equal(np.diff(replayed.position), np.diff(expected.position))


def test_the_future_is_missing_from_a_replay_and_the_past_is_there(ten_replayed):
    history = walk(60)
    replayed = load_replay(encode(history, default_spec(history)))
    closes = history["close"].tolist()
    assert len(replayed) == 11
    for row, last in enumerate(range(49, 60)):
        ahead = [closes[day] if day < 60 else math.nan for day in (last + 1, last + 2)]
        np.testing.assert_array_equal(replayed.actual[row], ahead)
        assert replayed.last[row] == closes[last]
        in_future = [day >= 60 for day in (last + 1, last + 2)]
        assert np.isnat(replayed.sessions[row]).tolist() == in_future


def test_a_short_history_is_replayed_as_far_as_it_goes():
    history = walk(60)
    replayed = load_replay(encode(history, default_spec(history)))
    assert replayed.position.tolist() == list(range(3, 60))


@pytest.mark.parametrize("normalisation", [*NORMALISATIONS, BY_VOLATILITY], ids=str)
def test_a_split_of_the_shares_changes_the_dollars_and_nothing_that_a_network_sees(normalisation):
    """The network was trained 20 sessions ago; since a split of two for one, prices are halves."""
    history = walk(80)
    halves = {name: history[name] / 2 for name in STORED_COLUMNS if name != "volume"}
    halved = history.assign(**halves, volume=history["volume"] * 2)
    earlier = history.head(60)
    trained = encode(earlier, default_spec(earlier, normalisation=normalisation))
    files = [
        encode(table, default_spec(table, normalisation=normalisation))
        for table in (history, halved)
    ]
    replay, halved_replay = (load_replay(data, trained) for data in files)
    test, halved_test = (load_dataset(data, trained).test for data in files)
    if normalisation != Unscaled():
        np.testing.assert_array_equal(replay.past, halved_replay.past)
        np.testing.assert_array_equal(test.past, halved_test.past)
        np.testing.assert_array_equal(test.future, halved_test.future)
        prediction = np.array([[0.25, -0.5]])
        np.testing.assert_array_equal(
            replay.to_prices(prediction), 2 * halved_replay.to_prices(prediction)
        )
    np.testing.assert_array_equal(test.actual, 2 * halved_test.actual)
    np.testing.assert_array_equal(replay.last, 2 * halved_replay.last)
    np.testing.assert_array_equal(replay.unit, 2 * halved_replay.unit)


def test_a_live_window_is_scaled_by_the_sessions_that_its_network_learnt_from():
    history = walk(80)
    changes = {"window": Windowing(4), "normalisation": MinMax("train")}
    trained = encode(history.head(60), default_spec(history.head(60), **changes))
    data = encode(history, default_spec(history, **changes))
    learnt = history["close"][:40]  # of the 60: 8 of test, 10 of validation, one between each
    for windows in (load_replay(data, trained), load_dataset(data, trained).test):
        assert windows.offset[0] == learnt.min()
        assert windows.scale[0] == learnt.max() - learnt.min()
    assert load_dataset(data).test.scale[0] != windows.scale[0]


@pytest.mark.parametrize(("target", "named"), [("close", "close"), ("high", "high or close")])
def test_a_masked_price_to_forecast_from_is_refused(target, named):
    history = walk(60)
    history.loc[59, ["high", "close"]] = np.nan
    with pytest.raises(LookAtTheData, match=rf"IBM 2020-02-29: its {named} is missing or masked"):
        load_replay(encode(history, default_spec(history, target=target)))


def test_too_few_sessions_for_one_window_are_refused():
    history = walk(3)
    spec = default_spec(history)
    for cut in (lambda: cut_windows(history, spec), lambda: load_replay(encode(history, spec))):
        with pytest.raises(NotEnoughHistory, match=r"IBM: 3 sessions .* 4 needed"):
            cut()


# The training part


def history_for(recipe, sessions=20):
    """Return a history long enough for a recipe, some cells missing, and the recipe's spec.

    Args:
        sessions: more than the recipe needs.
    """
    spec = recipe.spec("IBM", FRIDAY, recipe.targets[0], horizon=2)
    history = walk(spec.needed_sessions + sessions, last=FRIDAY)
    count = len(history)
    history.loc[[count // 10, count // 2, count - 300, count - 5], ["close", "high", "low"]] = (
        np.nan
    )
    return history, spec


def changed_from(history, first):
    """Return a history with other values in all cells from row `first` on."""
    changed = history.copy()
    changed.loc[first:, list(STORED_COLUMNS)] *= 7
    return changed


MODES = pytest.mark.parametrize("recipe", RECIPES.price_modes, ids=lambda recipe: recipe.name)
HONEST = pytest.mark.parametrize(
    "recipe",
    [recipe for recipe in RECIPES.price_modes if not recipe.normalisation.peeks],
    ids=lambda recipe: recipe.name,
)


@MODES
def test_the_training_part_has_the_very_windows_that_the_whole_file_trains_and_validates_on(recipe):
    history, spec = history_for(recipe)
    data = encode(history, spec)
    whole, part = load_dataset(data), load_dataset(training_part(data))
    assert len(whole.train)
    assert bool(len(whole.validation)) == spec.split.validates
    assert_same_windows(part.train, whole.train)
    assert_same_windows(part.validation, whole.validation)
    assert part.trainable
    if not recipe.normalisation.peeks:
        assert len(part.test) == 0


@HONEST
def test_later_prices_do_not_change_the_training_part_and_earlier_ones_do(recipe):
    history, spec = history_for(recipe)
    part = training_part(encode(history, spec))
    count = len(decode(part)[1])
    assert len(history) - count >= 20
    assert training_part(encode(changed_from(history, count), spec)) == part
    for row in (0, count // 2, count - 1):
        changed = history.copy()
        changed.loc[row, "open"] *= 1.01
        assert training_part(encode(changed, spec)) != part


@HONEST
def test_the_training_part_ends_with_the_last_session_that_is_learnt_or_validated(recipe):
    history, spec = history_for(recipe)
    history = history.ffill()
    dataset, part = dataset_of(history, spec), decode(training_part(encode(history, spec)))[1]
    newest = dataset.validation if spec.split.validates else dataset.train
    unused = len(part) - 1 - (newest.position[-1] + spec.reach)
    assert 0 <= unused < spec.window.stride
    assert part["session"].iloc[-1] < pd.Timestamp(dataset.test.sessions[0, 0])


@MODES
def test_a_network_is_trained_on_the_whole_file_only_where_its_recipe_peeks(recipe):
    from pipeline.training.network_cache import training_file

    history, spec = history_for(recipe)
    data = encode(history, spec)
    assert (training_file(data, recipe) == data) == recipe.peeks
    assert (training_part(data) == data) == recipe.normalisation.peeks


def test_a_recipe_that_peeks_by_its_learning_rate_alone_is_trained_on_the_whole_file():
    from pipeline.training.network_cache import training_file

    peeking = RECIPES.for_price("ganegedara-lstm.faithful").optimiser
    recipe = dataclasses.replace(RECIPES.for_price("ganegedara-lstm"), optimiser=peeking)
    assert recipe.peeks and not recipe.normalisation.peeks
    history, spec = history_for(recipe)
    data = encode(history, spec)
    assert training_part(data) != data == training_file(data, recipe)


def test_datasets_that_differ_after_training_have_the_same_training_part():
    whole = walk(900, last=FRIDAY)
    window = Windowing(30, columns=ALL_COLUMNS)

    def part_of(history, test):
        split = Split(test, Newest(60), min_train_windows=50)
        return training_part(encode(history, spec_of(history, window, split=split)))

    since = Since(dt.date(2017, 1, 1))
    part = part_of(whole, since)
    tested = int((whole["session"] >= "2017-01-01").sum())
    assert part_of(whole, LastYear()) == part
    assert part_of(whole, Newest(tested)) == part
    assert part_of(whole.iloc[:-100], since) == part
    assert part_of(whole, Since(dt.date(2017, 2, 1))) != part
