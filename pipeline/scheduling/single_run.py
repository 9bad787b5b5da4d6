"""`make run`: one session of one universe through Airflow, followed in the terminal.

Where a scheduler is up and in charge of the DAG, it is asked to run it; otherwise this process is scheduler and worker in one
(`dag.test`), with the same tasks and the same database, so the run is there when `make up` shows it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pipeline import assembly
from pipeline.errors import RunError
from pipeline.progress import Lines, for_people
from pipeline.run import Run
from pipeline.scheduling import databases, environment, services, task_logs
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.assembly import Parts

#: A task's tickers in the line that says why it failed (`boundary.failure_line`).
OF_TICKERS = re.compile(r"FAILED \w+ of ([^:]+): ")
#: A step that finds nothing to work on, because one before it has failed.
FOLLOWS = re.compile(r"FAILED [^:]+: NothingStored: ")


def run(settings: Settings, session: dt.date | None) -> int:
    """Runs a session (None: the newest) of the universe that the settings name; returns the exit code.

    Raises:
        SettingsError: the request cannot be run; nothing has been started.
        RunError: the run failed; the message says which tasks and why.
    """
    began = time.monotonic()
    ours = environment.environment(settings)
    os.environ.update(ours)
    settings = Settings.from_env()
    with assembly.parts(settings) as parts:
        from pipeline import steps

        planned = steps.plan(parts, assembly.universe_of(settings), session, dt.datetime.now(dt.UTC))
        databases.migrate(dict(os.environ), settings.home, with_mlflow=False)
        print(f"{dag_id(planned)}: session {planned.session}, {len(planned.universe.tickers)} tickers", flush=True)
        with _alone(settings.home, planned):
            failures = _through_airflow(settings, planned)
        failures = told_once(failures)
        if failures and not _published(parts, planned):
            raise RunError("\n".join(failures))
        print(f"\n{steps.summary(parts, planned)}\n")
        print(_where(settings, parts, planned, time.monotonic() - began))
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def told_once(failures: list[str]) -> list[str]:
    """Failures as a person wants them: what many tickers met is said of the first, and what only follows from another failure is left out."""
    kinds: dict[str, list[str]] = {}
    for line in failures:
        named = OF_TICKERS.match(line)
        tickers = named[1].split(", ") if named else []
        # Only where the tickers' own names are all that differs is it the same.
        same = re.sub("|".join(rf"(?<!\w){re.escape(ticker)}(?!\w)" for ticker in tickers), "", line) if tickers else line
        kinds.setdefault(same, []).append(line)
    told = [f"{lines[0]} (The same for {len(lines) - 1} more.)" if len(lines) > 1 else lines[0] for lines in kinds.values()]
    causes = [line for line in told if not FOLLOWS.match(line)]
    return causes or told


def dag_id(planned: Run) -> str:
    return f"daily_forecast_{planned.universe.name}"


def _through_airflow(settings: Settings, planned: Run) -> list[str]:
    """The failures, one line each."""
    if services.is_up(settings.home):
        from pipeline.scheduling.rest import Airflow

        airflow = Airflow(settings)
        if not airflow.is_paused(dag_id(planned)):
            return _ask_the_scheduler(settings, airflow, planned)
    # A scheduler that is up leaves a paused DAG alone.
    with _terminal_for_progress_only(settings.home / "logs" / "run.log") as terminal:
        followed = for_people(len(planned.universe.tickers), terminal)
        try:
            return _in_this_process(settings, planned, followed)
        finally:
            followed.close()


# In this process


def _in_this_process(settings: Settings, planned: Run, followed: Lines) -> list[str]:
    from pipeline.scheduling import boundary, factory

    failures: list[str] = []
    boundary.listener = _Listener(settings.home, followed, failures)
    dag = factory.daily_forecast(planned.universe, settings, retry=False)
    started = dt.datetime.now(dt.UTC)
    moment = _logical_date(planned)  # also when it may run, or the grid would sort it by today
    done = dag.test(run_after=moment, logical_date=moment, run_conf=_conf(planned))
    _amend(done.id, started)
    if done.state != "success" and not failures:
        failures.append(f"The run ended as {done.state}; see {settings.home / 'logs' / 'run.log'}.")
    return failures


class _Listener:
    """Shows the steps' progress, and keeps it where Airflow's page for the task looks for its log."""

    def __init__(self, home: Path, followed: Lines, failures: list[str]) -> None:
        self.home, self.followed, self.failures = home, followed, failures

    def progress(self, task_instance: Any, step: str, ticker: str, message: str) -> None:
        told = self.followed(step, ticker, message)
        task_logs.write_line(task_logs.attempt_file(self.home, task_instance), told)

    def logged(self, task_instance: Any, line: str, level: str) -> None:
        task_logs.write_line(task_logs.attempt_file(self.home, task_instance), line, "pipeline", level)

    def failed(self, task_instance: Any, line: str) -> None:
        self.failures.append(line)
        task_logs.write_line(task_logs.attempt_file(self.home, task_instance), line, "pipeline", "error")


def _amend(run: int, started: dt.datetime) -> None:
    """What a scheduler would have written: `dag.test` dates a run's start at its logical date, which would show as a run of years, and calls no
    listener."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    from pipeline.scheduling import notes

    with create_session() as session:
        dag_run = session.get(DagRun, run)
        dag_run.start_date = dag_run.queued_at = started
        notes.write(dag_run)


