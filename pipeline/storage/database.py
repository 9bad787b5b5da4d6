"""Connections of the store: opening, transactions, locks, and bringing its schema up to date."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pipeline.addresses import POSTGRES_DRIVER, with_driver
from pipeline.errors import SettingsError, StoreTooNew, StoreUnavailable
from pipeline.storage import migrations
from pipeline.storage.schema import SQL_TABLES

SECONDS_TO_CONNECT = 10
SECONDS_TO_WAIT_FOR_A_WRITER = 60
SECONDS_BETWEEN_TRIES = 0.01
_LOCK = sa.text(
    "SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) "
    "FROM unnest(CAST(:names AS text[])) AS name"
)


class Database:
    """One PostgreSQL or SQLite database and its transactions.

    Attributes:
        engine: SQLAlchemy's, for those who look at single statements.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._writing = engine.execution_options(writing=True)
        # Bars and actions that are read together are of one moment; SQLite's readers have that
        # anyway.
        snapshot: dict[str, Any] = (
            {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
        )
        self._reading = engine.execution_options(**snapshot)

    @classmethod
    def open(cls, url: str) -> Database:
        """Connect, and bring an empty or older schema up to date; see `Store.open`."""
        database = cls(_engine(_parse(url)))
        try:
            database._bring_up_to_date()
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    @property
    def url(self) -> str:
        """The address for people: without a password, a socket as its folder."""
        if folder := self.engine.url.query.get("host"):
            return f"{self.engine.url.database} (PostgreSQL at {folder})"
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def reader(self) -> Iterator[sa.Connection]:
        """Open a transaction that only reads."""
        with self._unavailable_when_lost(), self._reading.begin() as connection:
            yield connection

    @contextmanager
    def writer(self, locks: Iterable[str] = ()) -> Iterator[sa.Connection]:
        """Open a transaction that writes.

        On PostgreSQL it holds the names `locks` against other writers that ask for them; SQLite
        has one writer at a time anyway.
        """
        with self._unavailable_when_lost(), self._writing.begin() as connection:
            if connection.dialect.name == "postgresql":
                # Always in the same order: no deadlock.
                names = [f"stockcast/{name}" for name in sorted(locks)]
                connection.execute(_LOCK, {"names": names})
            yield connection

    @contextmanager
    def _unavailable_when_lost(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            # One that breaks in the middle of an answer is none of both by psycopg2's names.
            refused = isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError))
            if not (refused or error.connection_invalidated):
                raise
            raise StoreUnavailable(
                f"The store {self.url} does not answer: {self._reason(error)}. "
                "Is it running and writable?"
            ) from error
        except sa.exc.TimeoutError as error:
            raise StoreUnavailable(
                f"The store {self.url} has no free connection: {error}."
            ) from error

    def _reason(self, error: sa.exc.DBAPIError) -> str:
        lines = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
        password = self.engine.url.password
        line = lines[0].rstrip(".")
        return line.replace(str(password), "***") if password else line

    def _bring_up_to_date(self) -> None:
        try:
            with self.reader() as connection:
                if self._is_up_to_date(connection):
                    return
            with self.writer(locks=["schema"]) as connection:
                if not self._is_up_to_date(connection):  # another process may have been faster
                    migrations.upgrade(connection)
        except sa.exc.DatabaseError as error:
            raise SettingsError(
                f"{self.url} cannot serve as the store: {self._reason(error)}. "
                "Name another database (STOCKCAST_STORE_URL)."
            ) from error

    def _is_up_to_date(self, connection: sa.Connection) -> bool:
        """Return False for an empty or older schema."""
        inspector = sa.inspect(connection)
        if not inspector.has_table(migrations.VERSION_TABLE):
            self._refuse_a_foreign_database(inspector)
            return False
        query = sa.text(f"SELECT version_num FROM {migrations.VERSION_TABLE}")
        version = connection.scalar(query)
        newest = migrations.REVISIONS[-1]
        if version not in migrations.REVISIONS:
            raise StoreTooNew(
                f"The store {self.url} has schema {version}; this program knows schemas up to "
                f"{newest}. Upgrade stockcast, or name another store (STOCKCAST_STORE_URL)."
            )
        return bool(version == newest)

    def _refuse_a_foreign_database(self, inspector: sa.Inspector) -> None:
        foreign = sorted(set(inspector.get_table_names()) & set(SQL_TABLES))
        if foreign:
            raise SettingsError(
                f"{self.url} has tables of another program ({', '.join(foreign)}). "
                "Name a database of stockcast's own (STOCKCAST_STORE_URL)."
            )


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(with_driver(url))
    except (sa.exc.ArgumentError, ValueError):
        raise SettingsError(
            "The store's URL cannot be read. "
            "Expected postgresql://user:password@host/database or sqlite:///file."
        ) from None
    if parsed.drivername not in (POSTGRES_DRIVER, "sqlite", "sqlite+pysqlite"):
        raise SettingsError(
            f"A store cannot be a {parsed.drivername} database. "
            "Use postgresql://... or sqlite:///file."
        )
    folder = Path(parsed.database or "").parent
    if parsed.get_backend_name() == "sqlite" and not folder.is_dir():
        raise SettingsError(
            f"The store {parsed.database} cannot be created: there is no folder {folder}. "
            "Create it, or name another store (STOCKCAST_STORE_URL)."
        )
    return parsed


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        named = "connect_timeout" in url.query
        timeout = {} if named else {"connect_timeout": SECONDS_TO_CONNECT}
        return sa.create_engine(url, connect_args=timeout, pool_pre_ping=True)
    engine = sa.create_engine(url, connect_args={"timeout": SECONDS_TO_WAIT_FOR_A_WRITER})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 would begin transactions at its own moments
    _use_write_ahead_log(connection)
    connection.execute("PRAGMA synchronous=NORMAL")
    # 64 MB instead of 2: a day's rows go to as many places of a table as there are tickers.
    connection.execute("PRAGMA cache_size=-65536")


def _use_write_ahead_log(connection: Any) -> None:
    """Change the journal; SQLite itself does not wait while another process does so."""
    deadline = time.monotonic() + SECONDS_TO_WAIT_FOR_A_WRITER
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(SECONDS_BETWEEN_TRIES)


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that begins as a reader cannot wait for its turn to write; a writer says so
    # at once.
    writes = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
