"""Note what an Airflow task's time goes into, in processes with this folder on their PYTHONPATH.

It is for `benchmarks.evening`. A task is two processes: Airflow's supervisor, a child of the
scheduler, and its fork, the task runner. Each leaves a file in the folder that TASK_TIMES names:
what it imported, the task runner also the work of the task's own function, without imports.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from changed_modules import change


def now() -> tuple[float, float]:
    """Return wall time, and this process's processor time with that of children that have ended."""
    return time.monotonic(), sum(os.times()[:4])


def since(begun: tuple[float, float]) -> list[float]:
    return [later - earlier for earlier, later in zip(begun, now(), strict=True)]


class Imports:
    """A counter of what is imported, however deep: wall and processor seconds."""

    def __init__(self, find_and_load: Callable[..., Any]) -> None:
        self._find_and_load, self._depth, self.seconds = find_and_load, 0, [0.0, 0.0]

    def __call__(self, *args: Any) -> Any:
        begun, self._depth = now(), self._depth + 1
        try:
            return self._find_and_load(*args)
        finally:
            self._depth -= 1
            if not self._depth:
                self.seconds = [sum(two) for two in zip(self.seconds, since(begun), strict=True)]

    def reset(self) -> None:
        """Begin again: in a fork, which has imported nothing by itself."""
        self._depth, self.seconds = 0, [0.0, 0.0]


def _time_supervisor(supervisor: ModuleType) -> None:
    supervise_task = supervisor.supervise_task

    def timed(*, ti: Any, **arguments: Any) -> Any:
        begun, imported = now(), imports.seconds
        try:
            return supervise_task(ti=ti, **arguments)
        finally:
            own = [after - before for before, after in zip(imported, imports.seconds, strict=True)]
            _note(ti, "supervisor", task=ti.task_id, all=since(begun), imports=own)

    supervisor.supervise_task = timed


def _time_task(runner: ModuleType) -> None:
    execute_task = runner._execute_task
    main = runner.main
    measured: dict[str, Any] = {}

    def timed(context: Any, ti: Any, log: Any) -> Any:
        begun, imported = now(), imports.seconds
        try:
            return execute_task(context, ti, log)
        finally:
            own = [after - before for before, after in zip(imported, imports.seconds, strict=True)]
            work = [all_ - of_it for all_, of_it in zip(since(begun), own, strict=True)]
            measured.update(ti=ti, work=work)

    def timed_main() -> None:
        try:
            main()
        finally:
            if measured:
                _note(measured["ti"], "runner", work=measured["work"], imports=imports.seconds)

    runner._execute_task, runner.main = timed, timed_main


def _note(ti: Any, process: str, **measured: Any) -> None:
    path = Path(os.environ["TASK_TIMES"], f"{ti.id}-{process}.json")
    path.write_text(json.dumps(measured))


CHANGES = {
    "airflow.sdk.execution_time.supervisor": _time_supervisor,
    "airflow.sdk.execution_time.task_runner": _time_task,
}


if "TASK_TIMES" in os.environ:
    imports = Imports(importlib._bootstrap._find_and_load)
    importlib._bootstrap._find_and_load = imports
    os.register_at_fork(after_in_child=imports.reset)
    change(CHANGES)
