"""Airflow's task logs as files of JSON lines, written for its API server and followed here."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

#: The logger under which Airflow keeps what a task prints.
PRINTED_LOGGER = "task.stdout"


class TaskAttempt(Protocol):
    """An attempt at a task, by its names; a task instance of Airflow is one."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None
    try_number: int


def run_folder(home: Path, dag_id: str, run_id: str) -> Path:
    """Return the folder of a DAG run's logs."""
    return home / "logs" / "tasks" / f"dag_id={dag_id}" / f"run_id={run_id}"


def attempt_file(home: Path, attempt: TaskAttempt) -> Path:
    """Return the file at which Airflow's default `log_filename_template` puts an attempt's log."""
    folder = run_folder(home, attempt.dag_id, attempt.run_id) / f"task_id={attempt.task_id}"
    if attempt.map_index is not None and attempt.map_index >= 0:
        folder = folder / f"map_index={attempt.map_index}"
    return folder / f"attempt={attempt.try_number}.log"


def write_line(path: Path, message: str, logger: str = PRINTED_LOGGER, level: str = "info") -> None:
    """Append a line to a log as Airflow writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = {
        "timestamp": dt.datetime.now(dt.UTC).isoformat(),
        "level": level,
        "event": message,
        "logger": logger,
    }
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


class LogFollower:
    """A reader of a run's logs that returns each line once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bytes_read: dict[Path, int] = {}

    def skip(self) -> None:
        """Leave out the lines that exist already."""
        for _ in self.new_lines():
            pass

    def new_lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines since the last call, parsed."""
        for path in sorted(self.folder.rglob("*.log")):
            with path.open("rb") as file:
                file.seek(self._bytes_read.get(path, 0))
                for line in file:
                    if not line.endswith(b"\n"):  # still being written
                        break
                    self._bytes_read[path] = self._bytes_read.get(path, 0) + len(line)
                    yield _parse(line)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        return parsed
    return {"event": line.decode(errors="replace").rstrip(), "logger": ""}
