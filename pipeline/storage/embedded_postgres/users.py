"""Users of the server: each keeps it running for as long as it lives."""

from __future__ import annotations

import atexit
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from pipeline.errors import SettingsError, StoreUnavailable
from pipeline.private_home import OWNER_ONLY, private_home, unusable_home
from pipeline.shipped_files import python_path
from pipeline.storage.embedded_postgres.cluster import SECONDS_BETWEEN_POLLS, shut_down
from pipeline.storage.embedded_postgres.file_lock import FileLock
from pipeline.storage.embedded_postgres.running_server import (
    SOCKET_PORT,
    RunningServer,
    find_server,
    last_line,
)

#: Run as a module of its own, so that its process imports no more than it needs.
GUARD_MODULE = "pipeline.storage.embedded_postgres.guard"
#: The guard has a short environment: what marks or configures its first user is not true of a
#: server that others use as well.
GUARD_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH")


class _Use(NamedTuple):
    """A shared lock on `users.lock`.

    Attributes:
        fd: the lock file's descriptor.
        pid: the process that opened it.
    """

    fd: int
    pid: int


_uses: dict[Path, _Use] = {}
_threads = threading.Lock()


def url(home: Path, database: str, driver: str = "postgresql+psycopg2") -> str:
    """Return the SQLAlchemy URL of a database of this home's server, both made where missing.

    The server stays while this process lives. Children that are given the URL need not ask again,
    as long as their parent outlives them.

    Raises:
        StoreUnavailable: the server does not start.
        SettingsError: this platform has no binaries, or root may not make a user for the server.
    """
    server = _keep_server(home)
    _create_if_missing(server, database)
    sockets = quote(str(server.sockets), safe="/")
    return f"{driver}://postgres@/{quote(database)}?host={sockets}&port={SOCKET_PORT}"


def keep(home: Path) -> None:
    """Keep the server running while this process and its forked children live.

    It is started where it does not run. Raises as `url` does.
    """
    _keep_server(home)


def running(home: Path) -> bool:
    """Return whether this home's server runs."""
    return find_server(_folder_of(home)) is not None


def stop(home: Path) -> bool:
    """Let go of the server, and wait for its end where nobody else uses it.

    Returns:
        Whether it has ended.
    """
    folder = _folder_of(home)
    _let_go(folder)
    if not folder.is_dir():
        return True
    while True:
        ended = _end_if_unused(folder)
        if ended is not None:
            return ended
        time.sleep(SECONDS_BETWEEN_POLLS)


def _end_if_unused(folder: Path) -> bool | None:
    """Return whether the server has ended; None: its guard is about to stop it."""
    with FileLock(folder / "guard.lock") as guard, FileLock(folder / "users.lock") as users:
        unguarded = guard.take(fcntl.LOCK_EX, wait=False)
        unused = users.take(fcntl.LOCK_EX, wait=False)
        if unguarded and unused:
            shut_down(folder)  # does something only where the guard was killed
            return True
        # The guard, while it stops the server, would not share the lock; other users do.
        if not unused and users.take(fcntl.LOCK_SH, wait=False):
            # It may also have ended since; then nobody has the lock now.
            return None if users.take(fcntl.LOCK_EX, wait=False) else False
    return None


def _folder_of(home: Path) -> Path:
    return Path(home).expanduser().resolve() / "postgres"


def _keep_server(home: Path) -> RunningServer:
    folder = _folder_of(home)
    with _threads:
        if folder not in _uses:
            _make_folder(folder)
            lock = FileLock(folder / "users.lock")
            lock.take(fcntl.LOCK_SH)
            _uses[folder] = _Use(lock.fd, os.getpid())
            atexit.register(_leave, folder)
        return _guarded_server(folder) or _start_guard(folder)


def _guarded_server(folder: Path) -> RunningServer | None:
    """Return the server where it runs under a guard."""
    with FileLock(folder / "guard.lock") as guard:
        return None if guard.take(fcntl.LOCK_EX, wait=False) else find_server(folder)


def _leave(folder: Path) -> None:
    """Wait for the server's end at this user's regular end.

    Otherwise the end of a container would come in between.
    """
    # A forked child runs its parent's exit handlers.
    if folder in _uses and _uses[folder].pid == os.getpid():
        stop(folder.parent)


def _let_go(folder: Path) -> None:
    with _threads:
        use = _uses.pop(folder, None)
        if use is not None:
            os.close(use.fd)  # not LOCK_UN, which would unlock it for forked children too


def _start_guard(folder: Path) -> RunningServer:
    """Start a guard, and with it the server; return the server."""
    with FileLock(folder / "start.lock") as starting:
        starting.take(fcntl.LOCK_EX)
        if server := _guarded_server(folder):
            return server
        _end_useless_guard(folder)
        done = _run_guard(folder)
    message = last_line(done.stderr)
    if done.returncode == SettingsError.exit_code:
        raise SettingsError(message)
    server = find_server(folder)
    if done.returncode or server is None:
        at_once = f"The embedded PostgreSQL under {folder} ended at once; see {folder / 'log'}."
        raise StoreUnavailable(message or at_once)
    return server


def _run_guard(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the guard's module, which returns once the server answers and leaves the guard behind."""
    return subprocess.run(
        [sys.executable, "-P", "-m", GUARD_MODULE, str(folder)],
        cwd="/",
        env={
            **{name: os.environ[name] for name in GUARD_ENVIRONMENT if name in os.environ},
            "PYTHONPATH": python_path(),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def _end_useless_guard(folder: Path) -> None:
    """End a guard whose server has crashed.

    It waits for its users to leave, and they wait for a server.
    """
    with FileLock(folder / "guard.lock") as guard:
        if not guard.take(fcntl.LOCK_EX, wait=False):
            os.kill(int((folder / "guard.lock").read_text()), signal.SIGTERM)
            guard.take(fcntl.LOCK_EX)


def _make_folder(folder: Path) -> None:
    private_home(folder.parent)
    try:
        folder.mkdir(mode=OWNER_ONLY, exist_ok=True)
    except OSError as error:
        raise unusable_home(folder.parent, error) from None


def _create_if_missing(server: RunningServer, database: str) -> None:
    import psycopg2
    from psycopg2 import errors, sql

    try:
        connection = psycopg2.connect(
            host=str(server.sockets), port=SOCKET_PORT, user="postgres", dbname="postgres"
        )
    except psycopg2.OperationalError as error:
        reason = last_line(str(error))
        raise StoreUnavailable(
            f"The embedded PostgreSQL refuses a connection: {reason}. Try again."
        ) from error
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    except (errors.DuplicateDatabase, errors.UniqueViolation):
        return  # another process made it in the meantime
    finally:
        connection.close()
