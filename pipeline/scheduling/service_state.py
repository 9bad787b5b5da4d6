"""The state of this deployment's services, as files.

home/airflow/services.lock    held (by the kernel) while a supervisor lives: the one answer to
                              "are they up?"
home/airflow/services.json    the supervisor's process id, each service's, and the settings of
                              their tasks
home/logs/<service>.log       what a service prints
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.settings import Settings

#: The settings that name a universe and change it.
UNIVERSE_SETTINGS = (
    *("universe", "universes", "source", "data"),
    *("tickers", "target", "recipe", "horizon"),
)
#: The others that decide what comes out of a run.
TASK_SETTINGS = ("seed", "pool", "test_floor", "max_quarantined", "baselines")


def is_up(home: Path) -> bool:
    """Return whether a supervisor runs."""
    path = lock_file(home)
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def supervisor_lock(home: Path) -> Iterator[None]:
    """Hold the lock of the supervisor; `BlockingIOError` where another one holds it."""
    lock_file(home).parent.mkdir(parents=True, exist_ok=True)
    with lock_file(home).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def supervisor_pid(home: Path) -> int:
    """Return the process id of the supervisor that runs."""
    return int(json.loads(_state_file(home).read_text())["pid"])


def settings_of_services(settings: Settings) -> Settings:
    """Return these settings with what the services, which are up, were started with."""
    state = json.loads(_state_file(settings.home).read_text())
    return settings.replaced(**state["settings"])


def save_state(settings: Settings, services: Mapping[str, int]) -> None:
    """Write this process's id, the process ids of the services by name, and their settings."""
    path = _state_file(settings.home)
    draft = path.with_suffix(".draft")
    deciding = {name: getattr(settings, name) for name in (*UNIVERSE_SETTINGS, *TASK_SETTINGS)}
    state = {"pid": os.getpid(), "services": dict(services), "settings": deciding}
    draft.write_text(json.dumps(state))
    draft.rename(path)


def lock_file(home: Path) -> Path:
    """Return the file that a supervisor locks."""
    return home / "airflow" / "services.lock"


def service_log(home: Path, name: str) -> Path:
    """Return the file of what a service, or the supervisor, prints."""
    return home / "logs" / f"{name}.log"


def last_line(log: Path) -> str:
    """Return the last line of a log that is not empty."""
    if log.exists():
        lines = (line.strip() for line in log.read_text(errors="replace").splitlines())
        if filled := [line for line in lines if line]:
            return filled[-1]
    return "(its log is empty)"


def _state_file(home: Path) -> Path:
    return home / "airflow" / "services.json"
