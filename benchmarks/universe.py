"""A universe of stocks through Airflow on this machine: the first session, the next with and without training, memory, and what is served.

    python -m benchmarks.universe --data FOLDER [--tickers 505] [--first 2018-02-05] [--home DIR] [--only-first] [--plain]

FOLDER holds price files as `--source csv` takes them. Airflow's scheduler, MLflow and PostgreSQL are started in an empty home on free ports and
ended again; the three runs are asked for through Airflow's API, and their time runs from that request to the end of the last task. Memory
is the proportional set size of all processes, databases and servers among them, read every five seconds.

With --plain, each ticker has Airflow tasks of its own, and networks are trained by Keras's own LSTM layer and loop, each built and traced
anew (see benchmarks/plain/sitecustomize.py). What 505 tickers would take is then told by proportion: the tasks of single tickers and the
training together as many times as there are more tickers, the rest once.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime as dt
import json
import os
import socket
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

from pipeline.prices.csv_files import CsvSource
from pipeline.scheduling import services
from pipeline.scheduling.environment import environment
from pipeline.scheduling.rest import Airflow
from pipeline.scheduling.timetable import run_moment
from pipeline.sessions import Calendar
from pipeline.settings import Settings

ROOT = Path(__file__).parent.parent
NAME, CALENDAR, UNIVERSES = "universe", "XNYS", "universes.toml"
STEPS = (
    *("plan", "ingest", "check", "pretrain", "build_windows", "train", "evaluate", "promote"),
    *("publish", "score", "watch", "report"),
)


@dataclass
class Ran:
    """One DAG run: its seconds, highest memory in bytes, and per step (first start, last end, tasks), in seconds since it was asked for."""

    seconds: float = 0.0
    memory: int = 0
    steps: dict[str, tuple[float, float, int]] = field(default_factory=dict)

    @property
    def training(self) -> float:
        """Seconds in which `pretrain` and `train` were at work."""
        return sum(self.steps[step][1] - self.steps[step][0] for step in ("pretrain", "train") if step in self.steps)


class Memory:
    """The highest memory of the processes that belong to a home, since `take` was last called."""

    def __init__(self, home: Path) -> None:
        self._home, self._highest = home, 0
        threading.Thread(target=self._watch, daemon=True).start()

    def take(self) -> int:
        highest, self._highest = self._highest, 0
        return highest

    def _watch(self) -> None:
        while True:
            total = 0
            for process in psutil.process_iter():
                try:
                    if services.is_marked(process, self._home) or str(self._home) in " ".join(process.cmdline()):
                        total += process.memory_full_info().pss
                except psutil.Error:
                    continue  # ended meanwhile
            self._highest = max(self._highest, total)
            time.sleep(5)


def write_universe(path: Path, folder: Path, tickers: list[str], retrain: str) -> None:
    path.write_text(
        f'[{NAME}]\ncalendar = "{CALENDAR}"\nsource = "csv"\ndata = "{folder}"\ntickers = {json.dumps(tickers)}\ntarget = "close"\n'
        f'recipe = "default"\nhorizon = 5\nretrain = "{retrain}"\nscheduled = false\nstart = 1990-01-01\n'
    )


def run(airflow: Airflow, settings: Settings, session: dt.date, memory: Memory) -> Ran:
    """Asks for a session, and waits until its run has ended."""
    dag, ran = f"daily_forecast_{NAME}", Ran()
    memory.take()
    asked = dt.datetime.now(dt.UTC)
    run_id = airflow.run_again_or_first(dag, run_moment(Calendar(CALENDAR), session), {})
    while (state := airflow.state_of(dag, run_id)) not in ("success", "failed"):
        time.sleep(2)
    ran.memory = memory.take()
    tasks = airflow.tasks_of(dag, run_id)
    for task in tasks:
        if task["start_date"] is None:
            continue
        began, ended = ((dt.datetime.fromisoformat(task[name]) - asked).total_seconds() for name in ("start_date", "end_date"))
        first, last, count = ran.steps.get(task["task_id"], (began, ended, 0))
        ran.steps[task["task_id"]] = min(first, began), max(last, ended), count + 1
    ran.seconds = max(last for _, last, _ in ran.steps.values())
    if state != "success":
        failed = sorted({task["task_id"] for task in tasks if task["state"] in ("failed", "upstream_failed")})
        raise SystemExit(f"{session}: the run failed in {', '.join(failed)}. Its logs are under {settings.home / 'logs'}.")
    return ran


def told(name: str, ran: Ran, tickers: int) -> str:
    lines = [
        f"\n{name}: {ran.seconds:.0f} s for {tickers} tickers ({ran.seconds / tickers:.2f} s a ticker), "
        f"at most {ran.memory / 2**30:.2f} GiB in all processes together"
    ]
    for step in STEPS:
        if step in ran.steps:
            first, last, count = ran.steps[step]
            lines.append(f"    {step:<14} {first:7.1f} .. {last:7.1f} s   {count} task{'' if count == 1 else 's'}")
    lines.append(f"    training (pretrain and train) is at work for {ran.training / ran.seconds:.0%} of the time")
    return "\n".join(lines)


def tracked_and_trained(settings: Settings) -> str:
    """What MLflow's runs of single stocks took, from their creation to their end, and what their networks took in the workers."""
    engine = sqlalchemy.create_engine(environment(settings)["STOCKCAST_TRACKING_URI"])
    query = "select count(*), avg(end_time - start_time) from runs join tags using (run_uuid) where key = 'mlflow.parentRunId'"
    with engine.connect() as connection:
        count, milliseconds = connection.execute(sqlalchemy.text(query)).one()
    engine.dispose()
    trained = [json.loads(path.read_text())["seconds"] for path in (settings.home / "artifacts" / "models").glob("*.json")]
    return (
        f"    tracking: {count} runs of stocks in MLflow, {milliseconds / 1000:.2f} s each; training: {len(trained)} networks, "
        f"{statistics.median(trained):.2f} s each (median), {sum(trained):.0f} s in all, in parallel"
    )


