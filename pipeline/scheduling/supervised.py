"""Services that are started again when they end by themselves, after growing pauses.

A `Supervised` counts what happens to one service and says when it is started; how it is started,
and how its end is seen, is its program's: a process, or the embedded PostgreSQL.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.errors import StockcastError
from pipeline.scheduling.processes import end_processes, marked_processes, marks_of
from pipeline.scheduling.service_state import (
    FAILING_ENDS,
    ServiceState,
    last_line,
    service_log,
)
from pipeline.scheduling.services import SECONDS_TO_END, Service

#: Seconds between a service's end and its next start: the shortest, doubled with each further end.
SHORTEST_PAUSE, LONGEST_PAUSE = 1, 60
#: A service that is healthy so many seconds after its start begins again with the shortest pause.
#: Airflow calls a service healthy for 30 s after its last heartbeat, so this one is the new one's.
SECONDS_TO_TRUST = 60


class Program(ABC):
    """The running part of a service.

    Attributes:
        log: the file of what it prints.
    """

    name: str
    log: Path

    @property
    @abstractmethod
    def pid(self) -> int:
        """The process; 0: there is none, or it is somebody else's child."""

    @abstractmethod
    def start(self) -> None:
        """Start it; `OSError` or `StockcastError` where that fails."""

    @abstractmethod
    def end_reason(self) -> str:
        """Return why it has ended; "" while it runs."""

    @abstractmethod
    def stop(self) -> None:
        """End it with all its processes, and what a crash has left of them."""


class ProcessProgram(Program):
    """A child process with all its descendants.

    Args:
        check: raises where it cannot be started.
    """

    def __init__(
        self,
        service: Service,
        home: Path,
        env: Mapping[str, str],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = service.name
        self.log = service_log(home, service.name)
        self._command, self._home, self._env = service.command, home, env
        self._check = check
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid if self._process and self._process.poll() is None else 0

    def start(self) -> None:
        """Start it, after what an earlier one has left behind has ended: that may have its port.

        Raises:
            SettingsError: somebody else has its port, which its own log would hardly say.
        """
        end_processes(marked_processes(self._home, self.name), seconds=0)
        self._check()
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                self._command,
                env={**os.environ, **self._env, **marks_of(self._home, self.name)},
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end_reason(self) -> str:
        """Return how it ended."""
        code = self._process.poll() if self._process else None
        return "" if code is None else _exit_text(code)

    def stop(self) -> None:
        """End it with all its processes, which may finish first."""
        if self.pid:
            end_processes([psutil.Process(self.pid)], SECONDS_TO_END)
        end_processes(marked_processes(self._home, self.name), seconds=0)
        if self._process is not None:
            self._process.poll()  # or Python would miss its exit


class PostgresProgram(Program):
    """The embedded PostgreSQL, which its guard starts and stops."""

    name = "postgres"
    pid = 0

    def __init__(self, home: Path) -> None:
        self.log = home / "postgres" / "log"
        self._home = home

    def start(self) -> None:
        """Start it, where it does not run."""
        from pipeline.storage import embedded_postgres

        embedded_postgres.keep(self._home)

    def end_reason(self) -> str:
        """Return that it does not answer."""
        from pipeline.storage import embedded_postgres

        return "" if embedded_postgres.running(self._home) else "it does not answer"

    def stop(self) -> None:
        """Stop it, unless somebody else uses it."""
        from pipeline.storage import embedded_postgres

        embedded_postgres.stop(self._home)


@dataclass(frozen=True)
class Notice:
    """A line about a service.

    Attributes:
        state: "ended", "failing" or "healthy".
        text: the line.
        detail: more, for the log of this machine only: a service's log may hold secrets.
    """

    service: str
    state: str
    text: str
    detail: str = ""


class Supervised:
    """A service with what has happened to it.

    Args:
        tell: takes what a person needs to know.
    """

    def __init__(self, program: Program, tell: Callable[[Notice], None]) -> None:
        self.program = program
        self.name = program.name
        self.runs = False
        self.started = 0.0  # a moment of the monotonic clock, as `_next_start`
        self._tell = tell
        self._next_start = 0.0
        self._next_start_at = ""
        self._ends = self._restarts = 0
        self._last_end = ""

    def look(self, now: float, may_start: bool = True) -> None:
        """Notice its end, and start it when its pause is over.

        Args:
            now: a moment of the monotonic clock.
            may_start: whether what it needs is there.
        """
        if self.runs and (reason := self.program.end_reason()):
            self._ended(reason, now)
        if not self.runs and may_start and now >= self._next_start:
            self._start(now)

    def restart(self, now: float, reason: str) -> None:
        """End it, and start it again at once."""
        self._tell(Notice(self.name, "ended", f"{self.name} is started again: {reason}."))
        self._last_end = f"{_moment(dt.datetime.now(dt.UTC))}: {reason}"
        self.program.stop()
        self._start(now)

    def trust(self, now: float) -> None:
        """Note that it is healthy; long enough after its start, its ends are forgotten."""
        if self.runs and self._ends and now - self.started >= SECONDS_TO_TRUST:
            self._tell(Notice(self.name, "healthy", f"{self.name} is healthy again."))
            self._ends = 0

    def state(self) -> ServiceState:
        """Return its state, for `stockcast status`."""
        return ServiceState(
            pid=self.program.pid,
            ends=self._ends,
            restarts=self._restarts,
            last_end=self._last_end,
            next_start=self._next_start_at,
            log=str(self.program.log),
        )

    def _start(self, now: float) -> None:
        self._restarts += self.started > 0
        self.started = now
        try:
            self.program.start()
        except (OSError, StockcastError) as error:
            self._ended(f"it cannot be started: {error}", now)
        else:
            self.runs, self._next_start_at = True, ""

    def _ended(self, reason: str, now: float) -> None:
        self.runs, reason = False, reason.rstrip(".")
        self._ends += 1
        pause = pause_after(self._ends)
        moment = dt.datetime.now(dt.UTC)
        self._last_end = f"{_moment(moment)}: {reason}"
        self._next_start = now + pause
        self._next_start_at = _moment(moment + dt.timedelta(seconds=pause))
        if self._ends == 1:
            text = f"{self.name} has ended by itself ({reason}) and is started again."
            self._tell(Notice(self.name, "ended", text, self._log_end()))
        elif self._ends == FAILING_ENDS:
            text = (
                f"{self.name} does not stay up: it has ended {self._ends} times, the last time "
                f"with: {reason}. It is tried again after pauses of up to {LONGEST_PAUSE} s. See "
                f"{self.program.log}"
            )
            self._tell(Notice(self.name, "failing", text, self._log_end()))

    def _log_end(self) -> str:
        return f"{self.program.log} ends: {last_line(self.program.log)}"


def pause_after(ends: int) -> int:
    """Return the seconds before the next start after so many ends, one after the other."""
    return min(LONGEST_PAUSE, SHORTEST_PAUSE << min(ends - 1, LONGEST_PAUSE))


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"killed by signal {-code}"


def _moment(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
