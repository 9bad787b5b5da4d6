"""A range of past sessions through Airflow's own backfill, asked for by session dates."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import RunError, SettingsError
from pipeline.parts import universe_of
from pipeline.scheduling.airflow_client import ENDED, AirflowClient
from pipeline.scheduling.dag_requests import (
    conf_of,
    form_of,
    request_of,
    universe_of_services,
)
from pipeline.scheduling.daily_names import daily_dag_id
from pipeline.scheduling.environment import airflow_url
from pipeline.scheduling.run_moments import run_moment, session_at
from pipeline.scheduling.service_state import is_up, settings_of_services
from pipeline.settings import Settings
from pipeline.universes import Universe

if TYPE_CHECKING:
    from pipeline.sessions import Calendar


def backfill_sessions(
    settings: Settings,
    first: dt.date,
    last: dt.date,
    max_active_runs: int,
    reprocess: str,
    wait: bool,
) -> int:
    """Let Airflow make one run for every session of a range; return the exit code.

    Args:
        first, last: the range, both included.
        max_active_runs: sessions that are worked on at once.
        reprocess: which sessions that have a run get another: none, failed or completed.
        wait: return when all sessions have run; the exit code is 1 when one has failed.

    Raises:
        SettingsError: there is no session in the range, or Airflow's tasks cannot be told what is
            asked for.
        RunError: Airflow is not up, or refuses the backfill.
    """
    universe = universe_of(settings)
    sessions = sessions_of(universe, first, last)
    if not is_up(settings.home):
        raise RunError(
            "Airflow is not up, and a backfill needs its scheduler. `stockcast up` starts it; "
            "`stockcast backfill` without --airflow needs none."
        )
    airflow, dag_id = AirflowClient(settings), daily_dag_id(universe.name)
    own = universe_of_services(settings, universe, settings_of_services(settings))
    conf = conf_of(universe, own, settings.publish)
    calendar = _calendar(universe)
    moments = run_moment(calendar, sessions[0]), run_moment(calendar, sessions[-1])
    if reprocess != "completed":
        require_same_request(airflow.runs_between(dag_id, *moments), conf, own)
    if airflow.is_paused(dag_id):
        print(f"{dag_id} is paused; its backfill runs when it is unpaused.")
    airflow.backfill(dag_id, first, last, max_active_runs, reprocess, conf)
    span = f"{len(sessions)} sessions from {sessions[0]} to {sessions[-1]}"
    print(f"{dag_id}: {span}, {max_active_runs} at once")
    print(f"Follow it at {airflow_url(settings)}/dags/{dag_id}")
    return _follow(airflow, dag_id, calendar, *moments) if wait else 0


def require_same_request(
    runs: Sequence[Mapping[str, Any]], conf: Mapping[str, Any], declared: Universe
) -> None:
    """Require that the sessions that a backfill leaves alone were asked for the same.

    Args:
        runs: those that there are in its range, as Airflow has them.

    Raises:
        SettingsError: one that has succeeded was asked for something else.
    """
    form = form_of(declared)
    asked = request_of(conf, form)
    for run in runs:
        own = request_of(run["conf"], form)
        differing = [name for name in {**own, **asked} if own.get(name) != asked.get(name)]
        if run["state"] == "success" and differing:
            was = ", ".join(f"{name} {own.get(name)!r}" for name in differing)
            raise SettingsError(
                f"Run {run['dag_run_id']} was asked for {was}, and a backfill leaves alone what "
                "has succeeded. Add --reprocess completed to run the sessions of the range again."
            )


def sessions_of(universe: Universe, first: dt.date, last: dt.date) -> list[dt.date]:
    """Return the sessions of a range; `SettingsError` where there are none."""
    if first > last:
        raise SettingsError(f"The range begins at {first}, after its end {last}. Swap them.")
    sessions = _calendar(universe).sessions(first, last)
    if not sessions:
        raise SettingsError(
            f"{universe.calendar} has no session from {first} to {last}. Choose a longer range."
        )
    return sessions


def _follow(
    airflow: AirflowClient, dag_id: str, calendar: Calendar, first: dt.datetime, last: dt.datetime
) -> int:
    """Print each run between two moments that ends; return the exit code when all have ended."""
    printed: dict[str, str] = {}
    while True:
        runs = airflow.runs_between(dag_id, first, last)
        ended = [run for run in runs if run["state"] in ENDED]
        for run in ended:
            run_id, state = run["dag_run_id"], run["state"]
            if printed.get(run_id) != state:
                printed[run_id] = state
                session = session_at(calendar, dt.datetime.fromisoformat(run["logical_date"]))
                print(f"{session}  {state}", flush=True)
        if runs and len(ended) == len(runs):
            return 1 if "failed" in printed.values() else 0
        time.sleep(1)


def _calendar(universe: Universe) -> Calendar:
    from pipeline.sessions import calendar_of

    return calendar_of(universe)
