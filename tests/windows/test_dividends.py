"""Dividends: windows of a fund that pays them, next to those of its twin that keeps them."""

import numpy as np
import pandas as pd
import pytest

from pipeline.models import BASELINES
from pipeline.prices import adjust
from pipeline.quantiles import INTERVALS
from pipeline.tables import ACTIONS, OHLCV, PRICES
from pipeline.windows import MinMax, Windowing, encode, load_dataset, target_series
from pipeline.windows.dataset_file import decode, packed, training_part
from pipeline.windows.dividends import dividend_steps
from pipeline.windows.replays import load_replay
from tests.made_windows import (
    ALL_COLUMNS,
    BY_VOLATILITY,
    FIRST,
    HELD_OUT,
    NORMALISATIONS,
    WHOLE_BARS,
    default_spec,
    history_of,
    spec_of,
)

#: Sessions of the fund; it pays a tenth of its price every 63rd.
COUNT, EVERY, SHARE = 400, 63, 0.1
EX_DATES = np.arange(EVERY, COUNT, EVERY)


def prices_of(paid: float, count: int = COUNT) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return PRICES and ACTIONS of a fund that pays a share of its close before each ex-date.

    However much it pays, the same happens to what is left.
    """
    random = np.random.default_rng(7)
    left = np.ones(COUNT)
    left[EX_DATES] = 1 - paid
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.005, COUNT))) * np.cumprod(left)
    shape = np.exp(random.normal(0, 0.002, (3, COUNT)))
    table = {
        "ticker": "IBM",
        "session": pd.date_range(FIRST, periods=COUNT),
        "open": close * shape[0],
        "high": close * 1.01 * shape[1],
        "low": close * 0.99 * shape[2],
        "close": close,
        "volume": random.integers(1000, 2000, COUNT).astype("float64"),
    }
    actions = {
        "ticker": "IBM",
        "session": table["session"][EX_DATES],
        "kind": "dividend",
        "value": close[EX_DATES - 1] * paid,
    }
    return PRICES.conform(pd.DataFrame(table)).head(count), ACTIONS.conform(pd.DataFrame(actions))


def fund(paid: float = SHARE, count: int = COUNT) -> pd.DataFrame:
    """Return the HISTORY of the fund at its last session."""
    prices, actions = prices_of(paid, count)
    return adjust(prices, actions, prices["session"].iloc[-1].date())


def file_of(history: pd.DataFrame, **changes: object) -> bytes:
    return encode(history, default_spec(history, **{"normalisation": BY_VOLATILITY} | changes))


def test_a_step_is_what_a_dividend_has_left_of_the_close_before():
    closes = [100.0, 101.0, 91.0, 92.0, 80.0]
    adjusted = [c * f for c, f in zip(closes, [0.81, 0.81, 0.9, 0.9, 1.0], strict=True)]
    history = history_of(closes, adj_close=adjusted)
    np.testing.assert_array_equal(dividend_steps(history), [1, 1, 0.9, 1, 0.9])
    history.loc[2, ["close", "adj_close"]] = np.nan  # masked: the next close is the first after it
    np.testing.assert_array_equal(dividend_steps(history), [1, 1, 1, 0.9, 0.9])
    np.testing.assert_array_equal(dividend_steps(history.assign(close=np.nan)), np.ones(5))


def test_a_large_dividend_that_the_close_does_not_show_was_not_paid():
    closes = [100.0, 99.0, 100.0, 90.0, 90.0]
    left = np.array([0.75 * 0.9, 0.75 * 0.9, 0.9, 1.0, 1.0])
    history = history_of(closes, adj_close=closes * left)
    np.testing.assert_array_equal(dividend_steps(history), [1, 1, 1, 0.9, 1])


def test_before_a_dividend_that_no_adjusted_close_is_known_of_prices_are_as_traded():
    prices, actions = prices_of(SHARE)
    actions.loc[3, "value"] = 5000.0
    history = adjust(prices, actions, prices["session"].iloc[-1].date())
    np.testing.assert_array_equal(np.flatnonzero(dividend_steps(history) != 1), EX_DATES[4:])


@pytest.mark.parametrize("target", ["close", "high", "mid"])
def test_inputs_and_targets_are_those_of_a_fund_that_keeps_its_dividends(target):
    ours, theirs = (load_dataset(file_of(fund(paid), target=target)) for paid in (SHARE, 0.0))
    for name, part in ours.parts.items():
        twin = theirs.parts[name]
        np.testing.assert_allclose(part.past, twin.past, atol=2e-5)
        np.testing.assert_allclose(part.future, twin.future, atol=2e-5)
        np.testing.assert_allclose(part.volatility, twin.volatility)
        np.testing.assert_allclose(
            part.actual_with_dividends / part.last[:, None], twin.actual / twin.last[:, None]
        )


def test_of_adjusted_closes_the_bars_that_are_seen_have_no_fall():
    ours, theirs = (load_dataset(file_of(fund(paid), target="adj_close")) for paid in (SHARE, 0.0))
    np.testing.assert_allclose(ours.train.past, theirs.train.past, atol=2e-5)
    np.testing.assert_array_equal(ours.train.actual, ours.train.actual_with_dividends)


@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=str)
def test_a_window_is_in_the_prices_of_its_last_session(normalisation):
    history = fund()
    window = WHOLE_BARS if str(normalisation).endswith("last close") else Windowing(4)
    windows = load_replay(file_of(history, normalisation=normalisation, window=window))
    close = history["close"].to_numpy()
    np.testing.assert_array_equal(windows.last, close[windows.position])
    np.testing.assert_array_equal(windows.actual[:-2, 0], close[windows.position[:-2] + 1])
    after = int(np.flatnonzero(windows.position == EX_DATES[3])[0])
    expected = close[EX_DATES[3] - 3 : EX_DATES[3] + 1] * [1 - SHARE, 1 - SHARE, 1 - SHARE, 1]
    np.testing.assert_allclose(windows.target_past[after], expected, rtol=1e-11)
    falls = windows.actual_with_dividends[after - 2] / windows.actual[after - 2]
    np.testing.assert_allclose(falls, [1, 1 / (1 - SHARE)], rtol=1e-11)


@pytest.mark.parametrize("name", BASELINES)
def test_intervals_are_as_wide_as_those_of_a_fund_that_keeps_its_dividends(name):
    widths = []
    for paid in (SHARE, 0.0):
        dataset = load_dataset(file_of(fund(paid), window=Windowing(5, ALL_COLUMNS)))
        quantiles = BASELINES[name].fit(dataset.train, 2)(dataset.test)
        low, high = INTERVALS[80]
        widths.append((quantiles[..., high] - quantiles[..., low]) / dataset.test.last[:, None])
    np.testing.assert_allclose(widths[0], widths[1], rtol=1e-9)
    assert (widths[0] < 5 * 0.005).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_series_up_to_a_session_is_seen_from_it(smoothing):
    ours, theirs = (target_series(file_of(fund(paid), smoothing=smoothing)) for paid in (SHARE, 0))
    for position in (EX_DATES[0] - 1, EX_DATES[0], COUNT - 1):
        seen, kept = ours.up_to(position), theirs.up_to(position)
        assert seen[-1] == ours.prices[position]
        np.testing.assert_allclose(seen / seen[-1], kept / kept[-1], rtol=1e-9)
    if not smoothing:
        np.testing.assert_array_equal(ours.prices, fund()["close"])


def test_a_smoothed_price_follows_what_is_left():
    ours, theirs = (load_dataset(file_of(fund(paid), smoothing=0.1)) for paid in (SHARE, 0.0))
    np.testing.assert_allclose(ours.test.past, theirs.test.past, atol=2e-5)
    np.testing.assert_allclose(ours.test.volatility, theirs.test.volatility, rtol=1e-9)


def test_a_window_is_the_same_at_every_later_cutoff():
    early, late = (load_replay(file_of(fund(count=count))) for count in (EX_DATES[4], COUNT))
    rows = np.isin(late.position, early.position[:-2])
    for name in ("past", "volatility", "last", "scale", "actual", "actual_with_dividends"):
        np.testing.assert_array_equal(getattr(early, name)[:-2], getattr(late, name)[rows])


def test_a_dividend_after_the_cutoff_is_not_known():
    prices, actions = prices_of(SHARE)
    cutoff = prices["session"].iloc[EX_DATES[4] - 1].date()
    ours = file_of(adjust(prices, actions, cutoff))
    none = actions[actions["session"] <= pd.Timestamp(cutoff)]
    assert ours == file_of(adjust(prices, none, cutoff))


def test_a_file_says_where_it_adds_dividends_and_else_is_what_it_was():
    paid, kept = file_of(fund()), file_of(fund(0.0))
    assert (decode(paid)[0].adds_dividends, decode(kept)[0].adds_dividends) == (True, False)
    with_one, without = (decode(file)[0].to_json() for file in (paid, kept))
    assert with_one["adds_dividends"] is True
    assert set(without) == set(with_one) - {"adds_dividends"}
    closes = spec_of(fund(), Windowing(4), target="adj_close")
    assert not decode(encode(fund(), closes))[0].adds_dividends


def test_a_file_of_an_older_version_is_cut_as_it_was():
    history = fund()
    old = packed(history, default_spec(history, normalisation=BY_VOLATILITY))
    new = file_of(history)
    dataset = load_dataset(old)
    assert dataset.train.volatility.max() > 2 * load_dataset(new).train.volatility.max()
    np.testing.assert_array_equal(dataset.train.actual, dataset.train.actual_with_dividends)
    assert not decode(training_part(old))[0].adds_dividends
    assert decode(training_part(new))[0].adds_dividends


def test_a_training_part_before_the_first_dividend_is_what_it_was():
    history = fund(count=EX_DATES[0] + 1)
    file = file_of(history)
    assert decode(file)[0].adds_dividends
    part, known = decode(training_part(file))
    assert not part.adds_dividends
    without = history.assign(adj_close=history["close"])
    theirs = decode(training_part(file_of(without)))
    assert part == theirs[0]
    pd.testing.assert_frame_equal(known[OHLCV], theirs[1][OHLCV])


def test_a_fitted_range_is_of_traded_prices():
    history = fund()
    dataset = load_dataset(file_of(history, window=Windowing(4), normalisation=MinMax("train")))
    low, high = history["close"].iloc[: -HELD_OUT.test.sessions].agg(["min", "max"])
    assert low <= dataset.train.offset[0] < dataset.train.offset[0] + dataset.train.scale[0] <= high
