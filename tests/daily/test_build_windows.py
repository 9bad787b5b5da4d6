"""Windows: a file per ticker and role, and why a ticker has none."""

import dataclasses
import datetime as dt

import pandas as pd
import pytest

from pipeline.daily import STEPS, dataset_file, plan, read_dataset
from pipeline.errors import NotEnoughHistory
from pipeline.tables import CHECKS, DATASETS, FORECASTS, PROMOTIONS
from pipeline.windows import load_dataset
from tests.daily.quick_days import quick_day, take_steps
from tests.made_days import NOW, TRAINED, UNIVERSE
from tests.made_prices import LAST, random_walk

pytestmark = pytest.mark.integration

#: The recipe of a source that publishes results on its own test sessions.
CASTILLA = dataclasses.replace(
    TRAINED, name="castilla", recipe="castilla.faithful", horizon=3, tickers=("OLD",)
)


def rows_of(parts, run, ticker):
    return parts.rows(DATASETS, run, [ticker]).set_index("role")


def test_each_role_ends_at_its_cutoff_and_is_a_file_of_that_name(done):
    parts, run = done
    rows = rows_of(parts, run, "OLD")
    ends = {
        "training": run.training_cutoff,
        "live": run.session,
        "previous": run.previous_cutoff,
        "pool": run.pool_cutoff,
        "previous_pool": run.previous_pool_cutoff,
    }
    assert {role: row["dataset_cutoff"].date() for role, row in rows.iterrows()} == ends
    for role, row in rows.iterrows():
        assert parts.artifacts.exists(dataset_file(row["dataset"]))
        assert (row["learnt"] != "") == (role != "live")
        assert row["reason"] == ""


def test_networks_learn_from_as_many_sessions_as_the_universe_says(parts, monkeypatch):
    read = []
    revisions = parts.store.prices.revisions

    def spied(*asked):
        bars, actions = revisions(*asked)
        read.append(bars["session"].min().date())
        return bars, actions

    monkeypatch.setattr(parts.store.prices, "revisions", spied)
    universe = dataclasses.replace(TRAINED, tickers=("OLD",), history_sessions=300)
    run = quick_day(parts, universe=universe, last="build_windows")
    rows = rows_of(parts, run, "OLD")
    assert set(rows.loc[["training", "previous", "pool", "previous_pool"], "sessions"]) == {300}
    sessions = parts.calendar(universe).sessions(universe.start, run.previous_pool_cutoff)
    assert set(read) == {sessions[-300 - 64]}


def test_a_network_of_so_many_sessions_is_the_rival_of_the_next(parts):
    universe = dataclasses.replace(TRAINED, tickers=("OLD",), history_sessions=300)
    before = quick_day(parts, dt.date(2013, 2, 1), universe=universe, last="build_windows")
    after = quick_day(parts, LAST, universe=universe, last="build_windows")
    assert after.previous_cutoff == before.training_cutoff
    columns = ["dataset", "learnt"]
    current = rows_of(parts, before, "OLD").loc["training", columns].tolist()
    assert rows_of(parts, after, "OLD").loc["previous", columns].tolist() == current


def test_a_limit_that_is_beyond_the_history_changes_nothing(done):
    parts, _ = done
    unlimited = rows_of(*done, "OLD")
    universe = dataclasses.replace(TRAINED, history_sessions=5000)
    run = quick_day(parts, universe=universe, last="build_windows")
    pd.testing.assert_frame_equal(rows_of(parts, run, "OLD"), unlimited)


def test_a_ticker_that_no_network_can_learn_from_is_measured_up_to_the_session(done):
    parts, run = done
    rows = rows_of(parts, run, "YNG")
    assert sorted(rows.index) == ["live", "training"]
    assert rows.loc["training", "dataset_cutoff"].date() == run.session
    reason = "no network of its own: 160 sessions up to 2013-03-01, 272 needed"
    assert rows.loc["training", "reason"] == reason
    assert rows.loc["training", "learnt"] == ""


def test_the_default_recipe_is_tested_on_the_sessions_of_another(parts):
    run = quick_day(parts, universe=CASTILLA, last="build_windows")
    rows = rows_of(parts, run, "OLD")
    own, default = (
        load_dataset(read_dataset(parts, rows.loc[role, "dataset"])).test
        for role in ("training", "default")
    )
    assert own.sessions[0, 0] == default.sessions[0, 0]
    assert own.sessions.shape[1] == default.sessions.shape[1] == 3


