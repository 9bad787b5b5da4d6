"""Measure a universe of stocks through Airflow on this machine.

    python -m benchmarks.universe --data FOLDER [--tickers 505] [--first 2018-02-05] [--home DIR]
                                  [--only-first] [--plain]

Measured are the first session, the next one with and without training, memory, and `stockcast
forecasts`. FOLDER holds price files as `--source csv` takes them. Airflow's scheduler, MLflow and
PostgreSQL are started in an empty home on free ports and ended again. The three runs are requested
through Airflow's API, and their time runs from that request to the end of the last task. Memory is
the proportional set size of all processes, databases and servers among them, read every five
seconds.

With --plain, each ticker has Airflow tasks of its own, and networks are trained by Keras's own LSTM
layer and loop, each built and traced again (see benchmarks/plain/sitecustomize.py). The time of 505
tickers is then estimated by proportion: the tasks of single tickers and the training of all
together take as many times longer as there are more tickers, the rest takes as long.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import sqlalchemy

from benchmarks.started_processes import customise_started
from pipeline.daily import STEPS
from pipeline.prices import CsvSource
from pipeline.scheduling import (
    AirflowClient,
    airflow_environment,
    down,
    is_marked,
    run_moment,
    up,
)
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from pipeline.storage import Artifacts
from tests.servers import free_port, has_read, tasks_of

ROOT = Path(__file__).parent.parent
NAME, CALENDAR, UNIVERSES = "universe", "XNYS", "universes.toml"
DAG = f"daily_forecast_{NAME}"
TASKS = ("plan", *STEPS)


@dataclass
class MeasuredRun:
    """A DAG run.

    Attributes:
        seconds: since it was requested.
        memory: the highest, in bytes.
        steps: by step the first start, the last end (seconds since the request) and the tasks.
    """

    seconds: float = 0.0
    memory: int = 0
    steps: dict[str, tuple[float, float, int]] = field(default_factory=dict)

    @property
    def training(self) -> float:
        """Seconds in which `pretrain` and `train` were at work."""
        return sum(
            self.steps[step][1] - self.steps[step][0]
            for step in ("pretrain", "train")
            if step in self.steps
        )


class Memory:
    """The highest memory of a home's processes since the last call of `take`."""

    def __init__(self, home: Path) -> None:
        self._home, self._highest = home, 0
        threading.Thread(target=self._watch, daemon=True).start()

    def take(self) -> int:
        """Return the highest memory in bytes, and begin again."""
        highest, self._highest = self._highest, 0
        return highest

    def _watch(self) -> None:
        while True:
            total = 0
            for process in psutil.process_iter():
                try:
                    if self._owns(process):
                        total += process.memory_full_info().pss
                except psutil.Error:
                    continue  # it has ended
            self._highest = max(self._highest, total)
            time.sleep(5)

    def _owns(self, process: psutil.Process) -> bool:
        named = str(self._home) in " ".join(process.cmdline())
        return named or is_marked(process, self._home)


def write_universe(home: Path, folder: Path, tickers: list[str], retrain: str) -> None:
    """Write a home's file of universes."""
    lines = [
        f"[{NAME}]",
        f'calendar = "{CALENDAR}"',
        'source = "csv"',
        f'data = "{folder.absolute()}"',
        f"tickers = {json.dumps(tickers)}",
        'target = "close"',
        'recipe = "default"',
        "horizon = 5",
        f'retrain = "{retrain}"',
        "scheduled = false",
        "start = 1990-01-01",
    ]
    (home / UNIVERSES).write_text("\n".join(lines) + "\n")


