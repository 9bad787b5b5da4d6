"""Measure the Forecasts pages over 505 made tickers with 250 published sessions.

    python -m benchmarks.pages [--tickers 505] [--sessions 250] [--home DIR]

In SQLite and in PostgreSQL, every page is requested in this process as Airflow's API server
requests it, without the network and the login: the first time, and the median of ten. 600,000
forecasts and nearly as many scores are written first, which takes minutes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import logging
import os
import statistics
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from benchmarks.store import (
    HORIZON,
    KNOWN_AT,
    SERIES,
    SOURCE,
    both_databases,
    last_sessions,
    save_in_groups,
)
from pipeline.daily import KeptSums
from pipeline.quantiles import PUBLISHED_LEVELS
from pipeline.scheduling import PAGES_PREFIX
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from pipeline.storage import Artifacts, Store
from pipeline.tables import (
    CHECKS,
    DRIFT,
    FORECASTS,
    PROMOTIONS,
    PUBLICATIONS,
    RUN_TICKERS,
    RUNS,
    SCORES,
    Table,
)

PATHS = (
    *("/", "/?sort=-change&page=2", "/?q=lstm+up", "/stocks/T000", "/scores", "/quality"),
    *("/api/forecasts", "/api/forecasts?limit=100", "/api/scores?by=month"),
)
TIMES = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tickers", type=int, default=505)
    parser.add_argument("--sessions", type=int, default=250)
    parser.add_argument("--home", type=Path, help="an empty folder (default: a temporary one)")
    arguments = parser.parse_args()
    tickers = [f"T{number:03d}" for number in range(arguments.tickers)]
    with both_databases(arguments.home) as (home, urls):
        os.environ["AIRFLOW_HOME"] = str(home / "airflow")
        warnings.filterwarnings("ignore", message="Using `httpx`")  # of Airflow's own imports
        logging.getLogger("alembic").setLevel(logging.WARNING)  # Airflow shows its lines
        for name, url in urls.items():
            store = Store.open(url)
            fill(store, home, tickers, arguments.sessions)
            print_pages(name, store, home)
            store.close()


def fill(store: Store, home: Path, tickers: list[str], count: int) -> None:
    """Write made prices and `count` published sessions, and keep their sums as `score` does."""
    sessions = last_sessions(count + HORIZON)
    save_in_groups(store, tickers, sessions)
    for day in range(count):
        for table, rows in rows_of(tickers, sessions, day):
            group = {"ticker": tickers} if "ticker" in table.columns else {}
            store.replace(table, rows, **SERIES, cutoff=sessions[day], **group)
    with KeptSums(store, Artifacts(f"{home}/artifacts"), SERIES).changing(sessions[1:]):
        pass


def rows_of(
    tickers: list[str], sessions: list[dt.date], day: int
) -> list[tuple[Table, pd.DataFrame]]:
    """Return a session's rows of each table that the pages read."""
    rng = np.random.default_rng(day)
    known_at = pd.Timestamp(KNOWN_AT).tz_localize(None)
    by_ticker = pd.DataFrame(
        {"ticker": tickers, **SERIES, "cutoff": pd.Timestamp(sessions[day]).as_unit("s")}
    )
    by_horizon = by_ticker.merge(pd.DataFrame({"horizon": range(1, HORIZON + 1)}), how="cross")
    by_horizon["session"] = pd.to_datetime(
        [sessions[day + horizon] for horizon in by_horizon["horizon"]]
    ).as_unit("s")
    medians = 55 + rng.normal(0, 1, len(by_horizon))
    bounds = {
        f"{side}_{level}": medians + sign * level / 50
        for level in PUBLISHED_LEVELS
        for side, sign in (("lower", -1), ("upper", 1))
    }
    forecasts = by_horizon.assign(
        y_hat=medians, last_value=55.0, champion="lstm", model_id="made", **bounds
    )
    actuals = 55 + rng.normal(0, 1, len(by_horizon))
    inside = {f"inside_{level}": np.abs(actuals - medians) < level / 50 for level in (80, 95)}
    scores = forecasts.assign(
        actual=actuals,
        error=actuals - medians,
        naive_error=actuals - 55,
        pinball=0.01,
        ewma_pinball=0.0101,
        har_pinball=0.0099,
        backfilled=False,
        published_at=known_at,
        **inside,
    )
    published = forecasts.assign(
        published_at=known_at, known_at=known_at, published_by="benchmark", withdrawn=""
    )
    figures = {
        name: rng.normal(0, 0.01, len(by_ticker))
        for name, dtype in PROMOTIONS.columns.items()
        if dtype == "float64"
    }
    promoted = {
        "champion": "lstm",
        "model_id": "made",
        "baseline": "ewma",
        "reasons": "better; by enough",
        "test_sessions": 250,
    }
    drift = {name: 0.8 for name, dtype in DRIFT.columns.items() if dtype == "float64"}
    run = {
        "run_id": str(by_ticker["cutoff"].iloc[0]),
        "source_id": SOURCE,
        "known_at": known_at,
        "request": request(tickers),
        "settings": "{}",
    }
    cutoff = by_ticker["cutoff"]
    return [
        (CHECKS, by_ticker.assign(verdict="passed", reasons="", evidence="", known_at=known_at)),
        (FORECASTS, forecasts),
        (PUBLICATIONS, published),
        (SCORES, scores),
        (PROMOTIONS, by_ticker.assign(**figures, **promoted, training_cutoff=cutoff)),
        (DRIFT, by_ticker.assign(**drift, sessions=60, warnings="", backfilled=False)),
        (RUNS, by_ticker.head(1).assign(**run, code_version="made", libraries="{}")),
        (RUN_TICKERS, by_ticker.assign(run_id=run["run_id"])),
    ]


