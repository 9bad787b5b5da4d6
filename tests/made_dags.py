"""A DAG that waits for a trigger, as Airflow's DAG processor sees it, and run in a home of its own; each in a process without anything loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

DAGS = Path(__file__).parents[1] / "dags"
#: What no DAG file may make the processor wait for.
HEAVY = ("tensorflow", "keras", "mlflow", "matplotlib", "pandas", "optuna", "statsforecast")

_BEGIN = f"""
import json, sys
from airflow.dag_processing.dagbag import DagBag
name, asked = json.loads(sys.argv[1])
bag = DagBag({str(DAGS)!r} + f"/{{name}}.py")
dag = bag.dags[name]
"""
_PARSE = f"""{_BEGIN}
print("FOUND" + json.dumps({{
    "errors": bag.import_errors,
    "heavy": [name for name in {HEAVY!r} if name in sys.modules],
    "dags": list(bag.dags),
    "schedule": dag.schedule,
    "downstream": {{task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}},
    "mapped": [task.task_id for task in dag.tasks if task.is_mapped],
    "undocumented": [task.task_id for task in dag.tasks if not task.doc_md],
    "params": {{name: dag.params[name] for name in dag.params}},
    "doc": dag.doc_md,
}}))
"""
_RUN = f"""{_BEGIN}
run = dag.test(run_conf=asked)
from airflow.utils.session import create_session
with create_session() as session:
    tasks = [
        {{"task": ti.task_id, "index": ti.map_index, "state": str(ti.state), "name": ti.rendered_map_index,
         "returned": None if ti.map_index >= 0 else ti.xcom_pull(task_ids=ti.task_id, session=session)}}
        for ti in run.get_task_instances()
    ]
print("FOUND" + json.dumps([str(run.state), sorted(tasks, key=lambda task: (task["task"], task["index"]))]))
"""


def parsed_dag(name: str, home: Path) -> dict:
    """What the processor finds in `dags/<name>.py`."""
    return _python(_PARSE, name, {}, home, {})


def run_dag(name: str, asked: dict, home: Path, **settings: str) -> tuple[str, list[dict]]:
    """Runs a DAG once with `asked` in its form; (state, its tasks with index, state, name and what they returned)."""
    given = {"AIRFLOW__CORE__DAGS_FOLDER": str(DAGS)}
    migrate = [str(Path(sys.executable).with_name("airflow")), "db", "migrate"]
    subprocess.run(migrate, env=_environment(home, given), capture_output=True, check=True, cwd=home)
    state, tasks = _python(_RUN, name, asked, home, given | settings)
    return state, tasks


def _python(code: str, name: str, asked: dict, home: Path, more: dict[str, str]):
    command = [sys.executable, "-c", code, json.dumps([name, asked])]
    done = subprocess.run(command, env=_environment(home, more), stdout=subprocess.PIPE, text=True, check=True, cwd=home)
    return json.loads(done.stdout.split("FOUND")[1].splitlines()[0])


def _environment(home: Path, more: dict[str, str]) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("STOCKCAST_", "AIRFLOW"))}
    return {**clean, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "false", "STOCKCAST_HOME": str(home), **more}
