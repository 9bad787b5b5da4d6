"""The DAG `exercises`, as Airflow's DAG processor sees it and as it runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PARSE = f"""
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({str(ROOT / "dags" / "exercises.py")!r})
dag = bag.dags["exercises"]
print("FOUND" + json.dumps({{
    "errors": bag.import_errors,
    "heavy": [name for name in ("tensorflow", "keras", "mlflow", "matplotlib", "pandas") if name in sys.modules],
    "dags": list(bag.dags),
    "schedule": dag.schedule,
    "downstream": {{task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}},
    "mapped": [task.task_id for task in dag.tasks if task.is_mapped],
    "undocumented": [task.task_id for task in dag.tasks if not task.doc_md],
    "params": {{name: dag.params[name] for name in dag.params}},
    "doc": dag.doc_md,
}}))
"""

RUN = f"""
import json
from airflow.dag_processing.dagbag import DagBag
run = DagBag({str(ROOT / "dags" / "exercises.py")!r}).dags["exercises"].test(
    run_conf={{"recipes": ["statquest-unit", "meetup-logic-gates"], "seed": 3}}
)
from airflow.utils.session import create_session
with create_session():
    states = sorted((ti.task_id, ti.map_index, str(ti.state)) for ti in run.get_task_instances())
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
    assert (parsed["errors"], parsed["heavy"], parsed["dags"]) == ({}, [], ["exercises"])


def test_it_runs_only_when_asked_one_mapped_task_per_recipe(parsed):
    assert parsed["schedule"] is None
    assert parsed["downstream"] == {"choose": ["exercise"], "exercise": []}
    assert parsed["mapped"] == ["exercise"]


def test_the_form_offers_every_recipe_that_needs_no_prices(parsed):
    names = ["statquest-unit", "aungiers-sine", "meetup-logic-gates", "meetup-sine-rnn", "meetup-characters"]
    offered = parsed["params"]["recipes"]
    assert len(set(offered)) == len(offered) and set(names) <= set(offered)  # another may have been added
    assert parsed["params"]["seed"] == 7
    assert [name for name in offered if f"`{name}`" not in parsed["doc"]] == []
    assert "{" not in parsed["doc"]
    assert parsed["undocumented"] == []


@pytest.mark.slow
def test_it_trains_the_recipes_that_were_asked_for(tmp_path, mlflow_database):
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    airflow = [str(Path(sys.executable).with_name("airflow")), "db", "migrate"]
    given = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("STOCKCAST_", "AIRFLOW"))}
    subprocess.run(airflow, env={**clean, **given}, capture_output=True, check=True, cwd=tmp_path)
    state, tasks = python(RUN, tmp_path, **given, STOCKCAST_TRACKING_URI=f"sqlite:///{tmp_path}/mlflow.db")
    assert (state, tasks) == ("success", [["choose", -1, "success"], ["exercise", 0, "success"], ["exercise", 1, "success"]])
    made = {path.parts[-3] for path in (tmp_path / "artifacts" / "exercises").glob("*/*/about.json")}
    assert made == {"statquest-unit", "meetup-logic-gates"}
