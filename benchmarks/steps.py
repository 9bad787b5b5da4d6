"""Time and profile the steps of two sessions in this one process.

    python -m benchmarks.steps --data FOLDER [--tickers 60] [--first 2018-02-05]
                               [--profile train,evaluate] [--lines 50]

FOLDER holds price files as `--source csv` takes them; the tickers are spread over the alphabet. The
first session begins in an empty home; no training is due in the next. Seconds are wall time, and
the processor time of this process: that of workers and PostgreSQL is not in it. A profiled step
(cProfile) prints its most expensive calls, and takes longer for it.
"""

from __future__ import annotations

import argparse
import cProfile
import datetime as dt
import logging
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from benchmarks.universe import CALENDAR, spread
from pipeline.daily import STEPS, TICKER_STEPS, plan, prepare_run
from pipeline.parts import Parts
from pipeline.prices import CsvSource
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from pipeline.storage import embedded_postgres
from pipeline.universes import Universe

Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of price files")
    parser.add_argument("--tickers", type=int, default=60)
    parser.add_argument(
        "--first",
        type=dt.date.fromisoformat,
        default=dt.date(2018, 2, 5),
        help="the first of its week",
    )
    parser.add_argument("--profile", default="", help="steps, comma-separated")
    parser.add_argument("--lines", type=int, default=50, help="lines of each profile")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # the steps log a line per stock
    tickers = tuple(spread(CsvSource(arguments.data).tickers(), arguments.tickers))
    universe = Universe(
        "steps", "csv", tickers, CALENDAR, retrain="weekly", data=str(arguments.data.absolute())
    )
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = Path(folder)
        home.chmod(0o755)  # as root, the embedded server runs as another user
        settings = Settings().replaced(home=home)
        try:
            with Parts(settings, lambda *_: None) as parts:
                [second] = Calendar(CALENDAR).next_sessions(arguments.first, 1)
                for session in (arguments.first, second):
                    print(
                        f"\n{session}, {len(tickers)} tickers          s   processor, s", flush=True
                    )
                    day(
                        parts,
                        universe,
                        session,
                        Clock(set(arguments.profile.split(",")), arguments.lines),
                    )
        finally:
            embedded_postgres.stop(home)


class Clock:
    """A caller of steps that times and prints them."""

    def __init__(self, profiled: set[str], lines: int) -> None:
        self._profiled, self._lines, self._seconds = profiled, lines, 0.0

    def __call__(self, step: Callable[..., Result], *arguments: object) -> Result:
        name, profile = step.__name__, cProfile.Profile(time.process_time)
        wall, processor = time.perf_counter(), time.process_time()
        result = profile.runcall(step, *arguments) if name in self._profiled else step(*arguments)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        self._seconds += wall
        print(f"{name:<24} {wall:>10.2f}   {processor:>12.2f}", flush=True)
        if name in self._profiled:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(self._lines)
        return result

    def print_total(self) -> None:
        print(f"{'all':<24} {self._seconds:>10.2f}", flush=True)


def day(parts: Parts, universe: Universe, session: dt.date, timed: Clock) -> None:
    """Do the steps of a session."""
    run = timed(plan, parts, universe, session, dt.datetime.now(dt.UTC))
    timed(prepare_run, parts, run)
    tickers = list(universe.tickers)
    for name, step in STEPS.items():
        result = timed(step, parts, run, *([tickers] if name in TICKER_STEPS else []))
        if name == "check":
            tickers = result
    timed.print_total()


if __name__ == "__main__":
    main()
