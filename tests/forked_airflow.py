"""Code in forks of one process that has imported Airflow, its API and what tasks need:

    python -m tests.forked_airflow SOCKET

Imports are more than half of what a short DAG run takes. Like the scheduler, this process has
neither TensorFlow nor threads (`pipeline.scheduling.preloaded_airflow`). It answers at a socket,
where all processes of one run of the tests ask it, and ends with the one that has started it.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipeline.garbage import search_rarely
from tests.airflow_homes import clean_environment

ROOT = Path(__file__).parents[1]
READY, BEGUN = "ready\n", "begun\n"
#: What Airflow looks for in the home that its configuration was read in, by its setting: here that
#: is the home of the process that forks.
IN_HOME = {
    "CORE__PLUGINS_FOLDER": "plugins",
    "DATABASE__SQL_ALCHEMY_CONN": "airflow.db",
    "LOGGING__BASE_LOG_FOLDER": "logs",
    "LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": "logs/dag_processor",
}


class ForkedAirflow:
    """Runs code in forks of a process that has imported Airflow; starts it where there is none.

    Args:
        home: a folder that all processes of one run of the tests have in common.
        folder: another, with a name that is short enough for a socket's.
    """

    def __init__(self, home: Path, folder: Path) -> None:
        self._home, self._socket = home, folder / "socket"
        self._started: subprocess.Popen[str] | None = None

    def run(self, code: str, home: Path, *arguments: str, **changes: str) -> str:
        """Run code in a process and a home of its own; return what it prints."""
        with tempfile.NamedTemporaryFile("r") as output:
            request = {
                "code": code,
                "arguments": arguments,
                "env": clean_environment(home, **changes),
                "output": output.name,
            }
            status = self._asked(json.dumps(request))
            printed = output.read()
        assert status == 0, printed
        return printed

    def close(self) -> None:
        """End the process, if this one has started it."""
        if self._started is not None:
            self._started.communicate()  # it ends where its input does

    def _asked(self, request: str) -> int:
        """Return the exit code of the process that did what is requested."""
        while True:
            # What answers may just be ending, with the process that has started it.
            with (
                contextlib.suppress(BrokenPipeError, ConnectionResetError),
                self._connected() as connection,
                connection.makefile("rw") as stream,
            ):
                stream.write(f"{request}\n")
                stream.flush()
                if stream.readline() == BEGUN:
                    return int(stream.readline())

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        with (self._home / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                connection.connect(str(self._socket))
            except (FileNotFoundError, ConnectionRefusedError):
                self._start()
                connection.connect(str(self._socket))
        return connection

    def _start(self) -> None:
        self._started = subprocess.Popen(
            [sys.executable, "-m", "tests.forked_airflow", str(self._socket)],
            env=clean_environment(self._home),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._started.stdout is not None
        while (line := self._started.stdout.readline()) != READY:
            assert line, "Airflow could not be imported"


def main() -> None:
    """Answer requests until the input ends."""
    search_rarely()
    _preload()
    path = Path(sys.argv[1])
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        print(READY, end="", flush=True)
        while listening in select.select([listening, sys.stdin], [], [])[0]:
            connection, _ = listening.accept()
            with connection:
                if not os.fork():
                    _run(**_requested(connection))  # in a fork of this fork
                    return
    path.unlink()
    path.parent.rmdir()


def _preload() -> None:
    from airflow.sdk.execution_time.supervisor import in_process_api_server

    from pipeline.scheduling.preloaded_airflow import preload

    preload(with_tasks=True)
    # What the first task of a DAG run waits for: the API in all its versions.
    in_process_api_server().app._cadwyn_initialize()
    gc.freeze()  # a collection in a fork would copy all that it shares with this process


def _requested(connection: socket.socket) -> dict[str, Any]:
    """Return a request in a fork of this process, which waits for its end and ends, too."""
    with connection.makefile("rw") as stream:
        request: dict[str, Any] = json.loads(stream.readline())
        pid = os.fork()
        if not pid:
            return request
        stream.write(BEGUN)
        stream.flush()
        _, status = os.waitpid(pid, 0)
        stream.write(f"{os.waitstatus_to_exitcode(status)}\n")
    os._exit(0)


def _run(code: str, arguments: list[str], env: dict[str, str], output: str) -> None:
    """Run code as `python -c` would in the home that the environment names."""
    os.environ.clear()
    os.environ.update(env)
    home = Path(env["AIRFLOW_HOME"])
    os.chdir(home)
    nothing, file = os.open(os.devnull, os.O_RDONLY), os.open(output, os.O_WRONLY)
    for old, new in ((nothing, 0), (file, 1), (file, 2)):
        os.dup2(old, new)
    _use_home(home)
    sys.argv[:] = ["-c", *arguments]
    exec(code, {"__name__": "__main__"})


def _use_home(home: Path) -> None:
    """Let Airflow, which was imported in another home, be at home in this one."""
    from airflow import settings

    for setting, name in IN_HOME.items():
        scheme = "sqlite:///" if name.endswith(".db") else ""
        os.environ.setdefault(f"AIRFLOW__{setting}", f"{scheme}{home / name}")
    settings.configure_vars()
    settings.reconfigure_orm()
    settings.configure_logging()


if __name__ == "__main__":
    main()
