"""The guard: the server's parent process, which stops the server after its last user.

It is started as `python -m pipeline.storage.embedded_postgres.guard FOLDER`, and lives as long as
the server. So it imports no library.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import RunError, SettingsError
from pipeline.storage.embedded_postgres.cluster import shut_down, start_server
from pipeline.storage.embedded_postgres.file_lock import FileLock
from pipeline.storage.embedded_postgres.running_server import find_server


def main(folder: Path) -> int:
    """Start the server, and leave a guard behind.

    Returns:
        The exit code: 0 once the server answers; else another one, with the reason on stderr.
    """
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with os.fdopen(reading) as pipe:
            code, _, message = pipe.read().partition(" ")
        print(message, file=sys.stderr)
        return int(code or 1)
    os.setsid()  # a Ctrl-C in the terminal of the first user is not for the guard
    # In the middle of a start, the end of the guard takes the server along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.close(reading)
    _point_standard_streams_at(folder / "log")
    _guard_and_report(folder, writing)
    return 0


def _guard_and_report(folder: Path, writing: int) -> None:
    """Guard the server; write how its start went, an exit code and a message, to a pipe."""
    with os.fdopen(writing, "w") as pipe:

        def report(message: str) -> None:
            pipe.write(message)
            pipe.close()  # the first user waits for the end of the message

        try:
            _guard(folder, report)
        except RunError as error:
            report(f"1 {error}")
        except SettingsError as error:
            report(f"{error.exit_code} {error}")


def _point_standard_streams_at(log: Path) -> None:
    for path, flags, streams in (
        (os.devnull, os.O_RDONLY, [0]),
        (log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, [1, 2]),
    ):
        fd = os.open(path, flags, 0o600)
        for stream in streams:
            os.dup2(fd, stream)
        os.close(fd)


def _guard(folder: Path, report: Callable[[str], None]) -> None:
    """Start the server where it does not run, and stop it when its last user is gone."""
    with FileLock(folder / "guard.lock") as guard, FileLock(folder / "users.lock") as users:
        guard.take(fcntl.LOCK_EX)
        (folder / "guard.lock").write_text(str(os.getpid()))
        process = None if find_server(folder) else start_server(folder)
        report("0 ")
        # Granted when the last user is gone; new users wait until the server has ended.
        users.take(fcntl.LOCK_EX)
        shut_down(folder)
        if process is not None:
            process.wait()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
