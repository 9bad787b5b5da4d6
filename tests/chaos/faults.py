"""Faults, by name: each is prepared, strikes at its moment, and is taken back.

A fault is a context manager of a `World`. It yields what is done at the moment, which is given the
command at work and returns what it has met.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.storage import embedded_postgres
from pipeline.storage.artifacts import UNFINISHED_FOLDER
from tests.chaos.world import CALENDAR, LEARNING, TICKERS, YOUNG, Command, World
from tests.servers import wait_for

#: What a fault does at its moment; it returns what it has met.
Strike = Callable[[Command], str]
Prepared = Callable[[World, random.Random], AbstractContextManager[Strike]]

#: Of the 200 connections of the embedded PostgreSQL; a run needs less than the others.
MANY_CONNECTIONS = 185
#: Bytes that a file may have where no disk can be filled.
SMALL_FILE = 4096


@dataclass(frozen=True)
class Fault:
    """A row of `FAULTS`.

    Attributes:
        universe: whose run it strikes.
        stores: the databases that it makes sense with.
        strikes_at_once: whether it is there from the run's beginning.
        heals: whether the run that it strikes is expected to end well all the same.
    """

    prepared: Prepared
    universe: str = YOUNG
    stores: tuple[str, ...] = ("postgresql", "sqlite")
    strikes_at_once: bool = False
    heals: bool = False


def _on_process(what: Callable[[World, Command], str]) -> Prepared:
    """Return the fault that only does something at its moment."""

    @contextlib.contextmanager
    def fault(world: World, _: random.Random) -> Iterator[Strike]:
        yield lambda command: what(world, command)

    return fault


def _kill_run(_: World, command: Command) -> str:
    command.process.kill()
    return "killed the run"


def _kill_everything(world: World, _: Command) -> str:
    """Kill all at once, as a power cut would."""
    processes = world.processes()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return f"killed {len(processes)} processes"


def _kill_worker(world: World, command: Command) -> str:
    def workers() -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = command.process.children()
            return [each for each in children if "training.workers" in " ".join(each.cmdline())]
        return []

    found = wait_for("a worker", lambda: workers() or not command.runs, 300)
    if found is True:
        return "met no worker"
    time.sleep(random.Random(str(world.session)).uniform(0, 12))
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return f"killed {len(found)} workers"


def _postmaster(world: World) -> psutil.Process | None:
    file = world.home / "postgres" / "data" / "postmaster.pid"
    with contextlib.suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
        process = psutil.Process(int(file.read_text().split()[0]))
        if "postgres" in process.name():
            return process
    return None


def _kill_postgres(world: World, _: Command) -> str:
    process = _postmaster(world)
    if process is None:
        return "met no PostgreSQL"
    process.kill()
    return "killed PostgreSQL"


def _kill_backend(world: World, _: Command) -> str:
    """Kill one connection's process: the server then restarts all of them."""
    process = _postmaster(world)
    backends = process.children() if process else []
    clients = [each for each in backends if "[local]" in " ".join(each.cmdline())]
    if not clients:
        return "met no connection"
    clients[-1].kill()
    return "killed a connection's process"


def _kill_guard(world: World, _: Command) -> str:
    guards = [each for each in world.processes() if "guard" in " ".join(each.cmdline())]
    for process in guards:
        process.kill()
    return f"killed {len(guards)} guards"


def stopped(seconds: float) -> Prepared:
    """Return the fault that a run, or all of PostgreSQL, stands still for so long."""

    @contextlib.contextmanager
    def fault(world: World, chance: random.Random) -> Iterator[Strike]:
        with_postgres = chance.random() < 0.5

        def strike(command: Command) -> str:
            processes = world.processes() if with_postgres else [command.process]
            _signal(processes, signal.SIGSTOP)
            time.sleep(seconds)
            _signal(processes, signal.SIGCONT)
            return f"stopped {len(processes)} processes for {seconds:g} s"

        yield strike

    return fault


