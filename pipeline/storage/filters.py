"""Filters of a table's rows, and the conditions in SQL that they become."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeGuard

import sqlalchemy as sa

from pipeline.storage.frames import database_value
from pipeline.storage.schema import SQL_TABLES
from pipeline.tables import Table


@dataclass(frozen=True)
class Span:
    """A filter of an ordered column: from `first` to `last`, both included; None: no bound."""

    first: object | None = None
    last: object | None = None


def conditions_of(table: Table, filters: Mapping[str, object]) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that rows fulfil whose columns have these values.

    Args:
        filters: by column a value, a list of values, or a `Span`.

    Raises:
        ValueError: the table lacks a column.
    """
    columns = SQL_TABLES[table.name].c
    spans = {name: value for name, value in filters.items() if isinstance(value, Span)}
    _require_columns(table, spans)
    listed = _listed_values(table, {n: value for n, value in filters.items() if n not in spans})
    conditions: list[sa.ColumnElement[bool]] = [
        columns[name] == values[0] if _is_one(values) else columns[name].in_(values)
        for name, values in listed.items()
    ]
    for name, span in spans.items():
        conditions += _bounds(columns[name], span, table.columns[name])
    return conditions


def are_several(value: object) -> TypeGuard[Iterable[object]]:
    """Return whether a filter is a list of values."""
    return not isinstance(value, str) and isinstance(value, Iterable)


def _is_one(values: list[object]) -> bool:
    """Return whether `=` can stand for IN.

    An IN is written out again for each statement that is sent.
    """
    return len(values) == 1 and values[0] is not None


def _bounds(
    column: sa.ColumnElement[object], span: Span, dtype: str
) -> Iterator[sa.ColumnElement[bool]]:
    if span.first is not None:
        yield column >= database_value(span.first, dtype)
    if span.last is not None:
        yield column <= database_value(span.last, dtype)


def require_inside(
    table: Table, rows: Iterable[Mapping[str, object]], group: Mapping[str, object]
) -> None:
    """Raise `ValueError` where a row is outside the group that the rows replace."""
    for name, values in _listed_values(table, group).items():
        outside = {row[name] for row in rows} - set(values)
        if outside:
            raise ValueError(
                f"Rows of {table.name} with {name}={sorted(map(str, outside))} are outside the "
                f"group that they replace, {dict(group)}."
            )


def _require_columns(table: Table, filters: Iterable[str]) -> None:
    unknown = sorted(set(filters) - set(table.columns))
    if unknown:
        raise ValueError(
            f"The {table.name} table has no columns {unknown}; it has {list(table.columns)}."
        )


def _listed_values(table: Table, filters: Mapping[str, object]) -> dict[str, list[object]]:
    _require_columns(table, filters)
    listed = {
        name: list(value) if are_several(value) else [value] for name, value in filters.items()
    }
    return {
        name: [database_value(value, table.columns[name]) for value in values]
        for name, values in listed.items()
    }
