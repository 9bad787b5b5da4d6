"""Measure time and memory of each step of `make run`, first in an empty home and then again.

    python -m benchmarks.daily_run [--home DIR]

A step's wall time runs from the last line of the step before it to its own last line. Memory is the
highest proportional set size (shared pages divided among those who share them) of the command and
all its descendants, the embedded PostgreSQL among them, read every 100 ms.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.daily import STEPS

ROOT = Path(__file__).parent.parent


class WatchedCommand:
    """A command, and the highest memory of its process tree since the last call of `take`."""

    def __init__(self, command: list[str], environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._highest = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def lines(self) -> Iterator[str]:
        """Yield what the command prints, while it runs."""
        yield from self.process.stdout or ()

    def take(self) -> int:
        """Return the highest memory in bytes, and begin again."""
        highest, self._highest = self._highest, 0
        return highest

    def _watch(self) -> None:
        tree = psutil.Process(self.process.pid)
        while self.process.poll() is None:
            self._highest = max(self._highest, memory_of(tree))
            time.sleep(0.1)


def memory_of(process: psutil.Process) -> int:
    """Return the bytes of a process and its descendants; those that have ended do not count."""
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


@dataclass(frozen=True)
class MeasuredRun:
    """A run of the command.

    Attributes:
        steps: by step, (seconds, bytes).
    """

    steps: dict[str, tuple[float, int]]
    seconds: float
    exit_code: int


def measure(home: Path) -> MeasuredRun:
    """Run what `make run` runs once everything is installed."""
    environ = {**os.environ, "STOCKCAST_HOME": str(home)}
    began = last = time.monotonic()
    command = [sys.executable, "-m", "pipeline", "run", "--airflow", "--universe", "sample"]
    watched = WatchedCommand(command, environ)
    steps: dict[str, tuple[float, int]] = {}
    for line in watched.lines():
        step = line.split()[0] if line.split() else ""
        now = time.monotonic()
        if step in STEPS:
            if not steps:
                steps["start"], last = (now - last, watched.take()), now
            seconds, memory = steps.get(step, (0.0, 0))
            steps[step] = (seconds + now - last, max(memory, watched.take()))
            last = now
    exit_code = watched.process.wait()
    steps["end"] = (time.monotonic() - last, watched.take())
    return MeasuredRun(steps, time.monotonic() - began, exit_code)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, help="an empty folder (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = arguments.home or Path(folder) / "home"
        runs = [measure(home) for _ in range(2)]
    for name, run in zip(("first", "again"), runs, strict=True):
        if run.exit_code:
            raise SystemExit(
                f"The {name} run failed with exit code {run.exit_code}. Run it by hand to see why."
            )
    print(f"{'step':<14} {'first, s':>9} {'MiB':>6} {'again, s':>9} {'MiB':>6}")
    for step in ("start", *STEPS, "end"):
        print_row(step, [run.steps.get(step, (0.0, 0)) for run in runs])
    highest = [max(memory for _, memory in run.steps.values()) for run in runs]
    print_row("all", [(run.seconds, most) for run, most in zip(runs, highest, strict=True)])


def print_row(name: str, cells: list[tuple[float, int]]) -> None:
    columns = (f"{seconds:>9.1f} {memory / 2**20:>6.0f}" for seconds, memory in cells)
    print(f"{name:<14} {' '.join(columns)}")


if __name__ == "__main__":
    main()