def _signal(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


@contextlib.contextmanager
def _disk_full(world: World, _: random.Random) -> Iterator[Strike]:
    """Fill the home's disk; where there is none of its own, let no file grow.

    The latter is another error (EFBIG), but for the same calls, and needs no rights.
    """
    filler = world.home / "filler"

    def strike(command: Command) -> str:
        if not world.is_small:
            limit = (SMALL_FILE, resource.RLIM_INFINITY)
            resource.prlimit(command.process.pid, resource.RLIMIT_FSIZE, limit)
            return f"let no file have more than {SMALL_FILE} bytes"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            space = os.statvfs(world.home)
            os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize)
            while True:
                file.seek(0, os.SEEK_END)
                file.write(b"\0" * 4096)
        left = os.statvfs(world.home).f_bavail
        return f"filled the disk, {left} blocks left"

    try:
        yield strike
    finally:
        filler.unlink(missing_ok=True)


@contextlib.contextmanager
def _no_connection(world: World, _: random.Random) -> Iterator[Strike]:
    """Take all connections that PostgreSQL admits: nearly all before, the last at the moment."""
    import psycopg2

    url = embedded_postgres.url(world.home, "stockcast", driver="postgresql")
    taken: list[psycopg2.extensions.connection] = []

    def strike(command: Command) -> str:
        with contextlib.suppress(psycopg2.OperationalError):
            while command.runs:
                taken.append(psycopg2.connect(url))
        return f"took {len(taken)} connections"

    try:
        taken += [psycopg2.connect(url) for _ in range(MANY_CONNECTIONS)]
        yield strike
    finally:
        for connection in taken:
            connection.close()
        embedded_postgres.stop(world.home)


def _clock(days: int) -> Prepared:
    @contextlib.contextmanager
    def fault(world: World, _: random.Random) -> Iterator[Strike]:
        def strike(command: Command) -> str:
            world.turn_clock(days)
            return f"set the clock {days:+d} day"

        try:
            yield strike
        finally:
            world.turn_clock(-days)

    return fault


def _source(how: str) -> Prepared:
    """Return the fault that the source answers so for some tickers; see `yahoo_server`."""

    @contextlib.contextmanager
    def fault(world: World, chance: random.Random) -> Iterator[Strike]:
        tickers = chance.sample(TICKERS[YOUNG], chance.randint(1, len(TICKERS[YOUNG])))
        if how == "hang":
            tickers = tickers[:1]  # each takes the limit twice
        for ticker in tickers:
            world.yahoo.fail(how, times=50, ticker=ticker)
        try:
            yield lambda _: f"answered {how} for {', '.join(sorted(tickers))}"
        finally:
            world.yahoo.recover()

    return fault


@contextlib.contextmanager
def _late(world: World, _: random.Random) -> Iterator[Strike]:
    market = world.yahoo.market
    known = market.now
    market.now = CALENDAR.close_of(world.session) - dt.timedelta(hours=9)
    try:
        yield lambda _: "had no bar of the session yet"
    finally:
        market.now = known


#: All faults by name. "postgresql" only: those of the server.
FAULTS: dict[str, Fault] = {
    "run killed": Fault(_on_process(_kill_run)),
    "all killed": Fault(_on_process(_kill_everything)),
    "worker killed": Fault(_on_process(_kill_worker), LEARNING),
    "PostgreSQL killed": Fault(_on_process(_kill_postgres), stores=("postgresql",)),
    "connection killed": Fault(_on_process(_kill_backend), stores=("postgresql",)),
    "guard killed": Fault(_on_process(_kill_guard), stores=("postgresql",), heals=True),
    "stopped": Fault(stopped(60), heals=True),
    "disk full": Fault(_disk_full),
    "no connection": Fault(_no_connection, stores=("postgresql",)),
    "clock a day on": Fault(_clock(1)),
    "clock a day back": Fault(_clock(-1)),
    "source late": Fault(_late, strikes_at_once=True),
    "source lying": Fault(_source("wrong-bar"), strikes_at_once=True),
    "source restating": Fault(_source("restated-bar"), strikes_at_once=True),
    "source hanging": Fault(_source("hang"), strikes_at_once=True),
    "source half": Fault(_source("cut"), strikes_at_once=True),
}


def processes_text(processes: list[psutil.Process]) -> str:
    """Return processes for a message, one a line."""
    lines = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            lines.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
    return "\n".join(lines)


def unfinished_files(folder: Path) -> list[Path]:
    """Return the files below a folder that are named as if they were not whole."""
    marks = (".draft", "data.unfinished", ".new", ".tmp", "-journal")
    found = [path for path in folder.rglob("*") if path.name.endswith(marks)]
    found += (folder / "artifacts" / UNFINISHED_FOLDER).glob("*")
    return sorted(found)
