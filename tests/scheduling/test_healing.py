"""The services under a real `stockcast up`: each is killed, comes back and is told of once.

The universe's one ticker is asked of a source that takes every connection and never answers, so
its `ingest` is a task in the middle of its work. The same server is everybody's proxy: what goes
through it to this machine itself hangs as well. Databases have a password, though nobody asks for
it, and no command line and no page shows it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import httpx
import psutil
import pytest

from pipeline.parts import mlflow_url
from pipeline.scheduling.airflow_client import AirflowClient
from pipeline.scheduling.daily_names import daily_dag_id
from pipeline.scheduling.environment import load_secrets
from pipeline.scheduling.health import HEALTHY, health_of
from pipeline.scheduling.processes import marked_processes
from pipeline.scheduling.run_moments import run_moment
from pipeline.scheduling.service_state import ServiceState, is_up, services_states, supervisor_pid
from pipeline.scheduling.services import password_of, status
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from pipeline.storage import embedded_postgres
from tests import servers
from tests.servers import Deployment, has_read, tasks_of, wait_for, webhook

pytestmark = pytest.mark.slow

UNIVERSE = '[hanging]\nsource = "yahoo"\ntickers = ["KO"]\n'
DAG = daily_dag_id("hanging")
SESSION = dt.date(2013, 2, 28)
SECRET = "Xy7-open-sesame"
SERVICES = {"postgres", "api-server", "scheduler", "dag-processor", "triggerer", "mlflow"}
#: Makes the databases, which the embedded server makes for its own URLs only.
DATABASES = """
from pipeline.settings import Settings
from pipeline.storage import embedded_postgres

for name in ("stockcast", "mlflow"):
    print(embedded_postgres.url(Settings().home, name))
"""


@dataclass
class Site:
    """Services that are up, with a task at work.

    Attributes:
        posts: what a webhook has taken: path and body.
    """

    deployed: Deployment
    airflow: AirflowClient
    run_id: str
    posts: list[tuple[str, bytes]]

    @property
    def settings(self) -> Settings:
        return self.deployed.settings

    def states(self) -> dict[str, ServiceState]:
        return services_states(self.settings.home)

    def kill(self, *names: str) -> None:
        """Kill the processes of services; that of PostgreSQL as its own file names it."""
        states = self.states()
        data = self.settings.home / "postgres" / "data" / "postmaster.pid"
        for name in names:
            pid = states[name].pid or int(data.read_text().split()[0])
            os.kill(pid, signal.SIGKILL)

    def wait_until_back(self, *names: str) -> None:
        """Wait until these services were started again, and all are healthy."""
        wait_for("the next starts", lambda: all(self.states()[name].restarts for name in names))
        wait_for("health", self.is_healthy, pause=0.5)

    def is_healthy(self) -> bool:
        return set(health_of(self.settings).values()) == {HEALTHY}

    def ingest(self) -> tuple[str, int]:
        """Return the state of the task at work, and its try."""
        [task] = [
            task
            for task in tasks_of(self.airflow, DAG, self.run_id)
            if task["task_id"].endswith("ingest")
        ]
        return task["state"], task["try_number"]

    def messages(self) -> list[str]:
        return sorted(json.loads(body)["text"].split()[0] for _, body in self.posts)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=100) as silent,
        webhook() as (port, posts),
        servers.deployment(
            UNIVERSE, universe="hanging", fetch_timeout=900, notify_webhook="chat"
        ) as deployed,
    ):
        made = deployed.python("-c", DATABASES)
        store, tracking = (
            url.replace("postgres@", f"postgres:{SECRET}@") for url in made.stdout.split()
        )
        deployed.settings = deployed.settings.replaced(store_url=store, tracking_uri=tracking)
        proxy = f"http://127.0.0.1:{silent.getsockname()[1]}"
        proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY"), proxy)
        chat = {"conn_type": "http", "host": f"http://127.0.0.1:{port}"}
        up = deployed.python(
            *("-m", "pipeline", "up"), AIRFLOW_CONN_CHAT=json.dumps(chat), **proxies
        )
        assert up.returncode == 0, up.stderr
        airflow = AirflowClient(deployed.settings)
        wait_for("the DAG", lambda: has_read(airflow, DAG), pause=0.5)
        moment = run_moment(Calendar("XNYS"), SESSION)
        run_id = airflow.run_again_or_first(DAG, moment, {"session": str(SESSION)}, {})
        airflow._call("PATCH", f"/api/v2/dags/{DAG}", {"is_paused": False})
        made_site = Site(deployed, airflow, run_id, posts)
        wait_for("the task", lambda: made_site.ingest() == ("running", 1), pause=0.5)
        yield made_site


def test_a_killed_api_server_comes_back_before_a_task_has_lost_a_try(site):
    site.kill("api-server", "mlflow")
    site.wait_until_back("api-server", "mlflow")
    assert site.ingest() == ("running", 1)


def test_everything_that_is_killed_comes_back_and_costs_a_task_one_try(site):
    rest = SERVICES - {"api-server", "mlflow"}
    site.kill(*rest)
    site.wait_until_back(*rest)
    wait_for("the task's next try", lambda: site.ingest() == ("running", 2), pause=0.5)


def test_each_end_is_told_of_once_in_log_status_and_messages(site):
    wait_for("the messages", lambda: set(site.messages()) == SERVICES)
    assert len(site.messages()) == len(SERVICES)
    log = (site.settings.home / "logs" / "supervisor.log").read_text()
    for name in SERVICES:
        assert log.count(f" {name} has ended by itself (") == 1
    lines = {line.split()[0]: line for line in status(site.settings).splitlines()}
    for name in SERVICES - {"postgres"}:
        assert f" {name} has ended by itself (killed by SIGKILL)" in log
        # Twice where it also ended because PostgreSQL had.
        again = r"healthy   \(started again [12]x; ended at 20\S+ \S+ UTC: .+\)"
        assert re.search(again, lines[name]), lines[name]


def is_at_work(process: psutil.Process) -> bool:
    """Return whether a process runs; one that only waits for its parent does not."""
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def secrets_of(settings: Settings) -> set[str]:
    """Return every secret of a deployment."""
    passwords = {password_of(settings, service) for service in ("airflow", "mlflow")}
    return {SECRET, *passwords, *load_secrets(settings.home).values()}


def test_no_command_line_has_a_secret(site):
    supervisor = psutil.Process(supervisor_pid(site.settings.home))
    lines = [" ".join(supervisor.cmdline())]
    children = supervisor.children(recursive=True)
    for process in (*marked_processes(site.settings.home), *children):
        with contextlib.suppress(psutil.Error):  # it has ended
            lines.append(" ".join(process.cmdline()))
    assert any("pipeline.tracking.server" in line for line in lines)
    assert any("airflow" in line and "scheduler" in line for line in lines)
    for secret in secrets_of(site.settings):
        assert [line for line in lines if secret in line] == []


def test_no_page_has_a_secret_but_to_ask_for_it(site):
    schema = json.loads(site.airflow.get("/openapi.json"))
    paths = [path for path, methods in schema["paths"].items() if "get" in methods]
    own = ("", "/scores", "/quality", "/stocks/KO", "/api/forecasts")
    run = quote(site.run_id)
    asked = [
        *(path for path in paths if "{" not in path),
        *(f"/forecasts{path}" for path in own),
        *(f"/api/v2/dags/{DAG}{path}" for path in ("", "/details", "/dagRuns", "/tasks")),
        *(f"/api/v2/dags/{DAG}/dagRuns/{run}{path}" for path in ("", "/taskInstances")),
    ]
    texts = {}
    for path in asked:
        answer = site.airflow._http.get(path, headers=site.airflow._headers)
        texts[path] = answer.text
    assert sum(len(text) for text in texts.values()) > 10_000
    mlflow, login = mlflow_url(site.settings), ("admin", password_of(site.settings, "mlflow"))
    for path in ("/", "/api/2.0/mlflow/experiments/search?max_results=9", "/version"):
        texts[path] = httpx.get(mlflow + path, auth=login, trust_env=False).text
    texts["status"] = site.deployed.stockcast("status").stdout
    texts["up"] = site.deployed.stockcast("up").stdout
    for secret in secrets_of(site.settings):
        assert [path for path, text in texts.items() if secret in text] == []


#: Every address of MLflow's server with its methods, and values for what is variable in them.
ROUTES = """
import json, os
os.environ["_MLFLOW_SGI_NAME"] = "gunicorn"
from mlflow.server.auth import app, create_app

