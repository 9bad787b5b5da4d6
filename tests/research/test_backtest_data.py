"""A block's data: what lies between the sessions that are learnt from and those that are tested."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from pipeline.prices import Histories
from pipeline.research.backtest_data import block_histories, dataset_files, kept_histories
from pipeline.windows import load_dataset
from tests.made_backtests import HORIZON, NAIVE_REQUEST, TINY, BacktestParts, bars_of


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
    dataset = load_dataset(dataset_files(plan, TINY, block, histories).results["IBM"])
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
    datasets = dataset_files(plan, TINY, block, histories)
    assert datasets.results == {}
    assert str(datasets.failures["IBM"]) == f"IBM: no prices up to {block.end}."
    assert "leave 0 windows to train on, 100 are needed" in str(datasets.failures["NEW"])


def test_a_history_ends_with_its_block_and_holds_what_was_kept(parts):
    plan = parts.plan(NAIVE_REQUEST)
    kept, calendar = kept_histories(parts, plan), parts.calendar(parts.universe)
    closes, sessions = parts.closes_of("IBM")
    for block in plan.blocks:
        history = block_histories(plan, block, kept, calendar)["IBM"]
        assert history["session"].iloc[-1].date() == block.end
        assert history["close"].tolist() == closes[: sessions.index(block.end) + 1].tolist()


def test_a_block_learns_from_as_many_sessions_as_the_universe_says(parts):
    parts.universe = dataclasses.replace(parts.universe, history_sessions=600)
    plan = parts.plan(NAIVE_REQUEST)
    kept, calendar = kept_histories(parts, plan), parts.calendar(parts.universe)
    for block in plan.blocks:
        sessions = block_histories(plan, block, kept, calendar)["IBM"]["session"]
        assert (sessions <= pd.Timestamp(block.cutoffs[0])).sum() == 600
        assert sessions.iloc[-1].date() == block.end