def run(
    airflow: AirflowClient, settings: Settings, session: dt.date, memory: Memory
) -> MeasuredRun:
    """Request a session, and wait until its run has ended."""
    measured = MeasuredRun()
    memory.take()
    requested = dt.datetime.now(dt.UTC)
    run_id = airflow.run_again_or_first(DAG, run_moment(Calendar(CALENDAR), session), {}, {})
    while (state := airflow.state_of(DAG, run_id)) not in ("success", "failed"):
        time.sleep(2)
    measured.memory = memory.take()
    tasks = tasks_of(airflow, DAG, run_id)
    for task in tasks:
        if task["start_date"] is None:
            continue
        began, ended = (
            (dt.datetime.fromisoformat(task[name]) - requested).total_seconds()
            for name in ("start_date", "end_date")
        )
        step = task["task_id"]
        first, last, count = measured.steps.get(step, (began, ended, 0))
        measured.steps[step] = min(first, began), max(last, ended), count + 1
    measured.seconds = max(last for _, last, _ in measured.steps.values())
    if state != "success":
        failed = {t["task_id"] for t in tasks if t["state"] in ("failed", "upstream_failed")}
        raise SystemExit(
            f"{session}: the run failed in {', '.join(sorted(failed))}. "
            f"Its logs are under {settings.home / 'logs'}."
        )
    return measured


def run_text(name: str, measured: MeasuredRun, tickers: int) -> str:
    """Return a run's figures as lines."""
    seconds = measured.seconds
    lines = [
        f"\n{name}: {seconds:.0f} s for {tickers} tickers ({seconds / tickers:.2f} s a ticker), "
        f"at most {measured.memory / 2**30:.2f} GiB in all processes together"
    ]
    for step in TASKS:
        if step in measured.steps:
            first, last, count = measured.steps[step]
            tasks = f"{count} task{'' if count == 1 else 's'}"
            lines.append(f"    {step:<14} {first:7.1f} .. {last:7.1f} s   {tasks}")
    share = measured.training / seconds
    lines.append(f"    training (pretrain and train) is at work for {share:.0%} of the time")
    return "\n".join(lines)


def tracking_text(settings: Settings) -> str:
    """Return the time of MLflow's runs of stocks, and that of training in the workers."""
    engine = sqlalchemy.create_engine(airflow_environment(settings)["STOCKCAST_TRACKING_URI"])
    query = (
        "select count(*), avg(end_time - start_time) from runs join tags using (run_uuid) "
        "where key = 'mlflow.parentRunId'"
    )
    with engine.connect() as connection:
        count, milliseconds = connection.execute(sqlalchemy.text(query)).one()
    engine.dispose()
    artifacts = Artifacts(f"{settings.home}/artifacts")
    seconds = [
        json.loads(artifacts.read_derived(f"models/{path.name}"))["seconds"]
        for path in (settings.home / "artifacts" / "models").glob("*.json")
    ]
    return (
        f"    tracking: {count} runs of stocks in MLflow, {milliseconds / 1000:.2f} s each; "
        f"training: {len(seconds)} networks, {statistics.median(seconds):.2f} s each (median), "
        f"{sum(seconds):.0f} s in all, in parallel"
    )


def proportion_text(measured: MeasuredRun, tickers: int, all_tickers: int) -> str:
    """Return the estimate for a run of more tickers, where each has tasks of its own."""
    begin = min(measured.steps[step][0] for step in ("pretrain", "build_windows"))
    of_tickers = measured.steps["evaluate"][1] - begin
    rest = measured.seconds - of_tickers
    return (
        f"    by proportion, {all_tickers} tickers: "
        f"{of_tickers / tickers * all_tickers + rest:.0f} s "
        f"({of_tickers / tickers:.1f} s a ticker and {rest:.0f} s for the rest)"
    )


def forecasts_command(settings: Settings, session: dt.date) -> tuple[float, int]:
    """Run `stockcast forecasts --session` five times.

    Returns:
        The median of the processes' seconds, and the lines that are printed.
    """
    environ = {**os.environ, **airflow_environment(settings)}
    command = [sys.executable, "-m", "pipeline", "forecasts", "--session", str(session)]
    times = []
    for _ in range(5):
        began = time.monotonic()
        done = subprocess.run(
            command, env=environ, cwd=ROOT, capture_output=True, text=True, check=True
        )
        times.append(time.monotonic() - began)
    return statistics.median(times), len(done.stdout.splitlines())


