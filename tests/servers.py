"""Servers as processes on loopback, for tests that want the real thing: other people's and ours."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import secrets
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import psycopg2

from pipeline.scheduling.airflow_client import AirflowClient
from pipeline.settings import Settings
from pipeline.storage import embedded_postgres
from pipeline.storage.embedded_postgres.cluster import SERVER_OPTIONS, find_binaries
from pipeline.storage.embedded_postgres.server_user import admit, process_options, server_user

ROOT = Path(__file__).parents[1]
LOOPBACK = "127.0.0.1"
#: Generous: servers of several tests start on the same processors, which others may want, too.
SECONDS_TO_START = 300
#: A command may train, or do the day of a new home.
SECONDS_OF_A_COMMAND = 900

Value = TypeVar("Value")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def wait_for(
    what: str, look: Callable[[], Value], seconds: float = SECONDS_TO_START, pause: float = 0.1
) -> Value:
    """Return what `look` returns as soon as that is true; `AssertionError` after `seconds`.

    Args:
        pause: seconds between two looks; 0.5 where a look asks a server, which needs the processor
            for what the test waits for.
    """
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(pause)
    return found


@cache
def _http() -> httpx.Client:
    """A client that is made once: that takes longer than an answer, and who waits asks often."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(timeout=5, trust_env=False, limits=limits)


def answers(url: str) -> bool:
    """Return whether a server answers an address well."""
    try:
        return _http().get(url).status_code == 200
    except httpx.TransportError:
        return False


def has_read(airflow: AirflowClient, dag_id: str) -> bool:
    """Return whether Airflow has read a DAG's file yet."""
    return bool(json.loads(airflow.get(f"/api/v2/dags?dag_id_pattern={dag_id}"))["dags"])


def tasks_of(airflow: AirflowClient, dag_id: str, run_id: str) -> list[dict[str, Any]]:
    """Return all task instances of a run."""
    path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances"
    tasks: list[dict[str, Any]] = []
    while True:
        page = json.loads(airflow.get(f"{path}?limit=100&offset={len(tasks)}"))
        tasks += page["task_instances"]
        if len(tasks) >= page["total_entries"] or not page["task_instances"]:
            return tasks


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


