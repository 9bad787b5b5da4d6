"""Servers as processes of their own on loopback, for tests that want the real thing: other people's, and this project's with `make up`."""

from __future__ import annotations

import contextlib
import http.server
import os
import secrets
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline import embedded_postgres
from pipeline.settings import Settings

ROOT = Path(__file__).parents[1]
LOOPBACK = "127.0.0.1"
SECONDS_TO_START = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def wait_for(what: str, come: Callable[[], object], seconds: float = SECONDS_TO_START, pause: float = 0.1) -> object:
    """What `come` returns as soon as that is true; `AssertionError` when it takes too long."""
    deadline = time.monotonic() + seconds
    while not (found := come()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(pause)
    return found


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


@contextlib.contextmanager
def smtp_server() -> Iterator[tuple[int, list[str]]]:
    """A mail server without encryption that takes everything: its port, and the mails that have come, headers included."""
    mails: list[str] = []

    class Mail(socketserver.StreamRequestHandler):
        """RFC 5321, as much of it as a client needs that trusts the server."""

        def handle(self) -> None:
            self._say("220 ready")
            while line := self.rfile.readline().strip().upper():
                if line == b"DATA":
                    self._say("354 end with a dot")
                    body = b"".join(iter(self.rfile.readline, b".\r\n"))
                    mails.append(body.decode())
                self._say("221 bye" if line == b"QUIT" else "250 yes")

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with _in_a_thread(socketserver.ThreadingTCPServer((LOOPBACK, 0), Mail)) as port:
        yield port, mails


@contextlib.contextmanager
def webhook() -> Iterator[tuple[int, list[tuple[str, bytes]]]]:
    """What takes every POST: its port, and path and body of what has come."""
    posts: list[tuple[str, bytes]] = []

    class Taker(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with _in_a_thread(http.server.ThreadingHTTPServer((LOOPBACK, 0), Taker)) as port:
        yield port, posts


@contextlib.contextmanager
def _in_a_thread(server: socketserver.TCPServer) -> Iterator[int]:
    with server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextlib.contextmanager
def s3_server(log: Path, *buckets: str) -> Iterator[dict[str, str]]:
    """An empty S3 (moto's server) with these buckets; the variables that lead s3fs, boto3 and MLflow to it."""
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
            request = urllib.request.Request(f"{access['AWS_ENDPOINT_URL']}/{bucket}", method="PUT")
            with urllib.request.urlopen(request, timeout=SECONDS_TO_START):
                pass
        yield access
    finally:
        process.terminate()
        process.wait()


class Deployment:
    """A state folder and two free ports of its own; whatever is called is a process of its own, with nothing but these settings."""

    def __init__(self, home: Path, universes: str, **chosen: object) -> None:
        self.home = home
        if universes:
            (home / "universes.toml").write_text(universes)
            chosen["universes"] = str(home / "universes.toml")
        self.settings = Settings(home=home, airflow_port=free_port(), mlflow_port=free_port(), **chosen)

    def call(self, *arguments: str) -> subprocess.CompletedProcess:
        return self.python("-m", "pipeline.scheduling", *arguments)

    def python(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=ROOT, env=self._environ(changes), capture_output=True, text=True, timeout=300)

    def start(self, *arguments: str) -> subprocess.Popen:
        """`call` in the background."""
        command = [sys.executable, "-m", "pipeline.scheduling", *arguments]
        return subprocess.Popen(command, cwd=ROOT, env=self._environ({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _environ(self, changes: dict[str, str]) -> dict[str, str]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "STOCKCAST_"))}
        return outside | self.settings.to_environ() | changes


@contextlib.contextmanager
def deployment(universes: str = "", **chosen: object) -> Iterator[Deployment]:
    """A new one, with a file of universes of this text (empty: the shipped one); in the end it is down and gone."""
    home = Path(tempfile.mkdtemp(prefix="stockcast-test-", dir="/tmp"))
    deployed = Deployment(home, universes, **chosen)
    try:
        yield deployed
    finally:
        deployed.call("down")
        embedded_postgres.stop(home)
        shutil.rmtree(home)
