"""Measure the store with 505 tickers x 5,000 sessions of made prices and a year of forecasts.

    python -m benchmarks.store [--tickers 505] [--sessions 5000] [--days 238] [--home DIR]

In SQLite and in PostgreSQL: reads of one ticker's history at a tenth, half and all of the table; a
day's upserts; the year's forecasts day by day, 5 a ticker and day (600,000 rows), from the first
into an empty table to the last; and each database's plans for its reads. Reads and upserts are the
best of several, because other work slows single ones; days of forecasts are medians.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from pipeline.prices import histories_as_of
from pipeline.sessions import Calendar
from pipeline.storage import Store, embedded_postgres
from pipeline.tables import ACTIONS, FORECASTS, PRICES

SOURCE, HORIZON = "made", 5
SERIES = {"universe": "made", "recipe": "default", "target": "close"}
KNOWN_AT = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
#: Sessions that one transaction brings in when the table is filled.
AT_ONCE = 250
#: How often a read or a day is timed at each point.
TIMES = 5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tickers", type=int, default=505)
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument(
        "--days", type=int, default=238, help="published days, 5 forecasts a ticker each"
    )
    parser.add_argument("--home", type=Path, help="an empty folder (default: a temporary one)")
    arguments = parser.parse_args()
    with both_databases(arguments.home) as (_, urls):
        for name, url in urls.items():
            store = Store.open(url)
            measure(name, store, arguments.tickers, arguments.sessions, arguments.days)
            store.close()


@contextlib.contextmanager
def both_databases(home: Path | None) -> Iterator[tuple[Path, dict[str, str]]]:
    """Give a home, and the URLs of an empty database of each kind in it.

    Args:
        home: an empty folder; None: a temporary one.
    """
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = home or Path(folder)
        home.mkdir(exist_ok=True)
        home.chmod(0o755)  # as root, the embedded server runs as another user
        try:
            sqlite, postgres = (
                f"sqlite:///{home}/store.db",
                embedded_postgres.url(home, "stockcast"),
            )
            yield home, {"SQLite": sqlite, "PostgreSQL": postgres}
        finally:
            embedded_postgres.stop(home)


def measure(name: str, store: Store, count: int, length: int, days: int) -> None:
    """Fill an empty store, and print the times and the plans.

    Args:
        count: tickers.
        length: sessions of prices.
        days: sessions of forecasts.
    """
    tickers = [f"T{number:03d}" for number in range(count)]
    sessions = last_sessions(length + HORIZON)
    print(f"\n{name}")
    fill(store, tickers, sessions[:length])
    year = sessions[length - days : length + HORIZON]
    print(
        f"\nforecasts written day by day, {days * count * HORIZON:,} rows in all: "
        f"ms a day of {count * HORIZON:,}\n"
    )
    times = [
        milliseconds(lambda day=day: publish(store, tickers, year, day)) for day in range(days)
    ]
    tenth = max(days // 10, 1)
    medians = [
        statistics.median(times[begin : begin + tenth])
        for begin in range(0, tenth * (days // tenth), tenth)
    ]
    print("median of each tenth of the days: " + " ".join(f"{median:.0f}" for median in medians))
    print(
        f"last / first {medians[-1] / medians[0]:.2f}   "
        f"last / second {medians[-1] / medians[1]:.2f}   all {sum(times) / 1000:.0f} s"
    )
    unchanged = best(lambda: publish(store, tickers, year, days - 1))
    print(f"the last day again, as it is: {unchanged:.0f}")
    print("\nplans\n")
    for read, plan in plans(store, tickers, sessions, length).items():
        print(f"{read}:\n    " + "\n    ".join(plan))


def last_sessions(count: int) -> list[dt.date]:
    """Return the last sessions up to the day that the made prices are known at."""
    return Calendar("XNYS").sessions(dt.date(2000, 1, 3), KNOWN_AT.date())[-count:]


def fill(store: Store, tickers: list[str], sessions: list[dt.date]) -> None:
    """Save the prices, and time one ticker's history and a day's upsert on the way."""
    print("\nrows of prices   one ticker's history, ms   a day's upsert of prices, ms")
    points = {len(sessions) * percent // 100 // AT_ONCE * AT_ONCE for percent in (10, 50, 100)}
    for begin in range(0, len(sessions), AT_ONCE):
        part = sessions[begin : begin + AT_ONCE]
        save_in_groups(store, tickers, part)
        count = begin + len(part)
        if count in points or count == len(sessions):
            ticker, last = tickers[len(tickers) // 2], part[-1]
            reading = best(lambda ticker=ticker, last=last: history_of(store, ticker, last))
            # As of an evening: six sessions fetched again, one of them with another close.
            evenings = iter([KNOWN_AT + dt.timedelta(count, number + 1) for number in range(TIMES)])
            writing = best(
                lambda part=part, evenings=evenings: save(store, tickers, part[-6:], next(evenings))
            )
            print(f"{count * len(tickers):>14,}   {reading:>24.0f}   {writing:>28.0f}", flush=True)


def save_in_groups(store: Store, tickers: list[str], sessions: list[dt.date]) -> None:
    """Save made prices, 50 tickers a transaction."""
    for begin in range(0, len(tickers), 50):
        save(store, tickers[begin : begin + 50], sessions, KNOWN_AT)


def save(store: Store, tickers: list[str], sessions: list[dt.date], known_at: dt.datetime) -> None:
    """Save made prices; the later they are known, the higher is the last close."""
    rows = len(tickers) * len(sessions)
    close = np.tile(np.linspace(50, 60, len(sessions)), len(tickers))
    close[len(sessions) - 1 :: len(sessions)] += (known_at - KNOWN_AT).total_seconds() / 1e9
    prices = {
        "open": close,
        "high": close + 1,
        "low": close - 1,
        "close": close,
        "volume": np.full(rows, 1e6),
    }
    frame = pd.DataFrame(
        {
            "ticker": np.repeat(tickers, len(sessions)),
            "session": pd.to_datetime(sessions * len(tickers)),
            **prices,
        }
    )
    store.prices.clock = lambda: known_at
    store.prices.save(SOURCE, PRICES.conform(frame), ACTIONS.empty(), sessions[0], sessions[-1])


def history_of(store: Store, ticker: str, cutoff: dt.date) -> pd.DataFrame:
    """Return the HISTORY of one ticker, read and adjusted."""
    histories = histories_as_of(store.prices, SOURCE, [ticker], cutoff, None)
    return histories.of(ticker, cutoff, masked=False)


def publish(store: Store, tickers: list[str], year: list[dt.date], day: int) -> None:
    """Write a day's forecasts."""
    rows = forecast_rows(tickers, year, day)
    group = {**SERIES, "cutoff": year[day], "ticker": tickers}
    store.publications.publish(rows, [], None, "benchmark", **group)


