"""Whole days in a backtest: what they publish is what the days of a backfill have published."""

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.daily import plan as plan_day
from pipeline.measures import scores
from pipeline.members import Member
from pipeline.models import PUBLISHED
from pipeline.quantiles import QUANTILE_COUNT
from pipeline.research.backtest import compare_forecasters
from pipeline.research.backtest_plan import read_backtest_plan
from pipeline.research.backtest_planning import plan_backtest
from pipeline.research.backtest_request import BacktestRequest
from pipeline.research.backtest_shards import make_shard, read_notes, read_shards
from pipeline.storage import unpack_table
from pipeline.tables import FORECASTS, PROMOTIONS
from tests.daily.quick_days import QuickParts, take_steps
from tests.made_days import NOW, TRAINED, made_source

#: Whole days take seconds each.
pytestmark = pytest.mark.slow

#: Three cutoffs over two training cutoffs; their forecasts' sessions have closed.
REQUEST = BacktestRequest(
    [PUBLISHED, "har"], dt.date(2013, 1, 30), dt.date(2013, 2, 22), step=8, refit=2
)
HORIZON = TRAINED.horizon


@pytest.fixture(scope="module")
def source():
    """Prices of which networks know something; a stock is split between the last two cutoffs."""
    made = made_source(signalled=True)
    table = made.bars["TWO"]
    later = (table["date"] >= "2013-02-15").to_numpy()
    table.loc[later, ["open", "high", "low", "close"]] /= 2
    made.actions["TWO"] = pd.DataFrame(
        {"date": pd.to_datetime(["2013-02-15"]), "kind": ["split"], "value": [2.0]}
    )
    return made


@pytest.fixture(scope="module")
def backtested(source, tmp_path_factory):
    """Parts, plan and rows of a backtest."""
    with QuickParts(tmp_path_factory.mktemp("backtest"), source) as parts:
        plan = plan_backtest(parts, TRAINED, REQUEST, NOW)
        for shard in plan.shards:
            make_shard(parts, plan, *shard)
        yield parts, plan, read_shards(parts, plan)


@pytest.fixture(scope="module")
def backfilled(source, backtested, tmp_path_factory):
    """FORECASTS and PROMOTIONS of the same sessions, as the days have published them."""
    _, plan, _ = backtested
    with QuickParts(tmp_path_factory.mktemp("backfill"), source) as parts:
        yield backfill(parts, TRAINED, plan.cutoffs)


def backfill(parts, universe, cutoffs):
    for cutoff in cutoffs:
        take_steps(parts, plan_day(parts, universe, cutoff, NOW), last="publish")
    return parts.store.load(FORECASTS), parts.store.load(PROMOTIONS)


def published_by(backtested):
    _, _, rows = backtested
    return rows[rows["recipe"] == PUBLISHED]


def test_the_same_quantiles_are_published_bit_for_bit(backtested, backfilled):
    _, plan, _ = backtested
    forecasts, _ = backfilled
    rows = published_by(backtested)
    assert len(rows) == len(plan.cutoffs) * len(TRAINED.tickers) * HORIZON * QUANTILE_COUNT
    for (ticker, cutoff), own in rows.groupby(["ticker", "cutoff"]):
        of_day = forecasts[(forecasts["ticker"] == ticker) & (forecasts["cutoff"] == cutoff)]
        of_day = of_day.sort_values("horizon")
        quantiles = of_day[list(scores.FORECAST_COLUMNS)].to_numpy()
        made = own["forecast"].to_numpy().reshape(HORIZON, QUANTILE_COUNT)
        if ticker == "TWO" and str(cutoff.date()) < "2013-02-15":
            np.testing.assert_allclose(made, quantiles / 2, rtol=1e-12)
        else:
            assert np.array_equal(made, quantiles)
            assert set(own["last"]) == set(of_day["last_value"])
        sessions = own["session"].to_numpy().reshape(HORIZON, QUANTILE_COUNT)[:, 0]
        assert np.array_equal(sessions, of_day["session"].to_numpy())


def test_who_is_published_is_counted_by_cutoff(backtested, backfilled):
    parts, plan, _ = backtested
    _, promotions = backfilled
    champions = promotions.set_index(["cutoff", "ticker"])["champion"]
    notes = [notes for each, _, notes in read_notes(parts, plan) if each.name == PUBLISHED]
    counts = {cutoff: kinds for each in notes for cutoff, kinds in each.published.items()}
    assert list(counts) == [str(cutoff) for cutoff in plan.cutoffs]
    for cutoff, kinds in counts.items():
        # The pooled network stands in for a young stock's own; the youngest has har.
        assert champions[cutoff, "YNG"] == "pooled"
        assert champions[cutoff, "AAA"] == "har"
        assert kinds == {"network": 0, "blend": 3, "har": 1, "ewma": 0, "naive": 0}


def test_baselines_forecast_the_young_stocks_too(backtested):
    _, plan, rows = backtested
    per_stock = len(plan.cutoffs) * HORIZON * QUANTILE_COUNT
    for name in ("har", "naive", "ewma"):
        counts = rows[rows["recipe"] == name]["ticker"].value_counts()
        assert dict(counts) == dict.fromkeys(TRAINED.tickers, per_stock)


