"""What processes of this machine listen at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import psutil


def listening(processes: Iterable[psutil.Process]) -> set[tuple[str, int]]:
    """Return the addresses and ports; a process that ends meanwhile listens at none."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {
                (connection.laddr.ip, connection.laddr.port)
                for connection in process.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            }
    return found
