"""Every normalisation by hand, and what it must not know."""

import numpy as np
import pytest

from pipeline.windows.cutting import cut_windows
from pipeline.windows.dataset_file import STORED_COLUMNS
from pipeline.windows.min_max import BlockMinMax, MinMax
from pipeline.windows.normalisation import (
    LOWEST_RANGE,
    ByVolatility,
    FirstValue,
    LastClose,
    PreviousWindow,
    Unscaled,
    exponentially_smoothed,
)
from pipeline.windows.spec import Windowing
from pipeline.windows.train_test_splits import Newest, Split
from pipeline.windows.volatility import exponentially_weighted
from tests.made_windows import ALL_COLUMNS, cut_closes, dataset_of, history_of, spec_of, walk

# By the previous window

#: Blocks of three sessions, two of them an example: L. Weng's input_size 3, num_steps 2.
WENG = Windowing(6, outputs=3, block=3, stride=3)


def test_the_worked_example_of_the_source():
    history = history_of(range(10))
    split = Split(Newest(1), min_train_windows=1)
    dataset = dataset_of(history, spec_of(history, WENG, split=split))
    assert dataset.train.past.tolist() == [[[0, 1, 2], [3, 4, 5]]]
    assert dataset.train.future.tolist() == [[6, 7, 8]]


def test_blocks_are_divided_by_the_last_price_of_the_block_before():
    made = cut_closes([10, 11, 12, 24, 36, 48, 96, 144, 192], WENG, PreviousWindow())
    # The history's first block is taken over its own first price.
    np.testing.assert_allclose(made.past[0], [[0, 0.1, 0.2], [1, 2, 3]], rtol=1e-6)
    np.testing.assert_allclose(made.future[0], [1, 2, 3], rtol=1e-6)
    np.testing.assert_allclose(made.past[3], [[1, 2, 3], [1, 2, 3]], rtol=1e-6)
    assert (made.offset[0], made.scale[0]) == (48, 48)


def test_windows_that_slide_take_the_session_before_them():
    made = cut_closes([10, 11, 12, 24, 36, 48, 96, 144, 192], WENG, PreviousWindow())
    np.testing.assert_allclose(
        made.past[1],
        [[11 / 10 - 1, 12 / 10 - 1, 24 / 10 - 1], [36 / 24 - 1, 48 / 24 - 1, 96 / 24 - 1]],
        rtol=1e-6,
    )


def test_one_session_a_block_is_the_change_from_session_to_session():
    made = cut_closes([10, 11, 12, 24], Windowing(3), PreviousWindow())
    np.testing.assert_allclose(
        made.past[:, :, 0], [[0, 0.1, 12 / 11 - 1], [0.1, 12 / 11 - 1, 1]], rtol=1e-6
    )


def by_its_own_last_price(prices, block):
    """Return blocks as the source's first version had them, with its bug."""
    blocks = np.reshape(prices, (-1, block))
    return blocks / blocks[:, -1:] - 1


def test_no_block_is_divided_by_its_own_last_price():
    """With the bug, every block ends with 0, and its first values reveal its last."""
    prices = walk(6)["close"].to_numpy()
    crashed = prices * [1, 1, 1, 1, 1, 0.5]
    bug, bug_crashed = (by_its_own_last_price(series, 3) for series in (prices, crashed))
    assert (bug[:, -1] == 0).all()
    assert (bug[1, :2] != bug_crashed[1, :2]).all()

    ours, ours_crashed = (
        cut_closes(series, WENG, PreviousWindow()).past[0] for series in (prices, crashed)
    )
    assert (ours[:, -1] != 0).all()
    assert not np.isclose(ours, bug).any()
    np.testing.assert_array_equal(ours.ravel()[:5], ours_crashed.ravel()[:5])
    assert ours[1, 2] != ours_crashed[1, 2]


# By the first value, by the last close


def test_each_column_is_divided_by_its_first_value_in_the_window():
    made = cut_closes(
        [10, 20, 5, 40],
        Windowing(3, columns=("close", "volume")),
        FirstValue(),
        volume=[100, 50, 200, 400],
    )
    np.testing.assert_allclose(
        made.past, [[[0, 0], [1, -0.5], [-0.5, 1]], [[0, 0], [-0.75, 3], [1, 7]]]
    )
    np.testing.assert_allclose(made.future, [[3], [np.nan]])
    assert made.to_prices(made.future)[0] == 40


def test_prices_over_the_last_close_and_volume_over_its_mean():
    made = cut_closes(
        [10, 20], Windowing(2, columns=ALL_COLUMNS), LastClose(), high=[12, 25], volume=[1, 3]
    )
    np.testing.assert_allclose(
        made.past[0],
        [[-0.5, -0.4, -0.5, -0.5, np.log(0.5)], [0, 0.25, 0, 0, np.log(1.5)]],
        rtol=1e-6,
    )


def test_no_volume_is_a_thousandth_of_the_mean_and_none_at_all_is_nothing_special():
    seen = Windowing(2, columns=ALL_COLUMNS)
    assert (
        cut_closes([10, 20], seen, LastClose(), volume=[0, 4]).past[0, :, 4].tolist()
        == np.log([1e-3, 2]).astype("float32").tolist()
    )
    assert cut_closes([10, 20], seen, LastClose(), volume=[0, 0]).past[0, :, 4].tolist() == [0, 0]


# By the recent volatility

SIX = Windowing(6, columns=ALL_COLUMNS, outputs=0)


