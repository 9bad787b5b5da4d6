"""Looking ahead with a network of one line, against loops over prices."""

import numpy as np
import pandas as pd
import pytest

from pipeline import windows
from pipeline.errors import LookAtTheData
from pipeline.lookahead import SEQUENCE_LENGTH, forecast, look_ahead
from pipeline.normalisation import BlockMinMax, FirstValue, MinMax, PreviousWindow, Unscaled
from pipeline.spec import Windowing
from pipeline.splits import Newest, Split
from tests.made_windows import spec_of, walk

CONTEXT = 4
WEIGHTS = np.array([0.1, -0.3, 0.4, 0.9])
NORMALISATIONS = [FirstValue(), PreviousWindow(), MinMax("train"), BlockMinMax(25), Unscaled()]


def line(outputs=1, column=0):
    """A network that says WEIGHTS @ the column's window + .01, and each further session .02 more."""

    def predict(made):
        said = made.past[:, :, column].astype("float64") @ WEIGHTS + 0.01
        return said[:, None] + 0.02 * np.arange(outputs)

    return predict


def held_out(history, window=None, normalisation=None, sessions=12, **changes):
    split = Split(Newest(sessions), Newest(5), min_train_windows=1)
    spec = spec_of(history, window or Windowing(CONTEXT), normalisation or FirstValue(), split=split, **changes)
    return windows.load_dataset(windows.encode(history, spec)).test


def slow_normalise(normalisation, prices, train, origin):
    """(inputs, offset, scale) of the last CONTEXT of `prices`; `origin` is how many of them really came."""
    window, before = prices[-CONTEXT:], prices[-CONTEXT - 1 : -1]
    if normalisation == FirstValue():
        return [price / window[0] - 1 for price in window], window[0], window[0]
    if normalisation == PreviousWindow():
        return [price / last - 1 for price, last in zip(window, before, strict=True)], window[-1], window[-1]
    if normalisation == Unscaled():
        return window, 0, 1
    seen = train if normalisation == MinMax("train") else prices[origin // 25 * 25 - 25 : origin // 25 * 25]
    low, span = min(seen), max(seen) - min(seen)
    return [(price - low) / span for price in window], low, span


def slow_forecast(normalisation, closes, train, origin, horizon, outputs=1):
    """What the line says about the sessions after the first `origin` of `closes`, one price at a time."""
    prices = list(closes[:origin])
    while len(prices) < origin + horizon:
        inputs, offset, scale = slow_normalise(normalisation, prices, train, origin)
        said = sum(weight * value for weight, value in zip(WEIGHTS, inputs, strict=True)) + 0.01
        prices += [offset + scale * (said + 0.02 * ahead) for ahead in range(outputs)]
    return prices[origin:][:horizon]


@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=str)
@pytest.mark.parametrize("outputs", [1, 3])
def test_what_is_beyond_the_outputs_is_reached_by_rolling_forward(normalisation, outputs):
    history = walk(60)
    made = held_out(history, Windowing(CONTEXT, outputs=outputs), normalisation, horizon=5)
    closes = history["close"].tolist()
    expected = [slow_forecast(normalisation, closes, closes[:35], origin, 5, outputs) for origin in made.position + 1]
    assert len(made) == 12
    np.testing.assert_allclose(forecast(made, line(outputs), 5), expected, rtol=1e-5)


def test_what_is_within_the_outputs_is_said_at_once():
    asked = []

    def predict(made):
        asked.append(made)
        return line(3)(made)

    made = held_out(walk(60), Windowing(CONTEXT, outputs=3))
    np.testing.assert_array_equal(forecast(made, predict, 2), forecast(made, predict, 3)[:, :2])
    assert [len(some) for some in asked] == [12, 12]


def test_the_normalisation_is_made_anew_at_each_roll():
    seen = []

    def predict(made):
        seen.append(made.past[:, :, 0].copy())
        return line()(made)

    made = held_out(walk(60))
    said = forecast(made, predict, 3)
    assert [(past[:, 0] == 0).all() for past in seen] == [True, True, True]
    assert not np.isclose(seen[1][:, 1:-1], seen[0][:, 2:]).any()  # the same prices, over another first one
    prices = np.column_stack([made.target_values, said])
    np.testing.assert_allclose(seen[2], prices[:, 2:6] / prices[:, 2:3] - 1, atol=1e-6)


