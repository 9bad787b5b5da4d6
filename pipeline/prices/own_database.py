"""The sql source: a query on a database of one's own, which is only read.

The database is a connection (`connections`), the query a universe's. Its rows are read as a file's
are: columns ticker, session, open, high, low, close, volume under any name that a file may have,
and split and dividend where there are such.
"""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pandas as pd

from pipeline.addresses import POSTGRES_DRIVER
from pipeline.connections import Connection, Connections, connection_variable
from pipeline.errors import SettingsError, SourceUnavailable, UnknownTicker
from pipeline.prices.priced_tables import no_prices, prices_of_frame
from pipeline.prices.source import BEFORE_ANY_PRICE, RawPrices

if TYPE_CHECKING:
    import sqlalchemy as sa

#: What a query may leave open. Without `:ticker`, rows are chosen by its column ticker.
QUERY_PARAMETERS = ("ticker", "first", "last")
READING_WORDS = ("select", "with")
#: SQLAlchemy's drivers of Airflow's types of connections.
DATABASE_DRIVERS = {"postgres": POSTGRES_DRIVER, "postgresql": POSTGRES_DRIVER}
#: What databases say when a login is wrong: waiting does not mend it.
LOGIN_WORDS = ("authentication failed", "access denied", "login failed", "no password supplied")


class SqlSource:
    """Prices from a query.

    Args:
        database: the name of the connection.
        query: SQL that selects rows, with or without parameters.
        connections: where the connection is found.
        timeout: seconds to wait for the database to take the connection.
    """

    name = "sql"
    reads_all = True
    is_metered = False

    def __init__(self, database: str, query: str, connections: Connections, timeout: float) -> None:
        self._database, self._query = database, query.strip().rstrip(";")
        self._connections, self._timeout = connections, timeout

    def tickers(self) -> None:
        """Return None: a query may be for one ticker only."""
        return None

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        rows = self._rows(ticker, first, last)
        if rows.empty:
            if self._rows(ticker, BEFORE_ANY_PRICE, last).empty:
                raise UnknownTicker(
                    f"{ticker}: the query on {self._database} has no row of it. Spell it as its "
                    "column ticker does."
                )
            return no_prices()
        return prices_of_frame(rows, ticker, f"{ticker} from {self.name}", first, last)

    def _rows(self, ticker: str, first: dt.date, last: dt.date) -> pd.DataFrame:
        import sqlalchemy as sa

        statement, names = self._statement
        values = {"ticker": ticker, "first": first, "last": last}
        with self._connection(ticker) as connection:
            try:
                found = connection.execute(statement, {name: values[name] for name in names})
                return pd.DataFrame(found.fetchall(), columns=list(found.keys()))
            except sa.exc.SQLAlchemyError as error:
                if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
                    raise self._no_answer(ticker, error) from None
                raise SettingsError(
                    f"The query on {self._database} fails ({_reason(error)}). Mend `query` of the "
                    "universe."
                ) from None

    @cached_property
    def _statement(self) -> tuple[sa.TextClause, list[str]]:
        """The query for one ticker, and the parameters that it has."""
        import sqlalchemy as sa

        if self._query.lower().split(None, 1)[0] not in READING_WORDS:
            raise SettingsError(
                f"The query on {self._database} begins with {self._query.split(None, 1)[0]!r}; a "
                "SELECT is expected, as prices are only read. Mend `query` of the universe."
            )
        names = list(sa.text(self._query).compile().params)
        if unknown := sorted({*names} - {*QUERY_PARAMETERS}):
            raise SettingsError(
                f"The query on {self._database} has a parameter :{unknown[0]}; these are given: "
                f"{', '.join(f':{name}' for name in QUERY_PARAMETERS)}. Mend `query` of the "
                "universe."
            )
        query = self._query
        if "ticker" not in names:
            names.append("ticker")
            query = f"SELECT * FROM (\n{query}\n) AS all_prices WHERE ticker = :ticker"
        days = [sa.bindparam(name, type_=sa.Date) for name in names if name != "ticker"]
        return sa.text(query).bindparams(*days), names

    def _connection(self, ticker: str) -> sa.Connection:
        """Return an open connection whose transaction nobody commits."""
        import sqlalchemy as sa

        try:
            connection = self._engine.connect()
        except sa.exc.DBAPIError as error:
            if any(words in str(error).lower() for words in LOGIN_WORDS):
                raise SettingsError(
                    f"The database of connection {self._database} refuses the login "
                    f"({_reason(error)}). Set another one in "
                    f"{connection_variable(self._database)}, or in Airflow."
                ) from None
            raise self._no_answer(ticker, error) from None
        return connection.execution_options(postgresql_readonly=True)

    @cached_property
    def _engine(self) -> sa.Engine:
        import sqlalchemy as sa

        address = self._connections(self._database)
        if address is None:
            raise SettingsError(
                f"There is no connection {self._database!r}, which holds the address of the "
                f"database. Set {connection_variable(self._database)} to one such as "
                "postgres://user:password@host/database, or add it in Airflow (Admin, Connections)."
            )
        url = database_url(address)
        limits = {"connect_timeout": max(round(self._timeout), 1)}
        takes_limit = url.get_backend_name() in ("postgresql", "mysql", "mariadb")
        try:
            return sa.create_engine(
                url, poolclass=sa.pool.NullPool, connect_args=limits if takes_limit else {}
            )
        except (ImportError, sa.exc.ArgumentError) as error:
            raise SettingsError(
                f"The driver of connection {self._database} cannot be used ({_reason(error)}). "
                "Install it, or name another one as the connection's type."
            ) from None

    def _no_answer(self, ticker: str, error: Exception) -> SourceUnavailable:
        return SourceUnavailable(
            f"The database of connection {self._database} gave no answer for {ticker} "
            f"({_reason(error)}). Try again later."
        )


def database_url(address: Connection) -> sa.URL:
    """Return a connection as SQLAlchemy has it; SQLite's file is opened for reading."""
    import sqlalchemy as sa

    if address.kind.startswith("sqlite"):
        file = Path(address.schema or address.host).expanduser().absolute()
        return sa.make_url(f"sqlite:///file:{quote(str(file))}?mode=ro&uri=true")
    return sa.URL.create(
        DATABASE_DRIVERS.get(address.kind, address.kind),
        address.login or None,
        address.password or None,
        address.host or None,
        address.port,
        address.schema or None,
        dict(address.options),
    )


def _reason(error: Exception) -> str:
    """Return what the database says, in one line, without SQLAlchemy's notes on it."""
    own = getattr(error, "orig", None) or error
    lines = str(own).strip().splitlines()
    return lines[0].rstrip(" .") if lines else type(own).__name__
