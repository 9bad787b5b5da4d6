"""The day's verdict as a note on its DAG run and on the task `report`: what a person reads in the grid without opening anything.

A task cannot write notes: it has no way to Airflow's database. The scheduler has, and calls this listener when a run ends, with the run as a
row of its own session (`DagRun.notify_dagrun_state_changed`, Airflow 3.3).
"""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl

#: Where `report` leaves the day in some sentences (XCom).
VERDICT = "verdict"
#: What Airflow shows of a note before it scrolls.
LONGEST = 1000


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:
    write(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    write(dag_run)


def write(dag_run: Any) -> None:
    """Notes on a run that has ended and on its `report`; a person's own notes stay."""
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None or not dag_run.dag_id.startswith("daily_forecast_"):
        return
    tasks = dag_run.get_task_instances(session=session)
    report = next((task for task in tasks if task.task_id == "report"), None)
    verdict = report.xcom_pull(task_ids="report", key=VERDICT, session=session) if report and report.state == "success" else None
    failed = [_named(task) for task in tasks if task.state == "failed"]
    told = " ".join(filter(None, [f"Failed: {', '.join(failed)}." if failed else "", verdict]))[:LONGEST]
    if not told:
        return
    for noted, kept in ((dag_run, dag_run.dag_run_note), (report, report.task_instance_note if report else None)):
        if noted is not None and (kept is None or kept.user_id is None):
            noted.note = told


def _named(task: Any) -> str:
    return f"{task.task_id} of {task.rendered_map_index}" if task.rendered_map_index else task.task_id
