"""The project as people install it: a source distribution, the wheel of it, and a place for it.

The place is an environment of its own with this one's libraries and without the checkout.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.made_once import MadeOnce
from tests.servers import ROOT

#: What is no part of a checkout.
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "var", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"
)
PURELIB = "import sysconfig; print(sysconfig.get_path('purelib'))"
BUILD_SDIST = "from setuptools.build_meta import build_sdist; build_sdist('..')"


def distributions(made_once: MadeOnce) -> Path:
    """Return a folder with the source distribution, and the wheel that was built of it."""

    def make(folder: Path) -> None:
        shutil.copytree(ROOT, folder / "checkout", ignore=LEFT_OUT)
        _run([sys.executable, "-c", BUILD_SDIST], folder / "checkout")
        [sdist] = folder.glob("*.tar.gz")
        alone = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
        _run([sys.executable, "-m", "pip", "wheel", *alone, "-w", str(folder), str(sdist)], folder)

    return made_once("distributions", make)


def installed_python(made_once: MadeOnce) -> Path:
    """Return the interpreter of an environment that the wheel is installed in."""

    def make(folder: Path) -> None:
        _run([sys.executable, "-m", "venv", "--without-pip", "environment"], folder)
        python = folder / "environment" / "bin" / "python"
        [wheel] = distributions(made_once).glob("*.whl")
        install = ["install", "--no-deps", "--no-index", "--quiet", str(wheel)]
        _run([sys.executable, "-m", "pip", "--python", str(python), *install], folder)
        # Files that end in .pth do not count there, so neither does this checkout.
        own = Path(_run([str(python), "-c", PURELIB], folder).strip())
        (own / "libraries.pth").write_text(sysconfig.get_path("purelib"))

    return made_once("installed", make) / "environment" / "bin" / "python"


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
