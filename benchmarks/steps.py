"""The steps of two sessions in this one process, with what each takes: what profiles were read from.

    python -m benchmarks.steps --data FOLDER [--tickers 60] [--first 2018-02-05] [--profile train,evaluate] [--lines 50]

FOLDER holds price files as `--source csv` takes them; so many tickers are spread over the alphabet. The first session begins in
an empty home; the next has no training due. Seconds are wall time, and the processor's of this process: workers and PostgreSQL
have theirs beside it. A profiled step (cProfile) prints its dearest calls; it takes longer for it.
"""

from __future__ import annotations

import argparse
import cProfile
import dataclasses
import datetime as dt
import logging
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.universe import CALENDAR, spread
from pipeline import assembly, embedded_postgres, steps
from pipeline.prices.csv_files import CsvSource
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from pipeline.universes import Universe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of price files")
    parser.add_argument("--tickers", type=int, default=60)
    parser.add_argument("--first", type=dt.date.fromisoformat, default=dt.date(2018, 2, 5), help="the first of its week")
    parser.add_argument("--profile", default="", help="steps, comma-separated")
    parser.add_argument("--lines", type=int, default=50, help="of each profile")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)  # the steps log a line a stock
    tickers = tuple(spread(CsvSource(asked.data).tickers(), asked.tickers))
    universe = Universe("steps", "csv", tickers, CALENDAR, retrain="weekly", data=str(asked.data.absolute()))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = Path(folder)
        home.chmod(0o755)  # as root, the embedded server runs as another user
        settings = dataclasses.replace(Settings.from_env(), home=home)
        try:
            with assembly.parts(settings, lambda *_: None) as parts:
                for session in (asked.first, *Calendar(CALENDAR).next_sessions(asked.first, 1)):
                    print(f"\n{session}, {len(tickers)} tickers          s   processor, s", flush=True)
                    day(parts, universe, session, Clock(set(asked.profile.split(",")), asked.lines))
        finally:
            embedded_postgres.stop(home)


class Clock:
    """Calls, times and prints."""

    def __init__(self, profiled: set[str], lines: int) -> None:
        self._profiled, self._lines, self._all = profiled, lines, 0.0

    def __call__(self, step: Callable, *arguments: object) -> object:
        name, profile = step.__name__, cProfile.Profile(time.process_time)
        wall, processor = time.perf_counter(), time.process_time()
        result = profile.runcall(step, *arguments) if name in self._profiled else step(*arguments)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        self._all += wall
        print(f"{name:<24} {wall:>10.2f}   {processor:>12.2f}", flush=True)
        if name in self._profiled:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(self._lines)
        return result

    def total(self) -> None:
        print(f"{'all':<24} {self._all:>10.2f}", flush=True)


def day(parts: assembly.Parts, universe: Universe, session: dt.date, timed: Clock) -> None:
    run = timed(steps.plan, parts, universe, session, dt.datetime.now(dt.UTC))
    timed(steps.reach, parts, run)
    timed(steps.ingest, parts, run, list(universe.tickers))
    passed = timed(steps.check, parts, run)
    timed(steps.pretrain, parts, run)
    for step in (steps.build_windows, steps.train, steps.evaluate):
        timed(step, parts, run, passed)
    for step in (steps.promote, steps.publish, steps.score, steps.watch, steps.report):
        timed(step, parts, run)
    timed.total()


if __name__ == "__main__":
    main()