@contextlib.contextmanager
def smtp_server() -> Iterator[tuple[int, list[str]]]:
    """A mail server without encryption that takes everything.

    Its port, and the mails that it has taken, headers included.
    """
    mails: list[str] = []

    class Mail(socketserver.StreamRequestHandler):
        """RFC 5321, as much of it as a client needs that trusts the server."""

        def handle(self) -> None:
            self._answer("220 ready")
            while line := self.rfile.readline().strip().upper():
                if line == b"DATA":
                    self._answer("354 end with a dot")
                    body = b"".join(iter(self.rfile.readline, b".\r\n"))
                    mails.append(body.decode())
                self._answer("221 bye" if line == b"QUIT" else "250 yes")

        def _answer(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with _in_a_thread(socketserver.ThreadingTCPServer((LOOPBACK, 0), Mail)) as port:
        yield port, mails


@contextlib.contextmanager
def webhook() -> Iterator[tuple[int, list[tuple[str, bytes]]]]:
    """A server that takes every POST: its port, and the path and body of each."""
    posts: list[tuple[str, bytes]] = []

    def take(method: str, path: str, body: bytes) -> tuple[int, object]:
        posts.append((path, body))
        return 204, None

    with json_server(take) as port:
        yield port, posts


@contextlib.contextmanager
def json_server(answer: Callable[[str, str, bytes], tuple[int, object]]) -> Iterator[int]:
    """A server that answers with what a function makes of method, path and body; its port.

    The function returns a status, and a value that is sent as JSON; None: nothing is sent.
    """

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, value = answer(self.command, self.path, body)
            text = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with _in_a_thread(http.server.ThreadingHTTPServer((LOOPBACK, 0), Answering)) as port:
        yield port


@contextlib.contextmanager
def _in_a_thread(server: socketserver.TCPServer) -> Iterator[int]:
    with server:
        serve = {"poll_interval": 0.05}
        threading.Thread(target=server.serve_forever, kwargs=serve, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextlib.contextmanager
def s3_server(log: Path, *buckets: str) -> Iterator[dict[str, str]]:
    """An empty S3 (moto's server) with these buckets.

    The variables that lead s3fs, boto3 and MLflow to it.
    """
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", LOOPBACK, "--port", str(port)]
    with log.open("a") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    access = {
        "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{port}",
        "AWS_ACCESS_KEY_ID": secrets.token_hex(8),
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16),
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        wait_for("the S3 server", lambda: listens(port))
        for bucket in buckets:
            address = f"{access['AWS_ENDPOINT_URL']}/{bucket}"
            httpx.put(address, timeout=SECONDS_TO_START, trust_env=False).raise_for_status()
        yield access
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def postgres_server(
    folder: Path, *databases: str, password: str = secrets.token_hex(16)
) -> Iterator[str]:
    """A PostgreSQL on TCP with these databases, from the embedded one's binaries.

    Its URL, with a place for the database's name.
    """
    data, port = folder / "postgres", free_port()
    binaries, user = find_binaries(data), server_user()
    data.mkdir()
    admit(user, data, binaries)
    with tempfile.NamedTemporaryFile("w", dir=folder) as file:
        file.write(password)
        file.flush()
        for path in (data, Path(file.name)):
            path.chmod(0o700)
            if user:
                os.chown(path, *_ids(user))
        asked = [
            "--username=stockcast",
            "--auth=scram-sha-256",
            f"--pwfile={file.name}",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ]
        subprocess.run(
            [binaries / "initdb", "-D", data, *asked],
            check=True,
            capture_output=True,
            **process_options(user),
        )
    options = [
        f"-c{name}={value}"
        for name, value in {
            **SERVER_OPTIONS,
            "listen_addresses": LOOPBACK,
            "fsync": "off",
        }.items()
    ]
    command = [binaries / "postgres", "-D", data, "-k", "", "-p", str(port), *options]
    with (folder / "postgres.log").open("w") as log:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **process_options(user)
        )
    try:
        wait_for("PostgreSQL", lambda: listens(port))
        with contextlib.closing(
            wait_for("PostgreSQL", lambda: _connection(port, password))
        ) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for name in databases:
                    cursor.execute(f"CREATE DATABASE {name}")
        login = f"stockcast:{quote(password, safe='')}"
        yield f"postgresql+psycopg2://{login}@{LOOPBACK}:{port}/{{}}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def _connection(port: int, password: str):
    with contextlib.suppress(psycopg2.OperationalError):  # it is still starting
        return psycopg2.connect(
            host=LOOPBACK, port=port, user="stockcast", password=password, dbname="postgres"
        )
    return None


def _ids(user: str) -> tuple[int, int]:
    import pwd

    known = pwd.getpwnam(user)
    return known.pw_uid, known.pw_gid


class Deployment:
    """A state folder and two free ports of its own.

    Every command is a process of its own, with nothing but these settings.
    """

    def __init__(
        self, home: Path, universes: str, installed: Path | None, **chosen: object
    ) -> None:
        self.home = home
        self._python = str(installed or sys.executable)
        self._folder = tempfile.gettempdir() if installed else ROOT
        if universes:
            (home / "universes.toml").write_text(universes)
            chosen["universes"] = str(home / "universes.toml")
        self.settings = Settings(
            home=home, airflow_port=free_port(), mlflow_port=free_port(), **chosen
        )

    def stockcast(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        return self.python("-m", "pipeline", *arguments)

    def python(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run Python; `changes` are variables on top of the settings."""
        return subprocess.run(
            [self._python, *arguments],
            cwd=self._folder,
            env=self._environ(changes),
            capture_output=True,
            text=True,
            timeout=SECONDS_OF_A_COMMAND,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run the command line in the background."""
        return subprocess.Popen(
            [self._python, "-m", "pipeline", *arguments],
            cwd=self._folder,
            env=self._environ({}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _environ(self, changes: dict[str, str]) -> dict[str, str]:
        outside = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW", "STOCKCAST_", "PYTHONPATH"))
        }
        return outside | self.settings.to_environ() | changes


@contextlib.contextmanager
def deployment(
    universes: str = "", installed: Path | None = None, **chosen: object
) -> Iterator[Deployment]:
    """A new deployment; in the end it is down and gone.

    Args:
        universes: the text of its file of universes; empty: the shipped one.
        installed: the interpreter of an environment with the package; `None`: this checkout.
    """
    home = Path(tempfile.mkdtemp(prefix="stockcast-test-", dir="/tmp"))
    home.chmod(0o755)  # as older versions have made it; the first command closes it
    deployed = Deployment(home, universes, installed, **chosen)
    try:
        yield deployed
    finally:
        deployed.stockcast("down")
        embedded_postgres.stop(home)
        shutil.rmtree(home)
