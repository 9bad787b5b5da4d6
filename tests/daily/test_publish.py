"""Publishing: what was decided and replayed is calibrated, checked and written; nothing else."""

import ast
import dataclasses
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from pipeline.daily import forecasts_text, lineup, page_tables, publish
from pipeline.errors import NothingStored, QualityGateFailed
from pipeline.prices import Histories
from pipeline.storage.publications import LEFT_OUT
from pipeline.tables import (
    CALIBRATIONS,
    FORECASTS,
    LINEUPS,
    PROMOTIONS,
    PUBLICATIONS,
    RUN_TICKERS,
    RUNS,
)
from tests.daily.quick_days import quick_day, take_steps
from tests.made_days import TRAINED

pytestmark = pytest.mark.integration

TABLES = (CALIBRATIONS, FORECASTS, RUN_TICKERS)


def clear(parts, run):
    for table in TABLES:
        parts.store.replace(table, table.empty(), **run.key)


def test_the_step_imports_no_windows_and_no_prices():
    tree = ast.parse(Path(publish.__file__).read_text(encoding="utf-8"))
    imported = {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "pipeline.decisions" in imported
    assert not {name for name in imported if name.startswith(("pipeline.windows", "pipeline.pric"))}


def test_it_reads_no_dataset_file_and_adjusts_no_price(done, monkeypatch):
    parts, run = done
    published = {table.name: parts.rows(table, run) for table in TABLES}
    clear(parts, run)
    shutil.rmtree(parts.settings.home / "artifacts" / "datasets")
    for road in ("of", "all_of"):
        monkeypatch.setattr(Histories, road, lambda *_, **__: 1 / 0)
    take_steps(parts, run, "publish", "publish")
    for table in TABLES:
        pd.testing.assert_frame_equal(parts.rows(table, run), published[table.name])
    assert parts.workers.jobs == []
    assert parts.messages[-1] == ("publish", "", "20 forecasts, 20 of them new or changed")


def test_every_promoted_ticker_has_a_forecast_per_session_by_its_champion(done):
    parts, run = done
    forecasts, promotions = (parts.rows(table, run) for table in (FORECASTS, PROMOTIONS))
    champions = forecasts.drop_duplicates("ticker").set_index("ticker")["champion"]
    assert champions.to_dict() == promotions.set_index("ticker")["champion"].to_dict()
    for _, rows in forecasts.groupby("ticker"):
        assert rows["session"].dt.date.tolist() == list(run.forecast_sessions)
    assert set(champions) == {"previous", "pooled", "har"}


def test_a_decision_of_the_version_before_is_published_without_what_it_did_not_know(done):
    parts, run = done
    published = parts.rows(PROMOTIONS, run)
    added = ["har_test_pinball", "pinball_skill_over_har"]
    rows = parts.rows(LINEUPS, run)
    decisions = [
        {name: value for name, value in json.loads(text).items() if name not in added}
        for text in rows["decision"].where(rows["decision"] != "", "{}")
    ]
    parts.store.save(LINEUPS, rows.assign(decision=[*map(json.dumps, decisions)]))
    assert published[added].notna().all(axis=None)
    promotions = lineup.decisions(parts, run, list(published["ticker"]))
    assert promotions[added].isna().all(axis=None)
    pd.testing.assert_frame_equal(promotions.drop(columns=added), published.drop(columns=added))


def test_what_the_version_before_published_gets_its_outer_quantiles_once(done):
    parts, run = done
    now = parts.rows(FORECASTS, run)
    for table in (FORECASTS, PUBLICATIONS):
        rows = parts.store.load(table, **run.key)
        parts.store.save(table, rows.assign(lower_98=float("nan"), upper_98=float("nan")))
    for changed in (20, 0):
        take_steps(parts, run, "publish", "publish")
        message = f"20 forecasts, {changed} of them new or changed"
        assert parts.messages[-1] == ("publish", "", message)
        pd.testing.assert_frame_equal(parts.rows(FORECASTS, run), now)
        assert len(parts.store.load(PUBLICATIONS, **run.key)) == 40


def test_forecasts_that_break_their_expectations_are_not_published(done):
    parts, run = done
    clear(parts, run)
    parts.gate.refuses = dict.fromkeys(TRAINED.tickers, "upper below lower")
    with pytest.raises(QualityGateFailed, match="OLD breaks order: upper below lower"):
        take_steps(parts, run, "publish", "publish")
    assert parts.store.load(FORECASTS).empty and parts.store.load(CALIBRATIONS).empty


def test_what_is_published_already_has_passed_and_is_not_checked_again(done):
    parts, run = done
    take_steps(parts, run, "publish", "publish")
    assert parts.gate.judged["forecasts"] == 0
    assert parts.messages[-1] == ("publish", "", "20 forecasts, 0 of them new or changed")


def repeat(parts, run, **quarantined):
    """Repeat a session whose gate finds something else."""
    parts.gate.broken, parts.gate.rules_hash = quarantined, f"rules that find {quarantined}"
    take_steps(parts, run)


def test_a_ticker_that_is_quarantined_when_its_session_is_repeated_is_withdrawn(done):
    parts, run = done
    before = {table.name: parts.rows(table, run) for table in (*TABLES, PROMOTIONS)}
    repeat(parts, run, OLD="it jumps")
    rows = parts.store.load(PUBLICATIONS, ticker="OLD")
    assert rows["withdrawn"].tolist() == ["", "it jumps"] * 5
    for table in (*TABLES, PROMOTIONS):
        left = before[table.name][before[table.name]["ticker"] != "OLD"]
        assert parts.rows(table, run)["ticker"].tolist() == left["ticker"].tolist()
    [series] = page_tables.all_series(parts.store)
    shown = page_tables.overview(parts.store, series, run.session).set_index("ticker")
    assert shown.loc["OLD", "verdict"] == "quarantined" and pd.isna(shown.loc["OLD", "y_hat"])
    assert page_tables.fan(parts.store, series, "OLD", run.session).empty
    assert len(page_tables.publication_log(parts.store, series, "OLD", run.session)) == 2
    assert "OLD    quarantined, no forecast: it jumps" in forecasts_text(parts, run)
    assert ("check", "", "5 published forecasts withdrawn") in parts.messages
    repeat(parts, run)
    for table in (FORECASTS, CALIBRATIONS, PROMOTIONS):
        pd.testing.assert_frame_equal(parts.rows(table, run), before[table.name])
    assert (
        parts.store.load(PUBLICATIONS, ticker="OLD")["withdrawn"].tolist()
        == [
            "",
            "it jumps",
            "",
        ]
        * 5
    )


def test_a_session_whose_forecasts_are_all_withdrawn_is_still_shown(done):
    parts, run = done
    with pytest.raises(QualityGateFailed):
        repeat(parts, run, **dict.fromkeys(TRAINED.tickers, "it jumps"))
    [series] = page_tables.all_series(parts.store)
    assert series.newest == run.session
    assert page_tables.sessions(parts.store, series) == [run.session]
    assert page_tables.overview(parts.store, series, run.session)["y_hat"].isna().all()


def test_an_admitted_ticker_that_is_not_evaluated_again_is_withdrawn(done):
    parts, run = done
    lineup.save_decisions(parts, run, ["TWO"], PROMOTIONS.empty())
    take_steps(parts, run, "publish", "publish")
    assert parts.store.load(PUBLICATIONS, ticker="TWO")["withdrawn"].tolist() == ["", LEFT_OUT] * 5
    assert "TWO" not in set(parts.rows(FORECASTS, run)["ticker"])


def test_what_was_asked_for_is_kept_once_and_named_by_each_ticker(done):
    parts, run = done
    [row] = parts.store.load(RUNS).to_dict("records")
    members = parts.rows(RUN_TICKERS, run)
    assert members["ticker"].tolist() == sorted(run.universe.tickers)
    assert set(members["run_id"]) == {row["run_id"]}
    assert row["settings"] == (
        '{"max_quarantined": 0.5, "pool": "quarterly", "seed": 7, "test_floor": 0.05}'
    )


def test_nothing_is_published_of_a_smoothed_price(parts):
    universe = dataclasses.replace(
        TRAINED, recipe="ganegedara-ema.faithful", target="mid", tickers=("OLD",)
    )
    run = quick_day(parts, universe=universe, last="publish")
    assert parts.rows(FORECASTS, run).empty
    assert parts.rows(PROMOTIONS, run)["champion"].tolist() == ["ewma"]


def test_without_a_promotion_the_step_to_run_is_named(done):
    parts, run = done
    lineup.save_decisions(parts, run, run.universe.tickers, PROMOTIONS.empty())
    with pytest.raises(NothingStored, match=r"trained 2013-03-01: nothing .* Run `promote`"):
        take_steps(parts, run, "publish", "publish")
