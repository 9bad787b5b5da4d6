"""The state of this deployment's services, as files.

home/airflow/services.lock    held (by the kernel) while a supervisor lives: the one answer to
                              "are they up?"
home/airflow/services.json    the supervisor's process id, how each service is doing, and the
                              settings of their tasks
home/logs/<service>.log       what a service prints
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.private_home import private_home
from pipeline.settings import Settings

#: The settings that name a universe and change it.
UNIVERSE_SETTINGS = (
    *("universe", "universes", "source", "data", "calendar"),
    *("tickers", "target", "recipe", "horizon"),
)
#: The others that decide what comes out of a run.
TASK_SETTINGS = ("device", "seed", "pool", "test_floor", "max_quarantined", "baselines")
#: Bytes at the end of a log that are looked through for its last line.
LOG_END_BYTES = 65_536
#: A service that has ended so often, with no healthy time in between, does not stay up.
FAILING_ENDS = 3


@dataclass(frozen=True)
class ServiceState:
    """The state of a service, as its supervisor sees it.

    Attributes:
        pid: its process; 0: it does not run.
        ends: how often it has ended by itself since it was last healthy for a while.
        restarts: how often it was started again since `stockcast up`.
        last_end: when and why it last ended; "": it never did.
        next_start: when it is started again; "": it runs.
        log: the file of what it prints.
    """

    pid: int
    ends: int
    restarts: int
    last_end: str
    next_start: str
    log: str

    @property
    def trouble(self) -> str:
        """The reason that it does not run or stay up, with its log; "": it does."""
        if not self.next_start and self.ends < FAILING_ENDS:
            return ""
        times = "once" if self.ends == 1 else f"{self.ends} times"
        next_start = f"Next start at {self.next_start}. " if self.next_start else ""
        log = Path(self.log)
        return (
            f"ended {times} by itself, the last time at {self.last_end}. {next_start}"
            f"{log} ends: {last_line(log)}"
        )


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
    lock_file(private_home(home)).parent.mkdir(parents=True, exist_ok=True)
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


def services_states(home: Path) -> dict[str, ServiceState]:
    """Return the state of each service by name; none before the supervisor has started them."""
    path = _state_file(home)
    services = json.loads(path.read_text())["services"] if path.exists() else {}
    return {name: ServiceState(**state) for name, state in services.items()}


def save_state(settings: Settings, services: Mapping[str, ServiceState]) -> None:
    """Write this process's id, the state of the services by name, and their settings."""
    path = _state_file(settings.home)
    draft = path.with_suffix(".draft")
    deciding = {name: getattr(settings, name) for name in (*UNIVERSE_SETTINGS, *TASK_SETTINGS)}
    state: dict[str, object] = {"pid": os.getpid(), "settings": deciding}
    state["services"] = {name: asdict(each) for name, each in services.items()}
    draft.write_text(json.dumps(state))
    draft.rename(path)


def forget_services(home: Path) -> None:
    """Remove the state of services that are down, which is not that of the next ones."""
    _state_file(home).unlink(missing_ok=True)


def lock_file(home: Path) -> Path:
    """Return the file that a supervisor locks."""
    return home / "airflow" / "services.lock"


def service_log(home: Path, name: str) -> Path:
    """Return the file of what a service, or the supervisor, prints."""
    return home / "logs" / f"{name}.log"


def last_line(log: Path) -> str:
    """Return the last line of a log that is not empty."""
    if log.exists():
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_END_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        if filled := [line.strip() for line in lines if line.strip()]:
            return filled[-1]
    return "(its log is empty)"


def _state_file(home: Path) -> Path:
    return home / "airflow" / "services.json"
