"""Measure the views of the store with 5,000 stocks x 60 sessions of made forecasts, 5 a stock.

    python -m benchmarks.views [--tickers 5000] [--sessions 60] [--home DIR]

In SQLite and in PostgreSQL: milliseconds of fetching each view, as a whole, of a session and of a
stock, the best of three; and this process's processor time of exporting a session, for the first
time and again.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from benchmarks.store import HORIZON, SERIES, both_databases, last_sessions
from pipeline.daily import export_sessions
from pipeline.storage import Artifacts, Store
from pipeline.tables import (
    CHECKS,
    FORECASTS,
    MOMENT_DTYPE,
    PUBLICATIONS,
    SCORES,
    SESSION_DTYPE,
    Table,
)
from pipeline.views import VIEWS

TIMES = 3
VALUES = {"last_value": 50.0, "y_hat": 50.5}
#: One ticker in a hundred sits a session out.
QUARANTINED = "CASE WHEN n.number % 100 = 0 THEN 'quarantined' ELSE 'passed' END"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tickers", type=int, default=5000)
    parser.add_argument("--sessions", type=int, default=60)
    parser.add_argument("--home", type=Path, help="an empty folder (default: a temporary one)")
    arguments = parser.parse_args()
    sessions = last_sessions(arguments.sessions + HORIZON)
    with both_databases(arguments.home) as (_, urls):
        for name, url in urls.items():
            store = Store.open(url)
            fill(store, arguments.tickers, sessions)
            print(f"\n{name}\n{'ms of':<22} {'rows':>9} {'whole':>8} {'session':>8} {'stock':>8}")
            session = sessions[-2 * HORIZON - 1]
            measure(store, session)
            measure_export(store, session)
            store.close()


def fill(store: Store, tickers: int, sessions: list[dt.date]) -> None:
    """Write what so many sessions leave, one after the other as days do."""
    with store.database.writer() as connection:
        connection.execute(sa.text("CREATE TABLE numbers (number INTEGER, ticker TEXT)"))
        rows = [{"number": number, "ticker": f"T{number:05d}"} for number in range(tickers)]
        connection.execute(sa.text("INSERT INTO numbers VALUES (:number, :ticker)"), rows)
    for place in range(len(sessions) - HORIZON):
        with store.database.writer() as connection:
            _fill_session(connection, sessions, place)
    if store.database.engine.dialect.name == "postgresql":
        with store.database.engine.connect().execution_options(
            isolation_level="AUTOCOMMIT"
        ) as connection:
            connection.execute(sa.text("VACUUM ANALYZE"))


def _fill_session(connection: sa.Connection, sessions: list[dt.date], place: int) -> None:
    cutoff = sessions[place]
    key = {**{name: f"'{value}'" for name, value in SERIES.items()}, "cutoff": f"'{cutoff}'"}
    moment = f"'{cutoff} 22:00:00.000000'"
    verdict = {"verdict": QUARANTINED, "reasons": "''", "evidence": "''", "known_at": moment}
    _insert(connection, CHECKS, {**key, **verdict})
    for horizon in range(1, HORIZON + 1):
        session = sessions[place + horizon]
        row = {**key, "horizon": str(horizon), "session": f"'{session}'", "champion": "'lstm'"}
        row |= {"model_id": "'made'", "withdrawn": "''", "published_by": "'made'"}
        row |= {"published_at": moment, "known_at": moment, "actual": "50.6", "error": "0.1"}
        row |= {"naive_error": "0.6", **dict.fromkeys(("inside_80", "inside_95"), "true")}
        row |= {"backfilled": "false"}
        for table in (FORECASTS, PUBLICATIONS, SCORES):
            if table is not SCORES or session <= sessions[-HORIZON - 1]:
                _insert(connection, table, row)


def _insert(connection: sa.Connection, table: Table, values: dict[str, str]) -> None:
    """Insert a row a ticker, with 50 in each column of numbers that has no value."""
    own = {name: "50.0" for name, dtype in table.columns.items() if dtype == "float64"}
    own |= {name: str(VALUES[name]) for name in VALUES if name in own}
    own |= {"ticker": "n.ticker", **{n: v for n, v in values.items() if n in table.columns}}
    types = {SESSION_DTYPE: "DATE", MOMENT_DTYPE: "TIMESTAMP"}
    if connection.dialect.name == "sqlite":  # its dates are texts
        types = {}
    typed = {
        name: f"CAST({value} AS {types[table.columns[name]]})"
        if table.columns[name] in types
        else value
        for name, value in own.items()
    }
    connection.execute(
        sa.text(
            f"INSERT INTO {table.name} ({', '.join(typed)}) "
            f"SELECT {', '.join(typed.values())} FROM numbers AS n"
        )
    )


def measure(store: Store, session: dt.date) -> None:
    """Print the milliseconds of each view: whole, of a session, and of a stock."""
    series = " AND ".join(f"{name} = '{value}'" for name, value in SERIES.items())
    for view in VIEWS:
        narrow = [""]
        if "session" in view.columns:
            narrow += [f" WHERE {series} AND session = '{session}'"]
            narrow += [f" WHERE {series} AND ticker = 'T00100'"]
        times, count = [], 0
        for where in narrow:
            rows, least = best_of(store, f"SELECT * FROM {view.name}{where}")
            count = count or rows
            times.append(least)
        print(f"{view.name:<22} {count:>9,} " + " ".join(f"{each:>8.0f}" for each in times))


def measure_export(store: Store, session: dt.date) -> None:
    """Print the processor time of exporting a session, without the server's."""
    with tempfile.TemporaryDirectory() as folder:
        times = []
        for number in range(TIMES):
            parts: Any = SimpleNamespace(store=store, exports=Artifacts(f"{folder}/{number}"))

            began = time.process_time()
            export_sessions(parts, SERIES, [session])
            written = time.process_time()
            export_sessions(parts, SERIES, [session])
            times.append((written - began, time.process_time() - written))
    first, again = (1000 * min(each) for each in zip(*times, strict=True))
    print(f"export of a session, processor: {first:.0f} ms, again {again:.0f} ms")


def best_of(store: Store, query: str) -> tuple[int, float]:
    """Return how many rows a query has, and the least milliseconds of fetching all."""
    times = []
    for _ in range(TIMES):
        began, count = time.perf_counter(), 0
        with store.database.reader() as connection:
            cursor: Any = connection.connection.cursor()
            cursor.execute(query)
            while rows := cursor.fetchmany(10_000):
                count += len(rows)
        times.append(1000 * (time.perf_counter() - began))
    return count, min(times)


if __name__ == "__main__":
    main()
