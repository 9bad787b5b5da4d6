"""A Docker engine: the machine's own, or else one made for the tests (engine.sh)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.docker.container_files import files
from tests.servers import ROOT

HERE = Path(__file__).parent
#: setns(2): of the network alone.
CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Engine:
    """Where `docker` is called.

    Attributes:
        enter: the words before it, which lead into the engine's namespaces.
        work: a folder that the engine can read, under the same path.
    """

    enter: tuple[str, ...]
    work: Path

    def docker(self, *words: str) -> str:
        """Return what `docker` prints; `AssertionError` with its last lines where it fails."""
        command = [*self.enter, "docker", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        lines = (done.stdout + done.stderr).splitlines()
        assert done.returncode == 0, "\n".join([" ".join(["docker", *words]), *lines[-60:]])
        return done.stdout


@contextlib.contextmanager
def engine(work: Path) -> Iterator[Engine]:
    """The machine's Docker engine, or one of its own that ends with this.

    Published ports are on this process's loopback, whose network is the engine's from then on.

    Args:
        work: what the second keeps: its programs and images.
    """
    work.mkdir(parents=True, exist_ok=True)
    if _has_engine():
        yield Engine((), work)
        return
    assert os.geteuid() == 0 and shutil.which("apt-get"), (
        "There is no Docker engine here (`docker version`), and one can be made only by root on "
        "Debian: start Docker, or run this as root there."
    )
    subprocess.run(["sh", HERE / "engine.sh", work, ROOT], check=True)
    pid = int((work / "engine.pid").read_text())
    _join_network(pid)
    try:
        yield Engine(_entering(pid, work), work)
    finally:
        os.kill(pid, signal.SIGKILL)  # the first process of its namespaces: all others end too
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((work / "network.pid").read_text()), signal.SIGTERM)


def provide_images(engine: Engine) -> list[str]:
    """Return the images of others that registries did not give, now or before, but stand-ins."""
    needed = _needed_images()
    missing = [name for name in needed if not _is_there(engine, name)]
    folders = [str(_shim(engine)), os.environ["PATH"]] if engine.enter else [os.environ["PATH"]]
    for name in missing:
        subprocess.run(
            ["sh", HERE / "stand_ins.sh", engine.work, ROOT, name],
            env={**os.environ, "PATH": ":".join(folders)},
            check=True,
        )
    mark = ("--format", '{{index .Config.Labels "stand-in"}}')
    return [name for name in needed if engine.docker("image", "inspect", name, *mark).strip()]


def _needed_images() -> list[str]:
    text = "\n".join(files().values())
    named = re.findall(r"^(?:FROM|    image:) ([a-z/]+:v?\d[\w.-]+)", text, re.MULTILINE)
    return sorted(set(named))


def _is_there(engine: Engine, name: str) -> bool:
    for words in (("image", "inspect", name), ("pull", "--quiet", name)):
        with contextlib.suppress(AssertionError):
            engine.docker(*words)
            return True
    return False


def _shim(engine: Engine) -> Path:
    """Return a folder whose `docker` is the engine's, for a script outside its namespaces."""
    folder = engine.work / "bin"
    folder.mkdir(exist_ok=True)
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\nexec {" ".join(engine.enter)} docker "$@"\n')
    program.chmod(0o755)
    return folder


def _entering(pid: int, work: Path) -> tuple[str, ...]:
    namespaces = ("--mount", "--net", "--pid", "--uts", "--ipc", "--root", f"--wdns={ROOT}")
    clean = ("env", "-i", f"PATH={os.defpath}:/usr/sbin:/sbin", f"HOME={work}/home")
    socket = f"DOCKER_HOST=unix://{work}/run/docker.sock"
    return ("nsenter", f"--target={pid}", *namespaces, *clean, socket)


def _has_engine() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "version"], capture_output=True).returncode == 0


def _join_network(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/proc/{pid}/ns/net").open() as network:
        if libc.setns(network.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "the engine's network cannot be joined")
