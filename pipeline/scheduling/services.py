"""The services of a deployment on this machine: `stockcast up`, `down` and `status`.

Airflow's components, an MLflow server and the embedded PostgreSQL, all on loopback. One supervisor
process starts and ends them (see `supervisor`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import SettingsError
from pipeline.parts import mlflow_url
from pipeline.scheduling.environment import (
    ADMIN_USER,
    LOOPBACK,
    admin_password,
    airflow_url,
    python_path,
    serves_mlflow,
)
from pipeline.scheduling.health import health_of, wait_until_healthy
from pipeline.scheduling.processes import end_processes, marked_processes
from pipeline.scheduling.service_state import is_up, service_log, supervisor_pid
from pipeline.settings import Settings

SECONDS_TO_END = 10


@dataclass(frozen=True)
class Service:
    """A process of this deployment.

    Attributes:
        port_setting: the setting of the port it listens on; "": it listens on none.
    """

    name: str
    command: tuple[str, ...]
    port_setting: str = ""


def services_of(settings: Settings) -> list[Service]:
    """Return the services of a deployment, in the order of their start."""
    airflow = (sys.executable, "-m", "airflow")
    preloaded = (sys.executable, "-m", "pipeline.scheduling.preloaded_airflow")
    services = [
        Service("api-server", (*airflow, "api-server"), "airflow_port"),
        # Without their log servers, which would listen beyond loopback: the API server reads the
        # same files.
        Service("scheduler", (*preloaded, "scheduler", "--skip-serve-logs")),
        Service("dag-processor", (*preloaded, "dag-processor")),
        Service("triggerer", (*airflow, "triggerer", "--skip-serve-logs")),
    ]
    if serves_mlflow(settings):
        mlflow = (sys.executable, "-m", "mlflow", "server")
        address = ("--host", LOOPBACK, "--port", str(settings.mlflow_port))
        options = ("--workers", "1", "--no-serve-artifacts")
        services.append(Service("mlflow", (*mlflow, *address, *options), "mlflow_port"))
    return services


def up(settings: Settings) -> str:
    """Start everything and wait until it is healthy; return what a person needs to know.

    Does nothing when it is up already.

    Raises:
        SettingsError: a port is taken.
        RunError: a service ended, or is not healthy in time; the message quotes its log.
    """
    if is_up(settings.home):
        return f"It is up already.\n{_addresses(settings)}"
    for service in services_of(settings):
        if service.port_setting:
            require_free_port(service, settings)
    log = service_log(settings.home, "supervisor")
    log.parent.mkdir(parents=True, exist_ok=True)
    started = dt.datetime.now(dt.UTC)
    with log.open("a") as file:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "supervise"],
            env={**os.environ, **settings.to_environ(), "PYTHONPATH": python_path()},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,  # it outlives this terminal
        )
    try:
        wait_until_healthy(settings, supervisor, started)
    except BaseException:
        down(settings)
        raise
    return _addresses(settings)


def down(settings: Settings) -> str:
    """End what `up` started, and nothing else; return what a person needs to know."""
    home = settings.home
    was_up = is_up(home)
    if was_up:
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor_pid(home), signal.SIGTERM)
        _wait_until_down(home, 3 * SECONDS_TO_END)
        if is_up(home):
            os.kill(supervisor_pid(home), signal.SIGKILL)
    left = end_processes(marked_processes(home), seconds=2)
    if was_up:
        return "It is down."
    return f"It was not up.{f' Ended {left} processes that a crash had left.' if left else ''}"


def status(settings: Settings) -> str:
    """Return the health of each service, or that they are down."""
    if not is_up(settings.home):
        return "It is down. `stockcast up` starts it."
    states = [f"{name:<14} {state}" for name, state in health_of(settings).items()]
    return "\n".join([*states, _addresses(settings)])


def require_free_port(service: Service, settings: Settings) -> None:
    """Raise `SettingsError` where a service's port cannot be used."""
    port = getattr(settings, service.port_setting)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            variable = f"STOCKCAST_{service.port_setting.upper()}"
            raise SettingsError(
                f"Port {port} for {service.name} cannot be used ({error.strerror}). Set {variable} "
                "to a free port, or end what uses this one."
            ) from None


def _wait_until_down(home: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while is_up(home) and time.monotonic() < deadline:
        time.sleep(0.1)


def _addresses(settings: Settings) -> str:
    login = f"user {ADMIN_USER}, password {admin_password(settings.home)}"
    lines = [
        f"Airflow   {airflow_url(settings)}   {login}",
        f"MLflow    {mlflow_url(settings)}",
        f"State     {settings.home}   (logs of the services: {settings.home / 'logs'})",
    ]
    return "\n".join(lines)
