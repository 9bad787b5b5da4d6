"""The version and commit of the program, and of the libraries that decide its numbers."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline import __version__

#: Libraries whose versions decide the last digits of a forecast.
NUMERIC_LIBRARIES = ("keras", "numpy", "pandas", "tensorflow")


@cache
def code_version() -> str:
    """Return the version of the program that runs, with its commit where that is known."""
    return code_version_in(Path(__file__).parent.parent)


def code_version_in(root: Path) -> str:
    """Return the version, in a checkout with its commit; + marks files that differ from it.

    An image has its commit in a file, where its builder has named one (docker/Dockerfile).
    """
    if not (root / ".git").exists():
        file = root / "COMMIT"
        commit = file.read_text(encoding="utf-8") if file.is_file() else ""
        return f"{__version__} ({commit})" if commit else __version__
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        described = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):  # no git, or a checkout that git does not trust
        return __version__
    return f"{__version__} ({described.stdout.strip()})"


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of `NUMERIC_LIBRARIES`, by name."""
    libraries = {name: version_of(name) for name in NUMERIC_LIBRARIES}
    return {"python": platform.python_version(), **libraries}


@cache
def version_of(library: str) -> str:
    """Return the version of an installed library, of TensorFlow whichever package it is from."""
    try:
        return version(library)
    except PackageNotFoundError:
        if library != "tensorflow":
            raise
    return version("tensorflow-cpu")  # the same without kernels for GPUs
