"""Time the sessions of a backfill in this one process, step by step.

    python -m benchmarks.backfill --data FOLDER [--tickers 60] [--from 2017-02-13] [--to 2017-03-13]
                                  [--home DIR]

FOLDER holds price files as `--source csv` takes them; the tickers are spread over the alphabet, and
networks are trained monthly. The first session begins in an empty home. Seconds are wall time, and
the processor time of this process: that of workers and PostgreSQL is not in it. The columns behind
them are the processor time of each step.
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.universe import CALENDAR, spread
from pipeline.daily import plan_each, read_files_ahead, steps
from pipeline.parts import Parts
from pipeline.prices import CsvSource
from pipeline.run import Run
from pipeline.settings import Settings
from pipeline.storage import embedded_postgres
from pipeline.universes import Universe

#: What `run_day` calls, in the order of the day.
TIMED = ("prepare_run", "ingest_each", *list(steps.STEPS)[1:])


def main() -> None:
    arguments = parsed_arguments()
    logging.disable(logging.WARNING)  # the steps log a line per stock
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = (arguments.home or Path(folder)).absolute()
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o755)  # as root, the embedded server runs as another user
        try:
            with Parts(Settings().replaced(home=home), lambda *_: None) as parts, timed() as spent:
                backfill(parts, arguments, spent)
        finally:
            embedded_postgres.stop(home)


def backfill(parts: Parts, arguments: argparse.Namespace, spent: dict[str, float]) -> None:
    """Do the sessions of the range, and print a line for each."""
    tickers = tuple(spread(CsvSource(arguments.data).tickers(), arguments.tickers))
    folder = str(arguments.data.absolute())
    universe = Universe("backfill", "csv", tickers, CALENDAR, retrain="monthly", data=folder)
    sessions = parts.calendar(universe).sessions(arguments.first, arguments.last)
    wall, processor = time.perf_counter(), time.process_time()
    runs = plan_each(parts, universe, sessions, dt.datetime.now(dt.UTC))
    print(f"plan of {len(runs)} sessions: {time.process_time() - processor:.2f} s of the processor")
    read_files_ahead(parts, runs[0])
    print(f"{'session':<10}     wall  processor  " + " ".join(f"{n[:8]:>8}" for n in TIMED))
    for before, run in zip([None, *runs], runs, strict=False):
        print(session_line(parts, run, before, spent), flush=True)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(
        f"{len(runs)} sessions, {len(tickers)} tickers: {wall:.0f} s, {processor:.0f} s processor"
    )


def session_line(parts: Parts, run: Run, before: Run | None, spent: dict[str, float]) -> str:
    """Do a session; return its line."""
    spent.clear()
    wall, processor = time.perf_counter(), time.process_time()
    steps.run_day(parts, run)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    trains = before is None or before.training_cutoff != run.training_cutoff
    of_steps = " ".join(f"{spent.get(name, 0):8.2f}" for name in TIMED)
    return f"{run.session} {wall:8.2f}   {processor:8.2f}  {of_steps}{'  trains' * trains}"


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Note the processor seconds of each step of a day, by name."""
    spent: dict[str, float] = {}
    real = {name: getattr(steps, name) for name in TIMED}
    for name, step in real.items():
        setattr(steps, name, noting(name, step, spent))
    yield spent
    for name, step in real.items():
        setattr(steps, name, step)


def noting(name: str, step: Callable[..., Any], spent: dict[str, float]) -> Callable[..., Any]:
    """Return a step that notes the processor seconds that it takes."""

    def call(*arguments: Any) -> Any:
        began = time.process_time()
        try:
            return step(*arguments)
        finally:
            spent[name] = time.process_time() - began

    return call


def parsed_arguments() -> argparse.Namespace:
    """Return the arguments of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    day = dt.date.fromisoformat
    parser.add_argument("--data", type=Path, required=True, help="folder of price files")
    parser.add_argument("--tickers", type=int, default=60)
    parser.add_argument("--from", dest="first", type=day, default=dt.date(2017, 2, 13))
    parser.add_argument("--to", dest="last", type=day, default=dt.date(2017, 3, 13))
    parser.add_argument("--home", type=Path, help="another than an empty one, which is removed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
