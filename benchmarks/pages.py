"""The Forecasts pages over a large universe: 505 made tickers with 250 published sessions, in SQLite and in PostgreSQL.

    python -m benchmarks.pages [--tickers 505] [--sessions 250] [--home DIR]

Every page is asked for as Airflow's API server asks for it, in this process and without the network and the login; the first time, and the median
of ten. 600,000 forecasts and nearly as many scores are written first, which takes minutes.
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
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from benchmarks.store import HORIZON, KNOWN_AT, SERIES, SOURCE, both_databases, save
from pipeline.quantiles import INTERVALS
from pipeline.scheduling.pages import PREFIX
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from pipeline.store import Store
from pipeline.tables import CHECKS, DRIFT, FORECASTS, PROMOTIONS, RUNS, SCORES, Table

PATHS = ("/", "/stocks/T000", "/scores", "/quality", "/api/forecasts", "/api/scores?by=month")
TIMES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickers", type=int, default=505)
    parser.add_argument("--sessions", type=int, default=250)
    parser.add_argument("--home", type=Path, help="an empty folder (default: a temporary one)")
    asked = parser.parse_args()
    with both_databases(asked.home) as (home, urls):
        os.environ["AIRFLOW_HOME"] = str(home / "airflow")
        warnings.filterwarnings("ignore", message="Using `httpx`")  # of Airflow's own imports
        logging.getLogger("alembic").setLevel(logging.WARNING)  # Airflow shows what it says
        for name, url in urls.items():
            store = Store.open(url)
            fill(store, [f"T{number:03d}" for number in range(asked.tickers)], asked.sessions)
            print(f"\n{name}\n\npage                       ms, first   median of {TIMES}       kB")
            for path, first, median, size in measured(store, home):
                print(f"{path:<24}   {first:>9.0f}   {median:>12.0f}   {size / 1000:>6.0f}", flush=True)
            store.close()


def fill(store: Store, tickers: list[str], count: int) -> None:
    sessions = Calendar("XNYS").sessions(dt.date(2000, 1, 3), dt.date(2026, 1, 2))[-count - HORIZON :]
    for some in range(0, len(tickers), 50):
        save(store, tickers[some : some + 50], sessions, KNOWN_AT)
    for day in range(count):
        for table, rows in rows_of(tickers, sessions, day):
            store.replace(table, rows, **SERIES, cutoff=sessions[day], ticker=tickers)


def rows_of(tickers: list[str], sessions: list[dt.date], day: int) -> list[tuple[Table, pd.DataFrame]]:
    """What a session leaves of each table that the pages read."""
    rng = np.random.default_rng(day)
    each = pd.DataFrame({"ticker": tickers, **SERIES, "cutoff": pd.Timestamp(sessions[day]).as_unit("s")})
    many = each.merge(pd.DataFrame({"horizon": range(1, HORIZON + 1)}), how="cross")
    many["session"] = pd.to_datetime([sessions[day + horizon] for horizon in many["horizon"]]).as_unit("s")
    said = 55 + rng.normal(0, 1, len(many))
    bounds = {f"{side}_{level}": said + sign * level / 50 for level in INTERVALS for side, sign in (("lower", -1), ("upper", 1))}
    forecasts = many.assign(y_hat=said, last_value=55.0, champion="lstm", model_id="made", **bounds)
    came = 55 + rng.normal(0, 1, len(many))
    inside = {f"inside_{level}": np.abs(came - said) < level / 50 for level in (80, 95)}
    scores = forecasts.assign(actual=came, error=came - said, naive_error=came - 55, pinball=0.01, ewma_pinball=0.0101, **inside)
    figures = {name: rng.normal(0, 0.01, len(each)) for name, kind in PROMOTIONS.columns.items() if kind == "float64"}
    told = {"champion": "lstm", "model_id": "made", "baseline": "ewma", "reasons": "better; by enough", "test_sessions": 250}
    watched = {name: 0.8 for name, kind in DRIFT.columns.items() if kind == "float64"}
    asked = {
        "source_id": SOURCE,
        "known_at": pd.Timestamp(KNOWN_AT).tz_localize(None),
        "request": request(tickers),
        "settings": "{}",
    }
    return [
        (CHECKS, each.assign(verdict="passed", reasons="", evidence="")),
        (FORECASTS, forecasts),
        (SCORES, scores),
        (PROMOTIONS, each.assign(**figures, **told, training_cutoff=each["cutoff"])),
        (DRIFT, each.assign(**watched, sessions=60, warnings="")),
        (RUNS, each.assign(**asked, code_version="made", libraries="{}")),
    ]


def request(tickers: list[str]) -> str:
    universe = {"name": SERIES["universe"], "source": "sample", "tickers": tickers, "start": "1990-01-01"}
    return json.dumps(universe)


def measured(store: Store, home: Path) -> list[tuple[str, float, float, int]]:
    from airflow.api_fastapi.common.db.common import _get_session
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi.testclient import TestClient

    from pipeline.scheduling.pages import site

    calendar = Calendar("XNYS")
    parts = SimpleNamespace(store=store, settings=Settings(home=home), calendar=lambda universe: calendar)
    site._parts = lambda: parts
    site._summed.cache_clear()
    pages = site.pages.__wrapped__()
    pages.dependency_overrides = {get_user: lambda: None, _get_session: lambda: SimpleNamespace(scalars=lambda query: [])}
    client, found = TestClient(pages, f"http://airflow{PREFIX}", root_path=PREFIX), []
    client.get("/api/series")  # what is imported, and the threads
    for path in PATHS:
        times = []
        for _ in range(1 + TIMES):
            begun = time.perf_counter()
            answer = client.get(path)
            times.append(1000 * (time.perf_counter() - begun))
            answer.raise_for_status()
        found.append((path, times[0], statistics.median(times[1:]), len(answer.content)))
    return found


if __name__ == "__main__":
    main()
