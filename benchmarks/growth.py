"""Measure each step and command after a month and after three years of published sessions.

    python -m benchmarks.growth [--tickers 505] [--sessions 21,756] [--sqlite] [--home DIR]
    python -m benchmarks.growth --prices 756,1512 [--history-sessions N] [--tickers 505] [--sqlite]
    python -m benchmarks.growth --stocks 250,1000 [--length 120] [--sqlite]

A universe of made prices, too short for networks, is run for one session. The rows that it has left
are copied to the sessions before it, until there are as many as asked for, and the steps of the
next session and the commands that read are timed, each in a process of its own: seconds of wall
time, seconds of its processor time, its largest resident memory. PostgreSQL's own is not in them.
The same is done with more sessions, in the same home, at the session after that. Seconds of the
embedded PostgreSQL unless --sqlite.

With --prices, the steps that read the history that networks learn from are measured instead, on an
ordinary evening (one bar more in each file) after so many sessions of prices.

With --stocks, the steps of two sessions are measured, of each number of stocks in an empty home.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from pipeline.parts import store_url
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from pipeline.storage import Store, embedded_postgres, sql_metadata
from pipeline.tables import RUN_KEY, SCORES, STORED
from tests.made_prices import random_walk

NAME, CALENDAR, HORIZON = "growth", "XNYS", 5
BEFORE_LAST, LAST = dt.date(2017, 12, 28), dt.date(2017, 12, 29)
#: Sessions of each ticker's prices: too few for a network of its own.
HISTORY = 120
STEPS = (
    *("ingest", "check", "pretrain", "build-windows", "train", "evaluate", "promote", "publish"),
    *("score", "watch", "report"),
)
#: The steps that read all the prices that a universe's `start` asks for.
READERS = ("ingest", "check", "build-windows")


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds of wall and processor time, and mebibytes at most."""

    wall: float
    processor: float
    memory: float

    def __str__(self) -> str:
        return f"{self.wall:>7.1f} {self.processor:>7.1f} {self.memory:>6.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tickers", type=int, default=505)
    parser.add_argument("--sessions", default="21,756", help="published sessions, ascending")
    parser.add_argument("--prices", help="sessions of prices, to measure what reads them")
    parser.add_argument("--history-sessions", type=int, default=0, help="the universe's key")
    parser.add_argument("--stocks", help="numbers of stocks, to measure what each step takes")
    parser.add_argument(
        "--length", type=int, default=HISTORY, help="sessions of each stock's prices"
    )
    parser.add_argument("--sqlite", action="store_true", help="a store in SQLite")
    parser.add_argument("--home", type=Path, help="an empty folder (default: a temporary one)")
    arguments = parser.parse_args()
    if arguments.stocks:
        compare_stocks(arguments)
    elif arguments.prices:
        compare_prices(arguments)
    else:
        compare_sessions(arguments)


def compare_sessions(arguments: argparse.Namespace) -> None:
    """Print what each step and command takes after each number of published sessions."""
    counts = [int(count) for count in arguments.sessions.split(",")]
    sessions = Calendar(CALENDAR).sessions(dt.date(2010, 1, 4), LAST + dt.timedelta(days=30))
    with home_with(arguments.home, arguments.tickers, arguments.sqlite) as environment:
        first = sessions.index(LAST) - len(counts)
        cost_of(environment, "run", "--universe", NAME, "--session", str(sessions[first]))
        measured: list[dict[str, Cost]] = []
        for place, count in enumerate(counts, start=1):
            rows = fill(environment, sessions, first, count)
            print(f"{count} sessions of {arguments.tickers} tickers: {rows:,} rows", flush=True)
            measured.append(costs_of(environment, str(sessions[first + place])))
    print_costs(counts, measured)


def compare_stocks(arguments: argparse.Namespace) -> None:
    """Print what the steps of two sessions take, for each number of stocks."""
    for count in map(int, arguments.stocks.split(",")):
        with home_with(None, count, arguments.sqlite, arguments.length) as environment:
            for session in (BEFORE_LAST, LAST):
                asked = ("--universe", NAME, "--session", str(session))
                print(f"\n{session}, {count} stocks: s, CPU s, MiB", flush=True)
                for step in STEPS:
                    print(f"{step:<16}{cost_of(environment, step, *asked)}", flush=True)


def compare_prices(arguments: argparse.Namespace) -> None:
    """Print what the steps that read whole histories take after each number of sessions."""
    histories = [int(count) for count in arguments.prices.split(",")]
    keys, measured = f"history_sessions = {arguments.history_sessions}\n", []
    for history in histories:
        with home_with(None, arguments.tickers, arguments.sqlite, history, keys) as environment:
            for session in (BEFORE_LAST, LAST):
                asked = ("--universe", NAME, "--session", str(session))
                costs = {step: cost_of(environment, step, *asked) for step in READERS}
            measured.append(costs)
    print_costs(histories, measured)


def print_costs(counts: Sequence[int], measured: Sequence[dict[str, Cost]]) -> None:
    """Print a row for each command, with a column for each number of sessions."""
    titles = "".join(f"   {count:>5} sessions: s, CPU s, MiB" for count in counts)
    print(f"\n{'':<16}{titles}")
    for command in measured[0]:
        print(f"{command:<16}" + "".join(f"   {costs[command]!s:>30}" for costs in measured))


