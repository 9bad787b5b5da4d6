"""`stockcast run --airflow`, `up` and `down` for real, of an installed wheel in another folder.

The universe's one stock is too young for a network, so nothing is trained.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from pipeline.errors import SettingsError
from pipeline.parts import mlflow_url
from pipeline.private_home import is_open
from pipeline.scheduling.airflow_client import AirflowClient
from pipeline.scheduling.environment import PRICE_POOL_SLOTS, admin_password
from pipeline.scheduling.processes import marked_processes
from pipeline.scheduling.run_moments import run_moment
from pipeline.scheduling.services import down, password_of, status, up
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from pipeline.storage import embedded_postgres
from tests import servers
from tests.listening import listening
from tests.made_once import MadeOnce
from tests.servers import SECONDS_TO_START, Deployment, wait_for
from tests.wheels import installed_python

DAG = "daily_forecast_young"
YOUNG = '[young]\nsource = "sample"\ntickers = ["FB"]\n'
#: The stock has a forecast at the first of these sessions, and too few sessions at the second.
SESSION, TOO_EARLY = "2013-02-28", "2012-06-01"
#: The sessions of a run that is terminated, and of one that a person marks as failed.
TERMINATED, MARKED_SESSION = "2013-02-27", "2013-02-26"


@pytest.fixture(scope="module")
def deployment(made_once: MadeOnce) -> Iterator[Deployment]:
    with servers.deployment(YOUNG, installed_python(made_once), universe="young") as deployed:
        yield deployed


def run(deployment: Deployment, session: str) -> subprocess.CompletedProcess[str]:
    return deployment.stockcast("run", "--airflow", "--session", session)


def table_of(output: str) -> str:
    """Return what a run prints between its progress and where everything is."""
    return output.partition("\n\n")[2].partition("\nReport ")[0]


@pytest.fixture(scope="module")
def first(deployment: Deployment) -> subprocess.CompletedProcess[str]:
    """The output of the first run of this home."""
    return run(deployment, SESSION)


@pytest.mark.slow
def test_a_run_prints_its_progress_and_its_forecasts_and_the_same_again(deployment, first):
    assert (first.returncode, first.stderr) == (0, "")
    steps = [line.split()[0] for line in first.stdout.partition("\n\n")[0].splitlines()[1:]]
    # There is too little history for the network of all, and for `har`.
    assert steps[2:5] == ["pretrain", "pretrain", "build_windows"]
    after = ["train", "evaluate", "promote", "publish", "score", "watch", "report"]
    assert steps[:2] + steps[5:] == ["ingest", "check", *after]
    assert "FB" in table_of(first.stdout)
    again = run(deployment, SESSION)
    assert (again.returncode, table_of(again.stdout)) == (0, table_of(first.stdout))


#: The slots of the pool that a run has made; and again, after somebody has changed them. (In a
#: process of its own: a process that uses the server keeps it up.)
POOL = """
import sqlalchemy as sa
from pipeline.scheduling.price_pool import make_price_pool
from pipeline.settings import Settings
from pipeline.storage import embedded_postgres

url = embedded_postgres.url(Settings().home, "airflow")
for change in ("SELECT 1", "UPDATE slot_pool SET slots = 5 WHERE pool = 'prices'"):
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text(change))
        make_price_pool(connection)
    with sa.create_engine(url).begin() as connection:
        print(*connection.scalars(sa.text("SELECT slots FROM slot_pool WHERE pool = 'prices'")))
"""


#: Prints those of the paths on standard input that can be reached.
REACHED = (
    "import os, sys; print([path for path in sys.stdin.read().split() if os.path.lexists(path)])"
)


@pytest.mark.slow
def test_nobody_else_reaches_what_a_run_has_made(deployment, first):
    assert first.returncode == 0
    made = list(deployment.home.rglob("*"))
    names = {path.relative_to(deployment.home).parts[0] for path in made}
    assert {"airflow", "artifacts", "data_docs", "logs", "postgres"} <= names
    assert not is_open(deployment.home)
    if os.geteuid() == 0:  # who may be anybody
        everything = "\n".join(map(str, made))
        command = [shutil.which("python3", path=os.defpath) or sys.executable, "-c", REACHED]
        nobody = {"user": "nobody", "group": 65534, "extra_groups": []}
        done = subprocess.run(command, input=everything, capture_output=True, text=True, **nobody)
        assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.slow
def test_a_run_makes_the_pool_that_ingest_takes_and_leaves_the_slots_that_people_give_it(
    deployment, first
):
    done = deployment.python("-c", POOL)
    assert (done.stdout.split(), done.stderr) == ([str(PRICE_POOL_SLOTS), "5"], "")


#: A run on a day when the source does not answer for one of the tickers.
OUTAGE = f"""
import sys
from pipeline.cli import main
from pipeline.daily import STEPS
from pipeline.errors import SourceUnavailable

