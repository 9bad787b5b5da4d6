"""The folders of this installation that a checkout has next to the package.

An installed wheel has the same folders inside the package (`setup.py` puts them there).
"""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).parent
#: The folders of a wheel; a checkout has none.
INSIDE = PACKAGE / "shipped"


def shipped_folder(name: str) -> Path:
    """Return the folder `dags` or `expectations`."""
    return (INSIDE if INSIDE.is_dir() else PACKAGE.parent) / name


def python_path() -> str:
    """Return the PYTHONPATH with which a process of this interpreter imports this very package.

    A wheel is found without: its folder in front of all others would hide the standard library's
    modules behind those of other packages.
    """
    own = "" if INSIDE.is_dir() else str(PACKAGE.parent)
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(dict.fromkeys(filter(None, [own, *inherited])))
