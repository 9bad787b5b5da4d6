"""A deployment to break: a small disk, two universes, a made Yahoo and a clock of its own.

The stocks of "young" have too little history for networks, so a day of theirs takes seconds; the
one of "learning" trains its networks anew every day. One of the young is split on the way.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil
import sqlalchemy as sa

from pipeline.sessions import Calendar
from pipeline.storage import embedded_postgres
from tests.airflow_homes import clean_environment
from tests.servers import ROOT, wait_for
from tests.yahoo_market import Market
from tests.yahoo_server import YahooServer

YOUNG, LEARNING = "young", "learning"
TICKERS = {YOUNG: ("BRK-B", "JPM", "MSFT", "NVDA"), LEARNING: ("JPM",)}
UNIVERSES = f"""
[{YOUNG}]
source = "yahoo"
tickers = {json.dumps(TICKERS[YOUNG])}
start = 2023-12-01

[{LEARNING}]
source = "yahoo"
tickers = {json.dumps(TICKERS[LEARNING])}
start = 2022-06-01
retrain = "daily"
"""
CALENDAR = Calendar("XNYS")
#: The first session that is run; NVDA is split 27 sessions later, on 2024-06-10.
FIRST_SESSION = dt.date(2024, 5, 1)
#: From a session's close to its run: by then its bar may still be late.
AFTER_CLOSE = dt.timedelta(hours=1)
#: The made disk, with room for PostgreSQL's log of a hundred days.
DISK_BYTES = 1500 * 2**20
SECONDS_TO_RUN = 600
FAKETIME = "vendor/libfaketime/src/libfaketime.so.1"


@dataclass
class Command:
    """A command that runs: its process, and the file of what it prints."""

    process: psutil.Process
    output: Path

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        with contextlib.suppress(psutil.Error):
            return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE
        return False


class World:
    """The deployment; see the module. Made by `made_world`.

    Args:
        folder: holds everything.
        store: "postgresql" (the embedded one) or "sqlite".

    Attributes:
        home: the deployment's.
        yahoo: what it asks for prices.
        session: the session of this round.
        is_small: whether the home lies on a disk of its own, which can be filled.
    """

    def __init__(self, folder: Path, yahoo: YahooServer, store: str, is_small: bool) -> None:
        self.folder, self.yahoo, self.is_small = folder, yahoo, is_small
        self.home, self.temporary = folder / "home", folder / "tmp"
        self.store = store
        self.session = FIRST_SESSION
        self._clock = folder / "clock"
        self._outputs = 0
        for made in (self.home, self.temporary):
            made.mkdir(exist_ok=True)
        (folder / "universes.toml").write_text(UNIVERSES)
        self.turn_clock_to(self.now_of(self.session))
        with (folder / "forking.log").open("a") as log:
            self._forking = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.stockcast"],
                cwd=ROOT,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._read() == "ready"

    def close(self) -> None:
        """End the process that commands are forks of."""
        with self._forking:  # it ends where nothing more can be asked
            self._pipe(self._forking.stdin).close()

    # Time

    def now_of(self, session: dt.date) -> dt.datetime:
        """Return the moment at which a session is run."""
        return CALENDAR.close_of(session) + AFTER_CLOSE

    def turn_clock_to(self, moment: dt.datetime) -> None:
        """Set the commands' clock, also of those that run; it goes on from there."""
        offset = (moment - dt.datetime.now(dt.UTC)).total_seconds()
        draft = self._clock.with_suffix(".new")
        draft.write_text(f"{offset:+.0f}\n")
        draft.rename(self._clock)

    def turn_clock(self, days: int) -> None:
        """Set the commands' clock some days on or back."""
        offset = int(self._clock.read_text()) + days * 86400
        self.turn_clock_to(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=offset))

    def go_to(self, session: dt.date) -> None:
        """Begin the evening of a session: for the commands, and for Yahoo."""
        self.session = session
        self.yahoo.market.now = self.now_of(session)
        self.turn_clock_to(self.now_of(session))

    # Commands

    def start(self, *arguments: str) -> Command:
        """Start a command."""
        self._outputs += 1
        output = self.folder / f"output-{self._outputs}.txt"
        request = {"arguments": arguments, "output": str(output)}
        self._pipe(self._forking.stdin).write(json.dumps(request) + "\n")
        self._pipe(self._forking.stdin).flush()
        return Command(psutil.Process(int(self._read())), output)

    def end_of(self, command: Command) -> int:
        """Wait until a command has ended, and return its exit code."""
        psutil.wait_procs([command.process], SECONDS_TO_RUN)
        if command.runs:
            command.process.kill()
            self._read()
            raise AssertionError(f"not within {SECONDS_TO_RUN} s: {command.output.read_text()}")
        return int(self._read())

    def run(self, universe: str) -> Command:
        """Start the run of the session."""
        return self.start("run", "--universe", universe, "--session", str(self.session))

    # What it has left

    @contextlib.contextmanager
    def databases(self) -> Iterator[tuple[sa.Connection, sa.Connection]]:
        """Open the store and MLflow's database; the server runs as long as that only."""
        engines = [sa.create_engine(self._url(name)) for name in ("stockcast", "mlflow")]
        try:
            with engines[0].connect() as store, engines[1].connect() as mlflow:
                yield store, mlflow
        finally:
            for engine in engines:
                engine.dispose()
            embedded_postgres.stop(self.home)

    def _url(self, database: str) -> str:
        if self.store == "sqlite":
            return f"sqlite:///{self.home}/{database}.db"
        return embedded_postgres.url(self.home, database)

    def processes(self) -> list[psutil.Process]:
        """Return the processes that have to do with the home, but those of the world itself."""
        own, found = {os.getpid(), self._forking.pid}, []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = [*process.cmdline(), process.cwd(), *process.environ().values()]
                is_at_work = process.status() != psutil.STATUS_ZOMBIE
                if process.pid not in own and is_at_work and any(map(self._names_home, words)):
                    found.append(process)
        return found

    def wait_until_alone(self) -> None:
        """Wait until no process of the home is left."""
        wait_for("the end of all processes", lambda: not self.processes(), pause=0.2)

    def _names_home(self, word: str) -> bool:
        return str(self.home) in word

    def _environment(self) -> dict[str, str]:
        spec = importlib.util.find_spec("libfaketime")
        assert spec is not None and spec.origin is not None
        settings = {"UNIVERSES": str(self.folder / "universes.toml"), "FETCH_TIMEOUT": "5"}
        settings |= {"FETCH_ATTEMPTS": "1", "WORKERS": "1"}
        if self.store == "sqlite":
            settings["STORE_URL"] = self._url("stockcast")
            settings["TRACKING_URI"] = self._url("mlflow")
        return clean_environment(
            self.home,
            **{f"STOCKCAST_{name}": value for name, value in settings.items()},
            **self.yahoo.environment(),
            LD_PRELOAD=str(Path(spec.origin).parent / FAKETIME),
            FAKETIME_TIMESTAMP_FILE=str(self._clock),
            FAKETIME_CACHE_DURATION="1",
            # Waiting is by the monotonic clock, which nobody can set.
            FAKETIME_DONT_FAKE_MONOTONIC="1",
            TMPDIR=str(self.temporary),
            TZ="UTC",
        )

    def _read(self) -> str:
        return self._pipe(self._forking.stdout).readline().strip()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


def end_on_termination() -> None:
    """Let SIGTERM end this program as an exit does, so that what it has made goes; once."""

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(143)

    signal.signal(signal.SIGTERM, end)


@contextlib.contextmanager
def made_world(store: str = "postgresql") -> Iterator[World]:
    """A new world; in the end it is gone."""
    with tempfile.TemporaryDirectory(prefix="stockcast-chaos-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, PostgreSQL runs as another user
        market = Market(
            CALENDAR.close_of(FIRST_SESSION),
            tickers=TICKERS[YOUNG],
            first_day=dt.date(2022, 6, 1),
        )
        with (
            _small_disk(folder / "home") as is_small,
            YahooServer(market, folder / "certificates") as yahoo,
        ):
            world = World(folder, yahoo, store, is_small)
            try:
                yield world
            finally:
                world.close()
                for process in world.processes():
                    process.kill()
                time.sleep(0.2)


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small disk at a folder; yield False where only root could."""
    folder.mkdir()
    size = f"size={DISK_BYTES}"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    is_mounted = os.geteuid() == 0 and not subprocess.run(mount, capture_output=True).returncode
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
