"""Measure the ingestion of an evening on which some stocks' files have been restated.

    python -m benchmarks.restated [--tickers 505] [--sessions 2500] [--restated 50] [--home DIR]

A folder of made files is ingested into an empty embedded PostgreSQL, and again on five more
evenings, each with one more bar: two ordinary ones, one on which some of the files are restated by
4:1, one more, and one on which no file has changed. Seconds of the step `ingest` in one process, of
wall time and of its processor time (PostgreSQL's is not in it).
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from pathlib import Path

import pandas as pd

from pipeline.daily import STEPS, plan
from pipeline.parts import Parts
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from pipeline.storage import embedded_postgres
from pipeline.tables import PRICE_COLUMNS
from pipeline.universes import Universe
from tests.made_prices import random_walk

LAST = dt.date(2017, 12, 29)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tickers", type=int, default=505)
    parser.add_argument("--sessions", type=int, default=2500)
    parser.add_argument("--restated", type=int, default=50)
    parser.add_argument("--home", type=Path, help="an empty folder (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = arguments.home or Path(folder)
        home.chmod(0o755)  # as root, the embedded server runs as another user
        try:
            measure(home, arguments.tickers, arguments.sessions, arguments.restated)
        finally:
            embedded_postgres.stop(home)


def measure(home: Path, count: int, length: int, restated: int) -> None:
    """Ingest made files of so many tickers and sessions evening by evening; print the seconds."""
    bars = {f"T{number:03}": random_walk(number, length, LAST) for number in range(count)}
    sessions = Calendar("XNYS").sessions(dt.date(2017, 12, 1), LAST)[-5:]
    data = home / "prices"
    data.mkdir()
    universe = Universe(
        name="made", source="csv", tickers=tuple(bars), data=str(data), start=dt.date(1990, 1, 2)
    )
    evenings = (
        ("first", sessions[0], 0),
        ("ordinary", sessions[1], 0),
        ("ordinary", sessions[2], 0),
        (f"{restated} restated", sessions[3], restated),
        ("ordinary", sessions[4], 0),
        ("unchanged", sessions[4], 0),
    )
    print(f"{'evening':>15} {'wall':>7} {'process':>7}")
    for name, session, some in evenings:
        for ticker in list(bars)[:some]:
            bars[ticker][PRICE_COLUMNS] = bars[ticker][PRICE_COLUMNS] / 4
        write_files(bars, session, data)
        wall, processor = ingest(home, universe, session)
        print(f"{name:>15} {wall:7.1f} {processor:7.1f}", flush=True)


def write_files(bars: dict[str, pd.DataFrame], session: dt.date, data: Path) -> None:
    """Write each ticker's bars up to a session."""
    for ticker, table in bars.items():
        known = table[table["date"] <= pd.Timestamp(session)]
        known.to_csv(data / f"{ticker}.csv", index=False, float_format="%.4f")


def ingest(home: Path, universe: Universe, session: dt.date) -> tuple[float, float]:
    """Do the step for a session; return its seconds of wall and of processor time."""
    now = dt.datetime.combine(session, dt.time(23), dt.UTC)
    with Parts(Settings(home=home), progress=lambda *line: None) as parts:
        run = plan(parts, universe, session, now)
        begin, used = time.monotonic(), time.process_time()
        STEPS["ingest"](parts, run, list(universe.tickers))
        return time.monotonic() - begin, time.process_time() - used


if __name__ == "__main__":
    main()