def test_changes_are_counted_in_the_volatility_known_at_the_windows_end():
    history = walk(40)
    made = cut_windows(history, spec_of(history, SIX, ByVolatility(), horizon=2))
    volatility = exponentially_weighted(history["close"].to_numpy())
    assert made.past.shape == (35, 6, 6)
    for row in (1, 20, 34):
        last = row + 5
        volumes = history["volume"][row : last + 1]
        for step, day in enumerate(range(row, last + 1)):
            bar, before = history.iloc[day], history["close"][day - 1]
            expected = [
                (bar[name] / before - 1) / volatility[last]
                for name in ("open", "high", "low", "close")
            ]
            expected += [
                np.log(np.log(bar["high"] / bar["low"]) / volatility[last]),
                np.log(bar["volume"] / volumes.mean()),
            ]
            np.testing.assert_allclose(made.past[row, step], expected, rtol=1e-5, atol=1e-6)
    closes = history["close"].to_numpy()
    for row in (1, 20):
        last = row + 5
        expected = [
            (closes[last + ahead] / closes[last] - 1) / volatility[last] for ahead in (1, 2)
        ]
        np.testing.assert_allclose(made.future[row], expected, rtol=1e-5)


def test_zero_is_the_last_price_and_one_is_one_volatility_of_it():
    history = walk(40)
    for target in ("close", "high"):
        made = cut_windows(history, spec_of(history, SIX, ByVolatility(), horizon=2, target=target))
        values = history[target].to_numpy()
        # Of the target, which is not always the close.
        volatility = exponentially_weighted(values)[5:]
        np.testing.assert_array_equal(
            made.to_prices(np.zeros((35, 2))), np.column_stack([values[5:], values[5:]])
        )
        np.testing.assert_array_equal(made.scale, values[5:] * volatility)
        np.testing.assert_array_equal(made.scale, made.unit)


def test_a_wild_day_is_cut_off_at_the_limit():
    closes = np.r_[walk(30)["close"], 1e6, 1.0]
    past = cut_closes(closes, SIX, ByVolatility(limit=1.5)).past[:, :, :4]
    assert (past.max(), past.min()) == (1.5, -1.5)


def test_a_bar_without_height_has_the_least_range_and_a_first_session_no_change():
    made = cut_closes([10, 20, 10, 20, 10, 20, 10], SIX, ByVolatility())
    np.testing.assert_allclose(made.past[:, :, 4], np.log(LOWEST_RANGE), rtol=1e-6)
    assert made.past[0, 0, :4].tolist() == [0, 0, 0, 0]  # no session before the history's first
    assert made.past[1, 0, 3] > 0


def test_a_year_of_no_change_is_finite():
    made = cut_closes([7.0] * 30, SIX, ByVolatility())
    assert np.isfinite(made.past).all() and made.finite.all() and (made.past[:, :, :4] == 0).all()


@pytest.mark.parametrize("ratio", [2, 3])
def test_a_split_of_the_shares_changes_no_input(ratio):
    history = walk(60)
    prices = {name: history[name] / ratio for name in STORED_COLUMNS if name != "volume"}
    divided = history.assign(**prices, volume=history["volume"] * ratio)
    ours, theirs = (
        cut_windows(table, spec_of(table, SIX, ByVolatility(), horizon=2))
        for table in (history, divided)
    )
    np.testing.assert_allclose(ours.past, theirs.past, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.future, theirs.future, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.scale, ratio * theirs.scale)


# What they must not know

HONEST = [
    LastClose(),
    ByVolatility(),
    PreviousWindow(),
    FirstValue(),
    MinMax("train"),
    BlockMinMax(25),
    BlockMinMax(500),
    Unscaled(),
]
LEAKS = [MinMax("all"), BlockMinMax(25, "own"), BlockMinMax(500, "own")]


def known_to_windows(normalisation, smoothing=0.0):
    """Return what the windows up to session 79 of 100 know: inputs, offset and scale.

    First as they are, then with later prices changed. Training ends before.
    """
    known = []
    for factor in (1, 7):
        history = walk(100)
        history.loc[80:, list(STORED_COLUMNS)] *= factor
        spec = spec_of(
            history,
            Windowing(6, columns=ALL_COLUMNS),
            normalisation,
            split=Split(Newest(20), Newest(10)),
            smoothing=smoothing,
        )
        made = cut_windows(history, spec).take(slice(0, 75))
        known.append(np.column_stack([made.past.reshape(75, -1), made.offset, made.scale]))
    return known


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("normalisation", HONEST, ids=str)
def test_no_honest_window_knows_what_comes_after_it(normalisation, smoothing):
    ours, theirs = known_to_windows(normalisation, smoothing)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("normalisation", LEAKS, ids=str)
def test_the_leaks_are_leaks(normalisation):
    ours, theirs = known_to_windows(normalisation)
    assert (ours != theirs).any()


def test_changing_the_test_changes_training_windows_only_where_min_max_peeks():
    trains = {}
    for fitted_on in ("train", "all"):
        for factor in (1, 7):
            history = walk(100)
            history.loc[80:, list(STORED_COLUMNS)] *= factor
            spec = spec_of(
                history,
                Windowing(6),
                MinMax(fitted_on),
                split=Split(Newest(20), Newest(10), min_train_windows=1),
            )
            trains[fitted_on, factor] = dataset_of(history, spec).train.past
    np.testing.assert_array_equal(trains["train", 1], trains["train", 7])
    assert (trains["all", 1] != trains["all", 7]).mean() > 0.9


# Smoothing


def test_smoothing_is_a_plain_loop():
    values = walk(50)["close"].to_numpy()
    average, expected = values[0], []
    for value in values:
        average = 0.1 * value + 0.9 * average
        expected.append(average)
    assert exponentially_smoothed(values, 0.1).tolist() == expected
    assert exponentially_smoothed(np.array([8.0, 4.0, 4.0]), 0.5).tolist() == [8, 6, 5]
