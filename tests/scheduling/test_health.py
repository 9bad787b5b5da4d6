"""The health of services, as a server tells it that answers like Airflow's and MLflow's."""

from __future__ import annotations

import datetime as dt
import subprocess

import pytest

from pipeline.errors import RunError
from pipeline.scheduling.health import health_of, wait_until_healthy
from pipeline.settings import Settings
from tests.servers import free_port, json_server

EARLY, LATE = dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 2, tzinfo=dt.UTC)
COMPONENTS = ("scheduler", "dag_processor", "triggerer")


def answer(method: str, path: str, body: bytes) -> tuple[int, object]:
    """Answer as Airflow does whose triggerer is not well, and as MLflow does."""
    if path == "/health":
        return 200, "OK"
    states = {name: {"status": "healthy"} for name in COMPONENTS}
    states["triggerer"]["status"] = "unhealthy"
    for name in ("scheduler", "triggerer"):
        states[name][f"latest_{name}_heartbeat"] = LATE.isoformat()
    states["dag_processor"]["latest_dag_processor_heartbeat"] = EARLY.isoformat()
    return (200, states) if path == "/api/v2/monitor/health" else (404, {})


def test_each_service_is_judged_by_its_own_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody can use this proxy
    with json_server(answer) as port:
        settings = Settings(home=tmp_path, airflow_port=port, mlflow_port=port)
        assert health_of(settings) == {
            "api-server": "healthy",
            "scheduler": "healthy",
            "dag-processor": "healthy",
            "triggerer": "unhealthy",
            "mlflow": "healthy",
        }
        # A heartbeat of an earlier scheduler says nothing about this one.
        assert health_of(settings, since=LATE)["dag-processor"] == "not there yet"


def test_where_nobody_answers_nothing_is_healthy(tmp_path):
    port = free_port()
    settings = Settings(home=tmp_path, airflow_port=port, mlflow_port=port)
    assert health_of(settings) == {
        "api-server": "not answering",
        "scheduler": "not there yet",
        "dag-processor": "not there yet",
        "triggerer": "not there yet",
        "mlflow": "not answering",
    }


def test_services_that_do_not_start_are_an_error_that_quotes_the_log(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "supervisor.log").write_text("something\nerror: no room left\n\n")
    port = free_port()
    settings = Settings(home=tmp_path, airflow_port=port, mlflow_port=port)
    supervisor = subprocess.Popen(["false"])
    supervisor.wait()
    with pytest.raises(RunError, match=r"^The services did not start\. error: no room left$"):
        wait_until_healthy(settings, supervisor, EARLY)
