"""The store: the database with the tables of `tables.STORED`.

Every public method of the store, its `prices` and its `publications` is one transaction: what a
killed process was writing is not there afterwards.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import sqlalchemy as sa

from pipeline.storage.database import Database
from pipeline.storage.event_revisions import EventRevisions
from pipeline.storage.filters import are_several, conditions_of
from pipeline.storage.frames import are_many, column_values, fetch_frame, rows_of
from pipeline.storage.price_revisions import PriceRevisions
from pipeline.storage.publications import Publications
from pipeline.storage.schema import SQL_TABLES
from pipeline.storage.score_sums import interval_sums, score_sums
from pipeline.storage.statements import (
    delete_keys,
    distinct_prefixes,
    end_values,
    replace_group,
    upsert,
)
from pipeline.tables import PROMOTIONS, PUBLICATIONS, RUN_KEY, SERIES, Table


class Store:
    """All reads and writes of one PostgreSQL or SQLite database.

    Frames in and out conform to a `Table`; missing values are NaN here and NULL there.

    Attributes:
        database: its connections and transactions.
        prices: price revisions and corporate actions.
        events: those that are known beforehand.
        publications: published forecasts.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.prices = PriceRevisions(database)
        self.events = EventRevisions(database)
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

    def size(self) -> int:
        """Return how many bytes the database takes."""
        statement = (
            "SELECT pg_database_size(current_database())"
            if self.database.engine.dialect.name == "postgresql"
            else "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        )
        with self.database.reader() as connection:
            return int(connection.scalar(sa.text(statement)) or 0)

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Let one process at a time into blocks of a name; on SQLite nobody writes meanwhile."""
        with self.database.writer(locks=[name]):
            yield

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
        conditions = conditions_of(table, filters)
        with self.database.reader() as connection:
            if not any(are_several(value) for value in filters.values()):
                return sorted(end_values(connection, values, conditions, count, newest))
            query = sa.select(values).where(*conditions).distinct()
            query = query.order_by(values.desc() if newest else values).limit(count)
            return sorted(connection.scalars(query))

    def distinct(
        self, table: Table, columns: Sequence[str], beside: Table | None = None, **filters: object
    ) -> list[tuple[Any, ...]]:
        """Return the different values that columns have together, in no order.

        Args:
            beside: only rows count that this table has a row for, with the same `RUN_KEY`.
            filters: as in `load`.
        """
        stored = SQL_TABLES[table.name].c
        query = sa.select(*(stored[name] for name in columns)).distinct()
        conditions = conditions_of(table, filters)
        if beside is not None:
            other = SQL_TABLES[beside.name].c
            conditions.append(sa.exists().where(*(stored[n] == other[n] for n in RUN_KEY)))
        with self.database.reader() as connection:
            return [tuple(row) for row in connection.execute(query.where(*conditions))]

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
        """Return what has been published: universe, recipe, target, and its newest cutoff.

        It looks each series up, and reads none of its rows.
        """
        newest: dict[tuple[str, ...], dt.date] = {}
        with self.database.reader() as connection:
            for table in (PROMOTIONS, PUBLICATIONS):  # withdrawn or smoothed: only in one of them
                for series in distinct_prefixes(connection, table, SERIES):
                    columns = SQL_TABLES[table.name].c
                    same = [
                        columns[name] == value for name, value in zip(SERIES, series, strict=True)
                    ]
                    cutoff = connection.scalar(sa.select(sa.func.max(columns.cutoff)).where(*same))
                    newest[series] = max(cutoff, newest.get(series, cutoff))
        rows = [(*series, cutoff) for series, cutoff in sorted(newest.items())]
        return pd.DataFrame(rows, columns=[*SERIES, "newest"])

    def score_sums(self, by: Sequence[str], **filters: object) -> pd.DataFrame:
        """Return SCORES added up by some of their columns, or by "month" of the session (2013-03).

        Those of forecasts published in time and of backfilled ones are added up apart.

        Returns:
            Columns: the groups, backfilled, forecasts, first and last (sessions), squared and
            naive_squared (errors as fractions of the last price), compared (how many have both
            losses), pinball, ewma_pinball, inside_80, inside_95; compared_with_har (how many have
            a loss of `har` as well as their own) and the sums of both, har_pinball and
            pinball_beside_har. In the order of the groups, those published in time first.
        """
        with self.database.reader() as connection:
            return score_sums(connection, by, filters)

    def interval_sums(self, by: Sequence[str], **filters: object) -> pd.DataFrame:
        """Return the scored distributions added up by columns of SCORES, and by session.

        They are those that the scores are of, as they were published. Scores from before forecasts
        were distributions are left out.

        Returns:
            Columns: the groups, backfilled, session, forecasts; sums of crps and width_80 (of the
            80% interval), both as fractions of the last price; and how many outcomes lie inside the
            80% interval, below and above the 95% interval: inside_80, below_95, above_95. Of the
            98% interval, which earlier versions did not publish: forecasts_98 (how many have one),
            below_98, above_98.
        """
        with self.database.reader() as connection:
            return interval_sums(connection, by, filters)
