"""Publications: forecasts as they were published, revision by revision, and as they stand now.

PUBLICATIONS is appended to and never changed; FORECASTS has the newest revision of each forecast
that has not been withdrawn. Both are written in one transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import sqlalchemy as sa

from pipeline.storage.database import Database
from pipeline.storage.filters import Span, conditions_of
from pipeline.storage.frames import fetch_frame, rows_of, utc_moment
from pipeline.storage.moments import next_moment, now
from pipeline.storage.schema import SQL_TABLES
from pipeline.storage.statements import insert_all, insert_into, replace_group, upsert
from pipeline.tables import FORECASTS, PUBLICATIONS, RUN_TICKERS, RUNS, SCORES, Table

#: What a revision says of a forecast that the same run, repeated, no longer makes.
LEFT_OUT = "the session was repeated, and nothing was forecast"
#: A row as the database has it, by column.
_Row = dict[str, Any]


class Publications:
    """Reads and writes of PUBLICATIONS, and of FORECASTS with them; each call is one transaction.

    Attributes:
        clock: read at the write, while no other writer is at work; revisions of a forecast are
            dated in their order even where it is set back.
    """

    def __init__(self, database: Database, clock: Callable[[], dt.datetime] = now) -> None:
        self._database = database
        self.clock = clock

    def publish(
        self,
        forecasts: pd.DataFrame,
        beside: Sequence[tuple[Table, pd.DataFrame]],
        known_at: dt.datetime | None,
        published_by: str,
        **group: object,
    ) -> int:
        """Make `forecasts` what stands of a group; return how many forecasts are new or changed.

        What stands already with the same numbers gets no revision; what stood and is not among them
        is withdrawn.

        Args:
            forecasts: FORECASTS.
            beside: other tables with all their rows of the group, for the same transaction; to a
                table that has no rows per ticker, they are added.
            known_at: when the newest price behind them became known.
            group: by column of `RUN_KEY` a value, or a list of values.
        """
        return self._replace(
            forecasts, beside, known_at, published_by, lambda ticker: LEFT_OUT, group
        )

    def withdraw(
        self,
        reasons: Mapping[str, str],
        beside: Sequence[tuple[Table, pd.DataFrame]],
        published_by: str,
        **group: object,
    ) -> int:
        """Take back what stands of some tickers; return how many forecasts that are.

        Args:
            reasons: by ticker.
            beside: other tables with what their rows of these tickers are from now on.
            group: by column of `RUN_KEY` but the ticker a value, or a list of values.
        """
        of_tickers = {**group, "ticker": list(reasons)}
        return self._replace(
            FORECASTS.empty(), beside, None, published_by, reasons.__getitem__, of_tickers
        )

    def run_of(self, **key: object) -> pd.DataFrame:
        """Return the RUNS row behind what stands of a ticker; none where it was not kept.

        Args:
            key: by column of `RUN_KEY` a value.
        """
        runs, members = SQL_TABLES[RUNS.name], SQL_TABLES[RUN_TICKERS.name]
        query = sa.select(runs).join(members, runs.c.run_id == members.c.run_id)
        with self._database.reader() as connection:
            return fetch_frame(connection, query.where(*conditions_of(RUN_TICKERS, key)), RUNS)

    def unscored(self, first: dt.date, last: dt.date, **group: object) -> pd.DataFrame:
        """Return PUBLICATIONS of the sessions from `first` to `last` that have no score yet."""
        publications, scores = SQL_TABLES[PUBLICATIONS.name], SQL_TABLES[SCORES.name]
        same = [publications.c[name] == scores.c[name] for name in SCORES.key]
        conditions = conditions_of(PUBLICATIONS, {**group, "session": Span(first, last)})
        query = sa.select(publications).where(*conditions, ~sa.exists().where(*same))
        with self._database.reader() as connection:
            return fetch_frame(connection, query, PUBLICATIONS)

    def _replace(
        self,
        forecasts: pd.DataFrame,
        beside: Sequence[tuple[Table, pd.DataFrame]],
        known_at: dt.datetime | None,
        published_by: str,
        reason_of: Callable[[str], str],
        group: Mapping[str, object],
    ) -> int:
        """Make `forecasts` what stands of a group; return how many forecasts have changed.

        Args:
            reason_of: why what stood of a ticker, and is not among them, is withdrawn.
        """
        rows = {_key_of(row): row for row in rows_of(FORECASTS, forecasts)}
        locks = [FORECASTS.name, *(table.name for table, _ in beside)]
        with self._database.writer(locks) as connection:
            standing = _standing(connection, group)
            new = [row for key, row in rows.items() if standing.get(key) != row]
            gone = [row for key, row in standing.items() if key not in rows]
            known = None if known_at is None else utc_moment(known_at)
            stamp = {"published_by": published_by, "known_at": known}
            revisions = [{**row, **stamp, "withdrawn": ""} for row in new]
            revisions += [{**row, **stamp, "withdrawn": reason_of(row["ticker"])} for row in gone]
            self._append(connection, group, revisions)
            for table, frame in beside:
                if set(group) <= set(table.columns):
                    replace_group(connection, table, frame, group)
                else:
                    upsert(connection, table, rows_of(table, frame))
            return replace_group(connection, FORECASTS, forecasts, group)

    def _append(
        self, connection: sa.Connection, group: Mapping[str, object], rows: list[_Row]
    ) -> None:
        """Append revisions, dated now and after all that the group has."""
        moments = SQL_TABLES[PUBLICATIONS.name].c.published_at
        query = sa.select(sa.func.max(moments)).where(*conditions_of(PUBLICATIONS, group))
        moment = next_moment(self.clock, connection.scalar(query))
        dated = [{**row, "published_at": moment} for row in rows]
        insert = insert_into(connection.dialect.name, PUBLICATIONS.name)
        insert_all(connection, PUBLICATIONS, insert, dated, "ticker")


def _standing(
    connection: sa.Connection, group: Mapping[str, object]
) -> dict[tuple[Any, ...], _Row]:
    """Return by key the newest FORECASTS of a group that have not been withdrawn."""
    stored = SQL_TABLES[PUBLICATIONS.name].c
    forecast = [stored[name] for name in FORECASTS.key]
    age = sa.func.row_number().over(partition_by=forecast, order_by=stored.published_at.desc())
    columns = [stored[name] for name in FORECASTS.columns]
    ranked = (
        sa.select(*columns, stored.withdrawn, age.label("age"))
        .where(*conditions_of(PUBLICATIONS, group))
        .subquery()
    )
    newest = sa.select(*(ranked.c[name] for name in FORECASTS.columns)).where(
        ranked.c.age == 1, ranked.c.withdrawn == ""
    )
    rows = [dict(row) for row in connection.execute(newest).mappings()]
    return {_key_of(row): row for row in rows}


def _key_of(row: _Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in FORECASTS.key)
