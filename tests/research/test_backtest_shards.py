"""Shards: what baselines and models forecast, against plain loops; networks are trained once."""

import dataclasses
import datetime as dt
from functools import partial

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import LookAtTheData, NothingStored, RunError, TryAgain
from pipeline.models import DEFAULT, har, statistical
from pipeline.quantiles import PROBABILITIES
from pipeline.research import anchored_files
from pipeline.research.backtest import compare_forecasters
from pipeline.research.backtest_data import block_histories, dataset_files, kept_histories
from pipeline.research.backtest_shards import make_shard, read_notes, read_shards
from pipeline.research.har_forecasts import har_forecasts
from pipeline.training import SHARED, LearntFrom, PredictJob, PriceNetworkRequest
from pipeline.training.jobs import FitJob
from tests.made_backtests import (
    HORIZON,
    NAIVE_REQUEST,
    REQUEST,
    TINY,
    TINY_FORECASTER,
    BacktestParts,
    bars_of,
    made_answer,
)
from tests.made_studies import AnsweringWorkers

pytestmark = pytest.mark.integration

EACH_NETWORK = sorted([(SHARED, "tiny.pool"), ("IBM", "tiny"), ("MSFT", "tiny")])


NETWORKS_ALONE = dataclasses.replace(REQUEST, recipes=[TINY])


def parts_in(folder, answer=made_answer):
    """Return parts with made workers from their answers to jobs."""
    bars = {"IBM": bars_of(0), "MSFT": bars_of(1), "NEW": bars_of(2, 300)}
    return BacktestParts(folder, folder / "prices", bars, AnsweringWorkers(answer))


@pytest.fixture
def make_parts(tmp_path):
    return partial(parts_in, tmp_path)


@pytest.fixture
def parts(make_parts):
    return make_parts()


@pytest.fixture(scope="module")
def baselines(tmp_path_factory):
    """Parts and the rows of the baselines, for tests that look at them alone."""
    parts = parts_in(tmp_path_factory.mktemp("baselines"))
    request = dataclasses.replace(NAIVE_REQUEST, recipes=har.HAR_NAMES, baselines=["random_walk"])
    _, rows = make_all(parts, request)
    return parts, rows


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Parts, plan and rows of a backtest, what it trained, and the shards that it made.

    Tests may make more of it: it stays as it is.
    """
    parts = parts_in(tmp_path_factory.mktemp("networks"))
    plan, rows = make_all(parts, REQUEST)
    return parts, plan, rows, parts.trained, parts.made_shards


def make_all(parts, request):
    """Plan a backtest and make its shards; return the plan and the BACKTESTS rows."""
    plan = parts.plan(request)
    for shard in plan.shards:
        make_shard(parts, plan, *shard)
    return plan, read_shards(parts, plan)


def notes_of(parts, plan, name):
    """Return the remarks on a forecaster's shards, in the order of the blocks."""
    remarks = read_notes(parts, plan)
    return [notes for forecaster, _, notes in remarks if forecaster.name == name]


# Baselines and statistical models


def test_naive_is_what_a_plain_loop_makes_of_the_prices(baselines):
    parts, rows = baselines
    table = rows.query("recipe == 'naive'")
    checked = 0
    for ticker in ("IBM", "MSFT"):
        closes, sessions = parts.closes_of(ticker)
        of_ticker = table[table["ticker"] == ticker]
        cutoffs = sorted({moment.date() for moment in of_ticker["cutoff"]})
        for block in (cutoffs[:8], cutoffs[8:]):
            refitted = sessions.index(block[0])
            # Between a part's last session and the next part's first forecast lie as many sessions
            # as the embargo: the horizon.
            validated = refitted - HORIZON - HORIZON  # the last that validation forecasts from
            trained = validated - 251 - HORIZON - HORIZON  # the last that training does
            starts = range(DEFAULT.window.context_length - 1, trained + 1)
            changes = {
                ahead: [(closes[at + ahead] - closes[at]) / closes[at] for at in starts]
                for ahead in (1, 2)
            }
            for cutoff in block:
                at = sessions.index(cutoff)
                of_cutoff = of_ticker[of_ticker["cutoff"] == pd.Timestamp(cutoff)]
                for ahead in (1, 2):
                    forecast = of_cutoff[of_cutoff["horizon"] == ahead]
                    expected = [
                        closes[at] * (1 + np.quantile(changes[ahead], share))
                        for share in PROBABILITIES
                    ]
                    np.testing.assert_allclose(forecast["forecast"], expected)
                    assert set(forecast["actual"]) == {closes[at + ahead]}
                    assert set(forecast["last"]) == {closes[at]}
                    checked += 1
    assert checked == 15 * 2 * 2


def test_a_statistical_model_sees_the_prices_up_to_each_cutoff(baselines):
    parts, rows = baselines
    table = rows.query("recipe == 'random_walk' and ticker == 'MSFT'")
    closes, sessions = parts.closes_of("MSFT")
    assert table["cutoff"].nunique() == 15
    for cutoff, forecast in table.groupby("cutoff"):
        seen = closes[: sessions.index(cutoff.date()) + 1]
        expected = statistical.forecast("random_walk", seen, HORIZON).quantiles
        np.testing.assert_allclose(forecast["forecast"], expected.reshape(-1))


