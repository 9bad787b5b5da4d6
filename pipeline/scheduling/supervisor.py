"""The supervisor: one process that starts the services, watches them and ends them all.

It ends them when it is asked to, or when one of them ends by itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from pipeline.errors import RunError
from pipeline.parts import artifact_root
from pipeline.scheduling.databases import migrate
from pipeline.scheduling.environment import COMPUTING_TASKS, airflow_environment, serves_mlflow
from pipeline.scheduling.processes import SERVICES_MARK, end_processes, marked_processes
from pipeline.scheduling.service_state import last_line, save_state, service_log, supervisor_lock
from pipeline.scheduling.services import SECONDS_TO_END, Service, services_of
from pipeline.settings import Settings
from pipeline.tracking import follow_moved_artifacts

SECONDS_BETWEEN_LOOKS = 0.2


def supervise(settings: Settings) -> None:
    """Run the services until SIGTERM.

    Raises:
        RunError: one of them ended by itself.
    """
    from pipeline.storage import embedded_postgres

    with supervisor_lock(settings.home):
        stop = _StopSignal()
        save_state(settings, {})
        env = _environment_of(settings)
        migrate({**os.environ, **env}, settings.home, with_mlflow=serves_mlflow(settings))
        if serves_mlflow(settings):
            follow_moved_artifacts(env["MLFLOW_TRACKING_URI"], artifact_root(settings))
        running: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for service in services_of(settings):
                running[service.name] = _start(service, settings.home, env)
            save_state(settings, {name: process.pid for name, process in running.items()})
            _watch(running, stop, settings.home)
        finally:
            alive = [process.pid for process in running.values() if process.poll() is None]
            end_processes([psutil.Process(pid) for pid in alive], SECONDS_TO_END)
            end_processes(marked_processes(settings.home), seconds=0)
            embedded_postgres.stop(settings.home)  # unless somebody else uses it


def _environment_of(settings: Settings) -> dict[str, str]:
    # Several tasks compute at once, and each has its share of the workers: more processes than that
    # only import TensorFlow more often.
    share = max(1, settings.workers // COMPUTING_TASKS)
    return {**airflow_environment(settings), "STOCKCAST_WORKERS": str(share)}


def _start(service: Service, home: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    marks = {
        SERVICES_MARK: str(home),
        # Or the titles that Airflow gives its processes would overwrite the mark.
        "SPT_NOENV": "1",
        # Not on the command line, which everyone can read.
        "MLFLOW_BACKEND_STORE_URI": env["MLFLOW_TRACKING_URI"],
    }
    with service_log(home, service.name).open("a") as log:
        return subprocess.Popen(
            service.command,
            env={**os.environ, **env, **marks},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


class _StopSignal:
    """A mark that is set when this process is asked to end."""

    def __init__(self) -> None:
        self.received = False
        signal.signal(signal.SIGTERM, self._receive)
        signal.signal(signal.SIGINT, self._receive)

    def _receive(self, *_: object) -> None:
        self.received = True


def _watch(running: Mapping[str, subprocess.Popen[bytes]], stop: _StopSignal, home: Path) -> None:
    while not stop.received:
        for name, process in running.items():
            if process.poll() is not None:
                log = service_log(home, name)
                raise RunError(
                    f"{name} ended by itself (exit code {process.returncode}). {log} ends: "
                    f"{last_line(log)}"
                )
        time.sleep(SECONDS_BETWEEN_LOOKS)
