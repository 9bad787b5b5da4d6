"""The ends of runs: every run that is opened ends as FINISHED, FAILED or KILLED.

What is still open when a tracker closes ends with it. What a killed process has left is marked
KILLED by the next run (see `owners`).
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

from pipeline.errors import StockcastError
from pipeline.tracking import owners
from pipeline.tracking.connection import MlflowConnection
from pipeline.tracking.entries import Origin
from pipeline.tracking.experiment_runs import FAILURE_TAG, KEY_TAG, OWNER_TAG, ExperimentRuns

if TYPE_CHECKING:
    from mlflow.entities import Run

log = logging.getLogger(__name__)

#: Milliseconds after which a running run that names no owner counts as abandoned: versions before
#: this one named none.
ABANDONED_AFTER = 24 * 3600 * 1000
#: Characters of a failure that are kept.
REASON_LENGTH = 5000


class RunEnds:
    """The parents that a tracker has opened, and the ways in which runs end.

    Args:
        origin: what asks for the runs; None: this process does.
    """

    def __init__(
        self, connection: MlflowConnection, runs: ExperimentRuns, origin: Origin | None
    ) -> None:
        self._connection = connection
        self._runs = runs
        self._origin = origin
        self._open: list[str] = []

    @property
    def owner(self) -> str:
        """The owner that will end the runs that are opened here."""
        return self._origin.owner if self._origin else owners.this_process()

    def opened(self, run_id: str) -> None:
        """Note that a run must be ended."""
        if run_id not in self._open:
            self._open.append(run_id)

    def take_over(self, run: Run) -> None:
        """Make a run that was given up, or that a killed process has left, our own."""
        client, tags = self._connection.client, run.data.tags
        if run.info.status in ("FAILED", "KILLED"):
            client.update_run(run.info.run_id, status="RUNNING")
        if run.info.status != "FINISHED" and tags.get(OWNER_TAG) != self.owner:
            client.set_tag(run.info.run_id, OWNER_TAG, self.owner)

    def finish(self, run: Run) -> None:
        """Mark a run FINISHED, in place of any earlier end."""
        client, run_id = self._connection.client, run.info.run_id
        if FAILURE_TAG in run.data.tags:
            client.delete_tag(run_id, FAILURE_TAG)
        if run.info.status != "FINISHED":
            client.set_terminated(run_id, "FINISHED")
        self.forget(run_id)

    def end(self, run_id: str, status: str, reason: str = "") -> None:
        """End a run as FAILED or KILLED, with the reason as its tag."""
        with self._connection.answering():
            if reason:
                self._connection.client.set_tag(run_id, FAILURE_TAG, reason[:REASON_LENGTH])
            self._connection.client.set_terminated(run_id, status)
        self.forget(run_id)

    def end_open(self, error: BaseException | None) -> None:
        """End what is still open: FINISHED without an error, else FAILED, KILLED by an interrupt.

        A run that was finished before, and is now repeated, stays so. A run that cannot be ended,
        because MLflow is away, is found later by its owner.
        """
        for run_id in list(self._open):
            try:
                with self._connection.answering():
                    run = self._connection.client.get_run(run_id)
                if error is None:
                    with self._connection.answering():
                        self.finish(run)
                elif run.info.status == "FINISHED":
                    self.forget(run_id)
                elif isinstance(error, Exception):
                    self.end(run_id, "FAILED", " ".join(str(error).split()))
                else:
                    self.end(run_id, "KILLED", type(error).__name__)
            except StockcastError as unavailable:
                log.warning("The MLflow run %s could not be ended: %s", run_id, unavailable)
                return

    def end_runs_of(self, owner: str, status: str, reason: str) -> list[str]:
        """End all runs of an owner that are still running; return their ids.

        A rehearsal has them in an experiment of its own.
        """
        with self._connection.answering():
            running = self._runs.running_of(owner)
        for run in running:
            self.end(run.info.run_id, status, reason)
        return [run.info.run_id for run in running]

    def end_abandoned(self) -> list[str]:
        """Mark the runs of dead owners KILLED; return the names of the runs.

        What a process of this machine has left is ended in every experiment: a search or study that
        was killed has one of its own. DAG runs are asked about in this experiment alone, because
        another Airflow may own those of others.
        """
        with self._connection.answering():
            running = [*self._runs.running(), *self._runs.running_of_processes()]
        by_id = {run.info.run_id: run for run in running}  # some are in both
        abandoned = [run for run in by_id.values() if self.is_abandoned(run)]
        for run in abandoned:
            self.end(run.info.run_id, "KILLED", "its process was killed")
        return [run.info.run_name for run in abandoned]

    def is_abandoned(self, run: Run) -> bool:
        """Return whether nobody will end a run that is still running."""
        owner = run.data.tags.get(OWNER_TAG, "")
        if not owner:
            now = dt.datetime.now(dt.UTC).timestamp() * 1000
            ours = KEY_TAG in run.data.tags
            return bool(ours and now - run.info.start_time > ABANDONED_AFTER)
        if owner == self.owner:
            return False
        return owners.is_dead(owner) or bool(self._origin and self._origin.is_over(owner))

    def forget(self, run_id: str) -> None:
        """Note that a run has ended, or is there no more."""
        if run_id in self._open:
            self._open.remove(run_id)
