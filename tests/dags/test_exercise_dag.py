"""The DAG `exercises`, as Airflow's DAG processor sees it and as it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.forked_airflow import ForkedAirflow
from tests.made_dags import run_dag

pytestmark = pytest.mark.slow


@pytest.fixture
def dag(parsed: dict[str, Any]) -> dict[str, Any]:
    return parsed["dags"]["exercises"]


def test_it_runs_only_when_asked_one_mapped_task_per_recipe(dag):
    assert not dag["scheduled"]
    assert dag["downstream"] == {"choose": ["exercise"], "exercise": []}
    assert dag["mapped"] == ["exercise"]


def test_the_form_offers_every_recipe_that_needs_no_prices(dag):
    names = [
        "statquest-unit",
        "aungiers-sine",
        "meetup-logic-gates",
        "meetup-sine-rnn",
        "meetup-characters",
    ]
    offered = dag["params"]["recipes"]["default"]
    assert len(set(offered)) == len(offered)
    assert set(names) <= set(offered)  # another may have been added
    assert dag["params"]["seed"]["default"] == 7
    assert [name for name in offered if f"`{name}`" not in dag["page"]] == []
    assert "{" not in dag["page"]
    assert dag["undocumented"] == []


def test_it_trains_the_recipes_that_were_asked_for(dag_home: Path, airflow: ForkedAirflow):
    conf = {"recipes": ["statquest-unit", "meetup-logic-gates"], "seed": 3}
    tracking = {"STOCKCAST_TRACKING_URI": f"sqlite:///{dag_home}/mlflow.db"}
    state, _, tasks = run_dag(airflow, "exercises", conf, dag_home, **tracking)
    states = [(task["task"], task["index"], task["state"]) for task in tasks]
    assert (state, states) == (
        "success",
        [("choose", -1, "success"), ("exercise", 0, "success"), ("exercise", 1, "success")],
    )
    files = (dag_home / "artifacts" / "exercises").glob("*/*/about.json")
    assert {path.parts[-3] for path in files} == {"statquest-unit", "meetup-logic-gates"}
