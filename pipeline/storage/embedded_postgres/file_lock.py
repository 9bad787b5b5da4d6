"""Advisory locks on files, which the kernel releases when their holder ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self


class FileLock:
    """An advisory lock on a file; closing it, or the end of the process, releases it.

    Attributes:
        fd: the file's descriptor. Forked children have it too, and hold the lock with their parent.
    """

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self, kind: int, wait: bool = True) -> bool:
        """Take the lock, and return whether it was free.

        Args:
            kind: fcntl.LOCK_SH (shared) or fcntl.LOCK_EX (exclusive).
            wait: whether to wait until it is free.
        """
        try:
            fcntl.flock(self.fd, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)