def test_a_range_that_was_not_complete_at_the_windows_end_is_not_used_by_rolling_past_it():
    ours, theirs = [], []
    for said, factor in ((ours, 1), (theirs, 7)):
        history = walk(60)
        history.loc[49:, list(windows.COLUMNS)] *= factor
        made = held_out(history, normalisation=BlockMinMax(25), sessions=12, horizon=1)
        before = made.take(made.position == 48)  # the block ends with 49
        said.append(forecast(before, line(), 10))
    np.testing.assert_array_equal(ours, theirs)


# --- rolling forward feeds back only the column that was predicted --------------------------------------------------------------------


def rolled_windows(target_first=True):
    """Every window that the network was shown on the way to five sessions ahead, and what it said."""
    shown = []

    def predict(made):
        shown.append(made)
        return line(column=0 if target_first else 1)(made)

    columns = ("close", "volume") if target_first else ("volume", "close")
    made = held_out(walk(60), Windowing(CONTEXT, columns=columns), horizon=5)
    return shown, forecast(made, predict, 5)


@pytest.mark.parametrize("target_first", [True, False])
def test_volume_stays_where_it_was_and_close_is_what_was_said(target_first):
    close, volume = (0, 1) if target_first else (1, 0)
    shown, said = rolled_windows(target_first)
    known = shown[0].values
    assert len(shown) == 5
    for rolls, made in enumerate(shown):
        np.testing.assert_array_equal(made.values[:, CONTEXT - rolls :, close], said[:, max(rolls - CONTEXT, 0) : rolls])
        np.testing.assert_array_equal(
            made.values[:, CONTEXT - rolls :, volume], np.repeat(known[:, -1:, volume], min(rolls, 4), axis=1)
        )
        np.testing.assert_array_equal(made.values[:, : CONTEXT - rolls], known[:, rolls:])


def test_a_predicted_close_is_not_written_into_the_volume():
    """Negative test: the later version of J. Aungiers' program puts what was predicted into every column of the newest session."""

    def predict(made):
        return (made.past.astype("float64").mean(axis=2) @ WEIGHTS + 0.01)[:, None]  # sees both columns

    made = held_out(walk(60), Windowing(CONTEXT, columns=("close", "volume")), horizon=5)

    def slow(write_volume):
        closes, volumes = made.values[0, :, 0].tolist(), made.values[0, :, 1].tolist()
        for _ in range(5):
            past = [[values[k] / values[-CONTEXT] - 1 for values in (closes, volumes)] for k in range(-CONTEXT, 0)]
            said = sum(weight * (row[0] + row[1]) / 2 for weight, row in zip(WEIGHTS, past, strict=True)) + 0.01
            closes.append(closes[-CONTEXT] * (1 + said))
            volumes.append(volumes[-CONTEXT] * (1 + said) if write_volume else volumes[-1])
        return closes[CONTEXT:]

    ours = forecast(made, predict, 5)[0]
    np.testing.assert_allclose(ours, slow(write_volume=False), rtol=1e-5)
    bug = slow(write_volume=True)
    np.testing.assert_allclose(ours[0], bug[0], rtol=1e-5)  # nothing has been fed back yet
    assert not np.isclose(ours[1:], bug[1:], rtol=1e-3).any()


def test_a_target_that_is_not_seen_is_fed_back_to_nothing():
    shown = []

    def predict(made):
        shown.append(made.values)
        return line()(made)

    made = held_out(walk(60), Windowing(CONTEXT, columns=("close", "volume")), target="high", horizon=3)
    forecast(made, predict, 3)
    last = made.values[:, -1:]
    np.testing.assert_array_equal(shown[2], np.concatenate([made.values[:, 2:], last, last], axis=1))


