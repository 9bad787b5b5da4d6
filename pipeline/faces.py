"""Faces of rooms whose names are loaded when they are first used (PEP 562)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def loader_of(face: dict[str, Any], modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of a package that imports a name's module at its first use.

    Args:
        face: the package's `globals()`, where a name stays once it is loaded.
        modules: the package's module that defines a name, by name.
    """

    def load(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {face['__name__']!r} has no attribute {name!r}")
        value = getattr(import_module(f"{face['__name__']}.{modules[name]}"), name)
        face[name] = value
        return value

    return load
