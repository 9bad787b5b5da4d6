"""The sql source: rows of a query on one's own database, and what is wrong with either."""

import datetime as dt
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from pipeline.connections import Connection
from pipeline.errors import MalformedPrices, SettingsError, SourceUnavailable, UnknownTicker
from pipeline.prices.own_database import SqlSource, database_url
from pipeline.prices.source import Fetched, fetch
from pipeline.sessions import Calendar
from tests.servers import LOOPBACK, postgres_server

NOW = dt.datetime(2013, 3, 4, 3, tzinfo=dt.UTC)
FIRST, LAST = dt.date(2013, 2, 27), dt.date(2013, 3, 1)
QUERY = "SELECT ticker, session, open, high, low, close, volume FROM prices"
ONE_TICKERS = """\
SELECT day, o AS open, h AS high, l AS low, c AS close, v AS volume, split, dividend
FROM bars WHERE symbol = :ticker AND day >= :first AND day <= :last ORDER BY day"""
BARS = pd.DataFrame(
    [
        ["IBM", dt.date(2013, 2, 27), 200.0, 204.0, 199.5, 202.25, 900.0, 1.0, None],
        ["IBM", dt.date(2013, 2, 28), 101.0, 102.5, 100.0, 100.5, 1800.0, 2.0, None],
        ["IBM", dt.date(2013, 3, 1), 100.0, 101.0, 99.0, 100.75, 1700.0, 1.0, 0.85],
        ["AAPL", dt.date(2013, 3, 1), 438.0, 439.0, 430.0, 430.5, 100.0, 1.0, None],
    ],
    columns=["ticker", "session", "open", "high", "low", "close", "volume", "split", "dividend"],
)
CLOSES = [["2013-02-27", 202.25], ["2013-02-28", 100.5], ["2013-03-01", 100.75]]
ACTIONS = [["2013-02-28", "split", 2.0], ["2013-03-01", "dividend", 0.85]]


def fill(engine: sa.Engine) -> None:
    BARS.drop(columns=["split", "dividend"]).to_sql("prices", engine, index=False)
    letters = {name: name[0] for name in ("open", "high", "low", "close", "volume")}
    names = {"ticker": "symbol", "session": "day", **letters}
    BARS.rename(columns=names).to_sql("bars", engine, index=False)
    engine.dispose()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own prices.db"
    fill(sa.create_engine(f"sqlite:///{path}"))
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    if request.param == "sqlite":
        path = request.getfixturevalue("file")
        path.chmod(stat.S_IRUSR)
        yield Connection("sqlite", schema=str(path))
        return
    with postgres_server(tmp_path, "own") as server:
        url = sa.make_url(server.format("own"))
        fill(sa.create_engine(url))
        login = str(url.username), str(url.password)
        yield Connection("postgres", LOOPBACK, url.port, *login, "own")


def source(address: Connection | None, query: str = QUERY) -> SqlSource:
    return SqlSource("warehouse", query, {"warehouse": address}.get, 5.0)


def fetched(own: SqlSource, ticker: str = "IBM", first: dt.date = FIRST) -> Fetched:
    return fetch(own, ticker, first, LAST, Calendar("XNYS"), NOW)


def refused(kind: type[Exception], own: SqlSource, ticker: str = "IBM") -> str:
    with pytest.raises(kind) as caught:
        fetched(own, ticker)
    assert type(caught.value) is kind
    return str(caught.value)


def rows(table: pd.DataFrame, *names: str) -> list[list[object]]:
    return table.assign(session=table["session"].astype("str"))[[*names]].to_numpy().tolist()


def test_a_query_of_all_tickers_is_asked_for_one(address):
    found = fetched(source(address))
    assert rows(found.prices, "session", "close") == CLOSES
    assert found.prices.iloc[0][["open", "high", "low", "volume"]].tolist() == [
        *(200.0, 204.0, 199.5, 900.0),
    ]
    assert rows(fetched(source(address), "AAPL").prices, "session", "close") == [
        ["2013-03-01", 430.5]
    ]


def test_a_query_with_parameters_has_its_own_names_splits_and_dividends(address):
    found = fetched(source(address, f"{ONE_TICKERS};"))
    assert rows(found.prices, "session", "close") == CLOSES
    assert rows(found.actions, "session", "kind", "value") == ACTIONS
    late = fetched(source(address, ONE_TICKERS), first=LAST)
    assert rows(late.prices, "session", "close") == CLOSES[-1:]