def ingest(parts, run, tickers, real=STEPS["ingest"]):
    if tickers == ["GONE"]:
        raise SourceUnavailable("GONE: no answer")
    real(parts, run, tickers)

STEPS["ingest"] = ingest
sys.exit(main(["run", "--airflow", "--session", "{SESSION}"]))
"""


@pytest.mark.slow
def test_a_ticker_that_fails_does_not_stop_the_others_and_is_named(deployment, tmp_path):
    sessions = Calendar("XNYS").sessions(dt.date(2012, 9, 4), dt.date(2013, 2, 28))
    for ticker, price in (("FINE", 20), ("GONE", 30), ("GOOD", 40)):
        bars = [(day, price + (7 * number) % 11 / 10) for number, day in enumerate(sessions)]
        rows = [
            f"{day},{close},{close + 1},{close - 1},{close},{1000 + number}"
            for number, (day, close) in enumerate(bars)
        ]
        lines = ["Date,Open,High,Low,Close,Volume", *rows]
        (tmp_path / f"{ticker}.csv").write_text("\n".join(lines))
    chosen = {"STOCKCAST_UNIVERSE": "", "STOCKCAST_SOURCE": "csv", "STOCKCAST_DATA": str(tmp_path)}
    done = deployment.python("-c", OUTAGE, **chosen)
    assert (done.returncode, done.stderr) == (1, "FAILED ingest of GONE: GONE: no answer\n")
    lines = [line for line in table_of(done.stdout).splitlines() if "last close" in line]
    assert [line.split()[0] for line in lines] == ["FINE", "GOOD"]


#: State of a session's run in MLflow, whether it belongs to a process, and why it ended.
TRACKED = """
import sys
from mlflow import MlflowClient
from pipeline.parts import tracking_uri
from pipeline.settings import Settings

