"""Events that are known beforehand, as revisions.

An event has two moments: when it became known (`announced_at`, where somebody says so), and when it
was stored. Reads are as of a moment of storing, as those of prices are, and give for each event
since when, and until when, it was known to be coming.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import sqlalchemy as sa

from pipeline.storage.database import Database
from pipeline.storage.filters import conditions_of
from pipeline.storage.frames import fetch_frame, rows_of
from pipeline.storage.moments import next_moment, now
from pipeline.storage.revision_queries import known_by, newest_revisions
from pipeline.storage.schema import SQL_TABLES
from pipeline.storage.statements import insert_all, insert_into, upsert
from pipeline.tables import EVENT_READINGS, EVENT_REVISIONS, EVENTS, KNOWN_EVENTS


class EventRevisions:
    """Reads and writes of EVENT_REVISIONS; each call is one transaction.

    Attributes:
        clock: read at the write; revisions are dated in their order even where it is set back.
    """

    def __init__(self, database: Database, clock: Callable[[], dt.datetime] = now) -> None:
        self._database = database
        self.clock = clock

    def save(
        self,
        source_id: str,
        tickers: Sequence[str],
        events: pd.DataFrame,
        session: dt.date,
        first: dt.date | None = None,
    ) -> int:
        """Append what differs from the newest of these tickers' events, and note who was asked.

        An event from `first` on that is no longer among them is taken back.

        Args:
            events: EVENTS.
            session: of the run that asks.
            first: None: all of their events are among them.

        Returns:
            How many revisions are new.
        """
        if not tickers:
            return 0
        reported = EVENTS.conform(events)
        readings = [{"source_id": source_id, "ticker": t, "session": session} for t in tickers]
        with self._database.writer(locks=[f"events of {source_id}"]) as connection:
            query = newest_revisions(EVENT_REVISIONS, EVENTS, source_id, tickers, None)
            known = fetch_frame(connection, query, EVENTS)
            rows = pd.concat([reported, _withdrawn(known, reported, first)])
            changed = _without_same(rows, known)
            if len(changed):
                moment = next_moment(self.clock, self._newest(connection, source_id))
                stamped = changed.assign(source_id=source_id, known_at=moment)
                insert = insert_into(connection.dialect.name, EVENT_REVISIONS.name)
                insert_all(
                    connection, EVENT_REVISIONS, insert, rows_of(EVENT_REVISIONS, stamped), "ticker"
                )
            upsert(connection, EVENT_READINGS, sorted(readings, key=lambda row: str(row["ticker"])))
        return len(changed)

    def _newest(self, connection: sa.Connection, source_id: str) -> dt.datetime | None:
        stored = SQL_TABLES[EVENT_REVISIONS.name].c
        query = sa.select(sa.func.max(stored.known_at)).where(stored.source_id == source_id)
        newest: dt.datetime | None = connection.scalar(query)
        return newest

    def known(
        self, source_id: str, tickers: Sequence[str], known_at: dt.datetime | None
    ) -> pd.DataFrame:
        """Return these tickers' KNOWN_EVENTS as of a moment; None: of all that is stored."""
        return known_events(self.revisions(source_id, tickers, known_at))

    def revisions(
        self, source_id: str, tickers: Sequence[str], known_at: dt.datetime | None
    ) -> pd.DataFrame:
        """Return all EVENT_REVISIONS of these tickers that were stored at a moment."""
        stored = SQL_TABLES[EVENT_REVISIONS.name]
        query = sa.select(stored).where(
            *conditions_of(EVENT_REVISIONS, {"source_id": source_id, "ticker": list(tickers)}),
            known_by(stored.c.known_at, known_at),
        )
        with self._database.reader() as connection:
            return fetch_frame(connection, query, EVENT_REVISIONS)


def known_events(revisions: pd.DataFrame) -> pd.DataFrame:
    """Return EVENT_REVISIONS as KNOWN_EVENTS.

    Each revision holds from when it was announced, or stored where nobody says when, until the next
    one of its event does.
    """
    if revisions.empty:
        return KNOWN_EVENTS.empty()
    event = ["ticker", "session", "kind"]
    rows = EVENT_REVISIONS.conform(revisions)
    rows["known_from"] = rows["announced_at"].fillna(rows["known_at"])
    rows["known_until"] = rows.groupby(event)["known_from"].shift(-1)
    stands = rows["known_until"].isna() | (rows["known_until"] > rows["known_from"])
    return KNOWN_EVENTS.conform(rows[stands & (rows["value"] != 0)])


def _withdrawn(known: pd.DataFrame, reported: pd.DataFrame, first: dt.date | None) -> pd.DataFrame:
    """Return the known events that are no longer reported, as they are taken back."""
    key = list(EVENTS.key)
    absent = ~pd.MultiIndex.from_frame(known[key]).isin(pd.MultiIndex.from_frame(reported[key]))
    gone = known[absent & (known["value"] != 0).to_numpy()]
    if first is not None:
        gone = gone[gone["session"] >= pd.Timestamp(first)]
    return gone.assign(value=0.0, announced_at=np.datetime64("NaT"))


def _without_same(rows: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are not known with the same values; NaT equals NaT."""
    if rows.empty:
        return EVENTS.empty()
    names = list(EVENTS.columns)
    both = rows.merge(known[names], on=names, how="left", indicator=True)
    return EVENTS.typed(rows[np.asarray(both["_merge"] == "left_only")])
