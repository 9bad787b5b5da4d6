"""The running server, as its own files describe it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

#: Only names the socket file, as nothing listens on TCP. It is given everywhere, or a PGPORT in the
#: environment would win.
SOCKET_PORT = 5432
#: Name of the socket file.
SOCKET_NAME = f".s.PGSQL.{SOCKET_PORT}"
#: Name of the file in the data folder that describes the server that runs.
POSTMASTER_FILE = "postmaster.pid"
#: Lines of a `postmaster.pid` that is complete; the last is the server's status.
POSTMASTER_LINES = 8


@dataclass(frozen=True)
class RunningServer:
    """A server that answers.

    Attributes:
        sockets: the folder of its socket.
    """

    pid: int
    sockets: Path


def find_server(folder: Path) -> RunningServer | None:
    """Return the running server of a folder; None: it does not run, or is not ready.

    Its `postmaster.pid` has the status "ready", and its socket answers: the file outlives a crash.
    """
    lines = postmaster_lines(folder / "data")
    if len(lines) < POSTMASTER_LINES or lines[7].strip() != "ready":
        return None
    server = RunningServer(pid=int(lines[0]), sockets=Path(lines[4]))
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(server.sockets / SOCKET_NAME))
        except OSError:
            return None
    return server


def postmaster_lines(data: Path) -> list[str]:
    """Return the lines of `postmaster.pid`; an empty list: there is no such file.

    They are: process id, data folder, start, port, folder of the socket, address, shared memory,
    status.
    """
    try:
        return (data / POSTMASTER_FILE).read_text().splitlines()
    except FileNotFoundError:
        return []


def last_line(text: str) -> str:
    """Return the last line of a program's output; "" where it has none."""
    return (text.strip().splitlines() or [""])[-1]