def forecast_rows(tickers: list[str], year: list[dt.date], day: int) -> pd.DataFrame:
    """Return the FORECASTS of a day, all alike except for the day's number."""
    ahead = pd.MultiIndex.from_product(
        [tickers, range(1, HORIZON + 1)], names=["ticker", "horizon"]
    ).to_frame(index=False)
    bounds = {
        column: 50.0 + day for column, dtype in FORECASTS.columns.items() if dtype == "float64"
    }
    rows = ahead.assign(
        **SERIES,
        **bounds,
        cutoff=year[day],
        session=[year[day + h] for h in ahead["horizon"]],
        champion="lstm",
        model_id="made",
    )
    return rows.astype({"cutoff": "datetime64[s]", "session": "datetime64[s]"})


def plans(
    store: Store, tickers: list[str], sessions: list[dt.date], length: int
) -> dict[str, list[str]]:
    """Return the plan of each read by its name."""
    last = sessions[length - 1]
    reads: dict[str, Callable[[], object]] = {
        "one ticker's history": lambda: store.prices.bars(SOURCE, tickers[0], last, None),
        "one ticker's newest session": lambda: store.prices.last_sessions(
            SOURCE, tickers[:1], last, None
        ),
        "a day's forecasts": lambda: store.load(FORECASTS, **SERIES, cutoff=last),
        "one ticker's forecasts": lambda: store.load(FORECASTS, **SERIES, ticker=tickers[0]),
    }
    return {name: plan_of(store, read) for name, read in reads.items()}


def plan_of(store: Store, read: Callable[[], object]) -> list[str]:
    """Return the database's plan for the last query of a read, by line."""
    queries: list[tuple[str, Any]] = []

    def note(
        connection: object, cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        queries.append((statement, parameters))

    sa.event.listen(store.database.engine, "after_cursor_execute", note)
    read()
    sa.event.remove(store.database.engine, "after_cursor_execute", note)
    statement, parameters = next(
        query for query in reversed(queries) if query[0].startswith("SELECT")
    )
    with store.database.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            explain, text = f"EXPLAIN (COSTS OFF) {statement}", 0
        else:
            explain, text = f"EXPLAIN QUERY PLAN {statement}", 3
        return [row[text].rstrip() for row in connection.exec_driver_sql(explain, parameters)]


def best(action: Callable[[], object]) -> float:
    """Return the least milliseconds of several calls."""
    return min(milliseconds(action) for _ in range(TIMES))


def milliseconds(action: Callable[[], object]) -> float:
    """Return the milliseconds of a call."""
    began = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
