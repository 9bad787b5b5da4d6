"""Wall time and peak memory of each step of `make run`, first in an empty home and then again.

    python -m benchmarks.daily_run [--home DIR]

A step's time runs from the last line of the step before it to its own last line. Memory is the proportional set size (shared pages
divided among those who share them) of the command and all its descendants, the embedded PostgreSQL among them, read every 100 ms.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

STEPS = ("ingest", "check", "pretrain", "build_windows", "train", "evaluate", "promote", "publish", "score", "watch", "report")
ROOT = Path(__file__).parent.parent


class Watched:
    """A command, with the highest memory of its process tree since `take` was last called."""

    def __init__(self, command: list[str], environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._highest = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def take(self) -> int:
        highest, self._highest = self._highest, 0
        return highest

    def _watch(self) -> None:
        tree = psutil.Process(self.process.pid)
        while self.process.poll() is None:
            self._highest = max(self._highest, memory_of(tree))
            time.sleep(0.1)


def memory_of(process: psutil.Process) -> int:
    """Bytes of a process and its descendants; those that end meanwhile do not count."""
    total = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in family:
        try:
            total += member.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def measure(home: Path) -> tuple[dict[str, tuple[float, int]], float, int]:
    """(step -> (seconds, bytes), seconds in all, exit code) of one `make run` without its installation."""
    environ = {**os.environ, "STOCKCAST_HOME": str(home)}
    begun = last = time.monotonic()
    watched = Watched([sys.executable, "-m", "pipeline.scheduling", "run", "--universe", "sample"], environ)
    found: dict[str, tuple[float, int]] = {}
    current = "start"
    assert watched.process.stdout is not None
    for line in watched.process.stdout:
        word = line.split()[0] if line.split() else ""
        now = time.monotonic()
        if word in STEPS:
            if current == "start":
                found["start"], last = (now - last, watched.take()), now
                current = word
            seconds, memory = found.get(word, (0.0, 0))
            found[word] = (seconds + now - last, max(memory, watched.take()))
            last = now
    code = watched.process.wait()
    found["end"] = (time.monotonic() - last, watched.take())
    return found, time.monotonic() - begun, code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="an empty folder (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = arguments.home or Path(folder) / "home"
        rounds = [measure(home) for _ in range(2)]
    for name, (_, _, code) in zip(("first", "again"), rounds, strict=True):
        if code:
            raise SystemExit(f"The {name} run failed with exit code {code}; run it by hand to see why.")
    print(f"{'step':<14} {'first, s':>9} {'MiB':>6} {'again, s':>9} {'MiB':>6}")
    for step in ("start", *STEPS, "end"):
        cells = [found.get(step, (0.0, 0)) for found, _, _ in rounds]
        print(f"{step:<14} " + " ".join(f"{seconds:>9.1f} {memory / 2**20:>6.0f}" for seconds, memory in cells))
    print(
        f"{'all':<14} "
        + " ".join(f"{seconds:>9.1f} {max(m for _, m in found.values()) / 2**20:>6.0f}" for found, seconds, _ in rounds)
    )


if __name__ == "__main__":
    main()
