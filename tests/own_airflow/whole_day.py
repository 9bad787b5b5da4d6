"""A day in an Airflow that is not this project's: FAB's users, PostgreSQL, a path prefix.

`make airflow-test` runs it with the environment that it makes: AIRFLOW_TEST_PYTHON is the
interpreter of a plain Airflow, into which the wheel was installed afterwards. Its components know
nothing of the checkout.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.cluster.machines import Machine
from tests.servers import LOOPBACK, ROOT, answers, free_port, postgres_server, wait_for

#: Generous: the whole of it needs minutes of processor time, which others may want too.
SECONDS_TO_RUN = 1800
DAG, SESSION = "daily_forecast_sample", "2013-03-01"
#: The whole DAG file.
DAG_FILE = """
from pipeline.scheduling import airflow_dags

globals().update(airflow_dags("sample"))
"""
ROLES = {"admin": "Admin", "reader": "Viewer", "stranger": "Public"}
#: A line of the README: a session ahead of IBM, the median, and intervals with their level.
LINE = re.compile(r"^ {7}(2013-03-\d\d)((?: +[\d.]+%?| +\.\.)+)$", re.MULTILINE)


@dataclass
class PlainAirflow:
    """The components of an Airflow, on a machine of their own.

    Attributes:
        bin: the folder of its programs.
        password: of every user.
    """

    machine: Machine
    bin: Path
    address: str
    password: str

    def call(self, *command: str) -> str:
        """Run a program of the environment to its end; return its output."""
        done = subprocess.run(
            (self.bin / command[0], *command[1:]),
            env=self.machine.env,
            cwd=self.machine.home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self) -> None:
        self.call("airflow", "db", "migrate")
        for name, role in ROLES.items():
            words = ("--firstname", name, "--lastname", name, "--email", f"{name}@example.com")
            login = ("--username", name, "--password", self.password, "--role", role)
            self.call("airflow", "users", "create", *login, *words)
        for component in ("api-server", "scheduler", "dag-processor"):
            self.machine.start(component, str(self.bin / "airflow"), component)
        wait_for("Airflow", lambda: answers(f"{self.address}/api/v2/monitor/health"), 300)

    def as_user(self, name: str) -> httpx.Client:
        """Return a client of the API with a user's login."""
        login = {"username": name, "password": self.password}
        answer = httpx.post(f"{self.address}/auth/token", json=login, timeout=60, trust_env=False)
        token = answer.raise_for_status().json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.address, headers=headers, timeout=60, trust_env=False)


@dataclass(frozen=True)
class Day:
    """A day that is over: the state of its DAG run, and its tasks."""

    airflow: PlainAirflow
    state: str
    tasks: list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder outside pytest's own, which locks the user of PostgreSQL out."""
    made = Path(tempfile.mkdtemp(prefix="stockcast-airflow-", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def airflow(folder: Path) -> Iterator[PlainAirflow]:
    bin_folder, port = Path(os.environ["AIRFLOW_TEST_PYTHON"]).absolute().parent, free_port()
    address, dags = f"http://{LOOPBACK}:{port}/air", folder / "dags"
    folder.chmod(0o755)
    dags.mkdir()
    (dags / "stocks.py").write_text(DAG_FILE)
    with postgres_server(folder, "airflow", "stockcast", "mlflow") as url:
        env = {
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "AIRFLOW__API__BASE_URL": address,
            "AIRFLOW__API__HOST": LOOPBACK,
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(48),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
            "AIRFLOW__CORE__AUTH_MANAGER": (
                "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
            ),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__CORE__PARALLELISM": "2",
            # As docs/how-to/use-your-own-airflow.md advises for a busy machine.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url.format("airflow"),
            "STOCKCAST_STORE_URL": url.format("stockcast"),
            "STOCKCAST_TRACKING_URI": url.format("mlflow"),
        }
        machine = Machine(folder, "plain", env)
        del machine.env["PYTHONPATH"]  # the wheel alone is what it knows
        plain = PlainAirflow(machine, bin_folder, address, secrets.token_urlsafe(12))
        try:
            plain.start()
            yield plain
        finally:
            machine.cut_power()


@pytest.fixture(scope="module")
def day(airflow: PlainAirflow) -> Day:
    with airflow.as_user("admin") as api:

        def is_read() -> bool:
            return api.get(f"/api/v2/dags/{DAG}").status_code == 200

        wait_for("the DAG", is_read, 300)
        asked = {"logical_date": None, "conf": {"session": SESSION}}
        run = api.post(f"/api/v2/dags/{DAG}/dagRuns", json=asked).raise_for_status().json()
        address = f"/api/v2/dags/{DAG}/dagRuns/{quote(run['dag_run_id'])}"
        ended = wait_for(
            "the day",
            lambda: (state := api.get(address).json()["state"]) in ("success", "failed") and state,
            SECONDS_TO_RUN,
            pause=1,
        )
        tasks = api.get(f"{address}/taskInstances?limit=100").json()["task_instances"]
    return Day(airflow, ended, tasks)


def test_every_task_succeeds_at_its_first_try(day):
    ended = {(task["state"], task["try_number"]) for task in day.tasks}
    # Nothing has drifted, so there is no `drift_warning`.
    assert (day.state, ended) == ("success", {("success", 1), ("skipped", 0)})
    names = {task["task_id"] for task in day.tasks}
    assert {"plan", "ingest", "pretrain", "publish", "announce", "report"} - names == set()


def test_the_forecasts_are_those_of_the_readme(day):
    shown = LINE.findall((ROOT / "README.md").read_text("utf-8"))
    numbers = {session: re.findall(r"\d+\.\d\d", rest) for session, rest in shown}
    assert len(numbers) == 5
    printed = day.airflow.call("stockcast", "forecasts", "--universe", "sample")
    rows = [line.split() for line in printed.splitlines()]
    # Columns after the ticker: cutoff, horizon, session, currency, last close, median, intervals.
    published = {row[6]: row[9:16] for row in rows if row[3] == "IBM"}
    assert published == numbers
    assert len(rows) == 1 + 5 * 5


def test_doctor_finds_all_that_an_airflow_of_ones_own_needs(day):
    lines = day.airflow.call("stockcast", "doctor", "--airflow").splitlines()
    assert {line.split()[0] for line in lines} == {"ok"}
    assert "ok      airflow pool   prices has 2 slots" in lines


def test_the_pages_below_the_prefix_show_forecasts_to_who_may_read_the_dag(day):
    series = [{"universe": "sample", "recipe": "default", "target": "close", "newest": SESSION}]
    seen = {}
    for name in ROLES:
        with day.airflow.as_user(name) as api:
            seen[name] = api.get("/forecasts/api/series").raise_for_status().json()
    assert seen == {"admin": series, "reader": series, "stranger": []}
