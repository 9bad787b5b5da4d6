"""Perfect foresight of the volatility, against plain loops."""

import math

import numpy as np
import pandas as pd
import pytest

from pipeline.quantiles import PROBABILITIES
from pipeline.research.foresight import volatility_ahead, with_foresight
from pipeline.research.leaderboard import records_of
from tests.made_forecasts import FIRST_DAY, forecasts_of

DAYS = 52


@pytest.fixture(scope="module")
def record():
    return records_of(forecasts_of())["ewma"]


def history_of(ranges):
    """Return bars whose logs of high over low are these, day by day."""
    days = pd.date_range(FIRST_DAY, periods=len(ranges), unit="s")
    return pd.DataFrame({"session": days, "high": 100 * np.exp(ranges), "low": 100.0})


@pytest.fixture(scope="module")
def histories():
    random = np.random.default_rng(5)
    return {ticker: history_of(random.uniform(0.01, 0.05, DAYS)) for ticker in ("AAA", "BBB")}


def variance(history, session):
    bar = history[history["session"] == session].iloc[0]
    return math.log(bar["high"] / bar["low"]) ** 2 / (4 * math.log(2))


def test_the_volatility_is_that_of_the_ranges_of_the_sessions_ahead(record, histories):
    volatility = volatility_ahead(record, histories)
    for place in (0, 1, 50, 99):
        ahead = [record.cutoff[place] + np.timedelta64(day, "D") for day in (1, 2)]
        history = histories[record.ticker[place]]
        expected = np.mean([variance(history, session) for session in ahead])
        assert volatility[place] == pytest.approx(math.sqrt(expected))


def test_the_quantiles_are_the_other_halfs_errors_in_units_of_the_volatility(record, histories):
    foresight, volatility = with_foresight(record, histories), volatility_ahead(record, histories)
    days = sorted(set(record.cutoff))
    late = record.cutoff >= days[25]
    place = int(np.flatnonzero(late)[3])
    for ahead in (0, 1):
        errors = (record.actual[~late, ahead] / record.last[~late] - 1) / volatility[~late]
        expected = record.last[place] * (1 + volatility[place] * np.quantile(errors, PROBABILITIES))
        np.testing.assert_allclose(foresight.quantiles[place, ahead], expected)


def test_knowing_the_volatility_gains_where_it_moves():
    # Changes are drawn with a volatility that is 1% or 4% by turns, which the ranges show.
    random = np.random.default_rng(7)
    table = forecasts_of({"naive": 2.5, "ewma": 2.5}, count=400, tickers=("AAA",))
    scale = np.where(np.arange(402) // 20 % 2, 0.04, 0.01)
    day = (table["cutoff"] - pd.Timestamp(FIRST_DAY)).dt.days + table["horizon"]
    actual = table["last"] * (1 + scale[day] * random.normal(size=402)[day])
    record = records_of(table.assign(actual=actual))["ewma"]
    foresight = with_foresight(record, {"AAA": history_of(1.6 * scale)})
    assert foresight.losses.mean() < 0.9 * record.losses.mean()


def test_without_ranges_the_forecasts_stay_as_they_are(record, histories):
    closes_alone = history_of(np.zeros(DAYS))
    kept = with_foresight(record, {"AAA": histories["AAA"], "BBB": closes_alone})
    other = record.ticker == "BBB"
    np.testing.assert_array_equal(kept.quantiles[other], record.quantiles[other])
    assert (kept.quantiles[~other] != record.quantiles[~other]).any()
    unknown = with_foresight(record, {})
    np.testing.assert_array_equal(unknown.quantiles, record.quantiles)
