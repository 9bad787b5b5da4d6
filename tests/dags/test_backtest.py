"""The DAG `backtest`, as Airflow's DAG processor sees it and as it runs."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.made_prices import random_walk

ROOT = Path(__file__).parents[2]

PARSE = f"""
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({str(ROOT / "dags" / "backtest.py")!r})
dag = bag.dags["backtest"]
print("FOUND" + json.dumps({{
    "errors": bag.import_errors,
    "heavy": [name for name in ("tensorflow", "keras", "mlflow", "matplotlib", "statsforecast") if name in sys.modules],
    "dags": list(bag.dags),
    "schedule": dag.schedule,
    "downstream": {{task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}},
    "mapped": [task.task_id for task in dag.tasks if task.is_mapped],
    "undocumented": [task.task_id for task in dag.tasks if not task.doc_md],
    "params": {{name: dag.params[name] for name in dag.params}},
    "doc": dag.doc_md,
}}))
"""

ASKED = {
    "universe": "csv",
    "recipes": ["window_average"],
    "baselines": [],
    "from": "2016-06-01",
    "to": "2016-12-30",
    "refit": 15,
    "horizon": 2,
}
RUN = f"""
import json
from airflow.dag_processing.dagbag import DagBag
run = DagBag({str(ROOT / "dags" / "backtest.py")!r}).dags["backtest"].test(
    run_conf={ASKED!r}
)
from airflow.utils.session import create_session
with create_session():
    states = sorted((ti.task_id, ti.map_index, str(ti.state), ti.rendered_map_index) for ti in run.get_task_instances())
print("FOUND" + json.dumps([str(run.state), states]))
"""


def python(code: str, home: Path, **more: str):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("STOCKCAST_", "AIRFLOW"))}
    env |= {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "false", "STOCKCAST_HOME": str(home), **more}
    done = subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True, check=True, cwd=home)
    return json.loads(done.stdout.split("FOUND")[1].splitlines()[0])


@pytest.fixture(scope="module")
def parsed(tmp_path_factory) -> dict:
    return python(PARSE, tmp_path_factory.mktemp("airflow"))


def test_it_loads_without_errors_and_imports_nothing_heavy(parsed):
    assert (parsed["errors"], parsed["heavy"], parsed["dags"]) == ({}, [], ["backtest"])


def test_it_runs_only_when_asked_one_mapped_task_per_forecaster_and_block(parsed):
    assert parsed["schedule"] is None
    assert parsed["downstream"] == {"plan": ["leaderboard", "shard"], "shard": ["leaderboard"], "leaderboard": []}
    assert parsed["mapped"] == ["shard"]


def test_the_form_offers_what_the_command_does(parsed):
    wanted = {
        "universe",
        "recipes",
        "baselines",
        "from",
        "to",
        "step",
        "refit",
        "warm_start",
        "embargo",
        "seeds",
        "tickers",
        "target",
        "horizon",
    }
    assert set(parsed["params"]) == wanted
    assert (parsed["params"]["universe"], parsed["params"]["recipes"]) == ("sample", ["default"])
    assert "{" not in parsed["doc"] and parsed["undocumented"] == []


def test_no_more_tasks_are_mapped_than_airflow_takes():
    from pipeline.scheduling.backtest import MOST_SHARDS, shards_of

    assert shards_of(["naive", "ewma"], 2) == [
        {"forecaster": name, "blocks": [number], "told": f"block {number + 1} of 2"}
        for name in ("naive", "ewma")
        for number in (0, 1)
    ]
    many = shards_of(["naive", "ewma", "default"], 777)
    assert len(many) <= MOST_SHARDS
    assert [number for each in many if each["forecaster"] == "ewma" for number in each["blocks"]] == list(range(777))


@pytest.mark.slow
def test_it_compares_whom_it_was_asked_to(tmp_path, mlflow_database):
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    (tmp_path / "prices").mkdir()
    for seed, ticker in enumerate(("IBM", "MSFT")):
        random_walk(seed, 900, dt.date(2017, 1, 31)).to_csv(tmp_path / "prices" / f"{ticker}.csv", index=False)
    airflow = [str(Path(sys.executable).with_name("airflow")), "db", "migrate"]
    given = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("STOCKCAST_", "AIRFLOW"))}
    subprocess.run(airflow, env={**clean, **given}, capture_output=True, check=True, cwd=tmp_path)
    own = {"STOCKCAST_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", "STOCKCAST_DATA": str(tmp_path / "prices")}
    state, tasks = python(RUN, tmp_path, **given, **own)
    named = [f"{name} block {number} of 2" for name in ("window_average", "naive", "ewma") for number in (1, 2)]
    assert state == "success" and {task[2] for task in tasks} == {"success"}
    assert [task[3] for task in tasks if task[0] == "shard"] == named
    [board] = (tmp_path / "artifacts" / "backtests").glob("*/leaderboard.csv")
    assert {line.split(",")[0] for line in board.read_text().splitlines()} == {"recipe", "window_average", "naive", "ewma"}
