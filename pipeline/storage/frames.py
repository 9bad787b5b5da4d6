"""The way from frames to rows of the database, and back."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from pipeline.tables import MOMENT_DTYPE, SESSION_DTYPE, Table

if TYPE_CHECKING:
    import pyarrow as pa

#: Tickers from which a read uses PostgreSQL's COPY, which hands rows over as text: it takes a fifth
#: of the time, but its statement is compiled at every call.
COPIED_FROM = 20
#: Rows from which they are appended by COPY: SQLAlchemy takes five times as long to write each one
#: into a statement.
APPENDED_BY_COPY = 1000
#: The dtype "str" itself: pandas would parse its name at each call.
_TEXT: Any = pd.Series(dtype="str").dtype


def rows_of(table: Table, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the frame's rows as database values, sorted by key.

    Concurrent writers then lock rows in the same order.

    Raises:
        ValueError: a row lacks part of its key, or two rows have the same key.
    """
    frame = table.typed(frame)
    if frame.empty:
        return []
    columns = {name: column_values(frame[name], dtype) for name, dtype in table.columns.items()}
    keys = list(zip(*(columns[name] for name in table.key), strict=True))
    if incomplete := [key for key in keys if None in key]:
        named = dict(zip(table.key, incomplete[0], strict=True))
        raise ValueError(f"A row of {table.name} lacks part of its key: {named}.")
    order = sorted(range(len(keys)), key=keys.__getitem__)
    for number, following in pairwise(order):
        if keys[number] == keys[following]:
            named = dict(zip(table.key, keys[number], strict=True))
            raise ValueError(f"Two rows of {table.name} have the same key: {named}.")
    rows = list(zip(*columns.values(), strict=True))
    return [dict(zip(columns, rows[number], strict=True)) for number in order]


def column_values(column: pd.Series[Any], dtype: str) -> list[Any]:
    """Return a column's values as the database knows them; missing ones are None."""
    values: list[Any]
    if dtype == SESSION_DTYPE:
        values = column.dt.date.tolist()
    elif dtype == MOMENT_DTYPE:
        values = list(column.dt.to_pydatetime())
    else:
        values = column.tolist()
    if not column.hasnans:
        return values
    missing = column.isna()
    return [None if absent else value for value, absent in zip(values, missing, strict=True)]


def database_value(value: Any, dtype: str) -> object:
    """Return a single value as the database knows it.

    Args:
        value: such as a date, a Timestamp or a number of numpy.
    """
    if dtype == SESSION_DTYPE:
        return pd.Timestamp(value).date()
    if dtype == MOMENT_DTYPE:
        return utc_moment(value)
    return value.item() if hasattr(value, "item") else value


def utc_moment(moment: dt.datetime) -> dt.datetime:
    """Return a moment as it is stored: in UTC, without its zone."""
    plain = pd.Timestamp(moment).to_pydatetime()
    return plain.astimezone(dt.UTC).replace(tzinfo=None) if plain.tzinfo else plain


def are_many(tickers: object) -> bool:
    """Return whether a read of these tickers is worth a COPY."""
    return (
        not isinstance(tickers, str)
        and isinstance(tickers, Sequence)
        and len(tickers) >= COPIED_FROM
    )


def fetch_frame(
    connection: sa.Connection, query: sa.Select[Any], table: Table, many: bool = False
) -> pd.DataFrame:
    """Run a query that has the columns of a table.

    Args:
        many: whether COPY is used where the database has it.
    """
    if many and connection.dialect.name == "postgresql":
        return _copy(connection, query, table)
    rows = connection.execute(query).all()
    if not rows:
        return table.empty()
    names = list(table.columns)
    rows = sorted(rows, key=itemgetter(*(names.index(name) for name in table.key)))
    named = zip(table.columns.items(), zip(*rows, strict=True), strict=True)
    return pd.DataFrame({name: _array(values, dtype) for (name, dtype), values in named})


