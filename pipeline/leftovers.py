"""Leftovers of killed processes: temporary folders and unfinished files, locked by their owners.

The kernel releases an owner's lock when it ends, however it ends. What nobody holds any more can be
removed, and what is still being written never is; nothing depends on process ids, which are used
again, and which mean nothing to another machine or container.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

#: The beginning of the name of each `TemporaryFolder`.
FOLDER_PREFIX = "stockcast-temporary-"
#: The name of what versions without locks left next to a file that they were writing.
UNLOCKED_NAME = re.compile(r"\..+\.[a-z0-9_]{8}")
#: Seconds after which nobody writes such a file any more.
UNLOCKED_AGE = 24 * 3600.0


class TemporaryFolder:
    """A temporary folder that is known to be left once its process has ended.

    Args:
        purpose: a part of its name.
        parent: None: the machine's folder of temporary files.

    Attributes:
        path: the folder.
    """

    def __init__(self, purpose: str, parent: Path | None = None) -> None:
        self._lock = -1
        while self._lock < 0:
            self.path = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{purpose}-", dir=parent))
            self._lock = _hold(os.open(self.path, os.O_RDONLY))

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove the folder with all that is in it; once more changes nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class UnfinishedFile:
    """A file that is written under a hidden name, and moved to its own once it is whole.

    Args:
        folder: where it lies until then.

    Attributes:
        path: the hidden name.
        fd: the descriptor to write to.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.fd = -1
        while self.fd < 0:
            fd, name = tempfile.mkstemp(prefix=".", dir=folder)
            self.path, self.fd = Path(name), _hold(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(FileNotFoundError):  # it has been moved
            self.path.unlink()
        os.close(self.fd)


def sweep_folders(parent: Path | None = None) -> list[Path]:
    """Remove the temporary folders whose process has ended; return them."""
    folders = Path(parent or tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*")
    return list(_swept(folder for folder in folders if folder.is_dir()))


def sweep_files(folder: Path) -> list[Path]:
    """Remove the unfinished files of a folder whose writer has ended; return them."""
    return list(_swept(folder.glob(".*"))) if folder.is_dir() else []


def sweep_unlocked_files(folder: Path) -> list[Path]:
    """Remove what versions without locks left anywhere below a folder; return it.

    It looks at every file, and spares those of the last day.
    """
    swept = []
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names if UNLOCKED_NAME.fullmatch(name)):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > UNLOCKED_AGE:
                    path.unlink()
                    swept.append(path)
    return swept


def _hold(fd: int) -> int:
    """Lock what has just been made; return its descriptor, or -1 where it was swept meanwhile."""
    with contextlib.suppress(OSError):  # a file system without locks, on which nothing is swept
        fcntl.flock(fd, fcntl.LOCK_EX)
    if os.fstat(fd).st_nlink:
        return fd
    os.close(fd)
    return -1


def _swept(paths: Iterator[Path]) -> Iterator[Path]:
    """Remove those that nobody holds, and yield them."""
    for path in paths:
        try:
            fd = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_NOFOLLOW)
        except OSError:  # gone, or somebody else's
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError:  # its owner is alive, or it cannot be told
            continue
        finally:
            os.close(fd)
        yield path