@pytest.mark.parametrize("name", har.HAR_NAMES)
def test_a_regression_is_fitted_on_all_stocks_an_embargo_before_each_block(baselines, name):
    parts, rows = baselines
    table = rows[rows["recipe"] == name]
    plan = parts.plan(dataclasses.replace(NAIVE_REQUEST, recipes=[name]))
    kept, calendar = kept_histories(parts, plan), parts.calendar(parts.universe)
    for block in plan.blocks:
        histories = block_histories(plan, block, kept, calendar)
        assert list(histories) == ["IBM", "MSFT", "NEW"]  # NEW is too young to be forecast
        learnt = calendar.sessions(dt.date(2016, 1, 1), block.cutoffs[0])[-1 - HORIZON]
        expected = har_forecasts(name, histories, "close", HORIZON, learnt, calendar)
        for ticker in ("IBM", "MSFT"):
            in_block = table["cutoff"].isin(pd.to_datetime(block.cutoffs))
            of_ticker = table[in_block & (table["ticker"] == ticker)]
            quantiles = expected.at(ticker, np.array(block.cutoffs, "datetime64[D]"))
            assert np.array_equal(of_ticker["forecast"], quantiles.reshape(-1))
    assert set(table["ticker"]) == {"IBM", "MSFT"}


def test_without_all_shards_nothing_is_compared(parts):
    plan = parts.plan(NAIVE_REQUEST)
    with pytest.raises(NothingStored, match="naive-000"):
        compare_forecasters(parts, plan)


# Networks


def test_a_stock_that_a_network_cannot_learn_from_is_left_out_with_the_reason(networks):
    parts, plan, rows, _, _ = networks
    assert set(rows["ticker"]) == {"IBM", "MSFT"}
    of_network = notes_of(parts, plan, "tiny")
    assert len(of_network) == 2
    for notes in of_network:
        assert list(notes.left_out) == ["NEW"]
        assert notes.left_out["NEW"].endswith("sessions more.")
        assert list(notes.weights) == ["IBM", "MSFT"]


def test_a_network_that_forecasts_no_numbers_stops_the_shard(make_parts):
    def answer(job):
        made = made_answer(job)
        if isinstance(job, PredictJob) and job.label == "IBM":
            return tuple(np.nan * predictions for predictions in made)
        return made

    with pytest.raises(RunError, match="IBM: tiny forecasts no numbers"):
        make_all(make_parts(answer), NETWORKS_ALONE)


def test_a_stock_whose_data_a_job_refuses_is_left_out(make_parts):
    def answer(job):
        if isinstance(job, FitJob) and job.label == "IBM":
            raise LookAtTheData("IBM: its prices do not move.")
        return made_answer(job)

    parts = make_parts(answer)
    plan, rows = make_all(parts, NETWORKS_ALONE)
    assert set(rows.query("recipe == 'tiny'")["ticker"]) == {"MSFT"}
    for notes in notes_of(parts, plan, "tiny"):
        assert notes.left_out["IBM"] == "IBM: its prices do not move."


def test_an_error_that_is_no_matter_of_one_stock_stops_the_shard(make_parts):
    def answer(job):
        if job.label == "MSFT":
            raise TryAgain("MSFT: its training process was killed by SIGKILL.")
        return made_answer(job)

    parts = make_parts(answer)
    with pytest.raises(TryAgain, match="SIGKILL"):
        make_all(parts, NETWORKS_ALONE)
    assert parts.made_shards == []


def test_backtests_with_the_same_blocks_train_their_networks_once(networks):
    parts, _, _, trained, made = networks
    assert trained == sorted(2 * EACH_NETWORK)  # one set for each of the two blocks
    parts.jobs.clear()
    parts.messages.clear()
    # Cutoffs twice as often, and another baseline: other shards, but the same first cutoffs.
    denser = dataclasses.replace(NETWORKS_ALONE, baselines=["drift"], step=5, refit=16)
    make_all(parts, denser)
    assert (len(made), len(parts.made_shards)) == (2 * 4, 2 * 4)
    assert parts.trained == []


def test_a_command_that_needs_a_backtests_networks_finds_them(networks):
    parts, plan, _, _, _ = networks
    parts.jobs.clear()
    # As a day asks: by recipe, seed and what is learnt from, under other names.
    kept, calendar = kept_histories(parts, plan), parts.calendar(parts.universe)
    histories = block_histories(plan, plan.blocks[0], kept, calendar)
    files = dataset_files(plan, TINY_FORECASTER, plan.blocks[0], histories).results
    files = anchored_files(files, histories, calendar)
    learnt = {ticker: LearntFrom.of(file, TINY) for ticker, file in files.items()}
    seed = parts.settings.seed
    pool = PriceNetworkRequest(SHARED, "all 2016-06-01", TINY.pool, learnt, seed)
    daily = dataclasses.replace(TINY, name="daily", summary="the same under another name")
    own = PriceNetworkRequest(
        "IBM", "IBM 2016-06-01", daily, {"IBM": learnt["IBM"]}, seed, pool.model_id
    )
    for request in (pool, own):
        assert parts.networks.fit([request]).failures == {}
    assert parts.trained == []


def test_a_warm_start_trains_one_pooled_network_for_all_blocks(parts):
    make_all(parts, dataclasses.replace(NETWORKS_ALONE, warm_start=True))
    own = [("IBM", "tiny"), ("MSFT", "tiny")]
    assert parts.trained == sorted([(SHARED, "tiny.pool"), *own, *own])
