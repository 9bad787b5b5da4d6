"""Airflow's metadata of old runs, removed by its own `airflow db clean`."""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import sys
from collections.abc import Mapping

from pipeline.errors import StoreUnavailable
from pipeline.scheduling.environment import airflow_environment, airflow_home
from pipeline.settings import Settings

#: What is cleaned: the history of runs. Task instances, XComs and deadlines go with their runs. Not
#: `dag`: after some weeks without Airflow, all its DAGs would count as gone.
CLEANED_TABLES = (
    *("callback", "celery_taskmeta", "celery_tasksetmeta", "dag_run", "import_error", "job"),
    *("log", "task_reschedule", "revoked_token"),
)
CONNECTION_VARIABLE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
#: How the database is named inside of a task, which must not use it (Airflow 3).
NOT_IN_A_TASK = "airflow-db-not-allowed"
#: What Airflow prints for each table.
FOUND_ROWS = re.compile(r"^Found (\d+) rows meeting deletion criteria", re.M)


def airflow_variables(settings: Settings) -> Mapping[str, str] | None:
    """Return what makes `airflow` use this deployment's metadata; None: it is not reached here.

    It is the database that the environment names, such as in a container, or the embedded one.
    """
    named = os.environ.get(CONNECTION_VARIABLE, "")
    if named and not named.startswith(NOT_IN_A_TASK):
        return {}
    if (airflow_home(settings.home) / "migrated.json").exists():
        return airflow_environment(settings)
    return None


def clean_metadata(variables: Mapping[str, str], before: dt.datetime, is_rehearsed: bool) -> int:
    """Remove the rows of runs that began before a moment; return how many that are.

    The newest run of a DAG that its schedule has made stays.

    Args:
        variables: see `airflow_variables`.
        is_rehearsed: nothing is removed, only counted.

    Raises:
        StoreUnavailable: Airflow cannot do it; its last line is quoted.
    """
    command = [
        *(sys.executable, "-m", "airflow", "db", "clean"),
        *("--clean-before-timestamp", before.isoformat(), "--tables", ",".join(CLEANED_TABLES)),
        *(["--dry-run"] if is_rehearsed else ["--skip-archive", "--yes"]),
        "--error-on-cleanup-failure",
    ]
    # A task's process says what it is to what it starts.
    env = {n: v for n, v in os.environ.items() if n != "_AIRFLOW_PROCESS_CONTEXT"} | {**variables}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no output"]
        raise StoreUnavailable(
            f"`airflow db clean` has failed: {lines[-1]}. Run `stockcast airflow db clean --help`."
        )
    return sum(map(int, FOUND_ROWS.findall(done.stdout)))
