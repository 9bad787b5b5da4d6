"""The DAG `backtest`, as Airflow's DAG processor sees it and as it runs."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from tests.forked_airflow import ForkedAirflow
from tests.made_dags import run_dag
from tests.made_prices import random_walk

pytestmark = pytest.mark.slow


@pytest.fixture
def dag(parsed: dict[str, Any]) -> dict[str, Any]:
    return parsed["dags"]["backtest"]


def test_it_runs_only_when_asked_one_mapped_task_per_forecaster_and_block(dag):
    assert not dag["scheduled"]
    assert dag["downstream"] == {
        "plan": ["leaderboard", "shard"],
        "shard": ["leaderboard"],
        "leaderboard": [],
    }
    assert dag["mapped"] == ["shard"]


def test_the_form_offers_what_the_command_does(dag):
    assert set(dag["params"]) == {
        *("universe", "recipes", "baselines", "from", "to", "step", "refit", "warm_start"),
        *("embargo", "seeds", "tickers", "target", "horizon"),
    }
    assert dag["params"]["universe"]["default"] == "sample"
    assert dag["params"]["recipes"]["default"] == ["default"]
    assert "{" not in dag["page"]
    assert dag["undocumented"] == []


def test_no_more_tasks_are_mapped_than_airflow_takes():
    from pipeline.daily import MOST_SHARDS
    from pipeline.scheduling.backtest_dag import shards_of

    assert shards_of(["naive", "ewma"], 2) == [
        {"forecaster": name, "blocks": [number], "name": f"block {number + 1} of 2"}
        for name in ("naive", "ewma")
        for number in (0, 1)
    ]
    many = shards_of(["naive", "ewma", "default"], 777)
    assert len(many) <= MOST_SHARDS
    blocks = [block for shard in many if shard["forecaster"] == "ewma" for block in shard["blocks"]]
    assert blocks == list(range(777))


def test_it_compares_whom_it_was_asked_to(dag_home: Path, airflow: ForkedAirflow):
    (dag_home / "prices").mkdir()
    for seed, ticker in enumerate(("IBM", "MSFT")):
        prices = random_walk(seed, 900, dt.date(2017, 1, 31))
        prices.to_csv(dag_home / "prices" / f"{ticker}.csv", index=False)
    places = {
        "STOCKCAST_TRACKING_URI": f"sqlite:///{dag_home}/mlflow.db",
        "STOCKCAST_DATA": str(dag_home / "prices"),
    }
    conf = {
        "universe": "csv",
        "recipes": ["window_average"],
        "baselines": [],
        "from": "2016-06-01",
        "to": "2016-12-30",
        "refit": 15,
        "horizon": 2,
    }
    state, _, tasks = run_dag(airflow, "backtest", conf, dag_home, **places)
    assert (state, {task["state"] for task in tasks}) == ("success", {"success"})
    assert [task["name"] for task in tasks if task["task"] == "shard"] == [
        f"{name} block {number} of 2"
        for name in ("window_average", "naive", "ewma")
        for number in (1, 2)
    ]
    [board] = (dag_home / "artifacts" / "backtests").glob("*/leaderboard.csv")
    names = {line.split(",")[0] for line in board.read_text().splitlines()}
    assert names == {"recipe", "window_average", "naive", "ewma"}
