"""The project as people install it: a source distribution, the wheel of it, and a place for it.

The place is an environment of its own without the checkout, with this one's libraries: all of them,
or those that an installation brings.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.made_once import MadeOnce
from tests.servers import ROOT

#: What is no part of a checkout.
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "var", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"
)
#: The first part of each file's path in a RECORD.
TOP = re.compile(r"^([^/,\n]+)", re.MULTILINE)
#: A package of a lock.
LOCKED = re.compile(r"^([a-z0-9-]+)==", re.MULTILINE)
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
        own = _install(distributions(made_once), folder)
        # Files that end in .pth do not count there, so neither does this checkout.
        (own / "libraries.pth").write_text(sysconfig.get_path("purelib"))

    return _python(made_once("installed", make))


def python_with(made_once: MadeOnce, *extras: str, lock: str = "") -> Path:
    """Return the interpreter of an environment with the wheel, and what it needs with extras.

    Args:
        lock: a file below the root; what it does not name is left out, as of an image.
    """
    locked = LOCKED.findall((ROOT / lock).read_text(encoding="utf-8")) if lock else []

    def make(folder: Path) -> None:
        own = _install(distributions(made_once), folder)
        [project] = own.glob("stockcast-*.dist-info")
        for needed in _needed(PathDistribution(project), extras):
            if lock and canonicalize_name(needed.name) not in locked:
                continue
            # By hand: to parse the paths of all files takes ten seconds.
            for name in {*TOP.findall(needed.read_text("RECORD") or "")} - {"..", "__pycache__"}:
                if not (own / name).exists():  # several have a part of a namespace
                    (own / name).symlink_to(Path(str(needed.locate_file(name))))

    name = "-".join(["installed-with", *extras, Path(lock).stem]).rstrip("-")
    return _python(made_once(name, make))


def _install(wheels: Path, folder: Path) -> Path:
    """Install the wheel alone into an environment; return its folder of packages."""
    _run([sys.executable, "-m", "venv", "--without-pip", "environment"], folder)
    python = str(_python(folder))
    [wheel] = wheels.glob("*.whl")
    install = ["install", "--no-deps", "--no-index", "--quiet", str(wheel)]
    _run([sys.executable, "-m", "pip", "--python", python, *install], folder)
    return Path(_run([python, "-c", PURELIB], folder).strip())


def _python(folder: Path) -> Path:
    return folder / "environment" / "bin" / "python"


def _needed(project: Distribution, extras: tuple[str, ...]) -> list[Distribution]:
    """Return what a project needs, and what that needs in turn, as it is installed here."""
    needed = {"stockcast": project}
    waiting, seen = [("stockcast", extra) for extra in ("", *extras)], set()
    while waiting:
        if (asked := waiting.pop()) in seen:
            continue
        seen.add(asked)
        needing, extra = asked
        for requirement in map(Requirement, needed[needing].requires or ()):
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            name = canonicalize_name(requirement.name)
            if name not in needed:
                needed[name] = Distribution.from_name(name)
            waiting += [(name, each) for each in ("", *requirement.extras)]
    del needed["stockcast"]
    return list(needed.values())


def _run(command: list[str], folder: Path) -> str:
    # For pip, what stands there is installed already.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
