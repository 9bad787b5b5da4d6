"""The end of a DAG run: what must be run again is, notes are written, runs in MLflow end.

Airflow calls this listener when a run ends, with the run as a row of the caller's own session: the
scheduler (`DagRun.notify_dagrun_state_changed`, Airflow 3.3), or the API server where a person has
marked the run.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from airflow.listeners import hookimpl

from pipeline.scheduling.dag_run_owner import end_runs_of_marked
from pipeline.scheduling.daily_names import is_daily
from pipeline.scheduling.given_up_tasks import clear_given_up
from pipeline.scheduling.notes import write_notes
from pipeline.scheduling.stale_tasks import clear_stale

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

#: What the scheduler says when the tasks of a run have decided how it ends.
BY_ITS_TASKS = ("success", "task_failure")
#: What the API server says of a run that a person has marked as a success or failure.
MARKED = "manually set"
#: The tag of this project's DAGs.
TAG = "stockcast"


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    """Look after a run that succeeded."""
    _look_after(dag_run, msg)


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Look after a run that failed."""
    _look_after(dag_run, msg)


def _look_after(dag_run: DagRun, message: str) -> None:
    dag = dag_run.dag
    if dag is None or TAG not in dag.tags:
        return
    if message in BY_ITS_TASKS and clear_stale(dag_run):
        return  # it is queued again, and not at its end
    write_notes(dag_run)
    if message in BY_ITS_TASKS:
        clear_given_up(dag_run, dt.datetime.now(dt.UTC))
    if MARKED in message and is_daily(dag_run.dag_id):
        end_runs_of_marked(dag_run.dag_id, dag_run.run_id, str(dag_run.state))