@pytest.mark.parametrize("query", [QUERY, ONE_TICKERS])
def test_a_ticker_without_rows_is_unknown_and_one_without_new_rows_is_not(file, query):
    own = source(Connection("sqlite", host=str(file)), query)
    assert refused(UnknownTicker, own, "NOPE") == (
        "NOPE: the query on warehouse has no row of it. Spell it as its column ticker does."
    )
    with closing(sqlite3.connect(file)) as database, database:
        for table, day in (("prices", "session"), ("bars", "day")):
            database.execute(f"DELETE FROM {table} WHERE {day} > '2013-02-28'")
    assert len(fetched(own, first=LAST).prices) == 0


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT * FROM nowhere", "The query on warehouse fails (no such table: nowhere). Mend "),
        ("SELECT nonsense", "The query on warehouse fails (no such column: nonsense). Mend "),
        ("DELETE FROM prices", "The query on warehouse begins with 'DELETE'; a SELECT is expected"),
        (f"{QUERY} WHERE a = :b", "The query on warehouse has a parameter :b; these are given: "),
    ],
)
def test_a_wrong_query_is_everyones_fault(file, query, words):
    message = refused(SettingsError, source(Connection("sqlite", schema=str(file)), query))
    assert message.startswith(words)
    assert message.endswith("Mend `query` of the universe.") or "as prices are only read" in message


def test_nothing_is_written(address):
    query = "WITH gone AS (DELETE FROM prices RETURNING *) SELECT * FROM gone"
    refused(SettingsError, source(address, query))
    assert len(fetched(source(address)).prices) == 3


def test_a_file_that_is_not_there_is_not_made(tmp_path):
    path = tmp_path / "none.db"
    message = refused(SourceUnavailable, source(Connection("sqlite", schema=str(path))))
    assert message == (
        "The database of connection warehouse gave no answer for IBM (unable to open database "
        "file). Try again later."
    )
    assert not path.exists()


def test_rows_that_are_no_prices_name_the_column(file):
    own = source(Connection("sqlite", schema=str(file)), "SELECT ticker, session FROM prices")
    assert refused(MalformedPrices, own).startswith(
        "IBM from sql: no column open, high, low, close"
    )
    own = source(Connection("sqlite", schema=str(file)), QUERY.replace(" close", " 'x' AS close"))
    assert refused(MalformedPrices, own) == (
        "IBM from sql, line 2: close is 'x', where a number such as 1234.5 or nothing is expected."
    )


def test_a_connection_that_is_not_there_names_its_variable():
    assert refused(SettingsError, source(None)) == (
        "There is no connection 'warehouse', which holds the address of the database. Set "
        "AIRFLOW_CONN_WAREHOUSE to one such as postgres://user:password@host/database, or add it "
        "in Airflow (Admin, Connections)."
    )


@pytest.mark.parametrize("kind", ["nodb", "mysql+nothing"])
def test_a_driver_that_is_not_there_is_named(kind):
    message = refused(SettingsError, source(Connection(kind, "h", password="s3cret")))
    assert message.startswith("The driver of connection warehouse cannot be used (")
    assert "s3cret" not in message


def test_a_server_that_is_not_there_is_an_outage_and_its_password_is_not_told():
    address = Connection("postgres", LOOPBACK, 1, "reader", "s3cret", "own")
    message = refused(SourceUnavailable, source(address))
    assert message.startswith("The database of connection warehouse gave no answer for IBM (")
    assert "s3cret" not in message


@pytest.mark.slow
def test_a_wrong_password_is_no_outage(tmp_path):
    with postgres_server(tmp_path, "own") as server:
        port = sa.make_url(server.format("own")).port
        address = Connection("postgres", LOOPBACK, port, "stockcast", "s3cret", "own")
        message = refused(SettingsError, source(address))
    assert message.startswith("The database of connection warehouse refuses the login (")
    assert message.endswith("Set another one in AIRFLOW_CONN_WAREHOUSE, or in Airflow.")
    assert "s3cret" not in message


def test_a_connection_becomes_the_address_of_a_driver():
    address = Connection("postgres", "db", 5433, "me", "p@ss", "own", {"sslmode": "require"})
    assert database_url(address).render_as_string(hide_password=False) == (
        "postgresql+psycopg2://me:p%40ss@db:5433/own?sslmode=require"
    )
