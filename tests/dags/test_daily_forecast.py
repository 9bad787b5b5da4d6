"""The DAG files as Airflow's DAG processor sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ["tensorflow", "keras", "mlflow", "great_expectations", "yfinance", "matplotlib", "exchange_calendars", "pandas"]

#: Loads the folder, stores and restores every DAG, and tells what it found.
PARSE = f"""
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({str(ROOT / "dags")!r})
heavy = [name for name in {HEAVY!r} if name in sys.modules]
from airflow.serialization.serialized_objects import DagSerialization
dags = {{}}
def about(param):
    return {{**param.schema, "default": param.value, "about": param.description}}
for dag_id, dag in bag.dags.items():
    if not dag_id.startswith("daily_forecast_"):
        continue
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    dags[dag_id] = {{
        "summary": stored.timetable.summary,
        "periodic": stored.timetable.periodic,
        "catchup": stored.catchup,
        "paused": dag.is_paused_upon_creation,
        "parts": [name for name in stored.task_group.children if name not in stored.task_ids],
        "owners": {{task.owner for task in stored.tasks}} == {{dag.owner}} and dag.owner_links,
        "downstream": {{task.task_id: sorted(task.downstream_task_ids) for task in stored.tasks}},

        "retries": {{task.task_id: task.retries for task in stored.tasks}},
        "rules": {{task.task_id: str(task.trigger_rule.value) for task in dag.tasks if task.trigger_rule.value != "all_success"}},
        "outlets": [[task.task_id, asset.name, asset.uri] for task in dag.tasks for asset in task.outlets],
        "pools": {{task.task_id: task.pool for task in dag.tasks if task.pool != "default_pool"}},
        "undocumented": [task.task_id for task in dag.tasks if not task.doc_md],
        "params": {{name: about(dag.params.get_param(name)) for name in dag.params}},
        "doc": dag.doc_md,
        "tags": sorted(dag.tags),
    }}
