"""The DAG `tune`, as Airflow's DAG processor sees it and as it runs."""

from __future__ import annotations

import datetime as dt
import json
import shutil

import pytest

from pipeline import tuning
from tests.made_dags import parsed_dag, run_dag
from tests.made_prices import random_walk


@pytest.fixture(scope="module")
def parsed(tmp_path_factory) -> dict:
    return parsed_dag("tune", tmp_path_factory.mktemp("airflow"))


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
    own = {
        "STOCKCAST_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "STOCKCAST_STORE_URL": f"sqlite:///{tmp_path}/store.db",
        "STOCKCAST_UNIVERSES": str(tmp_path / "universes.toml"),
    }
    asked = {"recipe": "castilla", "universe": "mine", "trials": 2, "folds": 1}
    state, [task] = run_dag("tune", asked, tmp_path, **own)
    assert (state, task["task"]) == ("success", "search")
    returned = task["returned"]
    assert 0.5 < returned["winner"] <= returned["as_it_is"]
    [definition] = (tmp_path / "artifacts" / "tuning").glob("mine-castilla-close-*/castilla_tuned.py")
    assert returned["definition"].endswith(str(definition))
    assert "CASTILLA_TUNED = Recipe(" in definition.read_text()
