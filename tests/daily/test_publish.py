"""Publishing: what was decided and replayed is calibrated, checked and written; nothing else."""

import ast
import dataclasses
import shutil
from pathlib import Path

import pandas as pd
import pytest

from pipeline.daily import publish
from pipeline.errors import NothingStored, QualityGateFailed
from pipeline.prices import Histories
from pipeline.tables import CALIBRATIONS, FORECASTS, PROMOTIONS, RUNS
from tests.daily.quick_days import quick_day, take_steps
from tests.made_days import TRAINED

TABLES = (CALIBRATIONS, FORECASTS, RUNS)


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
    assert set(champions) == {"previous", "pooled", "ewma"}


def test_forecasts_that_break_their_expectations_are_not_published(done):
    parts, run = done
    clear(parts, run)
    parts.gate.refuses = QualityGateFailed("OLD breaks order: upper below lower")
    with pytest.raises(QualityGateFailed, match="OLD breaks order"):
        take_steps(parts, run, "publish", "publish")
    assert parts.store.load(FORECASTS).empty and parts.store.load(CALIBRATIONS).empty


def test_what_is_published_already_has_passed_and_is_not_checked_again(done):
    parts, run = done
    take_steps(parts, run, "publish", "publish")
    assert parts.gate.judged["forecasts"] == 0
    assert parts.messages[-1] == ("publish", "", "20 forecasts, 0 of them new or changed")


def test_what_was_asked_for_is_kept_for_each_ticker(done):
    parts, run = done
    rows = parts.rows(RUNS, run)
    assert rows["ticker"].tolist() == sorted(run.universe.tickers)
    assert rows["settings"].iloc[0] == (
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
    parts.store.replace(PROMOTIONS, PROMOTIONS.empty(), **run.key)
    with pytest.raises(NothingStored, match=r"trained 2013-03-01: nothing .* Run `promote`"):
        take_steps(parts, run, "publish", "publish")
