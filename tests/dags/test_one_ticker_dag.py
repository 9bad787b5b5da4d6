"""One ticker is one ticker, through Airflow: a shard of five of which one cannot be adjusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.daily import plan, run_day
from pipeline.parts import Parts, universe_of
from pipeline.settings import Settings
from tests.forked_airflow import ForkedAirflow
from tests.made_dags import run_dag
from tests.made_days import NOW
from tests.made_faults import (
    FAULTY,
    FIVE,
    five_settings,
    five_stocks,
    store_action,
    what_is_left,
)

pytestmark = pytest.mark.slow


def test_a_history_that_cannot_be_adjusted_withdraws_its_ticker_alone(
    dag_home: Path, airflow: ForkedAirflow, monkeypatch
):
    five_stocks(dag_home)
    variables = five_settings(dag_home)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with Parts(Settings(), progress=lambda *_: None) as parts:
        run = plan(parts, universe_of(parts.settings), None, NOW)
        run_day(parts, run)
        store_action(parts.store, run.universe.source_id, FAULTY, "split", run)
    assert what_is_left(dag_home)[0] == list(FIVE)

    settings = {name: value for name, value in variables.items() if name != "STOCKCAST_HOME"}
    state, _, tasks = run_dag(
        airflow, "daily_forecast", {}, dag_home, "daily_forecast_five", **settings
    )
    states = {task["task"]: task["state"] for task in tasks if task["task"] != "drift_warning"}
    assert (state, set(states.values())) == ("success", {"success"})
    published, reason, withdrawn, page = what_is_left(dag_home)
    assert published == [ticker for ticker in FIVE if ticker != FAULTY]
    assert "a split of " in reason and withdrawn == ["", reason]
    assert f"1 ticker quarantined: {FAULTY} (" in page