client = MlflowClient(tracking_uri(Settings()))
experiment = client.get_experiment_by_name("young").experiment_id
[run] = client.search_runs([experiment], f"tags.session = '{sys.argv[1]}'")
print(run.info.status, "host" in run.data.tags["stockcast.owner"], run.data.tags["failure"])
"""


@pytest.mark.slow
def test_a_run_that_fails_is_one_line_and_leaves_no_run_in_mlflow_running(deployment, first):
    failed = run(deployment, TOO_EARLY)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: FAILED check: QualityGateFailed: ")
    assert (failed.stderr.count("\n"), "1 of 1 tickers quarantined" in failed.stderr) == (1, True)
    done = deployment.python("-c", TRACKED, TOO_EARLY)
    assert done.stdout.startswith("FAILED True FAILED check: QualityGateFailed: "), done.stderr


@pytest.mark.slow
def test_a_run_that_is_terminated_ends_at_once_and_in_mlflow_too(deployment, first):
    running = deployment.start("run", "--airflow", "--session", TERMINATED)
    for line in running.stdout:
        if line.startswith("ingest "):
            break
    running.terminate()
    output, errors = running.communicate(timeout=SECONDS_TO_START)
    assert (running.returncode, "publish" in output) == (143, False), errors
    done = deployment.python("-c", TRACKED, TERMINATED)
    assert done.stdout == "KILLED True SystemExit\n", done.stderr


@pytest.mark.slow
def test_what_cannot_be_run_is_one_line_and_starts_nothing(deployment):
    holiday = run(deployment, "2013-02-18")
    assert (holiday.returncode, len(holiday.stderr.splitlines())) == (2, 1)
    assert "2013-02-18 is no session of XNYS" in holiday.stderr
    unknown = deployment.stockcast("run", "--airflow", "--universe", "yung")
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (2, 1)
    assert "There is no universe 'yung'" in unknown.stderr


@pytest.mark.slow
def test_up_shows_the_run_takes_requests_and_backfills_and_down_leaves_nothing(deployment, first):
    settings = deployment.settings
    started = deployment.stockcast("up")
    assert (started.returncode, started.stderr) == (0, "")
    login = f"http://127.0.0.1:{settings.airflow_port}   user admin, password: `stockcast password"
    assert login in started.stdout
    for service in ("airflow", "mlflow"):
        password = deployment.stockcast("password", service).stdout
        assert password == f"{password_of(settings, service)}\n"
        assert password.strip() not in started.stdout
    assert "already" in deployment.stockcast("up").stdout
    assert deployment.stockcast("status").returncode == 0

    airflow = AirflowClient(settings)
    moment = run_moment(Calendar("XNYS"), dt.date.fromisoformat(SESSION))
    [earlier] = airflow.runs_between(DAG, moment, moment)
    assert earlier["state"] == "success"
    by_the_scheduler = run(deployment, SESSION)
    assert (by_the_scheduler.returncode, by_the_scheduler.stderr) == (0, "")

    _what_is_asked_for_is_what_runs(deployment)
    _a_backfill_runs_its_sessions(deployment, airflow)
    _pages_show_what_is_stored(deployment, airflow, earlier["dag_run_id"])
    _what_is_behind_a_task_that_is_cleared_alone_is_run_again(airflow, earlier["dag_run_id"])
    _a_run_that_fails_ends_its_run_in_mlflow(deployment)
    _a_run_that_a_person_marks_ends_its_run_in_mlflow(deployment, airflow)

    processes = marked_processes(settings.home)
    assert listening(processes) == {
        ("127.0.0.1", settings.airflow_port),
        ("127.0.0.1", settings.mlflow_port),
    }
    ended = deployment.stockcast("down")
    assert (ended.returncode, ended.stdout) == (0, "It is down.\n")
    assert [process for process in processes if _is_alive(process)] == []
    assert not embedded_postgres.running(settings.home)


def _what_is_asked_for_is_what_runs(deployment: Deployment) -> None:
    """The session has a run already, which was asked for the declared horizon."""
    asked = deployment.stockcast("run", "--airflow", "--session", SESSION, "--horizon", "2")
    assert (asked.returncode, asked.stderr) == (0, "")
    rehearsed = _horizons(deployment, "--universe", "young.rehearsal")
    assert (rehearsed, _horizons(deployment)) == ([1, 2], [1, 2, 3, 4, 5])
    shorter = deployment.stockcast(
        "run", "--airflow", "--session", SESSION, "--horizon", "2", "--publish"
    )
    assert shorter.returncode == 2 and "is published 5 sessions ahead" in shorter.stderr
    refused = deployment.stockcast("run", "--airflow", "--session", SESSION, "--seed", "8")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: seed is '8' here, and '7' where Airflow is up.")


def _horizons(deployment: Deployment, *universe: str) -> list[int]:
    """Return the sessions ahead that a session is forecast for."""
    stored = deployment.stockcast("forecasts", "--session", SESSION, "--format", "json", *universe)
    return [row["horizon"] for row in json.loads(stored.stdout)]


def _a_backfill_runs_its_sessions(deployment: Deployment, airflow: AirflowClient) -> None:
    """A weekend and Presidents' Day lie between the two sessions."""
    dates = ("--from", "2013-02-15", "--to", "2013-02-19")
    backfill = deployment.stockcast("backfill", "--airflow", *dates, "--wait")
    assert (backfill.returncode, backfill.stderr) == (0, "")
    calendar = Calendar("XNYS")
    moments = [run_moment(calendar, dt.date(2013, 2, day)) for day in (15, 19)]
    runs = airflow.runs_between(DAG, moments[0], moments[-1])
    assert [dt.datetime.fromisoformat(run["logical_date"]) for run in runs] == moments
    assert {run["state"] for run in runs} == {"success"}


def _what_is_behind_a_task_that_is_cleared_alone_is_run_again(
    airflow: AirflowClient, run_id: str
) -> None:
    before = _attempts(airflow, run_id)
    request = {"dag_run_id": run_id, "task_ids": [["train", 0]], "only_failed": False}
    airflow._call("POST", f"/api/v2/dags/{DAG}/clearTaskInstances", {**request, "dry_run": False})
    behind = ("train", "evaluate", "promote", "publish", "announce", "score", "watch", "report")
    expected = {task: count + (task in behind) for task, count in before.items()}
    wait_for("the runs", lambda: _attempts(airflow, run_id) == expected, pause=1)
    wait_for("the end", lambda: airflow.state_of(DAG, run_id) == "success", pause=1)
    assert _attempts(airflow, run_id) == expected


def _attempts(airflow: AirflowClient, run_id: str) -> dict[str, int]:
    """Return how often each task of a run has been tried; what is mapped over nothing is not."""
    path = f"/api/v2/dags/{DAG}/dagRuns/{urllib.parse.quote(run_id)}/taskInstances"
    tasks = json.loads(airflow.get(path))["task_instances"]
    return {task["task_id"]: task["try_number"] for task in tasks if task["try_number"]}


def _a_run_that_fails_ends_its_run_in_mlflow(deployment: Deployment) -> None:
    """The DAG processor does so, soon after the scheduler has seen the failure."""
    failed = run(deployment, TOO_EARLY)
    assert failed.returncode == 1
    ended = wait_for(
        "the end in MLflow", lambda: _ended_run(deployment.settings, TOO_EARLY), pause=0.5
    )
    tags = {tag["key"]: tag["value"] for tag in ended["data"]["tags"]}
    assert ended["info"]["status"] == "FAILED"
    assert tags["stockcast.owner"].startswith(f"airflow {DAG} ")
    assert tags["failure"].startswith("The DAG run failed at check")


