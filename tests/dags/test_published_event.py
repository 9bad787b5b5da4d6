"""What a day tells others, through Airflow: its asset's event, its files, and its metrics."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.airflow_homes import clean_environment
from tests.forked_airflow import ForkedAirflow
from tests.made_dags import found, run_dag
from tests.made_faults import FIVE, five_settings, five_stocks
from tests.made_prices import LAST
from tests.store_pages import BUILD, block_of

pytestmark = pytest.mark.slow

EVENTS = """
import json
from airflow.models.asset import AssetEvent, AssetModel
from airflow.utils.session import create_session
from sqlalchemy import select

with create_session() as session:
    rows = session.execute(select(AssetModel.uri, AssetEvent.extra).join(AssetEvent.asset)).all()
print("FOUND" + json.dumps([[uri, extra] for uri, extra in rows]))
"""


#: Gives the page's DAG the events of a universe "sample", which here is the five stocks.
READ = """
from airflow.sdk.execution_time.comms import AssetEventDagRunReferenceResult
from airflow.sdk.execution_time.context import TriggeringAssetEventsAccessor

import datetime as dt, json, sys

extra = json.loads(sys.argv[1])
asset = {"name": "forecasts_sample", "uri": "stockcast://forecasts/sample", "extra": {}}
event = AssetEventDagRunReferenceResult(
    asset=asset, extra=extra, source_task_id="announce", source_dag_id="daily_forecast_sample",
    source_run_id="run", source_map_index=-1, source_aliases=[], timestamp=dt.datetime.now(dt.UTC),
)
made = use_forecasts()
made.get_task("read").python_callable(TriggeringAssetEventsAccessor.build([event]))
print(made.timetable.asset_condition)
"""


@pytest.fixture
def settings(dag_home: Path) -> dict[str, str]:
    """The variables of a home with five stocks, whose days export."""
    five_stocks(dag_home)
    variables = {**five_settings(dag_home), "STOCKCAST_EXPORT_TO": str(dag_home / "exported")}
    return {name: value for name, value in variables.items() if name != "STOCKCAST_HOME"}


def states_of(tasks: list[dict[str, Any]]) -> dict[str, str]:
    return {task["task"]: task["state"] for task in tasks}


def test_the_event_of_the_asset_has_counts_and_where_the_files_are(
    dag_home, airflow: ForkedAirflow, settings
):
    dag_id = "daily_forecast_five"
    _, _, tasks = run_dag(airflow, "daily_forecast", {}, dag_home, dag_id, **settings)
    states = states_of(tasks)
    assert (states["export"], states["announce"]) == ("success", "success")
    [[uri, extra]] = found(airflow.run(EVENTS, dag_home, **settings))
    assert uri == "stockcast://forecasts/five"
    assert extra == {
        "universe": "five",
        "recipe": "default",
        "target": "close",
        "session": str(LAST),
        "published": 5,
        "quarantined": 0,
        "left_out": 0,
        "forecasts": 25,
        "export": str(dag_home / "exported"),
    }
    printed = airflow.run(block_of(BUILD, "python", "@dag") + READ, dag_home, json.dumps(extra))
    assert f"{LAST} 5 0 {extra['export']}" in printed and "forecasts_sample" in printed
    rows = pd.read_parquet(Path(extra["export"]) / "published_forecasts")
    assert (len(rows), sorted(rows["ticker"].unique())) == (25, sorted(FIVE))
    assert rows["session"].unique().tolist() == [extra["session"]]


class FreshAirflow:
    """Runs code in a process that imports Airflow itself, with the settings that it is given."""

    def run(self, code: str, home: Path, *arguments: str, **changes: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=clean_environment(home, **changes),
            cwd=home,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def statsd() -> Iterator[socket.socket]:
    """A socket that gets what is sent to StatsD."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiving:
        receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        receiving.bind(("127.0.0.1", 0))
        receiving.setblocking(False)
        yield receiving


def packets(receiving: socket.socket) -> list[tuple[str, str, str]]:
    """Return name, value and type of all that has been sent of this program."""
    lines = []
    while True:
        try:
            lines += receiving.recv(65536).decode().splitlines()
        except BlockingIOError:
            break
    own = [line for line in lines if line.startswith("airflow.stockcast.")]
    return [(name, *rest.split("|")) for name, _, rest in (line.partition(":") for line in own)]


def test_a_day_sends_its_figures_and_the_time_of_each_step_to_statsd(
    dag_home, statsd: socket.socket, settings
):
    metrics = {
        "AIRFLOW__METRICS__STATSD_ON": "true",
        "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__STATSD_PORT": str(statsd.getsockname()[1]),
    }
    state, _, tasks = run_dag(
        FreshAirflow(), "daily_forecast", {}, dag_home, "daily_forecast_five", **settings, **metrics
    )
    assert state == "success"
    sent = packets(statsd)
    gauges = {name: float(value) for name, value, kind in sent if kind == "g"}
    assert gauges == {
        "airflow.stockcast.five.tickers_published": 5,
        "airflow.stockcast.five.tickers_quarantined": 0,
        "airflow.stockcast.five.tickers_left_out": 0,
        "airflow.stockcast.five.forecasts_published": 25,
        "airflow.stockcast.five.newest_session": pd.Timestamp(LAST).timestamp(),
        "airflow.stockcast.five.tickers_drifted": 0,
    }
    durations = {name: float(value) for name, value, kind in sent if kind == "ms"}
    done = {name for name, state in states_of(tasks).items() if state == "success"} - {"plan"}
    assert set(durations) == {f"airflow.stockcast.five.step_duration.{name}" for name in done}
    assert all(0 < value < 600_000 for value in durations.values())
