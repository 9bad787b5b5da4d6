"""The store: the database with the tables of `tables.STORED`.

Every public method of the store, its `prices` and its `publications` is one transaction: what a
killed process was writing is not there afterwards.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import sqlalchemy as sa

from pipeline.storage.database import Database
from pipeline.storage.filters import conditions_of
from pipeline.storage.frames import are_many, column_values, fetch_frame, rows_of
from pipeline.storage.price_revisions import PriceRevisions
from pipeline.storage.publications import Publications
from pipeline.storage.schema import SQL_TABLES
from pipeline.storage.statements import delete_keys, replace_group, upsert
from pipeline.tables import PROMOTIONS, PUBLICATIONS, SCORES, Table


class Store:
    """All reads and writes of one PostgreSQL or SQLite database.

    Frames in and out conform to a `Table`; missing values are NaN here and NULL there.

    Attributes:
        database: its connections and transactions.
        prices: price revisions and corporate actions.
        publications: published forecasts.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.prices = PriceRevisions(database)
        self.publications = Publications(database)

    @classmethod
    def open(cls, url: str) -> Store:
        """Connect, and bring an empty or older schema up to date; processes may do so at once.

        Raises:
            SettingsError: the URL names no PostgreSQL or SQLite database, or another program's.
            StoreUnavailable: the database does not answer.
            StoreTooNew: a newer version of this program made the schema; nothing is changed.
        """
        return cls(Database.open(url))

    def close(self) -> None:
        """Give all connections back."""
        self.database.close()

    @property
    def url(self) -> str:
        """The address for people: without a password, a socket as its folder."""
        return self.database.url

    # Any table

    def load(self, table: Table, **filters: object) -> pd.DataFrame:
        """Return the rows that the filters let through, sorted by key.

        Args:
            filters: by column a value, a list of values, or a `Span`.
        """
        query = sa.select(SQL_TABLES[table.name]).where(*conditions_of(table, filters))
        with self.database.reader() as connection:
            return fetch_frame(connection, query, table, many=are_many(filters.get("ticker")))

    def greatest(self, table: Table, column: str, **filters: object) -> Any:
        """Return the greatest value of a column among the rows that `load` gives; None: no row."""
        greatest = sa.func.max(SQL_TABLES[table.name].c[column])
        query = sa.select(greatest).where(*conditions_of(table, filters))
        with self.database.reader() as connection:
            return connection.scalar(query)

    def ends(
        self, table: Table, column: str, count: int, newest: bool, **filters: object
    ) -> list[Any]:
        """Return the `count` greatest (or, not `newest`, least) different values, ascending."""
        values = SQL_TABLES[table.name].c[column]
        query = sa.select(values).where(*conditions_of(table, filters)).distinct()
        query = query.order_by(values.desc() if newest else values).limit(count)
        with self.database.reader() as connection:
            return sorted(connection.scalars(query))

    def save(self, table: Table, frame: pd.DataFrame) -> int:
        """Insert new keys and update rows whose values differ; return how many rows changed."""
        rows = rows_of(table, frame)
        with self.database.writer() as connection:
            return upsert(connection, table, rows)

    def replace(self, table: Table, frame: pd.DataFrame, **group: object) -> int:
        """Make `frame` all rows of a group; return how many rows were changed or deleted.

        Args:
            group: by column a value, or a list of values.
        """
        with self.database.writer(locks=[table.name]) as connection:
            return replace_group(connection, table, frame, group)

    def replace_keys(self, table: Table, frame: pd.DataFrame, keys: pd.DataFrame) -> int:
        """Make `frame` all rows of these keys; return how many rows were changed or deleted.

        Args:
            keys: rows with the columns of the table's key.
        """
        rows = rows_of(table, frame)
        kept = {tuple(row[name] for name in table.key) for row in rows}
        columns = [column_values(keys[name], table.columns[name]) for name in table.key]
        absent = sorted(set(zip(*columns, strict=True)) - kept)
        with self.database.writer(locks=[table.name]) as connection:
            return delete_keys(connection, table, absent) + upsert(connection, table, rows)

    # What is shown of forecasts and their scores

    def series(self) -> pd.DataFrame:
        """Return what has been published: universe, recipe, target, and its newest cutoff."""
        names = ["universe", "recipe", "target"]
        newest: dict[tuple[str, ...], dt.date] = {}
        with self.database.reader() as connection:
            for table in (PROMOTIONS, PUBLICATIONS):  # withdrawn or smoothed: only in one of them
                columns = SQL_TABLES[table.name].c
                key = [columns[name] for name in names]
                query = sa.select(*key, sa.func.max(columns.cutoff)).group_by(*key)
                for *series, cutoff in connection.execute(query):
                    newest[tuple(series)] = max(cutoff, newest.get(tuple(series), cutoff))
        rows = [(*series, cutoff) for series, cutoff in sorted(newest.items())]
        return pd.DataFrame(rows, columns=[*names, "newest"])

    def score_sums(self, by: str, **filters: object) -> pd.DataFrame:
        """Return SCORES added up by one of their columns, or by "month" of the session (2013-03).

        Those of forecasts published in time and of backfilled ones are added up apart.

        Returns:
            Columns: the group, backfilled, forecasts, squared and naive_squared (errors as
            fractions of the last price), pinball, ewma_pinball, inside_80, inside_95; those
            published in time first, in the order of the group.
        """
        scores = SQL_TABLES[SCORES.name].c
        months = [sa.extract(part, scores.session) for part in ("year", "month")]
        groups: list[sa.ColumnElement[Any]] = [*months] if by == "month" else [scores[by]]
        sums = _sums_of_scores()
        apart: list[sa.ColumnElement[Any]] = [scores.backfilled, *groups]
        query = sa.select(*apart, *sums.values()).where(*conditions_of(SCORES, filters))
        query = query.group_by(*apart).order_by(*apart)
        with self.database.reader() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
        if by == "month":
            rows = [
                (late, f"{int(year)}-{int(month):02d}", *rest) for late, year, month, *rest in rows
            ]
        types = {"forecasts": "int64", **dict.fromkeys(list(sums)[1:], "float64")}
        table = pd.DataFrame(rows, columns=["backfilled", by, *sums])
        return table[[by, "backfilled", *sums]].astype({"backfilled": "bool", **types})


def _sums_of_scores() -> dict[str, sa.ColumnElement[Any]]:
    """Return what scores are added up to, by name; see `Store.score_sums`."""
    scores = SQL_TABLES[SCORES.name].c
    errors = {"squared": scores.error, "naive_squared": scores.naive_error}
    last_price = scores.actual - scores.naive_error
    both_known = sa.and_(scores.pinball.is_not(None), scores.ewma_pinball.is_not(None))
    sums: dict[str, sa.ColumnElement[Any]] = {"forecasts": sa.func.count()}
    for name, error in errors.items():
        sums[name] = sa.func.sum((error / last_price) * (error / last_price))
    for name in ("pinball", "ewma_pinball"):
        sums[name] = sa.func.sum(sa.case((both_known, scores[name])))
    for name in ("inside_80", "inside_95"):
        sums[name] = sa.func.sum(sa.cast(scores[name], sa.Integer))
    return sums