def _array(values: tuple[Any, ...], dtype: Any) -> Any:
    """Return an array, which a frame takes as it is: series would first be aligned."""
    if dtype == SESSION_DTYPE:
        return pd.DatetimeIndex(values).as_unit("s").array
    if dtype == MOMENT_DTYPE:
        return pd.DatetimeIndex(values).as_unit("us").array
    if dtype == "str":
        return pd.array(values, dtype=_TEXT)
    return np.array(values, dtype=dtype)


def _copy(connection: sa.Connection, query: sa.Select[Any], table: Table) -> pd.DataFrame:
    """Fetch rows as text in one piece, which is read without an object for each value."""
    statement = query.compile(connection, compile_kwargs={"render_postcompile": True})
    text = io.BytesIO()
    with _cursor(connection) as cursor:
        select: bytes = cursor.mogrify(str(statement), statement.params)
        cursor.copy_expert(b"COPY (" + select + b") TO STDOUT (FORMAT csv)", text)
    if not text.tell():
        return table.empty()
    text.seek(0)
    return _read_csv(text, table)


def arrow_types(zone: str | None = None) -> dict[str, pa.DataType]:
    """Return Arrow's types by the dtypes of tables.

    Args:
        zone: of moments; None: they have none.
    """
    import pyarrow as pa

    return {
        "str": pa.string(),
        "float64": pa.float64(),
        "int64": pa.int64(),
        "bool": pa.bool_(),
        SESSION_DTYPE: pa.date32(),
        MOMENT_DTYPE: pa.timestamp("us", zone),
    }


def _read_csv(text: io.BytesIO, table: Table) -> pd.DataFrame:
    from pyarrow import csv

    types = arrow_types()
    # An empty cell is missing; an empty text comes in quotation marks.
    options = csv.ConvertOptions(
        column_types={name: types[dtype] for name, dtype in table.columns.items()},
        null_values=[""],
        true_values=["t"],
        false_values=["f"],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    rows = csv.read_csv(
        text,
        read_options=csv.ReadOptions(column_names=list(table.columns)),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=options,
    )
    return table.conform(rows.to_pandas(date_as_object=False))


def append_frame(connection: sa.Connection, table: Table, frame: pd.DataFrame) -> bool:
    """Append many new rows by COPY, where the database has it; return whether that was done.

    Raises:
        ValueError: a row lacks part of its key.
        IntegrityError: a key is there already, or twice.
    """
    if len(frame) < APPENDED_BY_COPY or connection.dialect.name != "postgresql":
        return False
    frame = table.conform(frame)
    if frame[list(table.key)].isna().to_numpy().any():
        rows_of(table, frame)  # it says which
    names = ", ".join(f'"{name}"' for name in table.columns)
    with _cursor(connection) as cursor:
        statement = f'COPY "{table.name}" ({names}) FROM STDIN (FORMAT csv)'
        cursor.copy_expert(statement, _written_csv(frame))
    return True


def _written_csv(frame: pd.DataFrame) -> io.BytesIO:
    """Return what `_read_csv` reads."""
    import pyarrow as pa
    from pyarrow import csv

    text = io.BytesIO()
    # The writer of pyarrow 25 loses its place in columns of several pieces.
    rows = pa.Table.from_pandas(frame, preserve_index=False).combine_chunks()
    for place, (name, dtype) in enumerate(frame.dtypes.items()):
        if dtype == SESSION_DTYPE:
            rows = rows.set_column(place, str(name), rows.column(place).cast(pa.date32()))
    csv.write_csv(rows, text, csv.WriteOptions(include_header=False))
    text.seek(0)
    return text


@contextmanager
def _cursor(connection: sa.Connection) -> Iterator[Any]:
    """Yield a cursor of the driver; what it raises is raised as SQLAlchemy does."""
    driver: Any = connection.dialect.loaded_dbapi
    try:
        with closing(connection.connection.cursor()) as cursor:
            yield cursor
    except driver.Error as error:
        raise sa.exc.DBAPIError.instance(
            "COPY", None, error, driver.Error, dialect=connection.dialect
        ) from error
