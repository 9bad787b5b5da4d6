"""Images and compose files on a real engine, as a user meets them: `make containers-test`.

A day through the API on one host, ended and started again; the same on a cluster, one of whose
workers is killed as it trains; and the version before, upgraded. About twenty minutes on two idle
cores from nothing, half of it images.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
import yaml

from pipeline.scheduling import AirflowClient
from tests.containers.deployment import (
    DAG,
    IMAGE,
    SECONDS_TO_RUN,
    Deployment,
    checkout_before,
    deployment,
    version_of,
)
from tests.containers.engine import Engine, engine, provide_images
from tests.docker.container_files import CLUSTER, SINGLE
from tests.servers import ROOT, wait_for

FIRST, NEXT = dt.date(2013, 2, 28), dt.date(2013, 3, 1)
GIGABYTE = 10**9
TICKERS = {b"AAPL", b"FB", b"GOOG", b"IBM", b"MSFT"}
#: Of each, as many sessions ahead.
ROWS = len(TICKERS) * 5


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    with engine(Path(os.environ.get("CONTAINERS", ROOT / "build" / "containers"))) as running:
        stand_ins = provide_images(running)
        print("Of our own making, as no registry answers:", ", ".join(stand_ins) or "none")
        yield running


@dataclass
class Day:
    """A session that was run: how it ended, and what it published."""

    state: str
    forecasts: list[str]


@pytest.fixture(scope="module")
def single(docker: Engine) -> Iterator[Deployment]:
    with deployment(docker, SINGLE, COMMIT="abc1234") as services:
        services.compose("build")
        services.up()
        yield services


@pytest.fixture(scope="module")
def day(single: Deployment) -> Day:
    """The first day on one host, from which the cluster's must not differ."""
    state = single.run(AirflowClient(single.settings), FIRST)
    return Day(state, single.forecasts(FIRST))


def test_all_services_of_one_host_are_healthy(single):
    assert single.states() == {
        "postgres": "running healthy",
        "migrate": "exited",
        "mlflow": "running healthy",
        "api-server": "running healthy",
        "scheduler": "running healthy",
        "dag-processor": "running healthy",
        "triggerer": "running healthy",
    }


def test_the_image_is_within_its_size_runs_as_nobody_and_has_no_secret(single, docker):
    [size, user] = docker.docker(
        "image", "inspect", f"{IMAGE}:latest", "--format", "{{.Size}} {{.Config.User}}"
    ).split()
    assert int(size) < 2.5 * GIGABYTE
    assert user == "10001:10001"
    values = [line.partition("=")[2] for line in single.env_file.read_text().splitlines()]
    layers = docker.docker("history", "--no-trunc", f"{IMAGE}:latest")
    assert [value for value in values if len(value) > 20 and value in layers] == []


def test_a_day_is_published_in_containers_with_the_commit_of_the_image(day, single):
    assert day.state == "success"
    assert len(day.forecasts) == ROWS
    query = f"SELECT DISTINCT code_version FROM runs WHERE cutoff = '{FIRST}'"
    assert single.query("stockcast", query) == [f"{version_of(ROOT)} (abc1234)"]


def test_mlflow_and_airflow_ask_for_a_login(single):
    for port, path in (
        (single.settings.mlflow_port, "/api/2.0/mlflow/experiments/search?max_results=1"),
        (single.settings.airflow_port, "/api/v2/dags"),
    ):
        answer = httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False)
        assert answer.status_code == HTTPStatus.UNAUTHORIZED


