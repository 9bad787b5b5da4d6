"""Measure the ingestion of an evening on which some stocks' histories have been restated.

    python -m benchmarks.restated [--source yahoo] [--tickers 505] [--sessions 2500]
                                  [--restated 50] [--home DIR]

The bars of made stocks are ingested into an empty embedded PostgreSQL, and again on five more
evenings, each with one more bar: two ordinary ones, one on which some of the histories are restated
by 4:1, one more, and one on which nothing has changed. Seconds of the step `ingest` in one process,
of wall time and of its processor time (PostgreSQL's is not in it), and how often the source was
asked.

The source is a folder of files; or Yahoo, which a server in a process of its own stands in for:
the yfinance client is the real one, the restatement a split of these stocks. Its histories begin in
2010 whatever --sessions is.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import os
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from multiprocessing.connection import Connection
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
from tests.yahoo_market import Market
from tests.yahoo_server import YahooServer

LAST = dt.date(2017, 12, 29)
SESSIONS = Calendar("XNYS").sessions(dt.date(2017, 12, 1), LAST)[-5:]
#: The evening's number on which some are restated.
RESTATED = 3
RATIO = 4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", choices=("csv", "yahoo"), default="csv")
    parser.add_argument("--tickers", type=int, default=505)
    parser.add_argument("--sessions", type=int, default=2500)
    parser.add_argument("--restated", type=int, default=50)
    parser.add_argument("--home", type=Path, help="an empty folder (default: a temporary one)")
    arguments = parser.parse_args()
    tickers = [f"T{number:03}" for number in range(arguments.tickers)]
    restated = tickers[: arguments.restated]
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = arguments.home or Path(folder)
        home.chmod(0o755)  # as root, the embedded server runs as another user
        try:
            if arguments.source == "yahoo":
                measure_yahoo(home, tickers, restated)
            else:
                measure_files(home, tickers, restated, arguments.sessions)
        finally:
            embedded_postgres.stop(home)


def measure_files(home: Path, tickers: list[str], restated: list[str], length: int) -> None:
    """Ingest files evening by evening; print the seconds."""
    bars = {ticker: random_walk(number, length, LAST) for number, ticker in enumerate(tickers)}
    data = home / "prices"
    data.mkdir()

    def show(evening: int, session: dt.date) -> None:
        for ticker in restated if evening == RESTATED else []:
            bars[ticker][PRICE_COLUMNS] = bars[ticker][PRICE_COLUMNS] / RATIO
        write_files(bars, session, data)

    universe = Universe("made", "csv", tuple(tickers), data=str(data), start=dt.date(1990, 1, 2))
    measure(home, universe, len(restated), show, lambda: len(tickers))


def measure_yahoo(home: Path, tickers: list[str], restated: list[str]) -> None:
    """Ingest what a server in Yahoo's place answers, evening by evening; print the seconds."""
    splits = {ticker: [(SESSIONS[RESTATED], float(RATIO))] for ticker in restated}
    market = Market(evening_of(SESSIONS[0]), tuple(tickers), splits=splits)
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    server = context.Process(target=serve, args=(market, home, its), daemon=True)
    server.start()
    environment, port = ours.recv()
    os.environ.update(environment)  # before anything imports the client

    def control(**asked: str) -> int:
        """Return how many requests for prices there have been."""
        query = urllib.parse.urlencode(asked)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_control?{query}") as answer:
            return len(json.load(answer)["requests"])

    universe = Universe("made", "yahoo", tuple(tickers), start=dt.date(2010, 1, 4))
    try:
        measure(
            home,
            universe,
            len(restated),
            lambda _, session: control(now=evening_of(session).isoformat()),
            control,
        )
    finally:
        server.kill()


def serve(market: Market, folder: Path, pipe: Connection) -> None:
    """Serve in Yahoo's place until the process is ended."""
    with YahooServer(market, folder / "certificates") as server:
        pipe.send((server.environment(), server.port))
        time.sleep(1e6)


def measure(
    home: Path,
    universe: Universe,
    restated: int,
    show: Callable[[int, dt.date], object],
    asked: Callable[[], int],
) -> None:
    """Ingest evening by evening; print seconds and requests.

    Args:
        show: lets the source have the bars of an evening, by its number and session.
        asked: returns how often the source has been asked by now, or is in an evening.
    """
    names = ["first", "ordinary", "ordinary", f"{restated} restated", "ordinary", "unchanged"]
    print(f"{'evening':>15} {'wall':>7} {'process':>7} {'requests':>8}")
    for evening, (name, session) in enumerate(zip(names, [*SESSIONS, SESSIONS[-1]], strict=True)):
        show(evening, session)
        before = asked() if universe.source == "yahoo" else 0
        wall, processor = ingest(home, universe, session)
        requests = asked() - before
        print(f"{name:>15} {wall:7.1f} {processor:7.1f} {requests:8}", flush=True)


def write_files(bars: dict[str, pd.DataFrame], session: dt.date, data: Path) -> None:
    """Write each ticker's bars up to a session."""
    for ticker, table in bars.items():
        known = table[table["date"] <= pd.Timestamp(session)]
        known.to_csv(data / f"{ticker}.csv", index=False, float_format="%.4f")


def evening_of(session: dt.date) -> dt.datetime:
    """Return a moment after a session's close."""
    return dt.datetime.combine(session, dt.time(23), dt.UTC)


def ingest(home: Path, universe: Universe, session: dt.date) -> tuple[float, float]:
    """Do the step for a session; return its seconds of wall and of processor time."""
    settings = Settings(home=home, fetch_rate=1000)
    with Parts(settings, progress=lambda *line: None) as parts:
        run = plan(parts, universe, session, evening_of(session))
        begin, used = time.monotonic(), time.process_time()
        STEPS["ingest"](parts, run, list(universe.tickers))
        return time.monotonic() - begin, time.process_time() - used


if __name__ == "__main__":
    main()
