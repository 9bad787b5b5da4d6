"""The DAG files as Airflow's DAG processor sees them, the daily ones in all detail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.settings import Settings
from tests.made_dags import DAGS, parsed_dags

pytestmark = pytest.mark.slow

UNIVERSES = ("sample", "us_megacaps", "crypto")


@pytest.fixture
def daily(parsed: dict[str, Any]) -> dict[str, Any]:
    """The daily DAGs, by universe."""
    return {name: parsed["dags"][f"daily_forecast_{name}"] for name in UNIVERSES}


def test_every_file_loads_without_errors_and_imports_nothing_heavy(parsed):
    assert (parsed["errors"], parsed["heavy"]) == ({}, [])
    assert {dag_id: dag["file"] for dag_id, dag in parsed["dags"].items()} == {
        "backtest": "backtest.py",
        "exercises": "exercises.py",
        "prune": "prune.py",
        "tune": "tune.py",
        **{f"daily_forecast_{name}": "daily_forecast.py" for name in UNIVERSES},
    }


def test_each_universe_has_its_dag_on_its_calendar(daily):
    assert {name: (dag["summary"], dag["paused"]) for name, dag in daily.items()} == {
        "sample": ("On demand (XNYS sessions)", False),
        "us_megacaps": ("After every XNYS session", True),
        "crypto": ("After every 24/7 session", True),
    }


def test_every_dag_can_be_backfilled_and_none_catches_up_by_itself(daily):
    assert {(dag["periodic"], dag["catchup"]) for dag in daily.values()} == {(True, False)}


def test_the_day_runs_in_order(daily):
    after_plan = [
        "announce",
        "build_windows",
        "check",
        "evaluate",
        "ingest",
        "pretrain",
        "promote",
        "publish",
    ]
    assert daily["sample"]["downstream"] == {
        "plan": [*after_plan, "report", "score", "train", "watch"],
        "ingest": ["check"],
        "check": ["build_windows", "evaluate", "pretrain", "train"],
        "pretrain": ["build_windows"],
        "build_windows": ["train"],
        "train": ["evaluate"],
        "evaluate": ["promote"],
        "promote": ["publish"],
        "publish": ["announce", "score"],
        "announce": [],
        "score": ["watch"],
        "watch": ["drift_warning", "report"],
        "drift_warning": [],
        "report": [],
    }


def test_nothing_waits_for_what_may_be_skipped_so_a_day_without_it_is_no_skipped_day(daily):
    downstream = daily["sample"]["downstream"]
    assert [downstream[leaf] for leaf in ("announce", "drift_warning", "report")] == [[]] * 3


def test_paths_are_drawn_before_the_report_where_they_are_asked_for(tmp_path):
    sample = parsed_dags(tmp_path, STOCKCAST_PATHS="100")["dags"]["daily_forecast_sample"]
    assert sample["downstream"]["publish"] == ["announce", "scenarios", "score"]
    assert sample["downstream"]["scenarios"] == ["report"]


def test_files_are_exported_before_anybody_is_told_where_a_folder_is_named(tmp_path):
    parsed = parsed_dags(tmp_path, STOCKCAST_EXPORT_TO=str(tmp_path))["dags"]
    sample = parsed["daily_forecast_sample"]
    downstream = sample["downstream"]
    assert (downstream["score"], downstream["export"]) == (["export", "watch"], ["announce"])
    assert "`export`" in sample["page"]


def test_a_failed_shard_does_not_stop_the_others(daily):
    assert daily["sample"]["rules"] == {
        "check": "all_done_min_one_success",
        "promote": "all_done_min_one_success",
    }


def test_a_failed_run_ends_its_runs_in_mlflow_where_a_task_of_the_day_could_not(parsed, daily):
    assert all(dag["ends_runs"] for dag in daily.values())
    assert not any(parsed["dags"][name]["ends_runs"] for name in ("backtest", "tune", "exercises"))


def test_prices_are_waited_for_longer_than_databases(daily):
    retries = dict(daily["us_megacaps"]["retries"])
    assert (retries.pop("plan"), retries.pop("ingest")) == (6, 6)
    assert set(retries.values()) == {3}


def test_all_that_ask_a_source_for_prices_share_a_pool(daily):
    assert {name: dag["pools"] for name, dag in daily.items()} == {
        name: {"ingest": "prices"} for name in UNIVERSES
    }


def test_the_day_is_folded_into_groups_whose_tasks_keep_their_names(daily):
    assert sorted(daily["sample"]["groups"]) == ["forecasts", "networks", "prices", "review"]
    assert "ingest" in daily["sample"]["downstream"]


def test_publishing_updates_the_universes_asset(daily):
    assert {name: dag["outlets"] for name, dag in daily.items()} == {
        name: [["announce", f"forecasts_{name}", f"stockcast://forecasts/{name}"]]
        for name in UNIVERSES
    }


def test_the_form_describes_every_parameter_and_defaults_to_the_universe(daily):
    params = daily["sample"]["params"]
    assert {name: param["default"] for name, param in params.items()} == {
        "session": None,
        "tickers": None,
        "recipe": "default",
        "target": None,
        "horizon": 5,
        "publish": False,
    }
    assert all(param["description"] and param["title"] for param in params.values())
    assert params["tickers"]["examples"] == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    assert "default" in params["recipe"]["enum"]


def test_the_page_describes_each_step_and_where_the_results_are(daily):
    for name, dag in daily.items():
        assert [step for step in dag["downstream"] if f"`{step}`" not in dag["page"]] == []
        assert f"`stockcast backfill --airflow --universe {name} --from" in dag["page"]
        assert "{" not in dag["page"]  # no placeholder left
        assert dag["undocumented"] == []


def test_the_owner_leads_to_whom_the_settings_name_and_else_to_the_forecasts(monkeypatch):
    from pipeline.scheduling.dag_options import owner_links

    named = Settings(owner="desk", owner_link="mailto:desk@example.com")
    assert owner_links(named) == {"desk": "mailto:desk@example.com"}
    assert owner_links(Settings()) == {}  # nobody knows where Airflow is
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://127.0.0.1:8080")
    assert owner_links(Settings()) == {"stockcast": "http://127.0.0.1:8080/plugin/forecasts"}


def bag(monkeypatch: pytest.MonkeyPatch, universes: Path, **settings: str) -> Any:
    """Return what Airflow finds in the file of the daily DAGs, with a file of universes."""
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("STOCKCAST_UNIVERSES", str(universes))
    monkeypatch.setenv("STOCKCAST_HOME", str(universes.parent))
    for name, value in settings.items():
        monkeypatch.setenv(f"STOCKCAST_{name.upper()}", value)
    return DagBag(str(DAGS / "daily_forecast.py"))


def test_a_file_of_other_universes_makes_their_dags(monkeypatch, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[mine]\nsource = "sample"\ntickers = ["IBM"]\n')
    dags = bag(monkeypatch, file, universe="mine", horizon="3", owner="desk").dags
    assert list(dags) == ["daily_forecast_mine"]
    assert dags["daily_forecast_mine"].params["horizon"] == 3
    assert {task.owner for task in dags["daily_forecast_mine"].tasks} == {"desk"}


def test_a_broken_universe_is_an_import_error_of_one_line(monkeypatch, tmp_path):
    file = tmp_path / "broken.toml"
    file.write_text('[mine]\nsource = "sample"\ntickers = ["../x"]\n')
    [error] = bag(monkeypatch, file, universe="mine").import_errors.values()
    assert "'../x' is no ticker" in error.strip().splitlines()[-1]