def test_a_statistical_model_has_no_forecast_where_it_needs_more_prices(tmp_path):
    short = made_source()
    short.bars["AAA"] = short.bars["AAA"].tail(70)
    request = dataclasses.replace(REQUEST, recipes=[PUBLISHED, "drift"], refit=0)
    with QuickParts(tmp_path, short) as parts:
        plan = plan_backtest(parts, TRAINED, request, NOW)
        [drift] = [shard for shard in plan.shards if shard[0].name == "drift"]
        made = unpack_table(parts.artifacts.read_derived(make_shard(parts, plan, *drift)))
    counts = made.drop_duplicates(["ticker", "cutoff"])["ticker"].value_counts()
    assert dict(counts) == {"OLD": 3, "TWO": 3, "YNG": 3, "AAA": 1}


def test_days_train_no_network_that_is_in_the_cache(backtested):
    parts, plan, _ = backtested
    before = list(parts.fits)
    # Another backtest of the same days.
    other = plan_backtest(parts, TRAINED, dataclasses.replace(REQUEST, refit=3), NOW)
    for shard in other.shards:
        make_shard(parts, other, *shard)
    assert other.digest != plan.digest
    assert len(before) == len(parts.fits) > 0


def test_a_ticker_that_the_day_holds_back_has_no_forecast_and_the_reason(tmp_path):
    broken = made_source(signalled=True)
    table = broken.bars["TWO"]
    table.loc[table["date"] == "2013-02-11", "close"] *= 100
    request = dataclasses.replace(REQUEST, last=dt.date(2013, 2, 12))
    with QuickParts(tmp_path, broken) as parts:
        plan = plan_backtest(parts, TRAINED, request, NOW)
        for shard in plan.shards:
            make_shard(parts, plan, *shard)
        [notes] = [notes for each, _, notes in read_notes(parts, plan) if each.name == PUBLISHED]
    assert list(notes.held_back) == ["TWO"]
    [(cutoff, reason)] = notes.held_back["TWO"].items()
    assert cutoff == "2013-02-11"
    assert reason.startswith("2013-02-11: close ")
    assert [kinds["blend"] for kinds in notes.published.values()] == [3, 2]


def test_each_cutoff_has_its_members_whatever_forecasts(source, tmp_path):
    change = dt.date(2013, 2, 11)
    members = (
        Member("OLD", dt.date(2000, 1, 3)),
        Member("AAA", dt.date(2000, 1, 3), change - dt.timedelta(days=1)),
        Member("YNG", change),
    )
    universe = dataclasses.replace(TRAINED, tickers=("AAA", "OLD", "YNG"), members=members)
    with QuickParts(tmp_path, source) as parts:
        plan = plan_backtest(parts, universe, dataclasses.replace(REQUEST, refit=0), NOW)
        assert [plan.members(block) for block in plan.blocks] == [("AAA", "OLD"), ("OLD", "YNG")]
        for shard in plan.shards:
            make_shard(parts, plan, *shard)
        rows = read_shards(parts, plan)
        assert read_backtest_plan(parts, plan.digest) == plan
        forecasts, _ = backfill(parts, universe, plan.cutoffs)
    for _, own in rows.groupby("recipe"):
        pairs = {(cutoff.date(), t) for cutoff, t in zip(own["cutoff"], own["ticker"], strict=True)}
        assert pairs == {
            (cutoff, ticker)
            for cutoff in plan.cutoffs
            for ticker in ("OLD", "AAA" if cutoff < change else "YNG")
        }
    own = rows[rows["recipe"] == PUBLISHED].sort_values(["ticker", "cutoff", "horizon", "quantile"])
    by_day = forecasts.sort_values(["ticker", "cutoff", "horizon"])
    assert np.array_equal(
        own["forecast"].to_numpy(), by_day[list(scores.FORECAST_COLUMNS)].to_numpy().reshape(-1)
    )


def test_days_see_the_universes_file_of_events(source, tmp_path):
    file = tmp_path / "events.csv"
    file.write_text(
        "ticker,date,kind,amount,known_at\n"
        "OLD,2013-02-25,dividend,2.5,2013-02-11\nAAA,2013-02-26,report,,2013-02-11\n"
    )
    universe = dataclasses.replace(TRAINED, events=str(file))
    with QuickParts(tmp_path, source) as parts:
        without = plan_backtest(parts, TRAINED, REQUEST, NOW)
        plan = plan_backtest(parts, universe, REQUEST, NOW)
        assert plan.digest != without.digest
        assert read_backtest_plan(parts, plan.digest) == plan
        for shard in plan.shards:
            make_shard(parts, plan, *shard)
        own = read_shards(parts, plan).query("recipe == 'published' and ticker == 'OLD'")
        forecasts, _ = backfill(parts, universe, plan.cutoffs)
    by_day = forecasts[forecasts["ticker"] == "OLD"].sort_values(["cutoff", "horizon"])
    assert np.array_equal(
        own.sort_values(["cutoff", "horizon", "quantile"])["forecast"].to_numpy(),
        by_day[list(scores.FORECAST_COLUMNS)].to_numpy().reshape(-1),
    )
    after = by_day[by_day["cutoff"] == "2013-02-22"].set_index("horizon")["y_hat"]
    assert after[1] - by_day["last_value"].iloc[-1] < -1  # it falls by the dividend


def test_the_text_says_who_is_published(backtested):
    parts, plan, _ = backtested
    result = compare_forecasters(parts, plan)
    assert set(result.board["recipe"]) == {PUBLISHED, "har", "naive", "ewma"}
    lines = [line.split() for line in result.text.splitlines()]
    assert ["2013-01-30", "2013-02-22", "3", "0", "3", "1", "0", "0", "0"] in lines
