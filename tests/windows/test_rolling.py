"""Rolling forward and looking ahead with a network of one line, against loops over prices."""

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import LookAtTheData
from pipeline.windows.dataset_file import STORED_COLUMNS, encode
from pipeline.windows.min_max import BlockMinMax, MinMax
from pipeline.windows.normalisation import FirstValue, PreviousWindow, Unscaled
from pipeline.windows.replays import load_replay
from pipeline.windows.rolling import SEQUENCE_LENGTH, look_ahead, roll_forward
from pipeline.windows.spec import Windowing
from pipeline.windows.train_test_splits import Newest, Split
from tests.made_windows import dataset_of, spec_of, walk

CONTEXT = 4
WEIGHTS = np.array([0.1, -0.3, 0.4, 0.9])
NORMALISATIONS = [FirstValue(), PreviousWindow(), MinMax("train"), BlockMinMax(25), Unscaled()]
CLOSE_AND_VOLUME = Windowing(CONTEXT, columns=("close", "volume"))


def line(outputs=1, column=0):
    """Return a network that forecasts WEIGHTS @ the column's window + 0.01.

    Each further session is 0.02 higher.
    """

    def predict(windows):
        first = windows.past[:, :, column].astype("float64") @ WEIGHTS + 0.01
        return first[:, None] + 0.02 * np.arange(outputs)

    return predict


def recording(predict, shown):
    """Return a network that forecasts as `predict` and notes the windows that it is shown."""

    def noted(windows):
        shown.append(windows)
        return predict(windows)

    return noted


def held_out(history, window=None, normalisation=None, sessions=12, **changes):
    """Return the test windows of a history."""
    split = Split(Newest(sessions), Newest(5), min_train_windows=1)
    window, normalisation = window or Windowing(CONTEXT), normalisation or FirstValue()
    return dataset_of(history, spec_of(history, window, normalisation, split=split, **changes)).test


def slow_normalise(normalisation, prices, train, origin):
    """Return (inputs, offset, scale) of the last CONTEXT of `prices`.

    Args:
        train: the prices that training sees.
        origin: how many of the prices are actual ones.
    """
    window, before = prices[-CONTEXT:], prices[-CONTEXT - 1 : -1]
    if normalisation == FirstValue():
        return [price / window[0] - 1 for price in window], window[0], window[0]
    if normalisation == PreviousWindow():
        changes = [price / last - 1 for price, last in zip(window, before, strict=True)]
        return changes, window[-1], window[-1]
    if normalisation == Unscaled():
        return window, 0, 1
    block = prices[origin // 25 * 25 - 25 : origin // 25 * 25]
    seen = train if normalisation == MinMax("train") else block
    low, span = min(seen), max(seen) - min(seen)
    return [(price - low) / span for price in window], low, span


def slow_forecast(normalisation, closes, train, origin, horizon, outputs=1):
    """Return the line's forecast after the first `origin` closes, one price at a time."""
    prices = list(closes[:origin])
    while len(prices) < origin + horizon:
        inputs, offset, scale = slow_normalise(normalisation, prices, train, origin)
        first = sum(weight * value for weight, value in zip(WEIGHTS, inputs, strict=True)) + 0.01
        prices += [offset + scale * (first + 0.02 * ahead) for ahead in range(outputs)]
    return prices[origin:][:horizon]


@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=str)
@pytest.mark.parametrize("outputs", [1, 3])
def test_sessions_beyond_the_outputs_are_reached_by_rolling_forward(normalisation, outputs):
    history = walk(60)
    test = held_out(history, Windowing(CONTEXT, outputs=outputs), normalisation, horizon=5)
    closes = history["close"].tolist()
    expected = [
        slow_forecast(normalisation, closes, closes[:35], origin, 5, outputs)
        for origin in test.position + 1
    ]
    assert len(test) == 12
    np.testing.assert_allclose(roll_forward(test, line(outputs), 5), expected, rtol=1e-5)


def test_sessions_within_the_outputs_are_forecast_at_once():
    shown = []
    predict = recording(line(3), shown)
    test = held_out(walk(60), Windowing(CONTEXT, outputs=3))
    two, three = (roll_forward(test, predict, horizon) for horizon in (2, 3))
    np.testing.assert_array_equal(two, three[:, :2])
    assert [len(windows) for windows in shown] == [12, 12]


