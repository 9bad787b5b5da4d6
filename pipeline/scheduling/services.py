"""`make up` and `make down`: Airflow's components, an MLflow server and the embedded PostgreSQL, all on loopback.

    home/airflow/services.lock    held (by the kernel) while a supervisor lives: the one answer to "is it up?"
    home/airflow/services.json    its process id, and each service's
    home/logs/<service>.log       what a service says

One supervisor process starts the services and ends them all when it is told to, or when one of them ends by itself. Each service
and all its descendants carry `MARK` in their environment, so what a crash leaves behind is found and ended as well.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline.assembly import mlflow_url
from pipeline.errors import RunError, SettingsError
from pipeline.scheduling import environment
from pipeline.scheduling.environment import ADMIN, LOOPBACK, airflow_url
from pipeline.settings import Settings

#: Not STOCKCAST_..., which would be a setting.
MARK = "_STOCKCAST_SERVICES"
SECONDS_TO_START = 300
SECONDS_TO_STOP = 10


@dataclass(frozen=True)
class Service:
    """A process of ours. `port_setting` names the setting of the port it listens on, if it does."""

    name: str
    command: tuple[str, ...]
    port_setting: str = ""


def services(settings: Settings) -> list[Service]:
    airflow = (sys.executable, "-m", "airflow")
    chosen = [
        Service("api-server", (*airflow, "api-server"), "airflow_port"),
        # Without their log servers, which would listen beyond loopback: the API server reads the same files.
        Service("scheduler", (*airflow, "scheduler", "--skip-serve-logs")),
        Service("dag-processor", (*airflow, "dag-processor")),
        Service("triggerer", (*airflow, "triggerer", "--skip-serve-logs")),
    ]
    if _serves_mlflow(settings):
        options = ("--host", LOOPBACK, "--port", str(settings.mlflow_port), "--workers", "1", "--no-serve-artifacts")
        chosen.append(Service("mlflow", (sys.executable, "-m", "mlflow", "server", *options), "mlflow_port"))
    return chosen


# What people call


def up(settings: Settings) -> str:
    """Starts everything and waits until it is healthy; returns what to tell. Does nothing when it is up already.

    Raises:
        SettingsError: a port is taken.
        RunError: a service ended, or is not healthy in time; the message quotes its log.
    """
    if is_up(settings.home):
        return f"It is up already.\n{where(settings)}"
    for service in services(settings):
        if service.port_setting:
            _require_free_port(service, settings)
    logs = settings.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    started = dt.datetime.now(dt.UTC)
    with (logs / "supervisor.log").open("a") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "pipeline.scheduling", "supervise"],
            env={**os.environ, **settings.to_environ(), "PYTHONPATH": environment.python_path()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it outlives this terminal
        )
    try:
        _wait_until_healthy(settings, supervisor, started)
    except BaseException:
        down(settings)
        raise
    return where(settings)


def down(settings: Settings) -> str:
    """Ends what `up` started, and nothing else; returns what to tell."""
    was_up = is_up(settings.home)
    if was_up:
        with contextlib.suppress(ProcessLookupError):
            os.kill(_state(settings.home)["pid"], signal.SIGTERM)
        deadline = time.monotonic() + 3 * SECONDS_TO_STOP
        while is_up(settings.home) and time.monotonic() < deadline:
            time.sleep(0.1)
        if is_up(settings.home):
            os.kill(_state(settings.home)["pid"], signal.SIGKILL)
    left = _end(_marked(settings.home), seconds=2)
    if not was_up:
        return f"It was not up.{f' Ended {left} processes that a crash had left.' if left else ''}"
    return "It is down."


def status(settings: Settings) -> str:
    if not is_up(settings.home):
        return "It is down. `make up` starts it."
    health = _health(settings)
    return "\n".join([*(f"{name:<14} {told}" for name, told in health.items()), where(settings)])


def where(settings: Settings) -> str:
    lines = [f"Airflow   {airflow_url(settings)}   user {ADMIN}, password {environment.admin_password(settings.home)}"]
    lines.append(f"MLflow    {mlflow_url(settings)}")
    lines.append(f"State     {settings.home}   (what the services say: {settings.home / 'logs'})")
    return "\n".join(lines)


def is_up(home: Path) -> bool:
    path = _lock_file(home)
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


# The supervisor


def supervise(settings: Settings) -> None:
    """Runs the services until SIGTERM, or until one of them ends by itself (`RunError`)."""
    from pipeline import embedded_postgres
    from pipeline.scheduling.databases import migrate

    _lock_file(settings.home).parent.mkdir(parents=True, exist_ok=True)
    with _lock_file(settings.home).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stop = _stop_signal()
        _save_state(settings.home, {"pid": os.getpid(), "services": {}})
        # Several tasks compute at once, and each has its share of the workers: more processes than that only import TensorFlow more often.
        share = max(1, settings.workers // environment.COMPUTING_TASKS)
        ours = {**environment.environment(settings), "STOCKCAST_WORKERS": str(share)}
        migrate({**os.environ, **ours}, settings.home, with_mlflow=_serves_mlflow(settings))
        running: dict[str, subprocess.Popen] = {}
        try:
            for service in services(settings):
                running[service.name] = _start(service, settings, ours)
            _save_state(settings.home, {"pid": os.getpid(), "services": {name: process.pid for name, process in running.items()}})
            _watch(running, stop, settings.home)
        finally:
            _end([psutil.Process(process.pid) for process in running.values() if process.poll() is None], SECONDS_TO_STOP)
            _end(_marked(settings.home), seconds=0)
            embedded_postgres.stop(settings.home)  # unless somebody else uses it


def _start(service: Service, settings: Settings, ours: dict[str, str]) -> subprocess.Popen:
    marks = {
        MARK: str(settings.home),
        "SPT_NOENV": "1",  # or the titles that Airflow gives its processes would overwrite the mark
        "MLFLOW_BACKEND_STORE_URI": ours["MLFLOW_TRACKING_URI"],  # not on the command line, which everyone can read
    }
    with (settings.home / "logs" / f"{service.name}.log").open("a") as log:
        return subprocess.Popen(
            service.command,
            env={**os.environ, **ours, **marks},
            cwd=settings.home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _stop_signal() -> dict[str, bool]:
    told = {"stop": False}

    def remember(*_: object) -> None:
        told["stop"] = True

    signal.signal(signal.SIGTERM, remember)
    signal.signal(signal.SIGINT, remember)
    return told


def _watch(running: dict[str, subprocess.Popen], stop: dict[str, bool], home: Path) -> None:
    while not stop["stop"]:
        for name, process in running.items():
            if process.poll() is not None:
                log = home / "logs" / f"{name}.log"
                raise RunError(f"{name} ended by itself (exit code {process.returncode}). {log} ends: {_tail(log)}")
        time.sleep(0.2)


# Processes


def is_marked(process: psutil.Process, home: Path) -> bool:
    """Whether it descends from a service of this home."""
    try:
        return process.environ().get(MARK) == str(home)
    except psutil.Error:  # gone, or somebody else's
        return False


def _marked(home: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if is_marked(process, home)]


def _end(processes: list[psutil.Process], seconds: float) -> int:
    """Asks them to end, gives them `seconds`, then makes them; how many there were."""
    if seconds:
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        _, processes_left = psutil.wait_procs(processes, timeout=seconds)
    else:
        processes_left = processes
    for process in processes_left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes_left, timeout=5)
    return len(processes)


def _require_free_port(service: Service, settings: Settings) -> None:
    port = getattr(settings, service.port_setting)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            variable = f"STOCKCAST_{service.port_setting.upper()}"
            raise SettingsError(
                f"Port {port} for {service.name} cannot be used ({error.strerror}). Set {variable} to a free port, or end what uses this one."
            ) from None


# Health


def _wait_until_healthy(settings: Settings, supervisor: subprocess.Popen, started: dt.datetime) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        health = _health(settings, started)
        if set(health.values()) == {"healthy"}:
            return
        if supervisor.poll() is not None:
            raise RunError(f"The services did not start. {_tail(settings.home / 'logs' / 'supervisor.log')}")
        if time.monotonic() > deadline:
            told = ", ".join(f"{name} is {state}" for name, state in health.items() if state != "healthy")
            raise RunError(f"After {SECONDS_TO_START} s, {told}. See {settings.home / 'logs'}.")
        time.sleep(0.25)


def _health(settings: Settings, since: dt.datetime | None = None) -> dict[str, str]:
    """Service -> "healthy" or what is wrong. A heartbeat from before `since` does not count."""
    airflow = _get_json(f"{airflow_url(settings)}/api/v2/monitor/health")
    health = {"api-server": "healthy" if airflow else "not answering"}
    for name in ("scheduler", "dag_processor", "triggerer"):
        health[name.replace("_", "-")] = _heartbeat((airflow or {}).get(name) or {}, name, since)
    if _serves_mlflow(settings):
        health["mlflow"] = "healthy" if _get(f"{mlflow_url(settings)}/health") else "not answering"
    return health


def _heartbeat(told: dict[str, Any], name: str, since: dt.datetime | None) -> str:
    last = told.get(f"latest_{name}_heartbeat")
    if not last or (since and dt.datetime.fromisoformat(last) < since):
        return "not there yet"
    return str(told.get("status"))


def _get_json(url: str) -> dict[str, Any] | None:
    answer = _get(url)
    return json.loads(answer) if answer else None


def _get(url: str) -> bytes | None:
    """The answer's body; None where nobody answers, which is what is being asked."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.read()
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return None


# Files


def _serves_mlflow(settings: Settings) -> bool:
    return not settings.tracking_uri.startswith("http")


def _lock_file(home: Path) -> Path:
    return home / "airflow" / "services.lock"


def _state(home: Path) -> dict[str, Any]:
    return json.loads((home / "airflow" / "services.json").read_text())


def _save_state(home: Path, state: dict[str, Any]) -> None:
    path = home / "airflow" / "services.json"
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(state))
    draft.rename(path)


def _tail(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    return lines[-1] if lines else "(its log is empty)"
