"""A range of past sessions through Airflow's own backfill, asked for by session dates."""

from __future__ import annotations

import datetime as dt
import time

from pipeline import assembly
from pipeline.errors import RunError, SettingsError
from pipeline.scheduling import services
from pipeline.scheduling.environment import airflow_url
from pipeline.scheduling.rest import Airflow
from pipeline.settings import Settings
from pipeline.universes import Universe


def backfill(settings: Settings, first: dt.date, last: dt.date, max_active_runs: int, reprocess: str, wait: bool) -> int:
    """Creates one run for every session from `first` to `last`, both included; returns the exit code."""
    universe = assembly.universe_of(settings)
    sessions = sessions_of(universe, first, last)
    if not services.is_up(settings.home):
        raise RunError(
            "Airflow is not up, and a backfill needs its scheduler. `make up` starts it; `stockcast backfill` needs none."
        )
    airflow, dag_id = Airflow(settings), f"daily_forecast_{universe.name}"
    if airflow.is_paused(dag_id):
        print(f"{dag_id} is paused; its backfill runs when it is unpaused.")
    airflow.backfill(dag_id, first, last, max_active_runs, reprocess)
    print(f"{dag_id}: {len(sessions)} sessions from {sessions[0]} to {sessions[-1]}, {max_active_runs} at once")
    print(f"Follow it at {airflow_url(settings)}/dags/{dag_id}")
    return _follow(airflow, dag_id, universe, sessions) if wait else 0


def sessions_of(universe: Universe, first: dt.date, last: dt.date) -> list[dt.date]:
    """The sessions of a range; `SettingsError` when there are none."""
    from pipeline.sessions import Calendar

    if first > last:
        raise SettingsError(f"The range begins at {first}, after its end {last}. Swap them.")
    sessions = Calendar(universe.calendar).sessions(first, last)
    if not sessions:
        raise SettingsError(f"{universe.calendar} has no session from {first} to {last}. Choose a longer range.")
    return sessions


def _follow(airflow: Airflow, dag_id: str, universe: Universe, sessions: list[dt.date]) -> int:
    from pipeline.scheduling.timetable import run_moment, session_at
    from pipeline.sessions import Calendar

    calendar = Calendar(universe.calendar)
    told: dict[str, str] = {}
    while True:
        runs = airflow.backfill_runs(dag_id, run_moment(calendar, sessions[0]), run_moment(calendar, sessions[-1]))
        for run in runs:
            if run["state"] in ("success", "failed") and told.get(run["dag_run_id"]) != run["state"]:
                told[run["dag_run_id"]] = run["state"]
                print(f"{session_at(calendar, dt.datetime.fromisoformat(run['logical_date']))}  {run['state']}", flush=True)
        if runs and all(run["state"] in ("success", "failed") for run in runs):
            return 1 if "failed" in told.values() else 0
        time.sleep(1)
