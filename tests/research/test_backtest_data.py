"""A block's data: what lies between the sessions that are learnt from and those that are tested."""

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.models import PUBLISHED
from pipeline.prices import Histories
from pipeline.research.backtest_data import (
    at_cutoffs,
    block_histories,
    dataset_files,
    held_back,
    histories_ahead,
    kept_histories,
)
from pipeline.research.backtest_request import Forecaster
from pipeline.tables import PRICE_COLUMNS
from pipeline.windows import load_dataset
from tests.made_backtests import (
    FIRST_CUTOFF,
    HORIZON,
    NAIVE_REQUEST,
    TINY,
    TINY_FORECASTER,
    BacktestParts,
    bars_of,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def parts(tmp_path):
    bars = {"IBM": bars_of(0), "NEW": bars_of(2, 300)}
    return BacktestParts(tmp_path, tmp_path / "prices", bars)


@pytest.mark.parametrize("embargo", [0, 2, 10])
def test_an_embargo_lies_between_what_is_learnt_from_and_what_is_forecast(parts, embargo):
    plan = parts.plan(dataclasses.replace(NAIVE_REQUEST, embargo=embargo))
    block = plan.blocks[1]
    kept, calendar = kept_histories(parts, plan), parts.calendar(parts.universe)
    histories = block_histories(plan, block, kept, calendar)
    dataset = load_dataset(dataset_files(plan, TINY_FORECASTER, block, histories).results["IBM"])
    sessions = histories["IBM"]["session"]
    refitted = int(np.searchsorted(sessions, pd.Timestamp(block.cutoffs[0])))
    first_tested = dataset.test.position[0] + 1  # the session after the cutoff
    assert first_tested == refitted + 1
    assert dataset.validation.position[-1] + HORIZON == refitted - embargo
    assert dataset.train.position[-1] + HORIZON == dataset.validation.position[0] - embargo
    assert len(dataset.validation) == 252


def test_a_ticker_with_too_little_history_or_none_is_left_out_with_the_reason(parts):
    plan = parts.plan(NAIVE_REQUEST)
    block = plan.blocks[0]
    kept, calendar = kept_histories(parts, plan), parts.calendar(parts.universe)
    without = Histories(kept.bars[kept.bars["ticker"] != "IBM"], kept.actions)
    histories = block_histories(plan, block, without, calendar)
    assert list(histories) == ["NEW"]
    datasets = dataset_files(plan, TINY_FORECASTER, block, histories)
    assert datasets.results == {}
    assert str(datasets.failures["IBM"]) == f"IBM: no prices up to {block.end}."
    assert "leave 0 windows to train on, 100 are needed" in str(datasets.failures["NEW"])


def test_beside_whole_days_a_stock_that_is_listed_within_a_block_has_windows(tmp_path):
    bars = {"IBM": bars_of(0), "NEW": bars_of(2, 60)}
    parts = BacktestParts(tmp_path, tmp_path / "prices", bars)
    plan = parts.plan(NAIVE_REQUEST)
    block, naive = plan.blocks[1], Forecaster("naive")
    calendar = parts.calendar(parts.universe)
    histories = block_histories(plan, block, kept_histories(parts, plan), calendar)
    assert "NEW" in dataset_files(plan, naive, block, histories).failures
    days = Forecaster(PUBLISHED, TINY, settings=(("seed", 7),))
    with_days = dataclasses.replace(plan, forecasters=(days, naive))
    datasets = dataset_files(with_days, naive, block, histories).results
    test = load_dataset(datasets["NEW"]).test
    listed = histories["NEW"]["session"].iloc[0]
    assert block.cutoffs[0] < listed.date()
    assert test.origins[0] == np.datetime64(listed.date())
    # A network of the backtest's own still cannot learn from it.
    assert "NEW" in dataset_files(with_days, TINY_FORECASTER, block, histories).failures


def test_a_history_ends_with_its_block_and_holds_what_was_kept(parts):
    plan = parts.plan(NAIVE_REQUEST)
    kept, calendar = kept_histories(parts, plan), parts.calendar(parts.universe)
    closes, sessions = parts.closes_of("IBM")
    for block in plan.blocks:
        history = block_histories(plan, block, kept, calendar)["IBM"]
        assert history["session"].iloc[-1].date() == block.end
        assert history["close"].tolist() == closes[: sessions.index(block.end) + 1].tolist()


def test_foresight_sees_each_session_from_the_first_cutoff_to_the_last_that_is_forecast(parts):
    plan = parts.plan(NAIVE_REQUEST)
    histories = histories_ahead(parts, plan)
    _, sessions = parts.closes_of("IBM")
    first, last = (sessions.index(day) for day in (plan.cutoffs[0], plan.blocks[-1].end))
    assert set(histories) == {"IBM", "NEW"}
    for history in histories.values():
        assert [day.date() for day in history["session"]] == sessions[first : last + 1]


def test_a_block_learns_from_as_many_sessions_as_the_universe_says(parts):
    parts.universe = dataclasses.replace(parts.universe, history_sessions=600)
    plan = parts.plan(NAIVE_REQUEST)
    kept, calendar = kept_histories(parts, plan), parts.calendar(parts.universe)
    for block in plan.blocks:
        sessions = block_histories(plan, block, kept, calendar)["IBM"]["session"]
        assert (sessions <= pd.Timestamp(block.cutoffs[0])).sum() == 600
        assert sessions.iloc[-1].date() == block.end


def test_a_backtest_of_a_renamed_ticker_has_the_prices_of_both_names(tmp_path):
    whole = bars_of(0)
    bars = {"FB": whole[:-100], "META": whole[-110:]}
    parts = BacktestParts(tmp_path, tmp_path / "prices", bars)
    renamed = {"tickers": ("META",), "aliases": {"META": "FB"}}
    parts.universe = dataclasses.replace(parts.universe, **renamed)
    plan = parts.plan(NAIVE_REQUEST)
    kept, calendar = kept_histories(parts, plan), parts.calendar(parts.universe)
    for block in plan.blocks:
        history = block_histories(plan, block, kept, calendar)["META"]
        closes = whole["close"][whole["date"] <= pd.Timestamp(block.end)]
        np.testing.assert_allclose(history["close"], closes)
    assert plan.cutoffs[0] == FIRST_CUTOFF, "which META alone has no price of"


def with_pence(first, end):
    """Return the bars of a stock, and the same with a block of them in pence for pounds."""
    right, wrong = bars_of(0), bars_of(0)
    is_wrong = wrong["date"].between(pd.Timestamp(first), pd.Timestamp(end))
    wrong.loc[is_wrong, PRICE_COLUMNS] *= 100
    return {"RGHT": right, "WRNG": wrong}


def test_a_block_of_bars_in_another_unit_is_read_repaired(tmp_path):
    parts = BacktestParts(tmp_path, tmp_path / "prices", with_pence("2016-06-20", "2016-07-08"))
    plan = parts.plan(dataclasses.replace(NAIVE_REQUEST, step=1, refit=30))
    kept, calendar = kept_histories(parts, plan), parts.calendar(parts.universe)
    first, second = plan.blocks[:2]
    for block in (first, second):
        histories = block_histories(plan, block, kept, calendar)
        np.testing.assert_allclose(histories["WRNG"]["close"], histories["RGHT"]["close"])
    # No forecast of the evenings on which the day would have held it back.
    held = held_back(first, kept)
    assert {ticker: (days[0], days[-1], len(days)) for ticker, days in held.items()} == {
        "WRNG": (dt.date(2016, 6, 20), dt.date(2016, 7, 8), 14)
    }
    assert held_back(second, kept) == {"WRNG": []}
    histories = block_histories(plan, first, kept, calendar)
    datasets = dataset_files(plan, TINY_FORECASTER, first, histories).results
    ours, theirs = (
        load_dataset(datasets[t]).test.origins[
            at_cutoffs(histories[t], first, load_dataset(datasets[t]).test, held.get(t, []))
        ]
        for t in ("WRNG", "RGHT")
    )
    assert [day for day in theirs if day not in ours] == list(
        np.array(held["WRNG"], "datetime64[D]")
    )


def test_a_universe_without_repair_is_backtested_on_what_the_source_gives(tmp_path):
    bars = with_pence("2016-06-20", "2016-07-08")
    parts = BacktestParts(tmp_path, tmp_path / "prices", bars)
    repaired_digest = parts.plan(NAIVE_REQUEST).digest
    parts.universe = dataclasses.replace(parts.universe, repair=False)
    plan = parts.plan(NAIVE_REQUEST)
    assert plan.digest != repaired_digest
    kept, calendar = kept_histories(parts, plan), parts.calendar(parts.universe)
    block = plan.blocks[0]
    history = block_histories(plan, block, kept, calendar)["WRNG"]
    in_file = bars["WRNG"]["close"][bars["WRNG"]["date"] <= pd.Timestamp(block.end)]
    np.testing.assert_allclose(history["close"], in_file)
    assert held_back(block, kept) == {}


def test_nothing_after_a_block_decides_how_its_bars_are_read(tmp_path):
    # What turns out to be a block of pence ends after the first block: it is not known yet.
    bars = with_pence("2016-09-01", "2016-10-31")
    request = dataclasses.replace(NAIVE_REQUEST, step=1, refit=70)
    parts = BacktestParts(tmp_path, tmp_path / "prices", bars)
    plan = parts.plan(request)
    block = plan.blocks[0]
    assert dt.date(2016, 9, 1) < block.end < dt.date(2016, 10, 31)
    kept, calendar = kept_histories(parts, plan), parts.calendar(parts.universe)
    history = block_histories(plan, block, kept, calendar)["WRNG"]
    in_file = bars["WRNG"]["close"][bars["WRNG"]["date"] <= pd.Timestamp(block.end)]
    np.testing.assert_allclose(history["close"], in_file)
