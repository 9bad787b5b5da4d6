"""Measure what each Airflow task of an evening without training takes: start, imports and work.

    python -m benchmarks.evening --data FOLDER [--tickers 505] [--first 2018-02-05] [--home DIR]

Airflow is started as `benchmarks.universe` starts it, and does the first session, which trains. The
next session is the evening. In a home that is kept (--home) the first session is done once, so that
the evening can be measured again and again from copies of it.

A task is a fork of a process that the scheduler has forked. Work is what its own function does, and
imports are what both processes import while they have it; all else is start: the fork, Airflow's
supervisor and task runner, their questions to the API server, and the reading of the DAG's file
(see benchmarks/timed/sitecustomize.py). Figures are wall seconds and, in brackets, seconds of the
processor of both processes and their children. The embedded PostgreSQL and Airflow's services are
not in these: their own processor time is printed below the table.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import tempfile
from pathlib import Path

import psutil

from benchmarks.started_processes import customise_started
from benchmarks.universe import CALENDAR, DAG, TASKS, MeasuredRun, run, spread, started
from pipeline.prices import CsvSource
from pipeline.scheduling import AirflowClient, is_marked, run_moment
from pipeline.scheduling.processes import SERVICE_MARK
from pipeline.sessions import Calendar

#: Wall and processor seconds.
Seconds = tuple[float, float]
NOTHING = {"imports": (0.0, 0.0), "work": (0.0, 0.0)}


def main() -> None:
    arguments = parsed_arguments()
    tickers = spread(CsvSource(arguments.data).tickers(), arguments.tickers)
    [evening] = Calendar(CALENDAR).next_sessions(arguments.first, 1)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = (arguments.home or Path(folder) / "home").absolute()
        times = Path(folder) / "times"
        times.mkdir()
        time_tasks(times)
        with started(home, arguments.data, tickers) as (settings, airflow, memory):
            if not is_done(airflow, arguments.first):
                run(airflow, settings, arguments.first, memory)
            for path in times.iterdir():
                path.unlink()
            before = processor_seconds(home)
            measured = run(airflow, settings, evening, memory)
            after = processor_seconds(home)
        print(f"{evening}, {len(tickers)} tickers, no training due; s of wall (of the processor)")
        tasks = task_times(times)
        print(evening_text(measured, tasks))
        after["scheduler"] -= sum(
            figure[1] for task in tasks.values() for one in task for figure in one
        )
        services = (f"{name} {after[name] - before.get(name, 0.0):.1f}" for name in sorted(after))
        print(f"services, s of the processor: {', '.join(services)}")


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of price files")
    parser.add_argument("--tickers", type=int, default=505, help="how many of them")
    parser.add_argument(
        "--first", type=dt.date.fromisoformat, default=dt.date(2018, 2, 5), help="trains"
    )
    parser.add_argument(
        "--home", type=Path, help="a folder that is kept (default: a temporary one)"
    )
    return parser.parse_args()


def time_tasks(folder: Path) -> None:
    """Let processes that this one starts leave the times of their tasks in a folder."""
    customise_started("timed")
    os.environ["TASK_TIMES"] = str(folder)


def is_done(airflow: AirflowClient, session: dt.date) -> bool:
    """Return whether a session's run has succeeded."""
    moment = run_moment(Calendar(CALENDAR), session)
    return any(run["state"] == "success" for run in airflow.runs_between(DAG, moment, moment))


def task_times(folder: Path) -> dict[str, list[tuple[Seconds, Seconds, Seconds]]]:
    """Return start, imports and work of each task instance, by the name of its task."""
    found: dict[str, list[tuple[Seconds, Seconds, Seconds]]] = {}
    for path in folder.glob("*-supervisor.json"):
        outer = json.loads(path.read_text())
        runner = Path(str(path).replace("-supervisor", "-runner"))
        # A try that ended before it came to its work was all start.
        inner = json.loads(runner.read_text()) if runner.exists() else NOTHING
        imports = added(outer["imports"], inner["imports"])
        start = tuple(
            whole - one - two
            for whole, one, two in zip(outer["all"], imports, inner["work"], strict=True)
        )
        found.setdefault(outer["task"], []).append((start, imports, tuple(inner["work"])))
    return found


def added(*figures: Seconds) -> Seconds:
    return tuple(map(sum, zip(*figures, strict=True)))


def evening_text(run: MeasuredRun, times: dict[str, list[tuple[Seconds, Seconds, Seconds]]]) -> str:
    """Return a table of the tasks, in the order of the day, and their sums."""
    lines = [f"{'':<16} {'from':>6} {'to':>6}{'start':>14}{'imports':>14}{'work':>14}"]
    others = sorted(set(times) - set(TASKS))
    totals = []
    for task in (*TASKS, *others):
        if task in times:
            columns = [added(*kind) for kind in zip(*times[task], strict=True)]
            totals.append(columns)
            first, last, count = run.steps[task]
            name = task if count == 1 else f"{task} ({count})"
            lines.append(f"{name:<16} {first:>6.1f} {last:>6.1f}" + "".join(map(cell, columns)))
    sums = [added(*kind) for kind in zip(*totals, strict=True)]
    lines.append(f"{'all':<16} {'':>6} {run.seconds:>6.1f}" + "".join(map(cell, sums)))
    return "\n".join(lines)


def cell(figures: Seconds) -> str:
    wall, processor = figures
    return f"{f'{wall:.2f} ({processor:.2f})':>14}"


def processor_seconds(home: Path) -> dict[str, float]:
    """Return the processor seconds of each service's processes so far, and of PostgreSQL's."""
    seconds: dict[str, float] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it has ended
            is_server = f"{home}/postgres/data" in process.cmdline()
            family = [process, *process.children()] if is_server else [process]
            name = "postgres" if is_server else process.environ().get(SERVICE_MARK, "")
            if is_server or (name and is_marked(process, home)):
                used = sum(sum(member.cpu_times()[:4]) for member in family)
                seconds[name] = seconds.get(name, 0.0) + used
    return seconds


if __name__ == "__main__":
    main()
