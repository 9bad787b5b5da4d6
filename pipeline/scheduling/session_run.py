"""One session through Airflow, followed in the terminal: `stockcast run --airflow`.

Where a scheduler is up and in charge of the DAG, it is asked to run it; otherwise this process is
scheduler and worker in one (`dag.test`), with the same tasks and the same database, so that the run
is there when `stockcast up` shows it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import RunError
from pipeline.parts import Parts, experiments_url, store_name, universe_of
from pipeline.run import Run
from pipeline.scheduling.airflow_client import ENDED, AirflowClient
from pipeline.scheduling.dag_requests import conf_of, form_of, universe_of_services
from pipeline.scheduling.daily_names import daily_dag_id
from pipeline.scheduling.databases import migrate
from pipeline.scheduling.environment import airflow_environment, airflow_home, airflow_url
from pipeline.scheduling.failures import FAILED, distinct_failures
from pipeline.scheduling.run_moments import run_moment
from pipeline.scheduling.service_state import is_up, settings_of_services
from pipeline.scheduling.task_logs import PRINTED_LOGGER, LogFollower, run_folder
from pipeline.settings import Settings
from pipeline.universes import Universe, load_universes

if TYPE_CHECKING:
    from pipeline.reporting import Lines

SECONDS_BETWEEN_QUESTIONS = 0.5


def run_session(settings: Settings, session: dt.date | None) -> int:
    """Run a session of the universe that the settings name; return the exit code.

    Call it before Airflow is imported: it sets Airflow's environment.

    Args:
        session: None: the newest.

    Raises:
        SettingsError: the request cannot be run; nothing has been started.
        RunError: the run failed; the message says which tasks and why.
    """
    from pipeline.daily import forecasts_text, plan

    began = time.monotonic()
    os.environ.update(airflow_environment(settings))
    settings = Settings()
    with Parts(settings) as parts:
        planned = plan(parts, universe_of(settings), session, dt.datetime.now(dt.UTC))
        migrate(dict(os.environ), settings.home, with_mlflow=False)
        dag_id, count = daily_dag_id(planned.universe.name), len(planned.universe.tickers)
        print(f"{dag_id}: session {planned.session}, {count} tickers", flush=True)
        with only_run(settings.home, dag_id):
            failures = distinct_failures(through_airflow(settings, planned))
        if failures and not _is_published(parts, planned):
            raise RunError("\n".join(failures))
        print(f"\n{forecasts_text(parts, planned)}\n")
        print(_places(parts, planned))
        print(f"Done in {time.monotonic() - began:.0f} s.")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


@contextlib.contextmanager
def only_run(home: Path, dag_id: str) -> Iterator[None]:
    """Refuse a second `stockcast run --airflow` of a DAG.

    Two runs of the same session at once would replace each other's tasks.
    """
    path = airflow_home(home) / f"run-{dag_id}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"{dag_id} is being run by another `stockcast run --airflow` in {home}; wait "
                "until it is done."
            ) from None
        yield


def through_airflow(settings: Settings, planned: Run) -> list[str]:
    """Run a session where Airflow runs it; return the failures, one line each."""
    if is_up(settings.home):
        airflow, dag_id = AirflowClient(settings), daily_dag_id(planned.universe.name)
        asked = planned.universe.as_declared()
        own = universe_of_services(settings, asked, settings_of_services(settings))
        if not airflow.is_paused(dag_id):
            return _through_scheduler(settings, airflow, planned, own)
        # A scheduler that is up leaves a paused DAG alone.
        print(f"{dag_id} is paused in Airflow, so this process runs it.", flush=True)
    from pipeline.scheduling.in_process import run_in_process

    asked = planned.universe.as_declared()
    declared = load_universes(settings.universes).get(asked.name, asked)
    conf = conf_of(asked, declared.on(planned.session), settings.publish, planned.session)
    return run_in_process(settings, planned, _moment_of(planned), conf)


def _through_scheduler(
    settings: Settings, airflow: AirflowClient, planned: Run, own: Universe
) -> list[str]:
    from pipeline.reporting import for_people

    dag_id = daily_dag_id(planned.universe.name)
    declared = own.on(planned.session)
    conf = conf_of(planned.universe, declared, settings.publish, planned.session)
    run_id = airflow.run_again_or_first(dag_id, _moment_of(planned), conf, form_of(own))
    follower = LogFollower(run_folder(settings.home, dag_id, run_id))
    follower.skip()
    failures: list[str] = []
    progress = for_people(len(planned.universe.tickers))
    while True:
        state = airflow.state_of(dag_id, run_id)
        failures += _show_new_lines(follower, progress)
        if state in ENDED:
            progress.close()
            if state == "failed" and not failures:
                failures.append(f"The run failed; see {airflow_url(settings)}/dags/{dag_id}.")
            return failures
        time.sleep(SECONDS_BETWEEN_QUESTIONS)


def _show_new_lines(follower: LogFollower, progress: Lines) -> list[str]:
    """Show what tasks have printed since the last call; return the lines of failures."""
    failures = []
    for line in follower.new_lines():
        text = str(line.get("event", ""))
        if line.get("logger") == PRINTED_LOGGER:
            progress.follow(text)
        elif text.startswith(FAILED):
            failures.append(text)
    return failures


def _moment_of(planned: Run) -> dt.datetime:
    """Return the logical date of a session's DAG run."""
    from pipeline.sessions import calendar_of

    return run_moment(calendar_of(planned.universe), planned.session)


def _is_published(parts: Parts, planned: Run) -> bool:
    from pipeline.tables import FORECASTS

    return not parts.store.load(FORECASTS, **planned.key).empty


def _places(parts: Parts, planned: Run) -> str:
    """Return where a person finds what a run has left."""
    from pipeline.daily import reading_commands, report_file

    settings, name = parts.settings, planned.universe.name
    hint = "" if is_up(settings.home) else "   (`stockcast up` shows it)"
    lines = [
        f"Report    {parts.artifacts.url(report_file(planned))}",
        f"Store     {store_name(settings)}; {reading_commands(planned)}",
        f"MLflow    {experiments_url(settings)}, experiment {name}{hint}",
        f"Airflow   {airflow_url(settings)}/dags/{daily_dag_id(name)}{hint}",
        f"Logs      {settings.home / 'logs'}",
    ]
    return "\n".join(lines)
