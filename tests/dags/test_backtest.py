"""The DAG `backtest`, as Airflow's DAG processor sees it and as it runs."""

from __future__ import annotations

import datetime as dt
import shutil

import pytest

from tests.made_dags import parsed_dag, run_dag
from tests.made_prices import random_walk


@pytest.fixture(scope="module")
def parsed(tmp_path_factory) -> dict:
    return parsed_dag("backtest", tmp_path_factory.mktemp("airflow"))


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
    from pipeline.scheduling.backtest import shards_of
    from pipeline.steps import MOST_SHARDS

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
    own = {"STOCKCAST_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", "STOCKCAST_DATA": str(tmp_path / "prices")}
    asked = {
        "universe": "csv",
        "recipes": ["window_average"],
        "baselines": [],
        "from": "2016-06-01",
        "to": "2016-12-30",
        "refit": 15,
        "horizon": 2,
    }
    state, tasks = run_dag("backtest", asked, tmp_path, **own)
    named = [f"{name} block {number} of 2" for name in ("window_average", "naive", "ewma") for number in (1, 2)]
    assert state == "success" and {task["state"] for task in tasks} == {"success"}
    assert [task["name"] for task in tasks if task["task"] == "shard"] == named
    [board] = (tmp_path / "artifacts" / "backtests").glob("*/leaderboard.csv")
    assert {line.split(",")[0] for line in board.read_text().splitlines()} == {"recipe", "window_average", "naive", "ewma"}
