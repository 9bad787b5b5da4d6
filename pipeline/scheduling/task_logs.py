"""Airflow's task logs as files of JSON lines: what the API server shows, and what `make run` follows."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: The logger under which Airflow keeps what a task prints.
PRINTED = "task.stdout"


def run_folder(home: Path, dag_id: str, run_id: str) -> Path:
    return home / "logs" / "tasks" / f"dag_id={dag_id}" / f"run_id={run_id}"


def attempt_file(home: Path, task_instance: Any) -> Path:
    """Where Airflow's default `log_filename_template` puts the log of a task's attempt."""
    folder = run_folder(home, task_instance.dag_id, task_instance.run_id) / f"task_id={task_instance.task_id}"
    if task_instance.map_index is not None and task_instance.map_index >= 0:
        folder = folder / f"map_index={task_instance.map_index}"
    return folder / f"attempt={task_instance.try_number}.log"


def write_line(path: Path, message: str, logger: str = PRINTED, level: str = "info") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    line = {"timestamp": dt.datetime.now(dt.UTC).isoformat(), "level": level, "event": message, "logger": logger}
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


class Follower:
    """Reads what is new in a run's logs, each time it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[Path, int] = {}

    def skip(self) -> None:
        """Leaves out what is there already."""
        for _ in self.new_lines():
            pass

    def new_lines(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self.folder.rglob("*.log")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                for line in file:
                    if not line.endswith(b"\n"):  # still being written
                        break
                    self._read[path] = self._read.get(path, 0) + len(line)
                    yield _parse(line)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except ValueError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {"event": line.decode(errors="replace").rstrip(), "logger": ""}
