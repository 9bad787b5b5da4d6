"""Folders that several processes of one run of the tests share: who comes first fills them."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MadeOnce:
    """Makes folders below `root`, which the processes have in common."""

    root: Path

    def __call__(self, name: str, make: Callable[[Path], None]) -> Path:
        """Return the folder of a name, filled by `make` unless another process has done so."""
        folder, is_made = self.root / name, self.root / f"{name}.made"
        with (self.root / f"{name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
            if not is_made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what was begun and has failed
                folder.mkdir()
                make(folder)
                is_made.touch()
        return folder
