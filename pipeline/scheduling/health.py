"""The health of this deployment's services, as they answer over HTTP."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import time
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline.addresses import LOOPBACK
from pipeline.errors import RunError
from pipeline.scheduling.environment import airflow_url, serves_mlflow
from pipeline.scheduling.service_state import (
    FAILING_ENDS,
    last_line,
    service_log,
    services_states,
)
from pipeline.settings import Settings

if TYPE_CHECKING:
    import httpx

HEALTHY = "healthy"
SECONDS_TO_HEALTH = 300
SECONDS_TO_ANSWER = 5
#: Airflow's components whose hearts beat, as its API names them.
COMPONENTS = ("scheduler", "dag_processor", "triggerer")


def wait_until_healthy(
    settings: Settings, supervisor: subprocess.Popen[bytes], started: dt.datetime
) -> None:
    """Wait until all services are healthy.

    Args:
        supervisor: the process that starts them.
        started: a heartbeat from before this moment does not count.

    Raises:
        RunError: the supervisor ended, a service does not stay up, or is not healthy in time.
    """
    deadline = time.monotonic() + SECONDS_TO_HEALTH
    while True:
        health = health_of(settings, started)
        if set(health.values()) == {HEALTHY}:
            return
        if supervisor.poll() is not None:
            log = service_log(settings.home, "supervisor")
            raise RunError(f"The services did not start. {last_line(log)}")
        for name, state in services_states(settings.home).items():
            if state.ends >= FAILING_ENDS:
                raise RunError(f"{name} does not start: {state.trouble}")
        if time.monotonic() > deadline:
            late = [f"{name} is {state}" for name, state in health.items() if state != HEALTHY]
            raise RunError(
                f"After {SECONDS_TO_HEALTH} s, {', '.join(late)}. See {settings.home / 'logs'}."
            )
        time.sleep(0.25)


def health_of(settings: Settings, since: dt.datetime | None = None) -> dict[str, str]:
    """Return by service "healthy", or what is wrong.

    Args:
        since: a heartbeat from before this moment does not count; None: all count.
    """
    answer = _get(f"{airflow_url(settings)}/api/v2/monitor/health")
    airflow: dict[str, Any] = json.loads(answer) if answer else {}
    health = {"api-server": HEALTHY if airflow else "not answering"}
    for name in COMPONENTS:
        health[name.replace("_", "-")] = _heartbeat(airflow.get(name) or {}, name, since)
    if serves_mlflow(settings):
        mlflow = f"http://{LOOPBACK}:{settings.mlflow_port}/health"
        health["mlflow"] = HEALTHY if _get(mlflow) else "not answering"
    return health


def _heartbeat(component: Mapping[str, Any], name: str, since: dt.datetime | None) -> str:
    last = component.get(f"latest_{name}_heartbeat")
    if not last or (since and dt.datetime.fromisoformat(last) < since):
        return "not there yet"
    return str(component.get("status"))


def _get(url: str) -> bytes:
    """Return the body of an answer, never through a proxy; empty where nobody answers well."""
    import httpx

    try:
        answer = _http().get(url)
    except httpx.TransportError:
        return b""
    return b"" if answer.is_error else answer.content


@cache
def _http() -> httpx.Client:
    """The client of all questions: to make one takes longer than most answers.

    It keeps no connection open between two of them.
    """
    import httpx

    return httpx.Client(
        timeout=SECONDS_TO_ANSWER,
        trust_env=False,
        follow_redirects=True,
        limits=httpx.Limits(max_keepalive_connections=0),
    )
