"""The DAG `tune`, as Airflow's DAG processor sees it and as it runs."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from tests.forked_airflow import ForkedAirflow
from tests.made_dags import run_dag
from tests.made_prices import random_walk

pytestmark = pytest.mark.slow


@pytest.fixture
def dag(parsed: dict[str, Any]) -> dict[str, Any]:
    return parsed["dags"]["tune"]


def test_it_runs_only_when_asked_in_one_task(dag):
    assert not dag["scheduled"]
    assert dag["downstream"] == {"search": []}
    assert dag["mapped"] == []
    assert dag["undocumented"] == []
    assert "{" not in dag["page"]


def test_the_form_takes_recipe_universe_trials_and_folds(dag):
    defaults = {name: param["default"] for name, param in dag["params"].items()}
    assert defaults == {"recipe": "default", "universe": "sample", "trials": 20, "folds": 3}


def test_the_form_offers_the_recipes_that_have_a_space():
    from pipeline.research import tunable
    from pipeline.scheduling.tune_dag import tune_form

    form = tune_form(["mine", "crypto"])
    assert sorted(form["recipe"].schema["enum"]) == sorted(tunable())
    assert (form["universe"].value, form["universe"].schema["enum"]) == ("mine", ["mine", "crypto"])


def test_it_writes_the_winner(dag_home: Path, airflow: ForkedAirflow):
    (dag_home / "prices").mkdir()
    prices = random_walk(3, 1100, dt.date(2017, 1, 31))
    prices.to_csv(dag_home / "prices" / "IBM.csv", index=False)
    universe = {
        "source": "csv",
        "data": str(dag_home / "prices"),
        "tickers": ["IBM"],
        "horizon": 1,
    }
    entries = [f"{name} = {json.dumps(value)}" for name, value in universe.items()]
    text = "\n".join(["[mine]", *entries, "start = 2012-01-03"])
    (dag_home / "universes.toml").write_text(text)
    places = {
        "STOCKCAST_TRACKING_URI": f"sqlite:///{dag_home}/mlflow.db",
        "STOCKCAST_STORE_URL": f"sqlite:///{dag_home}/store.db",
        "STOCKCAST_UNIVERSES": str(dag_home / "universes.toml"),
    }
    conf = {"recipe": "castilla", "universe": "mine", "trials": 2, "folds": 1}
    state, _, [task] = run_dag(airflow, "tune", conf, dag_home, **places)
    assert (state, task["task"]) == ("success", "search")
    returned = task["returned"]
    assert 0.5 < returned["winner"] <= returned["as_it_is"]
    winners = (dag_home / "artifacts" / "tuning").glob("mine-castilla-close-*/castilla_tuned.py")
    [definition] = winners
    assert returned["definition"].endswith(str(definition))
    assert "CASTILLA_TUNED = PriceRecipe(" in definition.read_text()
