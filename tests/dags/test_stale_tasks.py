"""What is run again: all behind a cleared task that passes, and where tickers were given up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.made_dags import run_python

pytestmark = pytest.mark.slow

#: A DAG with the shape of the day: tasks of a shard that fail while a file is there, and steps
#: behind them that take those that passed.
MADE_DAG = """
import datetime as dt
from pathlib import Path
from airflow.sdk import DAG, TriggerRule, task, task_group

HERE = Path(__file__).parent

@task
def shards():
    return ["A", "B"]

@task
def fetch(name):
    if (HERE / f"no {name}").exists():
        raise ValueError(name)

@task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
def check():
    return ["A", "B"]

@task
def train(name):
    if (HERE / f"broken {name}").exists():
        raise ValueError(name)

@task
def evaluate(name):
    pass

@task_group(prefix_group_id=False)
def models(name):
    train(name) >> evaluate(name)

@task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
def promote():
    pass

@task
def report():
    pass

with DAG("made", schedule=None, start_date=dt.datetime(2020, 1, 1, tzinfo=dt.UTC), tags=TAGS):
    checked = check()
    fetch.expand(name=shards()) >> checked
    models.expand(name=checked) >> promote() >> report()
"""

#: Runs the DAG. Then for each request in turn it removes files, clears the tasks that are named
#: (with a clock that is a day ahead, or not), and goes on as the scheduler does. It prints each
#: time the run's state, and each task's state and number of attempts.
ROUNDS = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from airflow.dag_processing.dagbag import DagBag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import clear_task_instances
from airflow.sdk.definitions.dag import _run_task
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.session import create_session
from sqlalchemy import select

folder = Path(sys.argv[1])
dag = DagBag(str(folder)).dags["made"]
scheduled = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
rounds = []

def the_run():
    return session.scalar(select(DagRun).where(DagRun.run_id == run_id))

def note():
    run = the_run()
    tasks = run.get_task_instances(session=session)
    counted = {f"{t.task_id} {t.map_index}": [str(t.state), t.try_number] for t in tasks}
    rounds.append([str(run.state), counted])

def go_on():
    run = the_run()
    run.dag, run.state = scheduled, "running"
    ready, _ = run.update_state(session=session, execute_callbacks=False)
    for task in ready:
        task.try_number += 1
        task.state = "scheduled"
    session.commit()
    for task in ready:
        _run_task(ti=task, task=dag.task_dict[task.task_id])

moment = datetime.fromisoformat(sys.argv[3]) if sys.argv[3] else datetime.now(UTC)
run_id = dag.test(logical_date=moment).run_id
with create_session() as session:
    note()
    for gone, names, days_ahead in json.loads(sys.argv[2]):
        for name in gone:
            (folder / name).unlink()
        tasks = the_run().get_task_instances(session=session)
        named = [task for task in tasks if f"{task.task_id} {task.map_index}" in names]
        clear_task_instances(named, session)
        for task in named:  # an attempt's id begins with its milliseconds
            task.id = UUID(int=task.id.int + (days_ahead * 86_400_000 << 80))
        for _ in range(40):
            if the_run().state in ("queued", "running"):
                go_on()
        note()
print("FOUND" + json.dumps(rounds))
"""


def rounds(
    home: Path,
    broken: list[str],
    requests: list[Any],
    tags: str = '["stockcast"]',
    dag: str = MADE_DAG,
    moment: str = "",
) -> Any:
    """Return (state, {task: [state, attempts]}) of the run at first, and after each request."""
    folder = home / "dags"
    folder.mkdir()
    (folder / "made.py").write_text(dag.replace("TAGS", tags))
    for name in broken:
        (folder / name).touch()
    output = run_python(
        ROUNDS,
        home,
        str(folder),
        json.dumps(requests),
        moment,
        AIRFLOW__CORE__DAGS_FOLDER=str(folder),
    )
    print(output)
    return json.loads(output.split("FOUND")[1].splitlines()[0])


def attempts(tasks: dict[str, Any]) -> dict[str, int]:
    return {name: count for name, (_, count) in tasks.items()}


def again(tasks: dict[str, Any]) -> set[str]:
    """Return the tasks that were run twice."""
    return {name for name, (_, count) in tasks.items() if count == 2}


