"""Owners of runs: the process or DAG run that will end a run, and whether it is still there.

A process that was killed cannot end its runs. The next run finds them by their owner and marks them
KILLED.
"""

from __future__ import annotations

import json
import os
import socket
from functools import cache

import psutil

#: Seconds by which two readings of a process's start may differ.
SAME_START = 1.0


@cache
def _owner(pid: int) -> str:
    started = psutil.Process(pid).create_time()
    return json.dumps({"host": socket.gethostname(), "pid": pid, "started": started})


def this_process() -> str:
    """Return what identifies this process among all owners."""
    return _owner(os.getpid())


def is_dead(owner: str) -> bool:
    """Return whether an owner is a process of this machine that has ended.

    A process of another machine, and an owner that is no process, cannot be judged: False.
    """
    try:
        named = json.loads(owner)
    except ValueError:
        return False
    if not isinstance(named, dict) or named.get("host") != socket.gethostname():
        return False
    try:
        process = psutil.Process(named["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:  # killed, and its parent has not looked yet
            return True
        return bool(abs(process.create_time() - named["started"]) > SAME_START)
    except psutil.NoSuchProcess:
        return True