def test_windows_that_are_built_again_are_the_same_files(done):
    parts, run = done
    before = parts.rows(DATASETS, run)
    take_steps(parts, run, "pretrain", "build_windows")
    pd.testing.assert_frame_equal(parts.rows(DATASETS, run), before)


def test_a_stock_that_was_suspended_for_long_keeps_nobody_from_being_trained(parts, source):
    """TWO has rows enough, and no prices in the year that networks are measured on."""
    bars = source.bars["TWO"]
    source.bars["TWO"] = pd.concat([bars[:-130], bars[-60:]])
    universe = dataclasses.replace(TRAINED, tickers=("OLD", "TWO"))
    run = quick_day(parts, universe=universe, last="publish")
    promotions = parts.rows(PROMOTIONS, run).set_index("ticker")
    suspended = "of 420 sessions up to 2013-03-01, too many are without a price"
    assert f"no network of its own: {suspended}" in promotions.loc["TWO", "reasons"]
    assert "lstm against ewma" in promotions.loc["OLD", "reasons"]
    assert len(parts.rows(FORECASTS, run)) == 2 * 5


def test_a_recipe_that_needs_volume_says_so_of_a_series_without(parts, source):
    source.bars["OLD"] = random_walk(5, 800).assign(volume=0.0)
    later = dataclasses.replace(CASTILLA, recipe="aungiers-sp500-later", horizon=1)
    run = quick_day(parts, universe=later, last="build_windows")
    reason = rows_of(parts, run, "OLD").loc["training", "reason"]
    assert reason.endswith(
        "none has a volume, which this recipe needs; --recipe default does without"
    )


@pytest.mark.parametrize("session", [LAST, dt.date(2013, 2, 28)], ids=["first of month", "last"])
@pytest.mark.parametrize("count", [30, 31, 60])
def test_from_30_sessions_on_a_new_listing_has_the_regression_of_all(parts, source, session, count):
    """Though it was listed shortly before the training cutoffs, or after them."""
    source.bars["NEW"] = random_walk(9, count, last=session)
    universe = dataclasses.replace(TRAINED, tickers=("OLD", "NEW"))
    run = quick_day(parts, session, universe, last="publish")
    training = rows_of(parts, run, "NEW").loc["training"]
    assert training["dataset_cutoff"].date() == session
    assert training["reason"].startswith("no network of its own: ")
    assert parts.rows(PROMOTIONS, run, ["NEW"])["champion"].tolist() == ["har"]
    assert len(parts.rows(FORECASTS, run, ["NEW"])) == 5


def test_a_history_too_short_to_measure_anything_on_sits_out_and_the_others_go_on(parts, source):
    source.bars["NEW"] = random_walk(9, 30)
    universe = dataclasses.replace(UNIVERSE, tickers=("AAA", "NEW"), horizon=20)
    run = quick_day(parts, universe=universe, last="publish")
    checks = parts.rows(CHECKS, run).set_index("ticker")
    assert list(parts.rows(FORECASTS, run)["ticker"].unique()) == ["AAA"]
    assert checks.loc["NEW", "verdict"] == "quarantined"
    assert checks.loc["NEW", "reasons"] == (
        "build_windows: NEW: 30 sessions up to 2013-03-01, 59 needed to measure a forecast of 20 "
        "sessions on. Wait until it has them, or ask for a shorter horizon (flag --horizon)."
    )


def test_where_all_tickers_have_too_little_history_the_step_fails(parts, source):
    source.bars["AAA"] = source.bars["AAA"][-12:]
    run = plan(parts, dataclasses.replace(UNIVERSE, tickers=("AAA",)), LAST, NOW)
    take_steps(parts, run, last="pretrain")
    with pytest.raises(NotEnoughHistory, match=r"^AAA: "):
        STEPS["build_windows"](parts, run, ["AAA"])


def test_cells_that_no_model_may_use_are_masked(parts, source):
    bars = source.bars["OLD"]
    bars.loc[bars.index[-300], "volume"] = -5.0
    universe = dataclasses.replace(TRAINED, tickers=("OLD", "TWO"))
    run = quick_day(parts, universe=universe, last="build_windows")
    masked = {
        ticker: load_dataset(
            read_dataset(parts, rows_of(parts, run, ticker).loc["training", "dataset"])
        ).masked_cells
        for ticker in universe.tickers
    }
    assert masked == {"OLD": 1, "TWO": 0}
