"""SQL statements that write rows; the same ones serve PostgreSQL and SQLite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.storage.filters import conditions_of, require_inside
from pipeline.storage.frames import rows_of
from pipeline.storage.schema import SQL_TABLES, key_columns
from pipeline.tables import Table

#: Keys per DELETE; SQLite takes at most 32,766 bound values.
KEYS_PER_DELETE = 1000


def upsert(connection: sa.Connection, table: Table, rows: list[dict[str, Any]]) -> int:
    """Insert new keys and update those whose values differ; return how many rows changed."""
    statement = _upsert(connection.dialect.name, table.name)
    return len(insert_all(connection, table, statement, rows, table.key[0]))


@cache
def _upsert(dialect: str, name: str) -> sa.Insert:
    insert, columns = insert_into(dialect, name), SQL_TABLES[name].c
    others = [column for column in columns if not column.primary_key]
    changed = sa.or_(*(column.is_distinct_from(insert.excluded[column.name]) for column in others))
    return insert.on_conflict_do_update(
        index_elements=[column.name for column in columns if column.primary_key],
        set_={column.name: insert.excluded[column.name] for column in others},
        where=changed,
    )


def replace_group(
    connection: sa.Connection, table: Table, frame: pd.DataFrame, group: Mapping[str, object]
) -> int:
    """Make `frame` all rows of a group; return how many rows were changed or deleted.

    Args:
        group: by column a value, or a list of values.
    """
    rows = rows_of(table, frame)
    require_inside(table, rows, group)
    keys = {tuple(row[name] for name in table.key) for row in rows}
    query = sa.select(*key_columns(table)).where(*conditions_of(table, group))
    stored = {tuple(row) for row in connection.execute(query)}
    deleted = delete_keys(connection, table, sorted(stored - keys))
    return deleted + upsert(connection, table, rows)


def distinct_prefixes(
    connection: sa.Connection, table: Table, names: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """Yield the different values of the first columns of a table's key, in their order.

    Each is a few looks into the key's index: neither database skips from one to the next by itself,
    and SQLite would read all rows with the same first column.
    """
    columns = [SQL_TABLES[table.name].c[name] for name in names]
    query = sa.select(*columns).order_by(*columns).limit(1)
    found = connection.execute(query).first()
    while found is not None:
        yield tuple(found)
        same = [column == value for column, value in zip(columns, found, strict=True)]
        following = (
            connection.execute(query.where(*same[:place], columns[place] > found[place])).first()
            for place in reversed(range(len(columns)))
        )
        found = next((row for row in following if row is not None), None)


def end_values(
    connection: sa.Connection,
    column: sa.Column[Any],
    conditions: Sequence[sa.ColumnElement[bool]],
    count: int,
    newest: bool,
) -> list[Any]:
    """Return the `count` greatest (or, not `newest`, least) different values, from the end on.

    Each is one look into an index that the conditions and the column have together: neither
    database skips the rows of one value by itself.
    """
    end = sa.func.max(column) if newest else sa.func.min(column)
    values = sa.select(end.label("value")).where(*conditions).cte("ends", recursive=True)
    beyond = column < values.c.value if newest else column > values.c.value
    following = sa.select(end).where(*conditions, beyond).correlate(values).scalar_subquery()
    values = values.union_all(sa.select(following).where(values.c.value.is_not(None)))
    query = sa.select(values.c.value).where(values.c.value.is_not(None)).limit(count)
    return list(connection.scalars(query))


def insert_into(dialect: str, name: str) -> postgresql.Insert | sqlite.Insert:
    """Return a dialect's INSERT into the table of a name, which knows ON CONFLICT."""
    if dialect == "postgresql":
        return postgresql.insert(SQL_TABLES[name])
    return sqlite.insert(SQL_TABLES[name])


def insert_all(
    connection: sa.Connection,
    table: Table,
    statement: sa.Insert,
    rows: list[dict[str, Any]],
    column: str,
) -> list[Any]:
    """Run an INSERT of many rows; return `column` of those that it wrote.

    Rows that an ON CONFLICT leaves alone are not among them.
    """
    if not rows:
        return []
    returning = statement.returning(SQL_TABLES[table.name].c[column])
    return list(connection.scalars(returning, rows))


def delete_keys(connection: sa.Connection, table: Table, keys: list[tuple[Any, ...]]) -> int:
    """Delete the rows of these keys; return how many there were."""
    deleted = 0
    for begin in range(0, len(keys), KEYS_PER_DELETE):
        batch = keys[begin : begin + KEYS_PER_DELETE]
        inside = sa.tuple_(*key_columns(table)).in_(batch)
        deleted += connection.execute(sa.delete(SQL_TABLES[table.name]).where(inside)).rowcount
    return deleted