print("FOUND" + json.dumps({{"errors": bag.import_errors, "heavy": heavy, "dags": dags}}))
"""


def parse(home: Path, **settings: str) -> dict:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("STOCKCAST_", "AIRFLOW"))}
    env |= {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "false", "STOCKCAST_HOME": str(home), **settings}
    done = subprocess.run([sys.executable, "-c", PARSE], env=env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.split("FOUND")[1])


@pytest.fixture(scope="module")
def parsed(tmp_path_factory) -> dict:
    return parse(tmp_path_factory.mktemp("airflow"))


def test_every_file_loads_without_errors_and_imports_nothing_heavy(parsed):
    assert (parsed["errors"], parsed["heavy"]) == ({}, [])


def test_each_universe_has_its_dag_on_its_calendar(parsed):
    assert {dag_id: (dag["summary"], dag["paused"]) for dag_id, dag in parsed["dags"].items()} == {
        "daily_forecast_sample": ("On demand (XNYS sessions)", False),
        "daily_forecast_us_megacaps": ("After every XNYS session", True),
        "daily_forecast_crypto": ("After every 24/7 session", True),
    }


def test_every_dag_can_be_backfilled_and_none_catches_up_by_itself(parsed):
    assert {(dag["periodic"], dag["catchup"]) for dag in parsed["dags"].values()} == {(True, False)}


def test_the_day_runs_in_order(parsed):
    assert parsed["dags"]["daily_forecast_sample"]["downstream"] == {
        "plan": [
            *(
                "build_windows",
                "check",
                "evaluate",
                "ingest",
                "pretrain",
                "promote",
                "publish",
                "report",
                "score",
                "train",
                "watch",
            ),
        ],
        "ingest": ["check"],
        "check": ["build_windows", "evaluate", "pretrain", "train"],
        "pretrain": ["train"],
        "build_windows": ["train"],
        "train": ["evaluate"],
        "evaluate": ["promote"],
        "promote": ["publish"],
        "publish": ["score"],
        "score": ["watch"],
        "watch": ["drift_warning", "report"],
        "drift_warning": [],
        "report": [],
    }


def test_nothing_waits_for_a_warning_so_a_day_without_any_is_no_skipped_day(parsed):
    downstream = parsed["dags"]["daily_forecast_sample"]["downstream"]
    assert (downstream["drift_warning"], downstream["report"]) == ([], [])


def test_a_failed_shard_does_not_stop_the_others(parsed):
    assert parsed["dags"]["daily_forecast_sample"]["rules"] == {
        "check": "all_done_min_one_success",
        "promote": "all_done_min_one_success",
    }


def test_prices_are_waited_for_longer_than_databases(parsed):
    retries = parsed["dags"]["daily_forecast_us_megacaps"]["retries"]
    assert (retries.pop("ingest"), set(retries.values())) == (6, {3})


def test_all_that_ask_a_source_for_prices_share_a_pool(parsed):
    assert {dag_id: dag["pools"] for dag_id, dag in parsed["dags"].items()} == {
        f"daily_forecast_{name}": {"ingest": "prices"} for name in ("sample", "us_megacaps", "crypto")
    }


def test_the_day_is_folded_into_parts_whose_tasks_keep_their_names(parsed):
    dag = parsed["dags"]["daily_forecast_sample"]
    assert sorted(dag["parts"]) == ["forecasts", "networks", "prices", "review"]
    assert "ingest" in dag["downstream"]


def test_the_owner_leads_to_whom_the_settings_name_and_else_to_the_forecasts(parsed, tmp_path):
    told = {"STOCKCAST_OWNER": "desk", "STOCKCAST_OWNER_LINK": "mailto:desk@example.com"}
    named = parse(tmp_path, **told)["dags"]["daily_forecast_sample"]
    assert named["owners"] == {"desk": "mailto:desk@example.com"}
    at_home = parse(tmp_path, AIRFLOW__API__BASE_URL="http://127.0.0.1:8080")["dags"]["daily_forecast_sample"]
    assert at_home["owners"] == {"stockcast": "http://127.0.0.1:8080/plugin/forecasts"}


def test_publishing_updates_the_universes_asset(parsed):
    assert {dag_id: dag["outlets"] for dag_id, dag in parsed["dags"].items()} == {
        f"daily_forecast_{name}": [["publish", f"forecasts_{name}", f"stockcast://forecasts/{name}"]]
        for name in ("sample", "us_megacaps", "crypto")
    }


def test_the_form_describes_every_parameter_and_defaults_to_the_universe(parsed):
    params = parsed["dags"]["daily_forecast_sample"]["params"]
    assert {name: param["default"] for name, param in params.items()} == {
        "session": None,
        "tickers": None,
        "recipe": "default",
        "target": None,
        "horizon": 5,
    }
    assert all(param["about"] and param["title"] for param in params.values())
    assert params["tickers"]["examples"] == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    assert "default" in params["recipe"]["enum"]


def test_the_page_says_what_each_step_does_and_where_the_results_are(parsed):
    for name in ("sample", "us_megacaps", "crypto"):
        dag = parsed["dags"][f"daily_forecast_{name}"]
        assert [step for step in dag["downstream"] if f"`{step}`" not in dag["doc"]] == []
        assert f"--universe {name} --from" in dag["doc"]
        assert "{" not in dag["doc"]  # no placeholder left
        assert dag["undocumented"] == []


def test_a_file_of_ones_own_universes_makes_ones_own_dags(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[mine]\nsource = "sample"\ntickers = ["IBM"]\n')
    found = parse(tmp_path, STOCKCAST_UNIVERSES=str(file), STOCKCAST_UNIVERSE="mine", STOCKCAST_HORIZON="3")
    assert list(found["dags"]) == ["daily_forecast_mine"]
    assert found["dags"]["daily_forecast_mine"]["params"]["horizon"]["default"] == 3


def test_a_broken_universe_is_an_import_error_of_one_line(tmp_path):
    file = tmp_path / "broken.toml"
    file.write_text('[mine]\nsource = "sample"\ntickers = ["../x"]\n')
    found = parse(tmp_path, STOCKCAST_UNIVERSES=str(file), STOCKCAST_UNIVERSE="mine")
    error = found["errors"][str(ROOT / "dags" / "daily_forecast.py")]
    assert "'../x' is no ticker" in error.strip().splitlines()[-1]
