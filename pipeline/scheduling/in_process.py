"""A DAG run in this very process, which is scheduler and worker in one (`dag.test`).

What Airflow prints goes to a file, and the terminal gets the progress of the tasks.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pipeline.run import Run
from pipeline.scheduling.dag_run_owner import UNDER_WAY, end_runs_of
from pipeline.scheduling.daily_dag import build_daily_dag
from pipeline.scheduling.daily_names import daily_dag_id
from pipeline.scheduling.failures import distinct_failures
from pipeline.scheduling.newest_task_api import leave_out_old_versions
from pipeline.scheduling.notes import write_notes
from pipeline.scheduling.task_logs import attempt_file, write_line
from pipeline.scheduling.tasks import listening
from pipeline.settings import Settings

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

    from pipeline.reporting import Lines
    from pipeline.scheduling.task_logs import TaskAttempt

log = logging.getLogger(__name__)


def run_in_process(
    settings: Settings, planned: Run, logical_date: dt.datetime, conf: Mapping[str, Any]
) -> list[str]:
    """Run a session's DAG in this process; return the failures, one line each.

    The MLflow runs that a DAG run without success has left open end as FAILED, and as KILLED when
    it is interrupted.
    """
    from pipeline.reporting import for_people

    output = settings.home / "logs" / "run.log"
    universe = planned.universe.name
    failures: list[str] = []
    with _terminal_for_progress_only(output) as terminal:
        progress = for_people(len(planned.universe.tickers), terminal)
        listener = _TerminalListener(settings.home, progress, failures)
        try:
            with listening(listener):
                state = _test_dag(settings, planned, logical_date, conf)
        except BaseException as error:
            _fail_dag_run(daily_dag_id(universe), logical_date)
            failed = isinstance(error, Exception)
            reason = str(error) if failed else type(error).__name__
            _end_runs(universe, "FAILED" if failed else "KILLED", reason)
            raise
        finally:
            progress.close()
        if state != "success":
            failures = failures or [f"The run ended as {state}; see {output}."]
            _end_runs(universe, "FAILED", " ".join(distinct_failures(failures)))
    return failures


def _test_dag(
    settings: Settings, planned: Run, logical_date: dt.datetime, conf: Mapping[str, Any]
) -> str:
    """Run the DAG; return the state that its run ends in."""
    leave_out_old_versions()
    dag = build_daily_dag(planned.universe.as_declared(), settings, retry=False)
    started = dt.datetime.now(dt.UTC)
    # The logical date is also when it may run, or the grid would sort it by today.
    run: DagRun = dag.test(run_after=logical_date, logical_date=logical_date, run_conf=dict(conf))
    _complete(run.id, started)
    return str(run.state)


def _end_runs(universe: str, status: str, reason: str) -> None:
    from pipeline.tracking import this_process

    try:
        end_runs_of(universe, this_process(), status, reason)
    except Exception as error:  # MLflow may be what failed; the next run ends what this one left
        log.warning("The MLflow runs of this process could not be ended: %s", error)


class _TerminalListener:
    """A listener that shows progress, and writes it where Airflow looks for a task's log."""

    def __init__(self, home: Path, terminal: Lines, failures: list[str]) -> None:
        self._home, self._terminal, self._failures = home, terminal, failures

    def progress(self, task: TaskAttempt, step: str, ticker: str, message: str) -> None:
        """Show a line of progress, and keep it."""
        write_line(attempt_file(self._home, task), self._terminal(step, ticker, message))

    def logged(self, task: TaskAttempt, line: str, level: str) -> None:
        """Keep a line of the log."""
        write_line(attempt_file(self._home, task), line, "pipeline", level)

    def failed(self, task: TaskAttempt, line: str) -> None:
        """Keep the line of a task that has failed."""
        self._failures.append(line)
        self.logged(task, line, "error")


def _fail_dag_run(dag_id: str, logical_date: dt.datetime) -> None:
    """Mark a DAG run that was cut short as failed, or a scheduler would go on with it."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from sqlalchemy import select

    wanted = DagRun.dag_id == dag_id, DagRun.logical_date == logical_date
    with contextlib.suppress(Exception), create_session() as session:
        for dag_run in session.scalars(select(DagRun).where(*wanted)):
            if dag_run.state in UNDER_WAY:
                dag_run.set_state(DagRunState.FAILED)


def _complete(run_id: int, started: dt.datetime) -> None:
    """Write what a scheduler would have written of a run.

    `dag.test` dates a run's start at its logical date, which would show as a run of years, and
    calls no listener.
    """
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        dag_run = session.get_one(DagRun, run_id)
        dag_run.start_date = dag_run.queued_at = started
        write_notes(dag_run)


@contextlib.contextmanager
def _terminal_for_progress_only(log: Path) -> Iterator[TextIO]:
    """Send what this process and its children print to a file; give a way to the terminal."""
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
