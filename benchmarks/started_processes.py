"""What benchmarks change in all processes that they start from then on."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent


def customise_started(name: str) -> None:
    """Let processes that this one starts import the `sitecustomize` of a folder of benchmarks.

    Args:
        name: "plain" or "timed".
    """
    inherited = os.environ.get("PYTHONPATH")
    paths = [str(FOLDER / name), str(FOLDER / "started"), *([inherited] if inherited else [])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