def by_proportion(ran: Ran, tickers: int, all_tickers: int) -> str:
    """What a run of more tickers would take, where each has tasks of its own."""
    own = ran.steps["evaluate"][1] - min(ran.steps[step][0] for step in ("pretrain", "build_windows"))
    told = f"{own / tickers:.1f} s a ticker and {ran.seconds - own:.0f} s for the rest"
    return f"    by proportion, {all_tickers} tickers: {own / tickers * all_tickers + ran.seconds - own:.0f} s ({told})"


def served(settings: Settings, session: dt.date) -> tuple[float, int]:
    """(seconds, lines) of `stockcast forecasts --session`, the start of its process included; the median of five."""
    environ = {**os.environ, **environment(settings)}
    command = [sys.executable, "-m", "pipeline", "forecasts", "--session", str(session)]
    times = []
    for _ in range(5):
        began = time.monotonic()
        done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, check=True)
        times.append(time.monotonic() - began)
    return sorted(times)[2], len(done.stdout.splitlines())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def started(home: Path, folder: Path, tickers: list[str], shard_size: int = 0) -> Iterator[tuple[Settings, Airflow, Memory]]:
    """Airflow with a universe of price files in an empty home."""
    settings = dataclasses.replace(
        Settings.from_env(), home=home, universes=str(home / UNIVERSES), universe=NAME, shard_size=shard_size
    )
    settings = dataclasses.replace(settings, airflow_port=free_port(), mlflow_port=free_port())
    home.mkdir(parents=True, exist_ok=True)
    write_universe(home / UNIVERSES, folder.absolute(), tickers, "weekly")
    services.up(settings)
    try:
        airflow = Airflow(settings)
        _await_dag(airflow)
        yield settings, airflow, Memory(home)
    finally:
        services.down(settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of price files")
    parser.add_argument("--tickers", type=int, default=505, help="so many of them, spread over the alphabet")
    parser.add_argument(
        "--first", type=dt.date.fromisoformat, default=dt.date(2018, 2, 5), help="first session: the first of its week"
    )
    parser.add_argument("--home", type=Path, help="an empty folder (default: a temporary one)")
    parser.add_argument("--only-first", action="store_true", help="leave out the two sessions after it")
    parser.add_argument("--plain", action="store_true", help="one Airflow task per ticker, Keras's own LSTM and loop")
    arguments = parser.parse_args()
    tickers = spread(CsvSource(arguments.data).tickers(), arguments.tickers)
    if arguments.plain:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "benchmarks" / "plain"), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = (arguments.home or Path(folder) / "home").absolute()
        with started(home, arguments.data, tickers, 1 if arguments.plain else 0) as (settings, airflow, memory):
            first = measure(settings, airflow, memory, arguments.data, tickers, arguments.first, arguments.only_first)
            if arguments.plain:
                print(by_proportion(first, len(tickers), 505))


def spread(every: Sequence[str], count: int) -> list[str]:
    return [every[round(at * len(every) / count)] for at in range(min(count, len(every)))]


def measure(
    settings: Settings,
    airflow: Airflow,
    memory: Memory,
    folder: Path,
    tickers: list[str],
    session: dt.date,
    only_first: bool = False,
) -> Ran:
    """Runs and prints a universe's first session, and the one after it without and with training."""
    [second] = Calendar(CALENDAR).next_sessions(session, 1)
    first = run(airflow, settings, session, memory)
    print(told(f"first session, {session}, everything from nothing", first, len(tickers)), flush=True)
    print(tracked_and_trained(settings), flush=True)
    if not only_first:
        # The same session with training finds its prices already there; its step `ingest` still asks for all of them.
        for retrain, title in (("weekly", "no training due"), ("daily", "trained")):
            write_universe(settings.home / UNIVERSES, folder.absolute(), tickers, retrain)  # read anew by every task
            ran = run(airflow, settings, second, memory)
            print(told(f"next session, {second}, retrain {retrain}, {title}", ran, len(tickers)), flush=True)
    newest = session if only_first else second
    seconds, lines = served(settings, newest)
    print(f"\nstockcast forecasts --session {newest}: {seconds:.2f} s for {lines} lines, the median of five", flush=True)
    return first


def _await_dag(airflow: Airflow) -> None:
    """The DAG is there once the DAG processor has read its file."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if airflow.knows(f"daily_forecast_{NAME}"):
            return
        time.sleep(0.5)
    raise SystemExit("Airflow has not read the DAG within two minutes.")


if __name__ == "__main__":
    main()
