"""Tickers that a day was ended without, although their prices may come: they are asked for again.

A source may have no bar of the session yet, or not answer, for longer than a task's tries last. The
day then ends without those tickers. For some hours after the close their tasks, and all behind
them, are run again whenever it has ended so.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.utils.state import TaskInstanceState as State

from pipeline.scheduling.stale_tasks import OVER, followers

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)

#: The task that returns the tickers that it has given up.
FETCHING = "ingest"


def clear_given_up(dag_run: DagRun, now: dt.datetime) -> bool:
    """Clear what has given tickers up in a run that has just ended; return whether there is any.

    The run is then queued again. The tasks have all their tries again, with their pauses. Call it
    where the scheduler has the run in its own session.
    """
    from airflow.models.taskinstance import clear_task_instances
    from sqlalchemy.orm import object_session

    from pipeline.prices import LATE

    session, dag, moment = object_session(dag_run), dag_run.dag, dag_run.logical_date
    if session is None or dag is None or moment is None or now >= moment + LATE:
        return False
    if not dag.has_task(FETCHING) or not dag.get_task(FETCHING).retries:
        return False  # a person waits for this run
    tasks = dag_run.get_task_instances(session=session)
    given_up = _given_up(dag_run, tasks, session)
    if not given_up:
        return False
    behind = [task for task in followers(dag, tasks, given_up) if task.state in OVER]
    message = "%s: %d tasks have given tickers up; with %d behind them they are run again"
    log.info(message, dag_run.run_id, len(given_up), len(behind))
    clear_task_instances([*given_up, *behind], session)
    return True


def _given_up(
    dag_run: DagRun, tasks: Sequence[TaskInstance], session: Session
) -> list[TaskInstance]:
    """Return the fetching tasks whose tries were not enough, for some tickers or for all."""
    from airflow.models.xcom import XCOM_RETURN_KEY, XComModel

    query = XComModel.get_many(
        run_id=dag_run.run_id, dag_ids=dag_run.dag_id, task_ids=FETCHING, key=XCOM_RETURN_KEY
    )
    found: list[Any] = list(session.scalars(query))
    returned = {each.map_index: XComModel.deserialize_value(each) for each in found}
    return [
        task
        for task in tasks
        if task.task_id == FETCHING
        and (
            (task.state == State.SUCCESS and returned.get(task.map_index))
            or (task.state == State.FAILED and task.try_number > task.max_tries)
        )
    ]
