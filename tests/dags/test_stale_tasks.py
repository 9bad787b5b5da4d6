"""What is run again: all behind a cleared task that passes, and where tickers were given up."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.forked_airflow import ForkedAirflow
from tests.made_dags import found

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

with DAG(HERE.name, schedule=None, start_date=dt.datetime(2020, 1, 1, tzinfo=dt.UTC), tags=TAGS):
    checked = check()
    fetch.expand(name=shards()) >> checked
    models.expand(name=checked) >> promote() >> report()
"""

#: The same with a source that has nothing of A while a file is there.
LATE_DAG = (
    MADE_DAG.replace("def fetch(", "def ingest(")
    .replace("fetch.expand", "ingest.expand")
    .replace("raise ValueError(name)", "return [name]", 1)
    .replace("tags=TAGS", "tags=TAGS, default_args={'retries': RETRIES}")
)

#: Runs each DAG. Then for each request in turn it removes files, clears the tasks that are named
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

def the_run():
    return session.scalar(select(DagRun).where(DagRun.dag_id == name))

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

found = {}
for name, [requests, moment] in json.loads(sys.argv[1]).items():
    folder, rounds = Path("dags", name), []
    dag = DagBag(str(folder)).dags[name]
    scheduled = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    moment = datetime.fromisoformat(moment) if moment else datetime.now(UTC)
    dag.test(logical_date=moment)
    with create_session() as session:
        note()
        for gone, names, days_ahead in requests:
            for file in gone:
                (folder / file).unlink()
            tasks = the_run().get_task_instances(session=session)
            named = [task for task in tasks if f"{task.task_id} {task.map_index}" in names]
            clear_task_instances(named, session)
            for task in named:  # an attempt's id begins with its milliseconds
                task.id = UUID(int=task.id.int + (days_ahead * 86_400_000 << 80))
            for _ in range(40):
                if the_run().state in ("queued", "running"):
                    go_on()
            note()
    found[name] = rounds
print("FOUND" + json.dumps(found))
"""


@dataclass(frozen=True)
class Case:
    """A DAG, and what is done with its run.

    Attributes:
        missing: files that are there at first, each of which makes a task fail or miss a ticker.
        requests: for each, the files that go, the tasks to clear, and days that the clock is ahead.
        moment: the run's own; empty: now.
    """

    missing: list[str]
    requests: list[Any]
    dag: str = MADE_DAG
    tags: str = '["stockcast"]'
    moment: str = ""


#: Its end is the scheduler's once a task is cleared.
AGAIN = [["no A"], ["report -1"], 0]
#: One process runs them all.
CASES = {
    "shards": Case(
        ["broken B", "no A"],
        [
            [[], ["train 1"], 0],
            [["broken B"], ["train 1"], 0],
            [["no A"], ["fetch 0"], 0],
            [[], ["report -1"], 0],
            [[], ["train 0"], 1],
        ],
    ),
    "others": Case(["broken B"], [[["broken B"], ["train 1"], 0]], tags="[]"),
    "late": Case(["no A"], [AGAIN], LATE_DAG.replace("RETRIES", "1")),
    "awaited": Case(["no A"], [AGAIN], LATE_DAG.replace("RETRIES", "0")),
    "long_ago": Case(
        ["no A"],
        [AGAIN],
        LATE_DAG.replace("RETRIES", "1"),
        moment="2021-03-01T21:30:00+00:00",
    ),
}


@pytest.fixture(scope="module")
def rounds(
    airflow: ForkedAirflow, airflow_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """(state, {task: [state, attempts]}) of each run at first, and after each request."""
    home = tmp_path_factory.mktemp("stale")
    shutil.copy(airflow_database, home / "airflow.db")
    for name, case in CASES.items():
        folder = home / "dags" / name
        folder.mkdir(parents=True)
        (folder / "made.py").write_text(case.dag.replace("TAGS", case.tags))
        for file in case.missing:
            (folder / file).touch()
    asked = {name: [case.requests, case.moment] for name, case in CASES.items()}
    folder = str(home / "dags")
    return found(airflow.run(ROUNDS, home, json.dumps(asked), AIRFLOW__CORE__DAGS_FOLDER=folder))


@pytest.fixture
def made(rounds: Any) -> Any:
    """The rounds of a run of which two shards fail.

    Each is cleared alone; then nothing new passes.
    """
    return rounds["shards"]


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


def test_dags_of_others_are_left_alone(rounds):
    _, (state, tasks) = rounds["others"]
    assert (state, tasks["evaluate 1"][0], again(tasks)) == (
        "success",
        "upstream_failed",
        {"train 1"},
    )


def given_up(rounds: Any) -> Any:
    """Return how often each task is run once a run without A has ended, and A is there."""
    (_, before), (state, tasks) = rounds
    assert state == "success" and states(before) == states(tasks) == {"success"}
    return run_since(before, tasks)


def test_a_day_that_ended_without_a_late_ticker_is_completed_once_it_is_there(rounds):
    counts = given_up(rounds["late"])
    assert counts.pop("report -1") == 2
    assert counts == dict.fromkeys(
        ["ingest 0", "check -1", "train 0", "train 1", "evaluate 0", "evaluate 1", "promote -1"], 1
    )


@pytest.mark.parametrize(
    "name", ["awaited", "long_ago"], ids=["a person waits for it", "its close was long ago"]
)
def test_a_day_that_nothing_more_is_to_come_for_is_left_alone(rounds, name):
    assert given_up(rounds[name]) == {"report -1": 1}