def test_every_roll_normalises_again():
    shown = []
    test = held_out(walk(60))
    forecasts = roll_forward(test, recording(line(), shown), 3)
    pasts = [windows.past[:, :, 0] for windows in shown]
    assert [(past[:, 0] == 0).all() for past in pasts] == [True, True, True]
    # The same prices, over another first one.
    assert not np.isclose(pasts[1][:, 1:-1], pasts[0][:, 2:]).any()
    prices = np.column_stack([test.target_values, forecasts])
    np.testing.assert_allclose(pasts[2], prices[:, 2:6] / prices[:, 2:3] - 1, atol=1e-6)


def test_a_range_that_was_not_complete_at_the_windows_end_is_not_used_by_rolling_past_it():
    forecasts = []
    for factor in (1, 7):
        history = walk(60)
        history.loc[49:, list(STORED_COLUMNS)] *= factor
        test = held_out(history, normalisation=BlockMinMax(25), sessions=12, horizon=1)
        before = test.take(test.position == 48)  # the block ends with 49
        forecasts.append(roll_forward(before, line(), 10))
    np.testing.assert_array_equal(*forecasts)


# Rolling forward feeds back only the column that was predicted


@pytest.mark.parametrize("columns", [("close", "volume"), ("volume", "close")])
def test_volume_stays_where_it_was_and_close_takes_the_forecasts(columns):
    close, volume, shown = columns.index("close"), columns.index("volume"), []
    test = held_out(walk(60), Windowing(CONTEXT, columns=columns), horizon=5)
    forecasts = roll_forward(test, recording(line(column=close), shown), 5)
    known = shown[0].values
    assert len(shown) == 5
    for rolls, windows in enumerate(shown):
        kept, rolled = windows.values[:, : CONTEXT - rolls], windows.values[:, CONTEXT - rolls :]
        np.testing.assert_array_equal(kept, known[:, rolls:])
        newest = forecasts[:, max(rolls - CONTEXT, 0) : rolls]
        np.testing.assert_array_equal(rolled[:, :, close], newest)
        last = np.repeat(known[:, -1:, volume], min(rolls, 4), axis=1)
        np.testing.assert_array_equal(rolled[:, :, volume], last)


def slow_two_columns(closes, volumes, write_volume):
    """Return five closes forecast by the mean of both columns.

    Args:
        write_volume: the bug: the prediction goes into the volume, too.
    """
    for _ in range(5):
        past = [
            [values[step] / values[-CONTEXT] - 1 for values in (closes, volumes)]
            for step in range(-CONTEXT, 0)
        ]
        means = [(close + volume) / 2 for close, volume in past]
        change = sum(weight * mean for weight, mean in zip(WEIGHTS, means, strict=True)) + 0.01
        volume = volumes[-CONTEXT] * (1 + change) if write_volume else volumes[-1]
        closes, volumes = [*closes, closes[-CONTEXT] * (1 + change)], [*volumes, volume]
    return closes[CONTEXT:]


def test_a_predicted_close_is_not_written_into_the_volume():
    """The later version of J. Aungiers' program writes a prediction into every column."""

    def predict(windows):  # sees both columns
        return (windows.past.astype("float64").mean(axis=2) @ WEIGHTS + 0.01)[:, None]

    test = held_out(walk(60), CLOSE_AND_VOLUME, horizon=5)
    columns = test.values[0, :, 0].tolist(), test.values[0, :, 1].tolist()
    forecast = roll_forward(test, predict, 5)[0]
    np.testing.assert_allclose(forecast, slow_two_columns(*columns, False), rtol=1e-5)
    bug = slow_two_columns(*columns, True)
    np.testing.assert_allclose(forecast[0], bug[0], rtol=1e-5)  # nothing has been fed back yet
    assert not np.isclose(forecast[1:], bug[1:], rtol=1e-3).any()


def test_a_target_that_is_not_seen_is_not_fed_back():
    shown = []
    test = held_out(walk(60), CLOSE_AND_VOLUME, target="high", horizon=3)
    roll_forward(test, recording(line(), shown), 3)
    last = test.values[:, -1:]
    np.testing.assert_array_equal(
        shown[2].values, np.concatenate([test.values[:, 2:], last, last], axis=1)
    )


