"""Stale tasks: those of a DAG run that ran before a task that they build on was run again.

Airflow lets a person clear a failed task alone. It then passes, and what is behind it stays as it
was: without the tickers that had failed, under a run that is green.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from airflow.utils.state import TaskInstanceState as State

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.task.trigger_rule import TriggerRule

log = logging.getLogger(__name__)

#: States in which a task has ended for good.
OVER = (State.SUCCESS, State.FAILED, State.UPSTREAM_FAILED, State.SKIPPED)
#: Those in which it has looked at what is before it. (A task that is mapped over nothing is skipped
#: without a moment of its own.)
JUDGED = (State.SUCCESS, State.FAILED, State.UPSTREAM_FAILED)
#: The trigger rule under which one failed task before it is enough to stop a task.
ALL_SUCCESS = "all_success"
#: The attempts that what is behind them has been run again for. Each counts once, so that no clock
#: that is set back makes a run go round for ever.
_seen: set[UUID] = set()


def clear_stale(dag_run: DagRun) -> bool:
    """Clear what must be run again in a run that has just ended; return whether there is any.

    The run is then queued again. Call it where the scheduler has the run in its own session.
    """
    from airflow.models.taskinstance import clear_task_instances
    from sqlalchemy.orm import object_session

    session, dag = object_session(dag_run), dag_run.dag
    if session is None or dag is None:
        return False
    tasks = dag_run.get_task_instances(session=session)
    late = _passed_late(dag, [task for task in tasks if task.state in JUDGED])
    if not late:
        return False
    stale = [task for task in followers(dag, tasks, late) if task.state in OVER]
    names = ", ".join(sorted({task.task_id for task in late}))
    log.info(
        "%s: %s passed after what is behind had run; %d tasks are run again",
        dag_run.run_id,
        names,
        len(stale),
    )
    _seen.update(task.id for task in late)
    clear_task_instances(stale, session)
    return True


def _passed_late(dag: SerializedDAG, tasks: Sequence[TaskInstance]) -> list[TaskInstance]:
    """Return the tasks that passed after one that builds on them had run."""
    by_task: dict[str, list[TaskInstance]] = {}
    for task in tasks:
        by_task.setdefault(task.task_id, []).append(task)
    late = []
    for task in tasks:
        definition = dag.get_task(task.task_id)
        before = [
            each
            for name in definition.upstream_task_ids
            for each in by_task.get(name, [])
            if _belong_together(each, task)
        ]
        if not _is_blocked(task, before, definition.trigger_rule):
            late += [each for each in before if _passed_after(each, task)]
    return late


def _is_blocked(
    task: TaskInstance, before: Iterable[TaskInstance], rule: TriggerRule | str
) -> bool:
    """Return whether a task that could not run because of those before it still could not."""
    if task.state != State.UPSTREAM_FAILED:
        return False
    states = {each.state for each in before}
    if rule == ALL_SUCCESS:
        return bool(states & {State.FAILED, State.UPSTREAM_FAILED})
    return State.SUCCESS not in states


def _passed_after(before: TaskInstance, task: TaskInstance) -> bool:
    """Return whether a task passed in an attempt that was begun after another task had run."""
    if before.state != State.SUCCESS or before.id in _seen:
        return False
    moments = [moment for moment in (task.queued_dttm, task.start_date) if moment]
    begun = _moment_of(before.id)
    return bool(moments) and max(moments) < begun and _moment_of(task.id) < begun


def _moment_of(attempt: UUID) -> dt.datetime:
    """Return when an attempt's id was made: it is a UUID of version 7."""
    return dt.datetime.fromtimestamp((attempt.int >> 80) / 1000, dt.UTC)


def followers(
    dag: SerializedDAG, tasks: Sequence[TaskInstance], first: Iterable[TaskInstance]
) -> list[TaskInstance]:
    """Return all tasks behind the first ones, near and far."""
    found: dict[UUID, TaskInstance] = {}
    waiting = list(first)
    while waiting:
        task = waiting.pop()
        behind = dag.get_task(task.task_id).downstream_task_ids
        new = {
            each.id: each
            for each in tasks
            if each.task_id in behind and each.id not in found and _belong_together(task, each)
        }
        found |= new
        waiting += new.values()
    return list(found.values())


def _belong_together(one: TaskInstance, other: TaskInstance) -> bool:
    """Return whether two tasks, one of which follows on the other, do so for the same shard.

    Between two mapped tasks that is the one with the same index (they are of a mapped group, as all
    such pairs here are); a task that is not mapped belongs to all.
    """
    return one.map_index == other.map_index or min(one.map_index, other.map_index) < 0
