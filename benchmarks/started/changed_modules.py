"""Modules that are changed once they have been imported, in processes that benchmarks start.

Both `sitecustomize` modules next to this folder change some; see `benchmarks.started_processes`.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Mapping
from types import ModuleType


def change(changes: Mapping[str, Callable[[ModuleType], None]]) -> None:
    """Let each module, by its name, be changed by a function once it has been imported."""
    sys.meta_path.insert(0, _Changing(changes))


class _Changing(importlib.abc.MetaPathFinder):
    """A finder of the modules that are changed."""

    def __init__(self, changes: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self._changes = changes

    def find_spec(
        self, name: str, path: object, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self._changes:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def execute_and_change(module: ModuleType) -> None:
            execute(module)
            self._changes[name](module)

        spec.loader.exec_module = execute_and_change
        return spec
