"""The supervisor: one process that starts the services, watches them and ends them all.

A service that ends by itself is started again after a growing pause, and told of once: in the
supervisor's log, in `stockcast status`, and to the receivers of notifications.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import psutil

from pipeline.parts import artifact_root
from pipeline.scheduling.databases import migrate
from pipeline.scheduling.environment import (
    COMPUTING_TASKS,
    airflow_environment,
    mlflow_server_environment,
    serves_mlflow,
)
from pipeline.scheduling.health import HEALTHY, health_of
from pipeline.scheduling.processes import end_processes, marked_processes, marks_of
from pipeline.scheduling.service_messages import Messenger
from pipeline.scheduling.service_state import ServiceState, save_state, supervisor_lock
from pipeline.scheduling.services import SECONDS_TO_END, Service, require_free_port, services_of
from pipeline.scheduling.supervised import Notice, PostgresProgram, ProcessProgram, Supervised
from pipeline.settings import Settings
from pipeline.tracking import follow_moved_artifacts

SECONDS_BETWEEN_LOOKS = 0.2
#: ... at the embedded PostgreSQL, each of which makes it start a process.
SECONDS_BETWEEN_POSTGRES_LOOKS = 2
#: ... at the health that services report.
SECONDS_BETWEEN_HEALTH_LOOKS = 10
#: A scheduler whose API server is silent for so long is started again, and then waits for it.
#: Otherwise its tasks would lose try after try. Tasks wait this long for an answer.
SECONDS_WITHOUT_API = 90


def supervise(settings: Settings) -> None:
    """Run the services until SIGTERM."""
    with contextlib.suppress(_Stopped), supervisor_lock(settings.home):
        _raise_at_signals()
        supervision = None
        try:
            save_state(settings, {})
            env = _environment_of(settings)
            marked = {**os.environ, **env, **marks_of(settings.home, "migration")}
            migrate(marked, settings.home, with_mlflow=serves_mlflow(settings))
            if serves_mlflow(settings):
                follow_moved_artifacts(env["MLFLOW_TRACKING_URI"], artifact_root(settings))
            supervision = _Supervision(settings, env)
            supervision.run()
        finally:
            _handle_signals(signal.SIG_IGN)
            _end_all(settings, supervision)


class _Stopped(BaseException):
    """The request to end."""


def _raise_at_signals() -> None:
    def stop(*_: object) -> None:
        _handle_signals(signal.SIG_IGN)  # nothing interrupts the end of the services
        raise _Stopped

    _handle_signals(stop)


def _handle_signals(handler: Callable[..., None] | signal.Handlers) -> None:
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, handler)


def _environment_of(settings: Settings) -> dict[str, str]:
    # Several tasks compute at once, and each has its share of the workers: more processes than that
    # only import TensorFlow more often.
    share = max(1, settings.workers // COMPUTING_TASKS)
    return {**airflow_environment(settings), "STOCKCAST_WORKERS": str(share)}


class _Supervision:
    """The services of a deployment, and a look at each in turn."""

    def __init__(self, settings: Settings, env: dict[str, str]) -> None:
        self._settings = settings
        self._messenger = Messenger(settings, env)
        self.postgres = Supervised(PostgresProgram(settings.home), self._tell)
        self.services = {
            service.name: Supervised(self._program(service, env), self._tell)
            for service in services_of(settings)
        }
        self._saved: dict[str, ServiceState] = {}
        self._postgres_look = self._health_look = 0.0
        self._api_answered = 0.0

    def _program(self, service: Service, env: Mapping[str, str]) -> ProcessProgram:
        if service.name == "mlflow":
            env = {**env, **mlflow_server_environment(self._settings, env["MLFLOW_TRACKING_URI"])}
        check = partial(require_free_port, service, self._settings)
        return ProcessProgram(service, self._settings.home, env, check)

    def run(self) -> None:
        """Look at the services for ever."""
        while True:
            self._look(time.monotonic())
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _look(self, now: float) -> None:
        if now >= self._postgres_look:
            self._postgres_look = now + SECONDS_BETWEEN_POSTGRES_LOOKS
            self.postgres.look(now)
        for service in self.services.values():
            # Without its database each of them would only end again.
            service.look(now, may_start=self.postgres.runs)
        if now >= self._health_look:
            self._health_look = now + SECONDS_BETWEEN_HEALTH_LOOKS
            self._look_at_health(now)
        with contextlib.suppress(OSError):  # a full disk ends no service; the next look tries again
            self._save()
            if self.postgres.runs:
                self._messenger.send()

    def _look_at_health(self, now: float) -> None:
        health = health_of(self._settings)
        if health["api-server"] == HEALTHY:
            self._api_answered = now
        scheduler = self.services["scheduler"]
        if scheduler.runs and scheduler.started < self._api_answered < now - SECONDS_WITHOUT_API:
            reason = f"the API server has not answered for {SECONDS_WITHOUT_API} s"
            scheduler.restart(now, reason)
        self.postgres.trust(now)
        for name, service in self.services.items():
            if health[name] == HEALTHY:
                service.trust(now)

    def _save(self) -> None:
        states = {each.name: each.state() for each in self._all()}
        if states != self._saved:
            save_state(self._settings, states)
            self._saved = states

    def _all(self) -> Iterator[Supervised]:
        yield self.postgres
        yield from self.services.values()

    def _tell(self, notice: Notice) -> None:
        moment = dt.datetime.now(dt.UTC).isoformat(sep=" ", timespec="seconds")
        with contextlib.suppress(OSError):  # a full disk ends no service
            print(f"{moment} {notice.text} {notice.detail}".rstrip(), flush=True)
        if notice.state != "healthy":
            self._messenger.take(notice)


def _end_all(settings: Settings, supervision: _Supervision | None) -> None:
    from pipeline.storage import embedded_postgres

    if supervision is not None:
        programs = [service.program for service in supervision.services.values()]
        # The scheduler first: its tasks that end in time can still tell the API server so.
        for program in programs:
            if program.name == "scheduler":
                program.stop()
        pids = [program.pid for program in programs if program.pid]
        end_processes([psutil.Process(pid) for pid in pids], SECONDS_TO_END)
    end_processes(marked_processes(settings.home), seconds=0)
    embedded_postgres.stop(settings.home)  # unless somebody else uses it