def run_since(before: dict[str, Any], tasks: dict[str, Any]) -> dict[str, int]:
    """Return how often each task was run since then, of those that were."""
    counts = {name: count - before[name][1] for name, (_, count) in tasks.items()}
    return {name: count for name, count in counts.items() if count}


def states(tasks: dict[str, Any]) -> set[str]:
    return {state for state, _ in tasks.values()}


@pytest.fixture(scope="module")
def made(airflow_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The rounds of one run: two shards fail; each is cleared alone; then nothing new passes."""
    home = tmp_path_factory.mktemp("stale")
    shutil.copy(airflow_database, home / "airflow.db")
    requests = [
        [[], ["train 1"], 0],
        [["broken B"], ["train 1"], 0],
        [["no A"], ["fetch 0"], 0],
        [[], ["report -1"], 0],
        [[], ["train 0"], 1],
    ]
    return rounds(home, ["broken B", "no A"], requests)


def test_a_training_that_fails_again_changes_nothing(made):
    first, failed_again, *_ = made
    assert (first[0], failed_again[0]) == ("success", "success")
    assert {name: state for name, (state, _) in failed_again[1].items() if state != "success"} == {
        "fetch 0": "failed",
        "train 1": "failed",
        "evaluate 1": "upstream_failed",
    }
    assert again(failed_again[1]) == {"train 1"}


def test_what_is_behind_a_training_that_passes_at_last_is_run_again_and_nothing_else(made):
    state, tasks = made[2]
    assert state == "success"
    assert again(tasks) == {"promote -1", "report -1"}
    assert tasks["evaluate 1"] == ["success", 1] and tasks["train 1"] == ["success", 3]


def test_what_is_behind_an_answer_that_comes_at_last_is_run_again(made):
    before, (state, tasks) = made[2][1], made[3]
    assert state == "success" and states(tasks) == {"success"}
    assert set(run_since(before, tasks)) == set(tasks) - {"shards -1", "fetch 1"}


def test_a_task_that_a_person_runs_again_at_the_end_is_run_once(made):
    before, (state, tasks) = made[3][1], made[4]
    assert (state, run_since(before, tasks)) == ("success", {"report -1": 1})


def test_a_clock_that_is_set_back_makes_no_run_go_round_for_ever(made):
    before, (state, tasks) = made[4][1], made[5]
    assert state == "success"
    once = dict.fromkeys(("train 0", "evaluate 0", "promote -1", "report -1"), 1)
    assert run_since(before, tasks) == once


def test_dags_of_others_are_left_alone(dag_home):
    _, (state, tasks) = rounds(dag_home, ["broken B"], [[["broken B"], ["train 1"], 0]], tags="[]")
    assert (state, tasks["evaluate 1"][0], again(tasks)) == (
        "success",
        "upstream_failed",
        {"train 1"},
    )


# Tickers that were given up

#: The same with a source that has nothing of A while a file is there.
LATE_DAG = (
    MADE_DAG.replace("def fetch(", "def ingest(")
    .replace("fetch.expand", "ingest.expand")
    .replace("raise ValueError(name)", "return [name]", 1)
    .replace("tags=TAGS", "tags=TAGS, default_args={'retries': RETRIES}")
)


def given_up(home: Path, retries: int, moment: str = "") -> Any:
    """Return how often each task is run once a run without A has ended, and A is there."""
    dag = LATE_DAG.replace("RETRIES", str(retries))
    # Its end is the scheduler's once a task is cleared.
    requests = [[["no A"], ["report -1"], 0]]
    (_, before), (state, tasks) = rounds(home, ["no A"], requests, dag=dag, moment=moment)
    assert state == "success" and states(before) == states(tasks) == {"success"}
    return run_since(before, tasks)


def test_a_day_that_ended_without_a_late_ticker_is_completed_once_it_is_there(dag_home):
    counts = given_up(dag_home, retries=1)
    assert counts.pop("report -1") == 2
    assert counts == dict.fromkeys(
        ["ingest 0", "check -1", "train 0", "train 1", "evaluate 0", "evaluate 1", "promote -1"], 1
    )


@pytest.mark.parametrize(
    ("retries", "moment"),
    [(0, ""), (1, "2021-03-01T21:30:00+00:00")],
    ids=["a person waits for it", "its close was long ago"],
)
def test_a_day_that_nothing_more_is_to_come_for_is_left_alone(dag_home, retries, moment):
    assert given_up(dag_home, retries, moment) == {"report -1": 1}
