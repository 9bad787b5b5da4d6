"""The DAG `exercises`, as Airflow's DAG processor sees it and as it runs."""

from __future__ import annotations

import shutil

import pytest

from tests.made_dags import parsed_dag, run_dag


@pytest.fixture(scope="module")
def parsed(tmp_path_factory) -> dict:
    return parsed_dag("exercises", tmp_path_factory.mktemp("airflow"))


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
    asked = {"recipes": ["statquest-unit", "meetup-logic-gates"], "seed": 3}
    state, tasks = run_dag("exercises", asked, tmp_path, STOCKCAST_TRACKING_URI=f"sqlite:///{tmp_path}/mlflow.db")
    states = [(task["task"], task["index"], task["state"]) for task in tasks]
    assert (state, states) == ("success", [("choose", -1, "success"), ("exercise", 0, "success"), ("exercise", 1, "success")])
    made = {path.parts[-3] for path in (tmp_path / "artifacts" / "exercises").glob("*/*/about.json")}
    assert made == {"statquest-unit", "meetup-logic-gates"}
