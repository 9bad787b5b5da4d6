"""The DAG `tune`, as Airflow's DAG processor sees it and as it runs."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import tuning
from tests.made_prices import random_walk

ROOT = Path(__file__).parents[2]

PARSE = f"""
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({str(ROOT / "dags" / "tune.py")!r})
dag = bag.dags["tune"]
print("FOUND" + json.dumps({{
    "errors": bag.import_errors,
    "heavy": [name for name in ("tensorflow", "keras", "mlflow", "matplotlib", "pandas", "optuna", "statsforecast") if name in sys.modules],
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
run = DagBag({str(ROOT / "dags" / "tune.py")!r}).dags["tune"].test(
    run_conf={{"recipe": "castilla", "universe": "mine", "trials": 2, "folds": 1}}
)
from airflow.utils.session import create_session
with create_session() as session:
    [task] = run.get_task_instances()
    returned = task.xcom_pull(task_ids="search", session=session)
print("FOUND" + json.dumps([str(run.state), task.task_id, returned]))
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
    assert (parsed["errors"], parsed["heavy"], parsed["dags"]) == ({}, [], ["tune"])


def test_it_runs_only_when_asked_in_one_task(parsed):
    assert parsed["schedule"] is None
    assert parsed["downstream"] == {"search": []}
    assert parsed["mapped"] == []
    assert parsed["undocumented"] == []
    assert "{" not in parsed["doc"]


def test_the_form_takes_recipe_universe_trials_and_folds(parsed):
    assert parsed["params"] == {"recipe": "default", "universe": "sample", "trials": 20, "folds": 3}


def test_the_form_offers_the_recipes_that_have_a_space():
    from pipeline.scheduling.tune import params

    form = params(["mine", "crypto"])
    assert sorted(form["recipe"].schema["enum"]) == sorted(tuning.tunable())
    assert (form["universe"].value, form["universe"].schema["enum"]) == ("mine", ["mine", "crypto"])


@pytest.mark.slow
def test_it_writes_the_winner(tmp_path, mlflow_database):
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    (tmp_path / "prices").mkdir()
    random_walk(3, 1100, dt.date(2017, 1, 31)).to_csv(tmp_path / "prices" / "IBM.csv", index=False)
    universe = {"source": "csv", "data": str(tmp_path / "prices"), "tickers": ["IBM"], "horizon": 1}
    lines = ["[mine]", *(f"{name} = {json.dumps(value)}" for name, value in universe.items()), "start = 2012-01-03"]
    (tmp_path / "universes.toml").write_text("\n".join(lines))
    airflow = [str(Path(sys.executable).with_name("airflow")), "db", "migrate"]
    given = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("STOCKCAST_", "AIRFLOW"))}
    subprocess.run(airflow, env={**clean, **given}, capture_output=True, check=True, cwd=tmp_path)
    own = {
        "STOCKCAST_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "STOCKCAST_STORE_URL": f"sqlite:///{tmp_path}/store.db",
        "STOCKCAST_UNIVERSES": str(tmp_path / "universes.toml"),
    }
    state, task, returned = python(RUN, tmp_path, **given, **own)
    assert (state, task) == ("success", "search")
    assert 0.5 < returned["winner"] <= returned["as_it_is"]
    [definition] = (tmp_path / "artifacts" / "tuning").glob("mine-castilla-close-*/castilla_tuned.py")
    assert returned["definition"].endswith(str(definition))
    assert "CASTILLA_TUNED = Recipe(" in definition.read_text()