@contextlib.contextmanager
def home_with(
    home: Path | None, count: int, sqlite: bool, history: int = HISTORY, keys: str = ""
) -> Iterator[dict[str, str]]:
    """Give the environment of a home with a universe of made prices.

    Args:
        count: tickers.
        history: sessions of each one's prices.
        keys: more lines of the universe's section.
    """
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = home or Path(folder)
        home.mkdir(exist_ok=True)
        home.chmod(0o755)  # as root, the embedded server runs as another user
        data, universes = home / "prices", home / "universes.toml"
        data.mkdir()
        tickers = [f"T{number:03d}" for number in range(count)]
        for number, ticker in enumerate(tickers):
            random_walk(number, history, LAST).to_csv(data / f"{ticker}.csv", index=False)
        universes.write_text(
            f'[{NAME}]\nsource = "csv"\ndata = "{data}"\ntickers = {tickers}\n'
            f'calendar = "{CALENDAR}"\nhorizon = {HORIZON}\nretrain = "monthly"\n{keys}'
        )
        environment = {
            **os.environ,
            "STOCKCAST_HOME": str(home),
            "STOCKCAST_UNIVERSES": str(universes),
            **({"STOCKCAST_STORE_URL": f"sqlite:///{home}/store.db"} if sqlite else {}),
        }
        try:
            yield environment
        finally:
            embedded_postgres.stop(home)


def fill(environment: dict[str, str], sessions: Sequence[dt.date], first: int, count: int) -> int:
    """Copy the rows of session number `first` to those before it; return how many rows there are.

    Args:
        count: published sessions when it is done.
    """
    settings = Settings().replaced(home=Path(environment["STOCKCAST_HOME"]))
    store = Store.open(environment.get("STOCKCAST_STORE_URL") or store_url(settings))
    moved = [
        {"cutoff": sessions[place], "horizon": horizon, "session": sessions[place + horizon]}
        for place in range(first - count + 1, first)
        for horizon in range(1, HORIZON + 1)
    ]
    metadata = sa.MetaData()
    places = sa.Table(
        "places",
        metadata,
        sa.Column("cutoff", sa.Date),
        sa.Column("horizon", sa.Integer),
        sa.Column("session", sa.Date),
    )
    with store.database.writer() as connection:
        metadata.create_all(connection)
        connection.execute(sa.insert(places), moved)
        for name, table in sql_metadata().tables.items():
            if set(RUN_KEY) <= set(table.c.keys()) and name not in ("models", SCORES.name):
                copy_rows(connection, table, places, sessions[first])
        score_all(connection, places, sessions[first])
        metadata.drop_all(connection)
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("ANALYZE"))
        tables = sql_metadata().tables.values()
        rows = sum(
            connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in tables
            if table.name in {stored.name for stored in STORED}
        )
    store.close()
    return rows


def copy_rows(
    connection: sa.Connection, table: sa.Table, places: sa.Table, session: dt.date
) -> None:
    """Copy a table's rows of a session to each place that has none."""
    ahead = "horizon" in table.c
    moved = places if ahead else sa.select(places.c.cutoff).distinct().subquery()
    values = {column.name: column for column in table.c} | {"cutoff": moved.c.cutoff}
    if ahead and "session" in table.c:
        values["session"] = moved.c.session
    moment = sa.cast(moved.c.cutoff, sa.DateTime)
    if connection.dialect.name == "sqlite":
        moment = sa.type_coerce(
            sa.func.strftime("%Y-%m-%d 21:00:00.000000", moved.c.cutoff), sa.DateTime
        )
    if "published_at" in table.c:
        values["published_at"] = moment
    same = table.c.horizon == moved.c.horizon if ahead else sa.true()
    existing = table.alias()
    present = sa.select(existing.c.cutoff).where(existing.c.cutoff == moved.c.cutoff)
    rows = (
        sa.select(*values.values())
        .select_from(table.join(moved, same))
        .where(table.c.cutoff == session, ~present.exists())
    )
    connection.execute(sa.insert(table).from_select(list(values), rows))


def score_all(connection: sa.Connection, places: sa.Table, session: dt.date) -> None:
    """Give each copied forecast whose session has closed a score."""
    tables = sql_metadata().tables
    scores, published = tables[SCORES.name], tables["publications"]
    values: dict[str, sa.ColumnElement[object]] = {
        name: published.c[name] for name in SCORES.columns if name in published.c
    }
    values |= {
        "actual": published.c.last_value * 1.01,
        "error": published.c.last_value * 0.01,
        "naive_error": published.c.last_value * 0.01,
        "pinball": sa.literal(0.01),
        "ewma_pinball": sa.literal(0.01),
        "har_pinball": sa.literal(0.01),
        "inside_80": sa.true(),
        "inside_95": sa.true(),
        "backfilled": sa.true(),
    }
    same = [scores.c[name] == published.c[name] for name in SCORES.key]
    rows = sa.select(*values.values()).where(
        published.c.session <= session,
        published.c.cutoff.in_(sa.select(places.c.cutoff)),
        ~sa.exists().where(*same),
    )
    connection.execute(sa.insert(scores).from_select(list(values), rows))


def costs_of(environment: dict[str, str], session: str) -> dict[str, Cost]:
    """Do a session step by step, and read what there is; return what each command took."""
    asked = ("--universe", NAME, "--session", session)
    costs = {step: cost_of(environment, step, *asked) for step in STEPS}
    for command in (("forecasts",), ("scores",), ("explain", session, "T000"), ("doctor",)):
        costs[command[0]] = cost_of(environment, *command, *asked[:2])
    return costs


def cost_of(environment: dict[str, str], *command: str) -> Cost:
    """Run a command of the program; return what it took."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "pipeline", *command],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            output.seek(0)
            raise SystemExit(f"stockcast {' '.join(command)}: {output.read().decode()[-2000:]}")
    wall = time.perf_counter() - began
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