create_app()
with app.test_request_context():
    rules = list(app.url_map.iter_rules())
print(json.dumps([(rule.rule, sorted(rule.methods - {"HEAD", "OPTIONS"})) for rule in rules]))
"""
#: What MLflow answers to everybody: that it is there, the files of its pages, and what it can do.
OPEN = ("/health", "/static-files/", "server-info")


def test_mlflow_answers_nobody_without_its_login(site):
    made = site.deployed.python(
        *("-c", ROUTES),
        MLFLOW_AUTH_CONFIG_PATH=str(site.settings.home / "airflow" / "mlflow_auth.ini"),
        MLFLOW_AUTH_ADMIN_USERNAME="admin",
        MLFLOW_FLASK_SERVER_SECRET_KEY="some",
    )
    assert made.returncode == 0, made.stderr
    rules = json.loads(made.stdout.splitlines()[-1])
    address = mlflow_url(site.settings)
    with httpx.Client(base_url=address, trust_env=False) as http:
        answers = {
            (rule, method): http.request(method, rule.replace("<", "").replace(">", "")).status_code
            for rule, methods in rules
            for method in methods
            if not any(part in rule for part in OPEN)
        }
        wrong = http.get("/", auth=("admin", "password1234")).status_code
        right = http.get("/", auth=("admin", password_of(site.settings, "mlflow"))).status_code
    assert len(answers) > 100
    assert {at: code for at, code in answers.items() if code not in (401, 403)} == {}
    assert (wrong, right) == (401, 200)


def test_a_service_that_cannot_be_started_says_why_and_down_ends_everything(site):
    settings = site.settings
    # Whoever is first has the port: the service that is started again, or this test.
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def is_mine() -> bool:
            for process in marked_processes(settings.home, "mlflow"):
                process.kill()
            try:
                taken.bind(("127.0.0.1", settings.mlflow_port))
            except OSError:
                return False
            return True

        wait_for("the port", is_mine, pause=0.01)
        taken.listen()
        wait_for("three ends", lambda: site.states()["mlflow"].ends >= 3)
        lines = {line.split()[0]: line for line in status(settings).splitlines()}
        port = f"Port {settings.mlflow_port} for mlflow cannot be used (Address already in use)"
        assert port in lines["mlflow"]
        assert "Next start at" in lines["mlflow"]
        assert str(settings.home / "logs" / "mlflow.log") in lines["mlflow"]
        processes = marked_processes(settings.home)
        assert site.deployed.stockcast("down").stdout == "It is down.\n"
    assert [process for process in processes if is_at_work(process)] == []
    assert marked_processes(settings.home) == []
    assert not is_up(settings.home)
    assert not embedded_postgres.running(settings.home)
    assert not list(settings.home.rglob("*.draft"))
