"""Airflow's command line in a process that has imported what its tasks and DAG files need:

    python -m pipeline.scheduling.preloaded_airflow scheduler --skip-serve-logs
    python -m pipeline.scheduling.preloaded_airflow celery worker
    python -m pipeline.scheduling.preloaded_airflow dag-processor

A task is a fork of the scheduler (LocalExecutor) or of a Celery worker, and a DAG file is read in a
fork of the DAG processor, so they have what those have imported. Without this, imports are three
quarters of a task's processor time.

TensorFlow is not imported: its threads do not survive a fork, and the processes that train are
started anew.

Any other command of Airflow begins at once; it only searches for garbage less often.

What starts tasks begins when the API server answers. A task asks it for all it needs, and one that
begins before has lost a try.
"""

from __future__ import annotations

import contextlib
import gc
import runpy
import sys
import time
from importlib import import_module

from pipeline.garbage import search_rarely

#: What the DAG files import.
DAG_MODULES = (
    "pipeline.scheduling.backtest_dag",
    "pipeline.scheduling.daily_dag",
    "pipeline.scheduling.exercise_dag",
    "pipeline.scheduling.tune_dag",
)
#: What the steps of a day import as they run.
TASK_MODULES = (
    "great_expectations",
    "matplotlib.figure",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.tracking",
    "pipeline.daily",
    "pipeline.prices.sample",
    "pipeline.quality",
    "pipeline.reporting",
    "pipeline.storage",
    "pipeline.tracking",
    "psycopg2",
)
#: Commands that start tasks.
TASK_COMMANDS = ("scheduler", "celery")
#: Commands whose forks do tasks or read DAG files; with the Kubernetes executor, a scheduler has
#: neither.
FORKING_COMMANDS = (*TASK_COMMANDS, "dag-processor")
SECONDS_BETWEEN_API_QUESTIONS = 0.5
SECONDS_TO_ANSWER_WELL = 5


def preload(with_tasks: bool) -> None:
    """Import what DAG files need, and build the DAGs of the universes once.

    Args:
        with_tasks: and what tasks need, the calendars of the universes among it.
    """
    from pipeline.errors import SettingsError
    from pipeline.parts import universes_of
    from pipeline.settings import Settings

    for module in (*DAG_MODULES, *(TASK_MODULES if with_tasks else ())):
        import_module(module)
    from pipeline.scheduling.daily_dag import build_daily_dag
    from pipeline.sessions import calendar_of

    settings = Settings()
    # Where Airflow reads the DAGs it reports a file of universes that cannot be read.
    with contextlib.suppress(SettingsError):
        for universe in universes_of(settings):
            build_daily_dag(universe, settings)
            if with_tasks:
                calendar_of(universe)


def main() -> None:
    """Run a command of `airflow` after the imports that its forks need."""
    search_rarely()
    command = sys.argv[1]
    if command in FORKING_COMMANDS:
        preload(with_tasks=_forks_tasks(command))
        gc.freeze()  # a search in a fork would copy all that it shares with this process
    if command in TASK_COMMANDS:
        wait_for_api_server()
    runpy.run_module("airflow", run_name="__main__", alter_sys=True)


def wait_for_api_server() -> None:
    """Wait until the API server answers, however long that takes."""
    import httpx
    from airflow.executors.base_executor import get_execution_api_server_url

    health = f"{get_execution_api_server_url().rstrip('/')}/health"
    print(f"Waiting for the API server at {health}", flush=True)
    # As tasks ask it: with the proxy that they have.
    with httpx.Client(timeout=SECONDS_TO_ANSWER_WELL) as http:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if http.get(health).is_success:
                    return
            time.sleep(SECONDS_BETWEEN_API_QUESTIONS)


def _forks_tasks(command: str) -> bool:
    """Return whether tasks are forks of the process of a command."""
    from airflow.configuration import conf

    is_local = conf.get("core", "executor") == "LocalExecutor"
    return command == "celery" or (command == "scheduler" and is_local)


if __name__ == "__main__":
    main()
