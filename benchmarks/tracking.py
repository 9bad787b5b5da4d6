"""Time what a day that trains writes to MLflow: runs of made stocks, together and one by one.

    python -m benchmarks.tracking [--stocks 200]

Each stock has 47 metrics, three curves, 28 parameters, two files and two networks, as one of the
S&P 500 has. `bulk` is what the product does where it reaches MLflow's database; `client` is what it
does behind an MLflow server, by the same MLflow client, here at the database. Processor time of
PostgreSQL's processes is beside that of this one.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import psutil

from pipeline.parts import Parts
from pipeline.settings import Settings
from pipeline.storage import embedded_postgres
from pipeline.tracking import TrackedModel, TrackedRun, Tracker

DAY = dt.date(2018, 2, 5)
TOGETHER = 32


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stocks", type=int, default=200)
    stocks = [made_stock(number) for number in range(parser.parse_args().stocks)]
    print("ms a stock                      wall  processor  PostgreSQL")
    for database in ("sqlite", "postgresql"):
        for way in ("client", "bulk"):
            with tempfile.TemporaryDirectory(dir="/tmp") as folder:
                measure(Path(folder), database, way, stocks)


def made_stock(number: int) -> TrackedRun:
    """Return the run of a stock with made content, as large as a real one's."""
    chance = np.random.default_rng(number)

    def network(age: str) -> TrackedModel:
        return TrackedModel(
            f"{age}{number:06d}",
            DAY,
            chance.bytes(96_000),
            {"past": (60, 8)},
            5,
            ("open", "high", "low", "close", "volume"),
            "the target, normalised",
            {"past": chance.normal(size=(1, 60, 8)).astype("float32")},
        )

    return TrackedRun(
        f"T{number:04d}",
        params={f"recipe.setting_{i}": "x" * 40 for i in range(28)},
        metrics={f"test/figure_{i}": float(chance.normal()) for i in range(47)},
        history={f"training/curve_{i}": list(chance.normal(size=8)) for i in range(3)},
        model=network("new"),
        rivals=(network("old"),),
        files={"predictions.csv": chance.bytes(250_000), "results.csv": chance.bytes(9_000)},
        description="**A verdict.** " * 40,
    )


def measure(home: Path, database: str, way: str, stocks: list[TrackedRun]) -> None:
    """Print what the first recording, its repetition and the champions take."""
    home.chmod(0o755)  # as root, the embedded server runs as another user
    uri = f"sqlite:///{home}/mlflow.db" if database == "sqlite" else ""
    settings = Settings().replaced(home=home, tracking_uri=uri)
    revision = {"client": "another", "bulk": None}[way]
    changed = patch("pipeline.tracking.bulk_database.SCHEMA_REVISION", revision or _revision())
    try:
        with Parts(settings, lambda *_: None) as parts, changed:
            tracker = parts.tracker("benchmark")
            parent = tracker.open_session(DAY, "default", "close", {"universe": "benchmark"})
            works: dict[str, Callable[[], object]] = {
                "record": lambda: record(tracker, parent, stocks),
                "the same again": lambda: record(tracker, parent, stocks),
                "champions": lambda: tracker.set_champions(
                    {stock.ticker: f"new{number:06d}" for number, stock in enumerate(stocks)},
                    lambda: True,
                ),
            }
            for name, work in works.items():
                figures = [1000 * each / len(stocks) for each in timed(work, home)]
                label = f"{database} {way} {name}"
                print(f"{label:<32}" + "".join(f"{each:>9.1f}" for each in figures), flush=True)
    finally:
        embedded_postgres.stop(home)


def record(tracker: Tracker, parent: str, stocks: list[TrackedRun]) -> None:
    for start in range(0, len(stocks), TOGETHER):
        tracker.record_together([(parent, stock) for stock in stocks[start : start + TOGETHER]])


def timed(work: Callable[[], object], home: Path) -> tuple[float, float, float]:
    """Return seconds of wall time, of this process and of PostgreSQL."""
    wall, own, servers = time.perf_counter(), os.times(), _servers(home)
    work()
    now = os.times()
    processor = now.user - own.user + now.system - own.system
    return time.perf_counter() - wall, processor, _servers(home) - servers


def _servers(home: Path) -> float:
    """Return the processor seconds of a home's PostgreSQL, its connections among them."""
    total = 0.0
    for process in psutil.process_iter(["cmdline"]):
        if str(home) in " ".join(process.info["cmdline"] or []) and process.pid != os.getpid():
            for each in (process, *process.children(recursive=True)):
                times = each.cpu_times()
                total += times.user + times.system
    return total


def _revision() -> str:
    from pipeline.tracking.mlflow_rows import SCHEMA_REVISION

    return SCHEMA_REVISION


if __name__ == "__main__":
    main()
