"""The day's verdict as a note on its DAG run and its task `report`, to be read in the grid.

A task cannot write notes: it has no way to Airflow's database (see `dag_run_ends`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.scheduling.daily_names import VERDICT_KEY, is_daily

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance

#: Characters of a note that Airflow shows before it scrolls.
LONGEST_NOTE = 1000


def write_notes(dag_run: DagRun) -> None:
    """Write notes on a run that has ended and on its `report`; a person's own notes stay."""
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None or not is_daily(dag_run.dag_id):
        return
    tasks = dag_run.get_task_instances(session=session)
    report = next((task for task in tasks if task.task_id == "report"), None)
    verdict = ""
    if report is not None and report.state == "success":
        verdict = report.xcom_pull(task_ids="report", key=VERDICT_KEY, session=session) or ""
    failed = [_name_of(task) for task in tasks if task.state == "failed"]
    failures = f"Failed: {', '.join(failed)}." if failed else ""
    note = " ".join(filter(None, [failures, verdict]))[:LONGEST_NOTE]
    if not note:
        return
    if _is_ours(dag_run.dag_run_note):
        dag_run.note = note
    if report is not None and _is_ours(report.task_instance_note):
        report.note = note


def _is_ours(note: Any) -> bool:
    """Return whether no person has written a note."""
    return note is None or note.user_id is None


def _name_of(task: TaskInstance) -> str:
    name = task.rendered_map_index
    return f"{task.task_id} of {name}" if name else str(task.task_id)