def request(tickers: list[str]) -> str:
    """Return a run's universe as JSON."""
    universe = {
        "name": SERIES["universe"],
        "source": "sample",
        "tickers": tickers,
        "start": "1990-01-01",
    }
    return json.dumps(universe)


@dataclass(frozen=True)
class PageCost:
    """What a page took: milliseconds of wall and of processor time, and its bytes."""

    wall: list[float]
    processor: list[float]
    size: int

    def __str__(self) -> str:
        columns = [
            f"{times[0]:>7.0f} {statistics.median(times[1:]):>7.0f}"
            for times in (self.wall, self.processor)
        ]
        return f"{'   '.join(columns)}   {self.size / 1000:>6.0f}"


def print_pages(name: str, store: Store, home: Path) -> None:
    """Measure and print all pages of a store."""
    print(f"\n{name}: milliseconds, the first time and the median of {TIMES}\n")
    print(f"{'':<28}           wall         processor       kB")
    for path, cost in measured_pages(store, home):
        print(f"{path:<28}{cost}", flush=True)


def measured_pages(store: Store, home: Path) -> Iterator[tuple[str, PageCost]]:
    """Yield the path and cost of each page."""
    from airflow.api_fastapi.common.db.common import _get_session
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi.testclient import TestClient

    from pipeline.scheduling.pages.requested import parts_of_pages, readable_universes
    from pipeline.scheduling.pages.site import new_site

    calendar = Calendar("XNYS")
    parts = SimpleNamespace(
        store=store,
        artifacts=Artifacts(f"{home}/artifacts"),
        settings=Settings(home=home),
        calendar=lambda universe: calendar,
    )
    app = new_site()
    app.dependency_overrides = {
        parts_of_pages: lambda: parts,
        get_user: lambda: None,
        readable_universes: lambda: lambda universe: True,
        _get_session: lambda: SimpleNamespace(scalars=lambda query: []),
    }
    client = TestClient(app, f"http://airflow{PAGES_PREFIX}", root_path=PAGES_PREFIX)
    client.get("/api/series")  # imports, and starts the threads
    for path in PATHS:
        wall, processor = [], []
        for _ in range(1 + TIMES):
            began, busy = time.perf_counter(), time.process_time()
            answer = client.get(path)
            wall.append(1000 * (time.perf_counter() - began))
            processor.append(1000 * (time.process_time() - busy))
            answer.raise_for_status()
        yield path, PageCost(wall, processor, len(answer.content))


if __name__ == "__main__":
    main()
