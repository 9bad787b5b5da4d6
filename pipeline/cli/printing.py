"""Output of the commands: rows, places of files, progress, errors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.parts import Parts
    from pipeline.reporting import Lines


def print_rows(rows: pd.DataFrame, form: str = "table") -> None:
    """Print rows; in a terminal, a table is folded to its width."""
    import shutil

    from pipeline.reporting import format_rows

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(format_rows(rows, form, width), end="" if form == "csv" else "\n")


def print_places(parts: Parts, experiment: str, **places: str) -> None:
    """Print where a person finds what a command left.

    Args:
        experiment: its name in MLflow.
        places: by label, an address.
    """
    from pipeline.parts import experiments_url

    mlflow = f"{experiments_url(parts.settings)}, experiment {experiment}"
    print()
    for label, address in {**places, "MLflow": mlflow}.items():
        print(f"{label:<9} {address}")


def progress_lines(stream: TextIO | None = None) -> Lines:
    """Return progress as lines, before the number of tickers is known."""
    from pipeline.reporting import Lines

    return Lines(write=lambda text: print(text, file=stream or sys.stdout, flush=True))


def print_error(error: Exception) -> None:
    """Print the error of a part of the work, in one line; the rest goes on."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
