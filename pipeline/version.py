"""The version and commit of the program, and of the libraries that decide its numbers."""

from __future__ import annotations

import platform
import subprocess
from contextlib import suppress
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
    """Return the versions of Python and of the installed `NUMERIC_LIBRARIES`, by name."""
    found = {name: version_of(name) for name in NUMERIC_LIBRARIES}
    libraries = {name: number for name, number in found.items() if number}
    return {"python": platform.python_version(), **libraries}


@cache
def version_of(library: str) -> str | None:
    """Return the version of a library; None where it is not installed.

    The package tensorflow-cpu is TensorFlow without kernels for GPUs.
    """
    for package in ("tensorflow", "tensorflow-cpu") if library == "tensorflow" else (library,):
        with suppress(PackageNotFoundError):
            return version(package)
    return None
