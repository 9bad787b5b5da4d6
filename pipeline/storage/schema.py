"""The SQL tables of the store, made from `tables.STORED`, and its views for others to read."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pipeline.tables import MOMENT_DTYPE, RUN_KEY, SERIES, SESSION_DTYPE, STORED, Table
from pipeline.views import VIEWS

SQL_TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "str": sa.Text,
    "float64": sa.Double,
    "int64": sa.BigInteger,
    "bool": sa.Boolean,
    SESSION_DTYPE: sa.Date,
    MOMENT_DTYPE: sa.DateTime,
}
#: Reads that the primary keys do not serve, since these have a ticker before the session: a day's
#: page, the newest session of a series and the scores of a session.
INDEXES: dict[str, list[tuple[str, ...]]] = {
    **{table.name: [(*SERIES, "cutoff")] for table in STORED if set(RUN_KEY) <= set(table.columns)},
    **{
        name: [(*SERIES, "cutoff"), (*SERIES, "session")]
        for name in ("forecasts", "publications", "scores")
    },
    "models": [("ticker", "training_cutoff")],
}


def sql_metadata() -> sa.MetaData:
    """Return the SQL tables that `tables.STORED` asks for."""
    metadata = sa.MetaData()
    for table in STORED:
        columns = [_sql_column(table, name, dtype) for name, dtype in table.columns.items()]
        indexes = [
            sa.Index(f"ix_{table.name}_{'_'.join(names)}", *names)
            for names in INDEXES.get(table.name, [])
        ]
        key = sa.PrimaryKeyConstraint(*table.key, name=f"pk_{table.name}")
        sa.Table(table.name, metadata, *columns, key, *indexes)
    return metadata


def _sql_column(table: Table, name: str, dtype: str) -> sa.Column[Any]:
    # A frame's int64 and bool columns cannot hold a missing value; all others but the key may.
    nullable = name not in table.key and dtype not in ("int64", "bool")
    return sa.Column(name, SQL_TYPES[dtype](), nullable=nullable)


def _sql_views() -> dict[str, sa.Table]:
    """Return the views by name; migrations make them."""
    metadata = sa.MetaData()
    return {
        view.name: sa.Table(
            view.name,
            metadata,
            *(_sql_column(view, name, dtype) for name, dtype in view.columns.items()),
        )
        for view in VIEWS
    }


#: What can be read, by name: tables and views.
SQL_TABLES: dict[str, sa.Table] = {**sql_metadata().tables, **_sql_views()}


def key_columns(table: Table) -> list[sa.Column[Any]]:
    """Return the SQL columns of a table's key, in order."""
    return [SQL_TABLES[table.name].c[name] for name in table.key]
