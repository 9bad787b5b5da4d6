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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.addresses import LOOPBACK
from pipeline.errors import SettingsError
from pipeline.extras import require
from pipeline.parts import mlflow_url
from pipeline.private_home import private_home
from pipeline.scheduling.environment import (
    ADMIN_USER,
    admin_password,
    airflow_url,
    mlflow_password,
    mlflow_passwords_file,
    passwords_file,
    require_no_other_airflow,
    serves_mlflow,
)
from pipeline.scheduling.health import HEALTHY, health_of, wait_until_healthy
from pipeline.scheduling.processes import end_processes, marked_processes
from pipeline.scheduling.service_state import (
    forget_services,
    is_up,
    service_log,
    services_states,
    supervisor_pid,
)
from pipeline.settings import Settings
from pipeline.shipped_files import python_path

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
    """Return the services of a deployment, in the order of their start.

    Raises:
        SettingsError: MLflow's server is one of them, and MLflow is not installed.
    """
    airflow = (sys.executable, "-m", "pipeline.scheduling.preloaded_airflow")
    services = [
        Service("api-server", (*airflow, "api-server"), "airflow_port"),
        # Without their log servers, which would listen beyond loopback: the API server reads the
        # same files.
        Service("scheduler", (*airflow, "scheduler", "--skip-serve-logs")),
        Service("dag-processor", (*airflow, "dag-processor")),
        Service("triggerer", (*airflow, "triggerer", "--skip-serve-logs")),
    ]
    if serves_mlflow(settings):
        require(
            "mlflow", "MLflow's server", "set STOCKCAST_TRACKING_URI to one that runs elsewhere"
        )
        mlflow = (sys.executable, "-m", "pipeline.tracking.server")
        address = ("--host", LOOPBACK, "--port", str(settings.mlflow_port))
        options = ("--workers", "1", "--no-serve-artifacts")
        services.append(Service("mlflow", (*mlflow, *address, *options), "mlflow_port"))
    return services


def up(settings: Settings) -> str:
    """Start everything and wait until it is healthy; return what a person needs to know.

    Does nothing when it is up already.

    Raises:
        SettingsError: a port is taken, or the environment configures another Airflow.
        RunError: a service ended, or is not healthy in time; the message quotes its log.
    """
    if is_up(settings.home):
        return f"It is up already.\n{_addresses(settings)}"
    require_no_other_airflow(settings.home)
    # What a killed supervisor has left would keep the ports.
    end_processes(marked_processes(settings.home), SECONDS_TO_END)
    forget_services(settings.home)
    for service in services_of(settings):
        require_free_port(service, settings)
    log = service_log(private_home(settings.home), "supervisor")
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
        supervisor.terminate()  # it may not count as up yet
        down(settings)
        supervisor.wait()
        raise
    return _addresses(settings)


def down(settings: Settings) -> str:
    """End what `up` started, and nothing else; return what a person needs to know."""
    home = settings.home
    was_up = is_up(home)
    if was_up:
        # It may just have ended, or have begun and not said yet who it is.
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.kill(supervisor_pid(home), signal.SIGTERM)
        _wait_until_down(home, 4 * SECONDS_TO_END)
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
    return "\n".join([*_state_lines(settings), _addresses(settings)])


def require_free_port(service: Service, settings: Settings) -> None:
    """Raise `SettingsError` where a service has a port, and it cannot be used."""
    if not service.port_setting:
        return
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


def _state_lines(settings: Settings) -> Iterator[str]:
    """Yield a line on each service: its health, and whether it has ended by itself."""
    from pipeline.storage import embedded_postgres

    answers = embedded_postgres.running(settings.home)
    health = {"postgres": HEALTHY if answers else "not answering", **health_of(settings)}
    states = services_states(settings.home)
    for name, answer in health.items():
        state = states.get(name)
        text = (state and state.trouble) or answer
        if state and state.restarts and not state.trouble:
            text += f"   (started again {state.restarts}x; ended at {state.last_end})"
        yield f"{name:<14} {text}"


def _wait_until_down(home: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while is_up(home) and time.monotonic() < deadline:
        time.sleep(0.1)


def password_of(settings: Settings, service: str) -> str:
    """Return the password of a service's user `ADMIN_USER`.

    Args:
        service: airflow or mlflow.

    Raises:
        SettingsError: this deployment has none.
    """
    files = {"airflow": passwords_file, "mlflow": mlflow_passwords_file}
    if service == "mlflow" and not serves_mlflow(settings):
        raise SettingsError(
            f"MLflow at {mlflow_url(settings)} is not of this deployment, and has its own logins."
        )
    if not files[service](settings.home).exists():
        raise SettingsError(
            f"There is no password under {settings.home}. `stockcast up` makes it; STOCKCAST_HOME "
            "names another folder."
        )
    return {"airflow": admin_password, "mlflow": mlflow_password}[service](settings.home)


def _addresses(settings: Settings) -> str:
    home = settings.home
    lines = [
        f"Airflow   {airflow_url(settings)}   {_login('airflow', passwords_file(home))}",
        f"MLflow    {mlflow_url(settings)}",
        f"State     {home}   (logs of the services: {home / 'logs'})",
    ]
    if serves_mlflow(settings):
        lines[1] += f"   {_login('mlflow', mlflow_passwords_file(home))}"
    return "\n".join(lines)


def _login(service: str, file: Path) -> str:
    return f"user {ADMIN_USER}, password: `stockcast password {service}` prints it ({file})"
