"""Several machines for real: one loses its power while it trains, and no forecast changes.

They are those of a single machine.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import psutil
import pytest

from pipeline.scheduling import AirflowClient, admin_password, run_moment
from pipeline.sessions import Calendar
from pipeline.storage import Store
from pipeline.tables import CALIBRATIONS, DRIFT, EVALUATIONS, FORECASTS, MODELS, PROMOTIONS, SCORES
from tests.cluster.machines import Cluster, Machine, cluster
from tests.listening import listening
from tests.made_prices import random_walk
from tests.servers import has_read, wait_for

TICKERS = [f"T{number:02d}" for number in range(8)]
#: Every second stock has enough history for networks of its own; the one that all train together is
#: measured on the others.
SESSIONS = {ticker: (160, 420)[number % 2] for number, ticker in enumerate(TICKERS)}
SHARD, HORIZON = 4, 5
#: The networks of a shard: a current and a previous one for two of its stocks.
NETWORKS = 4
DAG = "daily_forecast_eight"
#: The first as a run of its own, the others as a backfill; all between two trainings.
CUTOFF = dt.date(2013, 2, 1)
FIRST, *REST = [dt.date(2013, 2, day) for day in (15, 19, 20)]
COUNT = 1 + len(REST)
#: Generous: the whole of it needs minutes of processor time, which others may want too.
SECONDS_TO_RUN = 900


@dataclass
class Outcome:
    """What is left when all is done.

    Attributes:
        attempts: at all tasks, as `Cluster.task_instances` has them.
        lost: the attempt at `pretrain` that the power cut ended.
        single: the home of a machine that has done the same alone.
    """

    cluster: Cluster
    attempts: list[dict]
    lost: dict
    single: Path


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder outside pytest's own.

    As root, PostgreSQL runs as another user, whom pytest locks out of its folder again and again.
    """
    made = Path(tempfile.mkdtemp(prefix="stockcast-cluster-", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def universes(folder: Path) -> Path:
    prices = folder / "prices"
    prices.mkdir()
    for number, (ticker, count) in enumerate(SESSIONS.items()):
        random_walk(number, count).to_csv(prices / f"{ticker}.csv", index=False)
    file = folder / "universes.toml"
    lines = ["[eight]", 'source = "csv"', f'data = "{prices}"', f"tickers = {TICKERS}", ""]
    file.write_text("\n".join(lines).replace("'", '"'))
    return file


@pytest.fixture(scope="module")
def outcome(folder: Path, universes: Path, mlflow_database: Path) -> Iterator[Outcome]:
    with cluster(folder, universes, "eight", workers=1, shard_size=SHARD) as running:
        for name in ("one", "two"):
            running.add_worker(name)
        running.wait_until_up()
        airflow = AirflowClient(running.settings)
        wait_for("the DAG", lambda: has_read(airflow, DAG) and not airflow.is_paused(DAG))
        run_id = airflow.run_again_or_first(DAG, _moment(FIRST), {}, {})

        lost = wait_for("training", lambda: _in_training(running), SECONDS_TO_RUN, pause=0.5)
        running.workers[lost["hostname"]].cut_power()
        running.add_worker("three")
        alone = running.add_single()
        shutil.copy(mlflow_database, alone.home / "mlflow.db")
        all_sessions = _backfill_alone(alone, universes)

        wait_for(
            "the first run",
            lambda: airflow.state_of(DAG, run_id) in ("success", "failed"),
            SECONDS_TO_RUN,
            pause=1,
        )
        airflow.backfill(DAG, REST[0], REST[-1], max_active_runs=4, reprocess="none", conf={})
        wait_for("the backfill", lambda: _is_done(airflow), SECONDS_TO_RUN, pause=1)
        assert all_sessions.wait(SECONDS_TO_RUN) == 0
        yield Outcome(running, running.task_instances(), lost, alone.home)


def _moment(session: dt.date) -> dt.datetime:
    return run_moment(Calendar("XNYS"), session)


def _in_training(running: Cluster) -> dict | None:
    """Return the attempt at `pretrain` whose machine has started a process that trains."""
    for task in running.task_instances():
        if (task["task_id"], task["state"]) == ("pretrain", "running"):
            for process in running.workers[task["hostname"]].processes():
                with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                    if "pipeline.training.workers" in " ".join(process.cmdline()):
                        return task
    return None


def _backfill_alone(machine: Machine, universes: Path):
    places = {
        "store-url": f"sqlite:///{machine.home}/store.db",
        "tracking-uri": f"sqlite:///{machine.home}/mlflow.db",
    }
    chosen = {
        "universes": universes,
        "universe": "eight",
        "workers": 1,
        "from": FIRST,
        "to": REST[-1],
    }
    options = [
        str(word) for name, value in (places | chosen).items() for word in (f"--{name}", value)
    ]
    return machine.start(
        "backfill", sys.executable, "-m", "tests.short_recipe", "stockcast", "backfill", *options
    )


def _is_done(airflow: AirflowClient) -> bool:
    runs = airflow.runs_between(DAG, _moment(REST[0]), _moment(REST[-1]))
    return len(runs) == len(REST) and all(run["state"] in ("success", "failed") for run in runs)


@pytest.mark.slow
def test_the_others_go_on_when_a_machine_is_lost_in_the_middle_of_training(outcome):
    airflow = AirflowClient(outcome.cluster.settings)
    runs = airflow.runs_between(DAG, _moment(FIRST), _moment(REST[-1]))
    assert [run["state"] for run in runs] == ["success"] * COUNT
    same = ("run_id", "task_id", "map_index")
    attempts = [
        task for task in outcome.attempts if all(task[name] == outcome.lost[name] for name in same)
    ]
    first, second = sorted(attempts, key=lambda task: task["try_number"])
    assert (first["hostname"], second["hostname"] != first["hostname"], second["state"]) == (
        outcome.lost["hostname"],
        True,
        "success",
    )
    assert [task for task in outcome.attempts if task["try_number"] > 1] == [second], (
        "nothing else was done twice"
    )


@pytest.mark.slow
def test_all_machines_did_work(outcome):
    done = Counter(task["hostname"] for task in outcome.attempts if task["state"] == "success")
    assert {*done, outcome.lost["hostname"]} == {"one", "two", "three"}
    # Nine tasks once a session and four per shard; nothing has drifted, so there is no
    # `drift_warning`.
    assert sum(done.values()) == COUNT * (9 + 4 * 2)


@pytest.mark.slow
def test_every_forecast_is_there_exactly_once_and_is_the_single_machines(outcome):
    keys = "count(DISTINCT (ticker, cutoff, horizon))"
    query = f"SELECT count(*) AS rows, {keys} AS keys FROM forecasts"
    [counts] = outcome.cluster.rows("stockcast", query)
    assert counts == {
        "rows": COUNT * len(TICKERS) * HORIZON,
        "keys": COUNT * len(TICKERS) * HORIZON,
    }
    ours = Store.open(outcome.cluster.settings.store_url)
    alone = Store.open(f"sqlite:///{outcome.single}/store.db")
    for table in (FORECASTS, PROMOTIONS, CALIBRATIONS, EVALUATIONS, SCORES, DRIFT):
        rows = [
            store.load(table).drop(columns="published_at", errors="ignore")
            for store in (ours, alone)
        ]
        pd.testing.assert_frame_equal(*rows, check_exact=True, obj=table.name)
    assert len(ours.load(MODELS)) == 2 * NETWORKS + 1
    ours.close()
    alone.close()


@pytest.mark.slow
def test_the_networks_in_s3_are_the_single_machines_byte_for_byte(outcome):
    made = {
        path.name: path.read_bytes()
        for path in (outcome.single / "artifacts" / "models").glob("*.keras")
    }
    fetched = outcome.cluster.objects("artifacts/models/", ".keras")
    assert len(made) == 2 * NETWORKS + 1
    assert {Path(name).name: content for name, content in fetched.items()} == made


@pytest.mark.slow
def test_mlflow_has_one_finished_run_for_each_session_and_measured_stock_and_keeps_files_in_s3(
    outcome,
):
    query = "SELECT name, status, artifact_uri FROM runs WHERE lifecycle_stage = 'active'"
    runs = outcome.cluster.rows("mlflow", query)
    # A stock's own networks are measured once, at the session that they are trained up to; the one
    # that all train, again on each session.
    trained = {
        ticker: [CUTOFF] if count > 400 else [FIRST, *REST] for ticker, count in SESSIONS.items()
    }
    stocks = [
        f"{ticker} {session} default"
        for ticker, sessions in trained.items()
        for session in sessions
    ]
    assert sorted(run["name"] for run in runs) == sorted(
        [*stocks, *(f"{session} default" for session in (CUTOFF, FIRST, *REST))]
    )
    assert {run["artifact_uri"].split("/")[0] for run in runs} == {"mlflow-artifacts:"}
    assert {run["status"] for run in runs} == {"FINISHED"}
    assert len(outcome.cluster.objects("mlflow/", "predictions.csv")) >= NETWORKS


@pytest.mark.slow
def test_nothing_goes_over_the_disk_of_another_and_everything_listens_on_loopback(outcome):
    for machine in outcome.cluster.workers.values():
        left = {
            path.relative_to(machine.home).parts[0]
            for path in machine.home.rglob("*")
            if path.is_file()
        }
        assert not {"artifacts", "postgres"} & left
    machines = (outcome.cluster.head, *outcome.cluster.workers.values())
    processes = [process for machine in machines for process in machine.processes()]
    assert {address for address, _ in listening(processes)} == {"127.0.0.1"}


@pytest.mark.slow
def test_no_process_shows_a_password_on_its_command_line(outcome):
    env, head = outcome.cluster.head.env, outcome.cluster.head
    urls = [env["STOCKCAST_STORE_URL"], env["AIRFLOW__CELERY__BROKER_URL"]]
    passwords = [urlsplit(url).password for url in urls]
    words = [env["AWS_SECRET_ACCESS_KEY"], env["AIRFLOW__CORE__FERNET_KEY"]]
    secrets = [*passwords, *words, admin_password(head.home)]
    assert all(secrets)
    lines = [
        " ".join(process.cmdline())
        for machine in (head, *outcome.cluster.workers.values())
        for process in machine.processes()
    ]
    assert len(lines) > 10
    assert [line for line in lines if any(secret in line for secret in secrets)] == []
