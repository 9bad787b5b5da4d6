"""Comparing outputs cell by cell: tables, arrays and files, before and after a change."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from pipeline.arrays import Array, Bools
from pipeline.storage import content_digest

#: An output: a table, numbers, or a file.
OutputValue: TypeAlias = pd.DataFrame | Array | bytes
OutputValues: TypeAlias = dict[str, OutputValue]
#: Outputs by name, in groups that the report has a line for.
Outputs: TypeAlias = dict[str, OutputValues]

#: Digits of a file's hash that are shown.
SHOWN_DIGITS = 12
#: Columns that tell a row from the others of its table.
ROW_NAMES = ("ticker", "role", "model", "model_id", "split", "horizon", "rule")


@dataclass(frozen=True)
class ComparedOutput:
    """One line of an audit's report.

    Attributes:
        level: of the audit: "session", "split" or "window".
        cutoff: the session after which everything was changed.
        what: the name of the output.
        cells: how many numbers, cells of rows and files were compared.
        moved: the first that moved, before and after; "": none did.
    """

    level: str
    cutoff: dt.date
    what: str
    cells: int
    moved: str


def compare(
    level: str, cutoff: dt.date, before: Outputs, after: Outputs
) -> Iterator[ComparedOutput]:
    """Compare each group of outputs; yield a line for each."""
    for what, values in before.items():
        cells = sum(map(_cell_count, values.values()))
        yield ComparedOutput(level, cutoff, what, cells, _first_move(values, after[what]))


def _first_move(before: OutputValues, after: OutputValues) -> str:
    moves = [
        f"{name}{moved}"
        for name, value in before.items()
        if name in after and (moved := difference(value, after[name]))
    ]
    moves += [
        f"{name} is there {'before' if name in before else 'after'} only"
        for name in sorted(set(before) ^ set(after))
    ]
    more = f" (and {len(moves) - 1} more of {len(before)})" if len(moves) > 1 else ""
    return moves[0] + more if moves else ""


def _cell_count(value: OutputValue) -> int:
    return 1 if isinstance(value, bytes) else int(np.size(value))


def difference(before: OutputValue, after: OutputValue) -> str:
    """Return the first cell that is not the same, with both values; "": all are the same.

    A cell that is missing on both sides is the same.
    """
    if isinstance(before, bytes) and isinstance(after, bytes):
        digests = [content_digest(content, SHOWN_DIGITS) for content in (before, after)]
        return "" if before == after else f": file {digests[0]} -> {digests[1]}"
    if isinstance(before, pd.DataFrame) and isinstance(after, pd.DataFrame):
        return _table_difference(before, after)
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        return _array_difference(before, after)
    kinds = " with ".join(type(each).__name__ for each in (before, after))
    raise TypeError(f"Outputs of two kinds cannot be compared: {kinds}.")


def _table_difference(before: pd.DataFrame, after: pd.DataFrame) -> str:
    if before.shape != after.shape:
        return f": {len(before)} rows -> {len(after)}"
    unequal = unequal_cells(before, after)
    if not unequal.any():
        return ""
    row, column = map(int, np.argwhere(unequal)[0])
    values = " -> ".join(str(each.iat[row, column]) for each in (before, after))
    return f"[{_row_name(before, row)}].{before.columns[column]}: {values}"


def _array_difference(before: Array, after: Array) -> str:
    if before.shape != after.shape:
        return f": {len(before)} rows -> {len(after)}" if before.ndim else ": another shape"
    unequal = (before != after) & ~(np.isnan(before) & np.isnan(after))
    if not unequal.any():
        return ""
    place = tuple(int(index) for index in np.argwhere(unequal)[0])
    return f"{list(place) if place else ''}: {before[place]} -> {after[place]}"


def unequal_cells(before: pd.DataFrame, after: pd.DataFrame) -> Bools:
    """Return which cells of two tables of one shape differ, (rows, columns).

    A cell that is missing in both is the same.
    """
    unequal: Bools = (before.ne(after) & ~(before.isna() & after.isna())).to_numpy()
    return unequal


def _row_name(frame: pd.DataFrame, row: int) -> str:
    """Return what tells a row from the others of its table."""
    names = [str(frame[name].iloc[row]) for name in ROW_NAMES if name in frame.columns]
    return ", ".join(names) or str(row)