def test_rolling_forward_changes_nothing_it_was_given():
    made = held_out(walk(60), horizon=5)
    before = made.values.copy(), made.target_values.copy(), made.ahead.copy()
    forecast(made, line(), 5)
    for ours, theirs in zip((made.values, made.target_values, made.ahead), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_window_that_cannot_be_normalised_is_refused_and_not_forecast_as_nan():
    history = walk(60)
    history.loc[57, "volume"] = 0
    spec = spec_of(history, Windowing(CONTEXT, columns=("close", "volume")), FirstValue(), horizon=2)
    live = windows.load_replay(windows.encode(history, spec)).take(slice(-1, None))
    assert np.isfinite(forecast(live, line(), 1)).all()
    with pytest.raises(LookAtTheData, match=r"The window up to 2020-02-29 cannot be normalised: .* a volume of 0\."):
        forecast(live, line(), 2)


# --- three ways -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalisation", NORMALISATIONS[:3], ids=str)
@pytest.mark.parametrize(
    ("length", "first_of_each"), [(5, [48, 53, 58]), (12, [48]), (50, [48]), (4, [48, 52, 56]), (1, list(range(48, 60)))]
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
    np.testing.assert_allclose(ahead.point_by_point, single, rtol=1e-5)
    np.testing.assert_allclose(ahead.full_sequence, slow_forecast(normalisation, closes, train, 48, 12), rtol=1e-4)
    np.testing.assert_allclose(ahead.multiple_sequences, sequences, rtol=1e-4)
    np.testing.assert_array_equal(ahead.actual, closes[48:])
    np.testing.assert_array_equal(ahead.naive, closes[47:-1])
    np.testing.assert_array_equal(ahead.sessions, history["session"][48:])
    assert ahead.length == min(length, 12)


def test_each_sequence_begins_with_what_point_by_point_says():
    ahead = look_ahead(held_out(walk(300), sessions=120), line())
    starts = np.arange(0, 120, SEQUENCE_LENGTH)
    np.testing.assert_array_equal(ahead.multiple_sequences[starts], ahead.point_by_point[starts])
    np.testing.assert_allclose(ahead.multiple_sequences[:SEQUENCE_LENGTH], ahead.full_sequence[:SEQUENCE_LENGTH], rtol=1e-12)


def test_sessions_that_were_left_out_are_rolled_over_and_not_taken_for_others():
    history = walk(60)
    missing = history.copy()
    missing.loc[51, "high"] = np.nan
    whole, holed = (look_ahead(held_out(table, target="high"), line(), 6) for table in (history, missing))
    kept = [0, 1, 2, *range(5, 12)]  # 51 is not measured, and nothing is forecast from it
    np.testing.assert_array_equal(holed.sessions, whole.sessions[kept])
    np.testing.assert_array_equal(holed.full_sequence, whole.full_sequence[kept])
    np.testing.assert_array_equal(holed.actual, whole.actual[kept])
    np.testing.assert_allclose(holed.multiple_sequences[:6], whole.full_sequence[kept][:6], rtol=1e-12)


def test_the_last_price_goes_on_as_long_as_the_way_it_is_compared_with():
    """A network without opinion says in each way what the naive forecast of that way says."""
    made = held_out(walk(60), normalisation=PreviousWindow())
    ahead = look_ahead(made, lambda some: np.zeros((len(some), 1)), 5)
    errors = ahead.rmse()
    assert errors["point_by_point"] == errors["naive"]
    assert errors["multiple_sequences"] == errors["naive_sequences"]
    assert errors["full_sequence"] == errors["naive_full"]
    last, actual = made.last, made.actual[:, 0]
    squares = [(actual[k] - last[k // 5 * 5]) ** 2 for k in range(12)]
    assert errors["naive_sequences"] == pytest.approx(np.sqrt(sum(squares) / 12))


def test_the_table_has_a_row_per_session_and_numbers_the_sequences():
    table = look_ahead(held_out(walk(60)), line(), 5).table()
    assert list(table) == ["date", "actual", "naive", "point_by_point", "full_sequence", "multiple_sequences", "sequence"]
    assert table["sequence"].tolist() == [1] * 5 + [2] * 5 + [3] * 2
    assert table["date"].tolist() == list(pd.date_range("2020-02-18", "2020-02-29"))