@contextlib.contextmanager
def _terminal_for_progress_only(log: Path) -> Iterator[TextIO]:
    """Sends what Airflow and its libraries print, of this process and its children, to a file; gives a way to the terminal."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(stream) for stream in (1, 2)]
    terminal = os.fdopen(os.dup(1), "w", buffering=1)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(file, stream)
    try:
        yield terminal
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, before in zip((1, 2), kept, strict=True):
            os.dup2(before, stream)
            os.close(before)
        os.close(file)
        terminal.close()


# Through the scheduler


def _ask_the_scheduler(settings: Settings, airflow: Any, planned: Run) -> list[str]:
    run_id = airflow.run_again_or_first(dag_id(planned), _logical_date(planned), _conf(planned))
    follower = task_logs.Follower(task_logs.run_folder(settings.home, dag_id(planned), run_id))
    follower.skip()
    failures: list[str] = []
    followed = for_people(len(planned.universe.tickers))
    while True:
        state = airflow.state_of(dag_id(planned), run_id)
        for line in follower.new_lines():
            if line.get("logger") == task_logs.PRINTED:
                followed.follow(line["event"])
            elif str(line.get("event", "")).startswith("FAILED "):
                failures.append(line["event"])
        if state in ("success", "failed"):
            followed.close()
            return failures or (
                [] if state == "success" else [f"The run failed; see {environment.airflow_url(settings)}/dags/{dag_id(planned)}."]
            )
        time.sleep(0.5)


# What both need


def _logical_date(planned: Run) -> dt.datetime:
    from pipeline.scheduling.timetable import run_moment
    from pipeline.sessions import Calendar

    return run_moment(Calendar(planned.universe.calendar), planned.session)


def _conf(planned: Run) -> dict[str, Any]:
    universe = planned.universe
    return {
        "session": planned.session.isoformat(),
        "tickers": list(universe.tickers),
        "recipe": universe.recipe,
        "horizon": universe.horizon,
    }


@contextlib.contextmanager
def _alone(home: Path, planned: Run) -> Iterator[None]:
    """Two runs of the same session at once would replace each other's tasks."""
    path = home / "airflow" / f"run-{dag_id(planned)}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{dag_id(planned)} is being run by another `make run` in {home}; wait until it is done.") from None
        yield


def _published(parts: Parts, planned: Run) -> bool:
    from pipeline.tables import FORECASTS

    return not parts.store.load(FORECASTS, **planned.key).empty


def _where(settings: Settings, parts: Parts, planned: Run, seconds: float) -> str:
    hint = "" if services.is_up(settings.home) else "   (`make up` shows it)"
    return "\n".join(
        [
            *assembly.whereabouts(parts, planned, hint),
            f"Airflow   {environment.airflow_url(settings)}/dags/{dag_id(planned)}{hint}",
            f"Logs      {settings.home / 'logs'}",
            f"Done in {seconds:.0f} s.",
        ]
    )