def test_what_a_container_may_not_write_it_cannot_and_its_task_logs_can_be_read(day, single):
    with pytest.raises(AssertionError, match="Read-only file system"):
        single.compose("exec", "-T", "scheduler", "touch", "/opt/app/here")
    airflow = AirflowClient(single.settings)
    runs = airflow.runs_between(DAG, _midnight(FIRST), _midnight(NEXT))
    [run_id] = [run["dag_run_id"] for run in runs]
    log = airflow.get(f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances/plan/logs/1")
    assert b"2013-02-28" in log


def test_the_pages_show_what_was_published(day, single):
    assert_pages_show(AirflowClient(single.settings))


def assert_pages_show(airflow: AirflowClient) -> None:
    for path in ("/", "/stocks/IBM", "/scores", "/quality"):
        assert b"sample" in airflow.get(f"/forecasts{path}?universe=sample")
    table = airflow.get("/forecasts/api/forecasts?universe=sample&format=csv")
    assert {line.split(b",")[0] for line in table.splitlines()[1:]} == TICKERS


def test_commands_of_the_program_run_in_a_container(day, single):
    shown = single.compose(
        "exec", "-T", "scheduler", "stockcast", "forecasts", "--universe", "sample"
    )
    assert "IBM" in shown and "2013-03-01" in shown
    examined = single.compose("exec", "-T", "scheduler", "stockcast", "doctor")
    assert {line.split()[0] for line in examined.splitlines() if line.strip()} <= {"ok", "warning"}


def test_stopped_and_started_everything_is_there_and_the_next_day_runs(day, single):
    single.compose("stop")
    airflow = single.up()
    assert single.forecasts(FIRST) == day.forecasts
    assert single.run(airflow, NEXT) == "success"
    assert len(single.forecasts(NEXT)) == ROWS
    single.compose("down")  # volumes stay
    single.up()
    assert single.forecasts(FIRST) == day.forecasts


def test_a_worker_that_is_killed_as_it_trains_costs_no_forecast(day, single, docker):
    single.down()
    with deployment(docker, CLUSTER) as services:
        services.compose("build")
        airflow = services.up("--scale", "worker=2")
        run_id = services.begin(airflow, FIRST)
        lost = wait_for("training", lambda: _host_that_trains(services), SECONDS_TO_RUN)
        docker.docker("kill", lost)
        assert services.ended(airflow, run_id) == "success"
        assert services.forecasts(FIRST) == day.forecasts
        assert_pages_show(airflow)  # the API server's image is the smaller one
        [slim, full] = [
            int(docker.docker("image", "inspect", f"{IMAGE}:{tag}", "--format", "{{.Size}}"))
            for tag in ("latest-slim", "latest")
        ]
        assert slim < full / 1.5


def test_the_version_before_is_upgraded_with_all_that_it_has_stored(docker):
    before = checkout_before(docker)
    images = {name: f"{IMAGE}:before" for name in _services_of(before) if name != "postgres"}
    other = docker.work / "before.yaml"
    changes = {"services": {name: {"image": image} for name, image in images.items()}}
    other.write_text(yaml.safe_dump(changes))
    with deployment(docker, SINGLE, before, "--file", str(other)) as services:
        services.compose("build", "migrate")
        airflow = services.up()
        assert services.run(airflow, FIRST) == "success"
        published = services.forecasts(FIRST)
        assert len(published) == ROWS
        services.compose("stop")
        new = Deployment(docker, ROOT, SINGLE, services.env_file, services.settings)
        airflow = new.up()
        assert new.forecasts(FIRST) == published
        assert new.run(airflow, NEXT) == "success"
        assert len(new.forecasts(NEXT)) == ROWS
        versions = new.query("stockcast", "SELECT DISTINCT code_version FROM runs ORDER BY 1")
        assert versions == [version_of(before), version_of(ROOT)]


def _host_that_trains(services: Deployment) -> str:
    query = "SELECT hostname FROM task_instance WHERE task_id = 'pretrain' AND state = 'running'"
    look = "grep -l 'pipeline.training.worker[s]' /proc/[0-9]*/cmdline || true"
    for host in services.query("airflow", query):
        if services.engine.docker("exec", host, "sh", "-c", look).strip():
            return host
    return ""


def _services_of(checkout: Path) -> list[str]:
    text = (checkout / "docker" / SINGLE).read_text(encoding="utf-8")
    return list(yaml.safe_load(text)["services"])


def _midnight(session: dt.date) -> dt.datetime:
    return dt.datetime.combine(session, dt.time(), dt.UTC)
