"""DAGs as Airflow's DAG processor sees them, and runs of them; each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.airflow_homes import clean_environment
from tests.forked_airflow import ForkedAirflow

DAGS = Path(__file__).parents[1] / "dags"
#: Libraries that no DAG file may make the processor wait for.
HEAVY = (
    "exchange_calendars",
    "great_expectations",
    "keras",
    "matplotlib",
    "mlflow",
    "optuna",
    "pandas",
    "statsforecast",
    "tensorflow",
    "yfinance",
)

#: Loads the folder, stores and restores every DAG, and prints what it found.
_PARSE = f"""
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
heavy = [name for name in {HEAVY!r} if name in sys.modules]
from airflow.serialization.serialized_objects import DagSerialization

def param(dag, name):
    found = dag.params.get_param(name)
    return {{**found.schema, "default": found.value, "description": found.description}}

def rule(task):
    return task.trigger_rule.value

def described(dag):
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    return {{
        "file": dag.fileloc.rpartition("/")[2],
        "scheduled": dag.schedule is not None,
        "summary": stored.timetable.summary,
        "periodic": stored.timetable.periodic,
        "catchup": stored.catchup,
        "paused": dag.is_paused_upon_creation,
        "ends_runs": dag.on_failure_callback is not None,
        "groups": [name for name in stored.task_group.children if name not in stored.task_ids],
        "downstream": {{task.task_id: sorted(task.downstream_task_ids) for task in stored.tasks}},
        "mapped": [task.task_id for task in dag.tasks if task.is_mapped],
        "retries": {{task.task_id: task.retries for task in stored.tasks}},
        "rules": {{t.task_id: rule(t) for t in dag.tasks if rule(t) != "all_success"}},
        "outlets": [[t.task_id, asset.name, asset.uri] for t in dag.tasks for asset in t.outlets],
        "pools": {{t.task_id: t.pool for t in dag.tasks if t.pool != "default_pool"}},
        "undocumented": [task.task_id for task in dag.tasks if not task.doc_md],
        "params": {{name: param(dag, name) for name in dag.params}},
        "page": dag.doc_md,
        "tags": sorted(dag.tags),
    }}

dags = {{dag_id: described(dag) for dag_id, dag in bag.dags.items()}}
print("FOUND" + json.dumps({{"errors": bag.import_errors, "heavy": heavy, "dags": dags}}))
"""

_RUN = f"""
import json, sys
from airflow.dag_processing.dagbag import DagBag
file, dag_id, conf = json.loads(sys.argv[1])
dag = DagBag(f"{DAGS}/{{file}}").dags[dag_id]
run = dag.test(run_conf=conf)
from airflow.utils.session import create_session
with create_session() as session:
    tasks = [
        {{
            "task": task.task_id,
            "index": task.map_index,
            "state": str(task.state),
            "name": task.rendered_map_index,
            "returned": None if task.map_index >= 0
            else task.xcom_pull(task_ids=task.task_id, session=session),
        }}
        for task in run.get_task_instances()
    ]
tasks.sort(key=lambda task: (task["task"], task["index"]))
print("FOUND" + json.dumps([str(run.state), run.run_id, tasks]))
"""


def parsed_dags(home: Path, folder: Path = DAGS, **settings: str) -> dict[str, Any]:
    """Return import errors, heavy libraries and all DAGs of a folder, by id.

    A process that has imported nothing else finds them.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PARSE, folder],
        env=clean_environment(home, **settings),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=home,
    )
    parsed: dict[str, Any] = found(done.stdout)
    return parsed


def run_dag(
    airflow: ForkedAirflow,
    file: str,
    conf: dict[str, Any],
    home: Path,
    dag_id: str = "",
    **settings: str,
) -> tuple[str, str, list[dict[str, Any]]]:
    """Run a DAG once with `conf` in its form, in a home with a migrated database.

    Args:
        file: its file in `dags/`, without ".py".
        dag_id: empty: the file's name.

    Returns:
        The state, the run id, and the tasks with index, state, name and what they returned.
    """
    # One worker: importing TensorFlow is most of what training takes here.
    changes = {"AIRFLOW__CORE__DAGS_FOLDER": str(DAGS), "STOCKCAST_WORKERS": "1", **settings}
    request = json.dumps([f"{file}.py", dag_id or file, conf])
    state, run_id, tasks = found(airflow.run(_RUN, home, request, **changes))
    return state, run_id, tasks


def found(output: str) -> Any:
    """Return what a process has printed as JSON behind the word FOUND."""
    print(output)  # for whoever looks at a test that failed
    return json.loads(output.split("FOUND")[1].splitlines()[0])
