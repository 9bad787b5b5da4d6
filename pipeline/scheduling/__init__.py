"""Scheduling: DAGs, their timetable and pages, and the services that run them.

This room is the only one that imports Airflow. Each name is loaded when it is first used (PEP
562): `stockcast run --airflow` sets Airflow's environment before Airflow is imported, and the
command line does not wait for Airflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.faces import loader_of

if TYPE_CHECKING:
    from pipeline.scheduling.airflow_client import AirflowClient
    from pipeline.scheduling.airflow_command import run_airflow
    from pipeline.scheduling.airflow_examination import examine_airflow
    from pipeline.scheduling.backfills import backfill_sessions
    from pipeline.scheduling.backtest_dag import build_backtest_dag
    from pipeline.scheduling.backups import backup, restore
    from pipeline.scheduling.daily_dag import build_daily_dag
    from pipeline.scheduling.databases import migrate
    from pipeline.scheduling.environment import (
        ADMIN_USER,
        admin_password,
        airflow_environment,
        airflow_url,
        mlflow_server_environment,
        settings_of_airflow,
    )
    from pipeline.scheduling.every_dag import airflow_dags
    from pipeline.scheduling.exercise_dag import build_exercises_dag
    from pipeline.scheduling.pages import PAGES_PREFIX
    from pipeline.scheduling.processes import SERVICES_MARK, is_marked
    from pipeline.scheduling.prune_dag import build_prune_dag
    from pipeline.scheduling.pruning import PrunedKind, prune
    from pipeline.scheduling.run_moments import run_moment
    from pipeline.scheduling.service_state import is_up
    from pipeline.scheduling.services import (
        down,
        password_of,
        services_of,
        status,
        up,
    )
    from pipeline.scheduling.session_run import run_session
    from pipeline.scheduling.supervisor import supervise
    from pipeline.scheduling.tune_dag import build_tune_dag
else:
    #: The module of each name.
    _MODULES = {
        "ADMIN_USER": "environment",
        "AirflowClient": "airflow_client",
        "PAGES_PREFIX": "pages",
        "PrunedKind": "pruning",
        "SERVICES_MARK": "processes",
        "admin_password": "environment",
        "airflow_dags": "every_dag",
        "airflow_environment": "environment",
        "airflow_url": "environment",
        "backfill_sessions": "backfills",
        "backup": "backups",
        "build_backtest_dag": "backtest_dag",
        "build_daily_dag": "daily_dag",
        "build_exercises_dag": "exercise_dag",
        "build_prune_dag": "prune_dag",
        "build_tune_dag": "tune_dag",
        "down": "services",
        "examine_airflow": "airflow_examination",
        "is_marked": "processes",
        "is_up": "service_state",
        "migrate": "databases",
        "mlflow_server_environment": "environment",
        "password_of": "services",
        "prune": "pruning",
        "restore": "backups",
        "run_airflow": "airflow_command",
        "run_moment": "run_moments",
        "run_session": "session_run",
        "services_of": "services",
        "settings_of_airflow": "environment",
        "status": "services",
        "supervise": "supervisor",
        "up": "services",
    }

    __getattr__ = loader_of(globals(), _MODULES)


__all__ = [
    "ADMIN_USER",
    "PAGES_PREFIX",
    "SERVICES_MARK",
    "AirflowClient",
    "PrunedKind",
    "admin_password",
    "airflow_dags",
    "airflow_environment",
    "airflow_url",
    "backfill_sessions",
    "backup",
    "build_backtest_dag",
    "build_daily_dag",
    "build_exercises_dag",
    "build_prune_dag",
    "build_tune_dag",
    "down",
    "examine_airflow",
    "is_marked",
    "is_up",
    "migrate",
    "mlflow_server_environment",
    "password_of",
    "prune",
    "restore",
    "run_airflow",
    "run_moment",
    "run_session",
    "services_of",
    "settings_of_airflow",
    "status",
    "supervise",
    "up",
]