@contextlib.contextmanager
def started(
    home: Path, folder: Path, tickers: list[str], shard_size: int = 0
) -> Iterator[tuple[Settings, AirflowClient, Memory]]:
    """Start Airflow with a universe of price files in an empty home, and end it again."""
    settings = Settings(
        home=home,
        universes=str(home / UNIVERSES),
        universe=NAME,
        shard_size=shard_size,
        airflow_port=free_port(),
        mlflow_port=free_port(),
    )
    home.mkdir(parents=True, exist_ok=True)
    write_universe(home, folder, tickers, "weekly")
    up(settings)
    try:
        airflow = AirflowClient(settings)
        await_dag(airflow)
        yield settings, airflow, Memory(home)
    finally:
        down(settings)


def await_dag(airflow: AirflowClient) -> None:
    """Wait until the DAG processor has read the DAG's file."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if has_read(airflow, DAG):
            return
        time.sleep(0.5)
    raise SystemExit(f"Airflow has not read the DAG {DAG} within 120 s.")


def main() -> None:
    arguments = parsed_arguments()
    tickers = spread(CsvSource(arguments.data).tickers(), arguments.tickers)
    if arguments.plain:
        customise_started("plain")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = (arguments.home or Path(folder) / "home").absolute()
        shard_size = 1 if arguments.plain else 0
        with started(home, arguments.data, tickers, shard_size) as (settings, airflow, memory):
            first = measure(
                settings,
                airflow,
                memory,
                arguments.data,
                tickers,
                arguments.first,
                arguments.only_first,
            )
            if arguments.plain:
                print(proportion_text(first, len(tickers), 505))


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of price files")
    parser.add_argument(
        "--tickers", type=int, default=505, help="how many of them, spread over the alphabet"
    )
    parser.add_argument(
        "--first",
        type=dt.date.fromisoformat,
        default=dt.date(2018, 2, 5),
        help="first session: the first of its week",
    )
    parser.add_argument("--home", type=Path, help="an empty folder (default: a temporary one)")
    parser.add_argument(
        "--only-first", action="store_true", help="leave out the two sessions after it"
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help="one Airflow task per ticker, Keras's own LSTM and loop",
    )
    return parser.parse_args()


def spread(tickers: Sequence[str], count: int) -> list[str]:
    """Return `count` of the tickers, at equal distances."""
    numbers = range(min(count, len(tickers)))
    return [tickers[round(number * len(tickers) / count)] for number in numbers]


def measure(
    settings: Settings,
    airflow: AirflowClient,
    memory: Memory,
    folder: Path,
    tickers: list[str],
    session: dt.date,
    only_first: bool = False,
) -> MeasuredRun:
    """Run and print the first session, and the one after it without and with training."""
    [second] = Calendar(CALENDAR).next_sessions(session, 1)
    first = run(airflow, settings, session, memory)
    title = f"first session, {session}, everything from nothing"
    print(run_text(title, first, len(tickers)), flush=True)
    print(tracking_text(settings), flush=True)
    if not only_first:
        # The same session with training has its prices already; its step `ingest` still fetches all
        # of them.
        for retrain, note in (("weekly", "no training due"), ("daily", "trained")):
            write_universe(settings.home, folder, tickers, retrain)  # every task reads it again
            measured = run(airflow, settings, second, memory)
            title = f"next session, {second}, retrain {retrain}, {note}"
            print(run_text(title, measured, len(tickers)), flush=True)
    newest = session if only_first else second
    seconds, lines = forecasts_command(settings, newest)
    print(
        f"\nstockcast forecasts --session {newest}: {seconds:.2f} s for {lines} lines, "
        "the median of five",
        flush=True,
    )
    return first


if __name__ == "__main__":
    main()
