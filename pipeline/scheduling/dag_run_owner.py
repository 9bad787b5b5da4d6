"""A DAG run as the owner of MLflow runs: its name, whether it is over, and the end of its runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.errors import StockcastError
from pipeline.scheduling.daily_names import DAILY_PREFIX
from pipeline.scheduling.environment import run_page, settings_of_airflow
from pipeline.scheduling.failures import named_failures

if TYPE_CHECKING:
    from pipeline.tracking import Origin

log = logging.getLogger(__name__)

#: The first word of an owner that is a DAG run.
AIRFLOW = "airflow"
#: States in which a DAG run may still end its MLflow runs.
UNDER_WAY = ("queued", "running")


def owner_of(dag_id: str, run_id: str) -> str:
    """Return what identifies a DAG run among the owners of MLflow runs."""
    return f"{AIRFLOW} {dag_id} {run_id}"


def origin_of(dag_id: str, run_id: str, owner: str = "") -> Origin:
    """Return a DAG run as what asks for MLflow runs.

    Args:
        owner: who will end the runs; empty: the DAG run.
    """
    from pipeline.tracking import Origin

    owner = owner or owner_of(dag_id, run_id)
    return Origin(run_id, run_page(dag_id, run_id), owner, is_over)


def is_over(owner: str) -> bool:
    """Return whether an owner is a DAG run that is neither queued nor running, or is unknown.

    Airflow is asked through the task that runs here. An owner that is no DAG run, or that Airflow
    gives no answer about, is not over.
    """
    kind, _, name = owner.partition(" ")
    dag_id, _, run_id = name.partition(" ")
    if kind != AIRFLOW or not run_id:
        return False
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    try:
        # A count, not `get_dagrun_state`: for a run that was deleted it is 0 and no error.
        count = RuntimeTaskInstance.get_dr_count(dag_id, run_ids=[run_id], states=list(UNDER_WAY))
    except Exception as error:  # no task runs here, or the API server does not answer
        log.info("Airflow cannot say whether %s %s is over: %s", dag_id, run_id, error)
        return False
    return count == 0


def end_runs_of_failed(universe: str, context: Mapping[str, Any]) -> None:
    """End the MLflow runs of a daily DAG run that failed: its DAG's failure callback.

    Airflow calls it in its DAG processor, `dag.test` in its own process. MLflow runs of an owner
    that is no DAG run are left to that owner.
    """
    dag_id, run_id = context["dag"].dag_id, context["run_id"]
    reason = f"The DAG run failed at {_failed_tasks(dag_id, run_id)}: {run_page(dag_id, run_id)}"
    end_runs_of(universe, owner_of(dag_id, run_id), "FAILED", reason)


def end_runs_of_marked(dag_id: str, run_id: str, state: str) -> None:
    """End the MLflow runs of a daily DAG run that a person has marked: no task will do so.

    Args:
        state: what it was marked as.
    """
    reason = f"The DAG run was marked as {state} before its end: {run_page(dag_id, run_id)}"
    status = "FAILED" if state == "failed" else "KILLED"
    universe = dag_id.removeprefix(DAILY_PREFIX)
    try:
        end_runs_of(universe, owner_of(dag_id, run_id), status, reason)
    except StockcastError as error:  # the next run ends what this one has left
        log.warning("The MLflow runs of %s %s could not be ended: %s", dag_id, run_id, error)


def end_runs_of(universe: str, owner: str, status: str, reason: str) -> None:
    """End the MLflow runs of a universe's experiment that an owner has left running."""
    from pipeline.parts import Parts

    with Parts(settings_of_airflow(), progress=_nothing) as parts:
        ended = parts.tracker(universe).end_runs_of(owner, status, reason)
    for run_id in ended:
        log.info("MLflow run %s: %s. %s", run_id, status, reason)


def _failed_tasks(dag_id: str, run_id: str) -> str:
    """Return the failed tasks of a daily DAG run in a few words, in the order of the day."""
    from pipeline.daily import STEPS

    order = ["plan", *STEPS, "announce", "drift_warning"]
    failed = [_task_of(name, order) for name in _failed_instances(dag_id, run_id)]
    known = [task for task in failed if task in order]
    return named_failures(sorted(known, key=order.index)) or "a task"


def _failed_instances(dag_id: str, run_id: str) -> list[str]:
    """Return the names of the failed task instances; that of a mapped one ends with its index."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    try:
        states = RuntimeTaskInstance.get_task_states(dag_id, run_ids=[run_id])[run_id]
    except Exception:  # in the process of `dag.test`, which has Airflow's database instead
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import select

        wanted = TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id
        with create_session() as session:
            rows = session.execute(select(TaskInstance.task_id, TaskInstance.state).where(*wanted))
            return [task_id for task_id, state in rows if state == "failed"]
    return [name for name, state in states.items() if state == "failed"]


def _task_of(name: str, tasks: list[str]) -> str:
    return name if name in tasks else name.rpartition("_")[0]


def _nothing(step: str, ticker: str, message: str) -> None:
    """Show no progress."""