def test_rolling_forward_does_not_change_its_arguments():
    test = held_out(walk(60), horizon=5)
    before = test.values.copy(), test.target_values.copy(), test.ahead.copy()
    roll_forward(test, line(), 5)
    for ours, theirs in zip((test.values, test.target_values, test.ahead), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_window_that_cannot_be_normalised_is_refused_and_not_forecast_as_nan():
    history = walk(60)
    history.loc[57, "volume"] = 0
    spec = spec_of(history, CLOSE_AND_VOLUME, FirstValue(), horizon=2)
    live = load_replay(encode(history, spec)).take(slice(-1, None))
    assert np.isfinite(roll_forward(live, line(), 1)).all()
    with pytest.raises(
        LookAtTheData, match=r"The window up to 2020-02-29 cannot be normalised: .* a volume of 0\."
    ):
        roll_forward(live, line(), 2)


# Three ways to look ahead


@pytest.mark.parametrize("normalisation", NORMALISATIONS[:3], ids=str)
@pytest.mark.parametrize(
    ("length", "first_of_each"),
    [(5, [48, 53, 58]), (12, [48]), (50, [48]), (4, [48, 52, 56]), (1, list(range(48, 60)))],
)
def test_the_three_ways_are_plain_loops(normalisation, length, first_of_each):
    """12 sessions of test, 48 to 59; a last sequence of two (in fives) is not made up to five."""
    history = walk(60)
    closes, train = history["close"].tolist(), history["close"].tolist()[:43]
    ahead = look_ahead(held_out(history, normalisation=normalisation), line(), length)
    ends = [*first_of_each[1:], 60]
    sequences = [
        price
        for origin, end in zip(first_of_each, ends, strict=True)
        for price in slow_forecast(normalisation, closes, train, origin, end - origin)
    ]
    single = [slow_forecast(normalisation, closes, train, origin, 1)[0] for origin in range(48, 60)]
    full = slow_forecast(normalisation, closes, train, 48, 12)
    np.testing.assert_allclose(ahead.point_by_point, single, rtol=1e-5)
    np.testing.assert_allclose(ahead.full_sequence, full, rtol=1e-4)
    np.testing.assert_allclose(ahead.multiple_sequences, sequences, rtol=1e-4)
    np.testing.assert_array_equal(ahead.actual, closes[48:])
    np.testing.assert_array_equal(ahead.naive, closes[47:-1])
    np.testing.assert_array_equal(ahead.sessions, history["session"][48:])
    assert ahead.length == min(length, 12)


def test_each_sequence_begins_with_its_forecast_point_by_point():
    ahead = look_ahead(held_out(walk(300), sessions=120), line())
    starts = np.arange(0, 120, SEQUENCE_LENGTH)
    np.testing.assert_array_equal(ahead.multiple_sequences[starts], ahead.point_by_point[starts])
    np.testing.assert_allclose(
        ahead.multiple_sequences[:SEQUENCE_LENGTH],
        ahead.full_sequence[:SEQUENCE_LENGTH],
        rtol=1e-12,
    )


def test_sessions_that_were_left_out_are_rolled_over_and_not_taken_for_others():
    history = walk(60)
    missing = history.copy()
    missing.loc[51, "high"] = np.nan
    whole, holed = (
        look_ahead(held_out(table, target="high"), line(), 6) for table in (history, missing)
    )
    kept = [0, 1, 2, *range(5, 12)]  # 51 is not measured, and nothing is forecast from it
    np.testing.assert_array_equal(holed.sessions, whole.sessions[kept])
    np.testing.assert_array_equal(holed.full_sequence, whole.full_sequence[kept])
    np.testing.assert_array_equal(holed.actual, whole.actual[kept])
    np.testing.assert_allclose(
        holed.multiple_sequences[:6], whole.full_sequence[kept][:6], rtol=1e-12
    )


def test_the_last_price_goes_on_as_long_as_the_way_it_is_compared_with():
    """A network without opinion forecasts in each way what the naive forecast of that way does."""
    test = held_out(walk(60), normalisation=PreviousWindow())
    ahead = look_ahead(test, lambda windows: np.zeros((len(windows), 1)), 5)
    errors = ahead.rmse()
    assert errors["point_by_point"] == errors["naive"]
    assert errors["multiple_sequences"] == errors["naive_sequences"]
    assert errors["full_sequence"] == errors["naive_full"]
    last, actual = test.last, test.actual[:, 0]
    squares = [(actual[row] - last[row // 5 * 5]) ** 2 for row in range(12)]
    assert errors["naive_sequences"] == pytest.approx(np.sqrt(sum(squares) / 12))


def test_the_table_has_a_row_per_session_and_numbers_the_sequences():
    table = look_ahead(held_out(walk(60)), line(), 5).table()
    assert list(table) == [
        "date",
        "actual",
        "naive",
        "point_by_point",
        "full_sequence",
        "multiple_sequences",
        "sequence",
    ]
    assert table["sequence"].tolist() == [1] * 5 + [2] * 5 + [3] * 2
    assert table["date"].tolist() == list(pd.date_range("2020-02-18", "2020-02-29"))
