"""The processes of a deployment's services, with all their descendants."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import psutil

#: Each service and all its descendants carry this in their environment, so that what a crash leaves
#: is found and ended as well. Not STOCKCAST_..., which would be a setting.
SERVICES_MARK = "_STOCKCAST_SERVICES"
#: ... and the name of the service.
SERVICE_MARK = "_STOCKCAST_SERVICE"
SECONDS_TO_DIE = 5


def marks_of(home: Path, service: str) -> dict[str, str]:
    """Return the variables by which a service's processes are found."""
    # Without the last one, the titles that Airflow gives its processes would overwrite the marks.
    return {SERVICES_MARK: str(home), SERVICE_MARK: service, "SPT_NOENV": "1"}


def is_marked(process: psutil.Process, home: Path, service: str = "") -> bool:
    """Return whether a process descends from a service of this home; "": from any of them."""
    try:
        marks = process.environ()
    except psutil.Error:  # gone, or somebody else's
        return False
    return marks.get(SERVICES_MARK) == str(home) and service in ("", marks.get(SERVICE_MARK))


def marked_processes(home: Path, service: str = "") -> list[psutil.Process]:
    """Return all processes that descend from a service of this home; "": from any of them."""
    return [process for process in psutil.process_iter() if is_marked(process, home, service)]


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