def _a_run_that_a_person_marks_ends_its_run_in_mlflow(
    deployment: Deployment, airflow: AirflowClient
) -> None:
    """Right behind `plan`, which has opened it; the API server does so."""
    runs = f"/api/v2/dags/{DAG}/dagRuns"
    asked = {"logical_date": None, "conf": {"session": MARKED_SESSION}}
    run_id = str(airflow._call("POST", runs, asked)["dag_run_id"])
    wait_for("plan", lambda: _attempts(airflow, run_id).get("ingest"), pause=0.5)
    address = f"{runs}/{urllib.parse.quote(run_id)}?update_mask=state"
    airflow._call("PATCH", address, {"state": "failed"})
    marked = deployment.settings, MARKED_SESSION
    ended = wait_for("the end in MLflow", lambda: _ended_run(*marked), pause=0.5)
    tags = {tag["key"]: tag["value"] for tag in ended["data"]["tags"]}
    assert ended["info"]["status"] == "FAILED"
    assert tags["failure"].startswith("The DAG run was marked as failed before its end: http")


def _ended_run(settings: Settings, session: str) -> dict[str, Any] | None:
    """Return the run of a session that fails, once it has ended."""
    api = f"{mlflow_url(settings)}/api/2.0/mlflow"
    login = {"auth": ("admin", password_of(settings, "mlflow")), "trust_env": False}
    named = {"experiment_name": "young"}
    answer = httpx.get(f"{api}/experiments/get-by-name", params=named, **login).json()
    query = {
        "experiment_ids": [answer["experiment"]["experiment_id"]],
        "filter": f"tags.session = '{session}'",
    }
    found = httpx.post(f"{api}/runs/search", json=query, timeout=SECONDS_TO_START, **login).json()
    [tracked] = found["runs"]
    return None if tracked["info"]["status"] == "RUNNING" else tracked


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _pages_show_what_is_stored(deployment: Deployment, airflow: AirflowClient, run_id: str) -> None:
    """The Forecasts pages inside the running Airflow.

    Nothing without its login; with it, the store's rows and the way to the run.
    """
    pages = f"{airflow.address}/forecasts"
    assert httpx.get(f"{pages}/api/forecasts", trust_env=False).status_code == 401
    login = httpx.get(f"{pages}/stocks/FB", trust_env=False, follow_redirects=True)
    assert "/auth/login" in str(login.url)
    assert ">FB<" not in login.text
    query = f"universe=young&session={SESSION}"
    rows = json.loads(airflow.get(f"/forecasts/api/stocks/FB/forecasts?{query}"))
    stored = deployment.stockcast("forecasts", "--session", SESSION, "--format", "json")
    wanted = ("ticker", "horizon", "session", "y_hat", "lower_80", "upper_80")
    assert [[row[name] for name in wanted] for row in rows] == [
        [row[name] for name in wanted] for row in json.loads(stored.stdout)
    ]
    page = airflow.get(f"/forecasts/stocks/FB?{query}").decode()
    quoted = urllib.parse.quote(run_id, safe="")
    assert f"/dags/{DAG}/runs/{quoted}/tasks/evaluate/mapped/0" in page
    assert b'"name":"Forecasts"' in airflow.get("/api/v2/plugins").replace(b": ", b":")
    _the_documented_curl_gets_the_same_rows(deployment, len({row["ticker"] for row in rows}))


def _the_documented_curl_gets_the_same_rows(deployment: Deployment, tickers: int) -> None:
    """The example of the documentation, as it is but for port, password and universe."""
    from tests.test_docs_examples import block_with

    settings = deployment.settings
    password = json.dumps(admin_password(settings.home))
    changes = {
        "127.0.0.1:8080": f"127.0.0.1:{settings.airflow_port}",
        '"..."': password,
        "universe=sample": "universe=young",
    }
    script = block_with("TOKEN=$(curl")
    for old, new in changes.items():
        script = script.replace(old, new)
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_START)
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split(",")[0] == "ticker"
    assert [line.split(",")[0] for line in lines] == ["FB"] * tickers


def test_a_taken_port_is_named_with_its_setting(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = rf"Port {port} for api-server .* Set STOCKCAST_AIRFLOW_PORT to a free port"
        with pytest.raises(SettingsError, match=message):
            up(Settings(home=tmp_path, airflow_port=port))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_up_in_an_empty_home(tmp_path: Path):
    settings = Settings(home=tmp_path)
    assert status(settings) == "It is down. `stockcast up` starts it."
    assert down(settings) == "It was not up."
    assert list(tmp_path.iterdir()) == []
