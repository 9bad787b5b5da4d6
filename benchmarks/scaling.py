"""Measure the first session of a universe by its tickers and by the length of their history.

    python -m benchmarks.scaling --data FOLDER [--picture benchmarks/scaling.svg]

FOLDER holds the price files of `benchmarks.universe`, which is run for 5, 50 and 505 of its
tickers, with its next sessions for all of them. Then 50 made stocks, random walks up to the same
session, have 1,259, 2,500 and 5,000 sessions. Every run has an empty home and servers of its own;
it takes 35 minutes in all. The figures are printed and drawn.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.universe import CALENDAR, MeasuredRun, measure, spread, started
from pipeline.prices import CsvSource
from pipeline.sessions import Calendar

FIRST = dt.date(2018, 2, 5)
TICKERS, SESSIONS, MADE = (5, 50, 505), (1_259, 2_500, 5_000), 50


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of price files")
    parser.add_argument("--picture", type=Path, default=Path(__file__).with_name("scaling.svg"))
    arguments = parser.parse_args()
    tickers = CsvSource(arguments.data).tickers()
    by_tickers = {count: first_session(arguments.data, spread(tickers, count)) for count in TICKERS}
    by_sessions = {}
    for length in SESSIONS:
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            by_sessions[length] = first_session(Path(folder), write_made(Path(folder), length))
    for name, runs in (("tickers", by_tickers), ("sessions", by_sessions)):
        print_table(name, runs)
    draw(by_tickers, by_sessions, arguments.picture)


def print_table(name: str, runs: dict[int, MeasuredRun]) -> None:
    """Print a line for each run; `runs`: by the number of what `name` says."""
    print(f"\n{name:>8}  seconds  training   GiB   seconds a further hundred")
    before: tuple[int, float] | None = None
    for count, run in runs.items():
        further = ""
        if before is not None:
            further = f"{100 * (run.seconds - before[1]) / (count - before[0]):.1f}"
        print(
            f"{count:>8,}  {run.seconds:>7.0f}  {run.training:>8.0f}  "
            f"{run.memory / 2**30:>4.2f}   {further}"
        )
        before = count, run.seconds


def first_session(folder: Path, tickers: list[str]) -> MeasuredRun:
    """Run a universe's first session with servers of its own."""
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as home,
        started(Path(home) / "home", folder, tickers) as (settings, airflow, memory),
    ):
        print(f"\n{len(tickers)} tickers of {folder}", flush=True)
        return measure(
            settings, airflow, memory, folder, tickers, FIRST, only_first=len(tickers) < TICKERS[-1]
        )


def write_made(folder: Path, length: int) -> list[str]:
    """Write made stocks, one file each; return their tickers."""
    sessions = Calendar(CALENDAR).sessions(dt.date(1995, 1, 3), FIRST)[-length:]
    tickers = [f"M{number:02d}" for number in range(MADE)]
    for seed, ticker in enumerate(tickers):
        rng = np.random.default_rng(seed)
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.015, length)))
        opened = close * np.exp(rng.normal(0, 0.004, length))
        high, low = np.maximum(opened, close) * 1.005, np.minimum(opened, close) * 0.995
        prices = {
            "open": opened,
            "high": high,
            "low": low,
            "close": close,
            "volume": rng.integers(1e5, 1e6, length),
        }
        pd.DataFrame({"date": sessions, **prices}).round(4).to_csv(
            folder / f"{ticker}.csv", index=False
        )
    return tickers


def draw(
    by_tickers: dict[int, MeasuredRun], by_sessions: dict[int, MeasuredRun], path: Path
) -> None:
    """Draw the runs' seconds as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    titles = ("tickers of 1,259 sessions", f"sessions of {MADE} made tickers")
    for axes, title, runs in zip(
        figure.subplots(1, 2), titles, (by_tickers, by_sessions), strict=True
    ):
        counts = list(runs)
        seconds = [run.seconds for run in runs.values()]
        training = [run.training for run in runs.values()]
        axes.plot(counts, seconds, marker="o", color="#3b82c4", label="first session")
        axes.plot(counts, training, marker="o", color="#d9822b", label="of which training")
        axes.plot(
            [0, counts[-1]],
            [0, seconds[-1]],
            color="#808890",
            linestyle=":",
            label="proportional to the last",
        )
        axes.set(xlabel=title, ylabel="seconds", ylim=(0, None), xlim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
