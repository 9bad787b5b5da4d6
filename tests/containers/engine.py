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

    def docker(self, *words: str | Path, cwd: Path = ROOT, **more: str) -> str:
        """Return what `docker` prints; `AssertionError` with its last lines where it fails.

        Args:
            more: environment variables.
        """
        return self.call("docker", *words, cwd=cwd, **more)

    def call(self, *words: str | Path, cwd: Path = ROOT, **more: str) -> str:
        """Return what a command prints that finds `docker` in its PATH."""
        within = [f"--wdns={cwd}", *self._cleared()] if self.enter else []
        command = [*self.enter, *within, "env", *(f"{key}={value}" for key, value in more.items())]
        command += [str(word) for word in words]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
        lines = (done.stdout + done.stderr).splitlines()
        assert done.returncode == 0, "\n".join([" ".join(map(str, words)), *lines[-60:]])
        return done.stdout

    def _cleared(self) -> list[str]:
        places = [f"{self.work}/home", f"unix://{self.work}/run/docker.sock"]
        names = ["HOME", "DOCKER_HOST"]
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        kept = [f"{name}={value}" for name, value in zip(names, places, strict=True)]
        return ["env", "-i", f"PATH={path}", *kept]


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
        yield Engine(("nsenter", f"--target={pid}", "-m", "-n", "-p", "-u", "-i", "--root"), work)
    finally:
        os.kill(pid, signal.SIGKILL)  # the first process of its namespaces: all others end too


def provide_images(engine: Engine) -> list[str]:
    """Return the images of others that registries did not give, and that stand-ins are for."""
    missing = [name for name in _needed_images() if not _is_there(engine, name)]
    for name in missing:
        subprocess.run(
            ["sh", HERE / "stand_ins.sh", engine.work, ROOT, name],
            env={**os.environ, "PATH": f"{_shim(engine)}:{os.environ['PATH']}"},
            check=True,
        )
    return missing


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
    within = " ".join([*engine.enter, f"--wdns={engine.work}", *engine._cleared()])
    (folder / "docker").write_text(
        f'#!/bin/sh\nexec {within if engine.enter else ""} docker "$@"\n'
    )
    (folder / "docker").chmod(0o755)
    return folder


def _has_engine() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "version"], capture_output=True).returncode == 0


def _join_network(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/proc/{pid}/ns/net").open() as network:
        if libc.setns(network.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "the engine's network cannot be joined")
