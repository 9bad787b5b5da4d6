"""Rounds of chaos under a real `stockcast up`: a service or a task is killed while a session runs.

    python -m tests.chaos.services --rounds 20 --seed 1

One set of servers serves all rounds. A run that fails all the same is cleared once, as a person
would; then its session must be published, and nothing published before may have changed. In the end
`down` must leave no process, lock or unfinished file.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator

import pandas as pd
import psutil
import sqlalchemy as sa

from pipeline.errors import StockcastError
from pipeline.scheduling.airflow_client import AirflowClient
from pipeline.scheduling.daily_names import daily_dag_id
from pipeline.scheduling.health import HEALTHY, health_of
from pipeline.scheduling.processes import marked_processes
from pipeline.scheduling.run_moments import run_moment
from pipeline.scheduling.service_state import services_states
from pipeline.storage import embedded_postgres
from tests import servers
from tests.chaos.faults import processes_text, unfinished_files
from tests.chaos.invariants import (
    Rows,
    forecasts_are_the_newest_publications,
    nothing_is_published_twice,
    nothing_published_is_lost_or_changed,
)
from tests.chaos.world import CALENDAR, end_on_termination
from tests.servers import Deployment, has_read, wait_for

#: A real stock that is too young for a network: its day takes seconds.
UNIVERSE = '[one]\nsource = "sample"\ntickers = ["FB"]\n'
DAG = daily_dag_id("one")
FIRST_SESSION, LAST_SESSION = dt.date(2012, 10, 1), dt.date(2013, 2, 28)
HORIZON = 5
VICTIMS = ("task", "postgres", "scheduler", "mlflow", "api-server", "dag-processor", "triggerer")
#: How Airflow calls the process of a task.
TASK = re.compile(r"airflow worker -- [0-9a-f-]{36}")
SECONDS_TO_RUN = 900
SECONDS_TO_HEAL = 300


class Services:
    """Services that are up, and what their database has."""

    def __init__(self, deployed: Deployment) -> None:
        self.home, self.settings = deployed.settings.home, deployed.settings
        self.airflow = AirflowClient(deployed.settings)

    def kill(self, victim: str, run_id: str) -> str:
        """Kill a service, or the processes of the tasks at work; say what was met."""
        if victim == "task":
            wait_for("a task", lambda: self._tasks() or self._state_of(run_id), SECONDS_TO_HEAL)
            pids = self._tasks()
        else:
            pids = [self._pid_of(victim)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return f"killed {len(pids)} processes of {victim}" if pids else f"met no {victim}"

    def run(self, session: dt.date) -> str:
        """Trigger a session's run, or clear all its tasks; return its id."""
        moment, conf = run_moment(CALENDAR, session), {"session": str(session)}
        return self.airflow.run_again_or_first(DAG, moment, conf, {})

    def end_of(self, run_id: str) -> str:
        """Wait until a run has ended, and return its state."""
        return wait_for(
            f"the end of {run_id}", lambda: self._state_of(run_id), SECONDS_TO_RUN, pause=0.5
        )

    def _state_of(self, run_id: str) -> str:
        """Return the state of a run that has ended; "": it has not, or nobody answers."""
        with contextlib.suppress(StockcastError):  # the API server is being started again
            state = self.airflow.state_of(DAG, run_id)
            return state if state in ("success", "failed") else ""
        return ""

    def wait_until_healthy(self) -> None:
        """Wait until all services are."""

        def is_healthy() -> bool:
            return set(health_of(self.settings).values()) == {HEALTHY}

        wait_for("health", is_healthy, SECONDS_TO_HEAL, pause=0.5)

    def rows(self) -> Rows:
        """Return what is stored."""
        with self._database("stockcast") as store:
            names = ("publications", "forecasts", "scores", "price_revisions")
            tables = [pd.read_sql(f"SELECT * FROM {name}", store) for name in names]
        with self._database("mlflow") as mlflow:
            query = sa.text("SELECT name FROM runs WHERE status = 'RUNNING'")
            return Rows(*tables, list(mlflow.scalars(query)), {})

    @contextlib.contextmanager
    def _database(self, name: str) -> Iterator[sa.Connection]:
        engine = sa.create_engine(embedded_postgres.url(self.home, name))
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    def _pid_of(self, service: str) -> int:
        if service == "postgres":
            file = self.home / "postgres" / "data" / "postmaster.pid"
            return int(file.read_text().split()[0])
        return services_states(self.home)[service].pid

    def _tasks(self) -> list[int]:
        """Return the processes of tasks at work."""
        pids = []
        for process in marked_processes(self.home, "scheduler"):
            with contextlib.suppress(psutil.Error):
                if TASK.match(" ".join(process.cmdline())):
                    pids.append(process.pid)
        return pids


def wrongs_of(services: Services, before: Rows | None, after: Rows, session: dt.date) -> list[str]:
    """Return what is wrong after a round."""
    found = [
        nothing_published_is_lost_or_changed(before, after, None),
        nothing_is_published_twice(None, after, None),
        forecasts_are_the_newest_publications(None, after, None),
    ]
    own = pd.to_datetime(after.forecasts["cutoff"]) == pd.Timestamp(session)
    if own.sum() != HORIZON:
        found.append(f"{own.sum()} forecasts of {session}")
    if after.running:
        found.append(f"still RUNNING in MLflow: {', '.join(after.running)}")
    return list(filter(None, found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    end_on_termination()
    chance, broken = random.Random(options.seed), 0
    sessions = iter(CALENDAR.sessions(FIRST_SESSION, LAST_SESSION))
    with servers.deployment(UNIVERSE, universe="one") as deployed:
        up = deployed.stockcast("up")
        assert not up.returncode, up.stderr
        services = Services(deployed)
        wait_for("the DAG", lambda: has_read(services.airflow, DAG))
        services.airflow._call("PATCH", f"/api/v2/dags/{DAG}", {"is_paused": False})
        began = time.monotonic()
        assert services.end_of(services.run(next(sessions))) == "success"
        length, before = time.monotonic() - began, services.rows()
        print(f"seed {options.seed}: a run takes {length:.0f} s", flush=True)
        for number in range(1, options.rounds + 1):
            session, victim = next(sessions), VICTIMS[(number - 1) % len(VICTIMS)]
            began, moment = time.monotonic(), chance.uniform(0, length)
            run_id = services.run(session)
            time.sleep(moment)
            met, states = services.kill(victim, run_id), [services.end_of(run_id)]
            length = min(length, time.monotonic() - began)  # the first run imports, too
            services.wait_until_healthy()
            if states[0] == "failed":
                states.append(services.end_of(services.run(session)))
            after = services.rows()
            wrongs = wrongs_of(services, before, after, session)
            broken, before = broken + bool(wrongs), after
            print(
                f"{number:3d}  {session}  at {moment:5.1f} s  {met}; {', then '.join(states)}; "
                f"{'; '.join(wrongs) or 'all is right'}  ({time.monotonic() - began:.0f} s)",
                flush=True,
            )
        embedded_postgres.stop(services.home)  # or this process would keep it
        down = deployed.stockcast("down")
        left = marked_processes(services.home)
        files = unfinished_files(services.home)
        is_clean = not (
            down.returncode or left or files or embedded_postgres.running(deployed.home)
        )
        print(
            f"down: {processes_text(left) or 'no process'}, {files or 'no unfinished file'} is left"
        )
    return 0 if is_clean and not broken else 1


if __name__ == "__main__":
    sys.exit(main())
