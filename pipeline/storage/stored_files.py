"""Files of a folder with their sizes and ages, found in one walk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Seconds for which a file that is used again is not marked as used again.
RENEWED_AFTER = 12 * 3600.0


@dataclass(frozen=True)
class StoredFile:
    """A file.

    Attributes:
        name: below the root that was walked, with slashes.
        size: bytes.
        modified: seconds since 1970; of a derived file, when it was made or used again.
    """

    name: str
    size: int
    modified: float


def files_below(folder: Path) -> Iterator[StoredFile]:
    """Yield all files below a folder; what vanishes meanwhile is left out."""
    waiting = [(str(folder), "")]
    while waiting:
        path, prefix = waiting.pop()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as found:
            for entry in found:
                name = f"{prefix}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, f"{name}/"))
                    continue
                with contextlib.suppress(FileNotFoundError):
                    about = entry.stat(follow_symlinks=False)
                    yield StoredFile(name, about.st_size, about.st_mtime)


def remove_unused(path: Path, before: float) -> bool:
    """Remove a file unless it was made or used again since a moment; return whether it is gone.

    Args:
        before: seconds since 1970.
    """
    try:
        if path.stat(follow_symlinks=False).st_mtime >= before:
            return False
        path.unlink()
    except FileNotFoundError:  # another process was faster
        return True
    return True


def remove_empty_parents(path: Path, root: Path) -> None:
    """Remove the folders above a path that have nothing in them, up to a root, which stays."""
    with contextlib.suppress(OSError):  # there is something in one, or another process was faster
        for folder in path.parents:
            if folder == root:
                return
            folder.rmdir()
