"""The store at scale: 505 tickers x 5,000 sessions of made prices, then a year of forecasts day by day, in SQLite and in PostgreSQL.

    python -m benchmarks.store [--tickers 505] [--sessions 5000] [--days 238] [--home DIR]

Reads of one ticker's history at a tenth, half and all of the table; a day's upserts and the year's forecasts, 5 a ticker and day (600,000
rows), from the first, into a table that is empty, to the last; and the plan that each database makes for its reads. Reads and upserts are the best
of several, as other work slows single ones; days of forecasts are medians.
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

import numpy as np
import pandas as pd
import sqlalchemy as sa

from pipeline import embedded_postgres
from pipeline.sessions import Calendar
from pipeline.store import Store
from pipeline.tables import ACTIONS, FORECASTS, PRICES

SOURCE, HORIZON = "made", 5
SERIES = {"universe": "made", "recipe": "default", "target": "close"}
KNOWN_AT = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
#: Sessions that one transaction brings in when the table is filled.
AT_ONCE = 250
#: How often a read or a day is timed at each point.
TIMES = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickers", type=int, default=505)
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--days", type=int, default=238, help="published, 5 forecasts a ticker each")
    parser.add_argument("--home", type=Path, help="an empty folder (default: a temporary one)")
    asked = parser.parse_args()
    with both_databases(asked.home) as (_, urls):
        for name, url in urls.items():
            measure(name, Store.open(url), asked.tickers, asked.sessions, asked.days)


@contextlib.contextmanager
def both_databases(home: Path | None) -> Iterator[tuple[Path, dict[str, str]]]:
    """A home (None: a temporary one), and the URLs of an empty database of each kind in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = home or Path(folder)
        home.mkdir(exist_ok=True)
        home.chmod(0o755)  # as root, the embedded server runs as another user
        try:
            yield home, {"SQLite": f"sqlite:///{home}/store.db", "PostgreSQL": embedded_postgres.url(home, "stockcast")}
        finally:
            embedded_postgres.stop(home)


def measure(name: str, store: Store, count: int, length: int, days: int) -> None:
    tickers = [f"T{number:03d}" for number in range(count)]
    sessions = Calendar("XNYS").sessions(dt.date(2000, 1, 3), dt.date(2026, 1, 2))[-length - HORIZON :]
    print(f"\n{name}")
    fill(store, tickers, sessions[:length])
    year = sessions[length - days : length + HORIZON]
    print(f"\nforecasts written day by day, {days * count * HORIZON:,} rows in all: ms a day of {count * HORIZON:,}\n")
    took = [seconds(lambda day=day: publish(store, tickers, year, day)) for day in range(days)]
    tenth = max(days // 10, 1)
    medians = [statistics.median(took[begin : begin + tenth]) for begin in range(0, tenth * (days // tenth), tenth)]
    print("median of each tenth of the days: " + " ".join(f"{median:.0f}" for median in medians))
    print(
        f"last / first {medians[-1] / medians[0]:.2f}   last / second {medians[-1] / medians[1]:.2f}   all {sum(took) / 1000:.0f} s"
    )
    print(f"the last day again, as it is: {best(lambda: publish(store, tickers, year, days - 1)):.0f}")
    print("\nplans\n")
    for what, plan in plans(store, tickers, sessions, length).items():
        print(f"{what}:\n    " + "\n    ".join(plan))
    store.close()


def fill(store: Store, tickers: list[str], sessions: list[dt.date]) -> None:
    """Brings the prices in, and times one ticker's history and a day's upsert on the way."""
    print("\nrows of prices   one ticker's history, ms   a day's upsert of prices, ms")
    points = {len(sessions) * share // 100 // AT_ONCE * AT_ONCE for share in (10, 50, 100)}
    for begin in range(0, len(sessions), AT_ONCE):
        part = sessions[begin : begin + AT_ONCE]
        for some in range(0, len(tickers), 50):
            save(store, tickers[some : some + 50], part, KNOWN_AT)
        held = begin + len(part)
        if held in points or held == len(sessions):
            ticker, last = tickers[len(tickers) // 2], part[-1]
            reading = best(lambda ticker=ticker, last=last: store.prices(SOURCE, ticker, last, None))
            # As of an evening: six sessions asked for again, one of them with another close.
            evenings = iter([KNOWN_AT + dt.timedelta(held, number) for number in range(1, 1 + TIMES)])
            writing = best(lambda part=part, evenings=evenings: save(store, tickers, part[-6:], next(evenings)))
            print(f"{held * len(tickers):>14,}   {reading:>24.0f}   {writing:>28.0f}", flush=True)


def save(store: Store, tickers: list[str], sessions: list[dt.date], known_at: dt.datetime) -> None:
    rows = len(tickers) * len(sessions)
    close = np.tile(np.linspace(50, 60, len(sessions)), len(tickers))
    close[len(sessions) - 1 :: len(sessions)] += (known_at - KNOWN_AT).total_seconds() / 1e9  # the last one is corrected
    prices = {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": np.full(rows, 1e6)}
    frame = pd.DataFrame(
        {"ticker": np.repeat(tickers, len(sessions)), "session": pd.to_datetime(sessions * len(tickers)), **prices}
    )
    store.save_prices(SOURCE, PRICES.conform(frame), ACTIONS.empty(), sessions[0], sessions[-1], known_at)


def publish(store: Store, tickers: list[str], year: list[dt.date], day: int) -> None:
    ahead = pd.MultiIndex.from_product([tickers, range(1, HORIZON + 1)], names=["ticker", "horizon"]).to_frame(index=False)
    bounds = {column: 50.0 + day for column, dtype in FORECASTS.columns.items() if dtype == "float64"}
    key = {**SERIES, "cutoff": year[day]}
    rows = ahead.assign(**key, **bounds, session=[year[day + h] for h in ahead["horizon"]], champion="lstm", model_id="made")
    rows = rows.astype({"cutoff": "datetime64[s]", "session": "datetime64[s]"})
    store.replace(FORECASTS, rows, **key, ticker=tickers)


def plans(store: Store, tickers: list[str], sessions: list[dt.date], length: int) -> dict[str, list[str]]:
    last = sessions[length - 1]
    reads: dict[str, Callable[[], object]] = {
        "one ticker's history": lambda: store.raw_prices(SOURCE, tickers[0], last, None),
        "one ticker's newest session": lambda: store.last_sessions(SOURCE, tickers[:1], last, None),
        "a day's forecasts": lambda: store.load(FORECASTS, **SERIES, cutoff=last),
        "one ticker's forecasts": lambda: store.load(FORECASTS, **SERIES, ticker=tickers[0]),
    }
    return {what: plan_of(store, read) for what, read in reads.items()}


def plan_of(store: Store, read: Callable[[], object]) -> list[str]:
    """How the database goes about the last query of a read."""
    asked = []

    def note(connection, cursor, statement, parameters, *_) -> None:
        asked.append((statement, parameters))

    sa.event.listen(store._engine, "after_cursor_execute", note)
    read()
    sa.event.remove(store._engine, "after_cursor_execute", note)
    statement, parameters = next(each for each in reversed(asked) if each[0].startswith("SELECT"))
    with store._engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            return [row[0].rstrip() for row in connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {statement}", parameters)]
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]


def best(what: Callable[[], object]) -> float:
    return min(seconds(what) for _ in range(TIMES))


def seconds(what: Callable[[], object]) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    what()
    return 1000 * (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
