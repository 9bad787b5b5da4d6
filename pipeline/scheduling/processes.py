"""The processes of a deployment's services, with all their descendants."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import psutil

#: Each service and all its descendants carry this in their environment, so that what a crash leaves
#: is found and ended as well. Not STOCKCAST_..., which would be a setting.
SERVICES_MARK = "_STOCKCAST_SERVICES"
SECONDS_TO_DIE = 5


def is_marked(process: psutil.Process, home: Path) -> bool:
    """Return whether a process descends from a service of this home."""
    try:
        return bool(process.environ().get(SERVICES_MARK) == str(home))
    except psutil.Error:  # gone, or somebody else's
        return False


def marked_processes(home: Path) -> list[psutil.Process]:
    """Return all processes that descend from services of this home."""
    return [process for process in psutil.process_iter() if is_marked(process, home)]


def end_processes(processes: Sequence[psutil.Process], seconds: float) -> int:
    """Ask processes to end, and kill those that have not after `seconds`; return their number."""
    left = list(processes)
    if seconds:
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        _, left = psutil.wait_procs(processes, timeout=seconds)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=SECONDS_TO_DIE)
    return len(processes)
