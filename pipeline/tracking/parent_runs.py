"""Parent runs: a session, a backtest, a search or a study, found by its key or made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.tracking.connection import DESCRIPTION_TAG, MlflowConnection
from pipeline.tracking.entries import hash_of
from pipeline.tracking.experiment_runs import (
    CONTENT_TAG,
    KEY_TAG,
    LINK_TAG,
    OWNER_TAG,
    PARENT_TAG,
    ExperimentRuns,
    metrics_of,
    preferred,
)
from pipeline.tracking.run_ends import RunEnds

if TYPE_CHECKING:
    from mlflow.entities import Run


class ParentRuns:
    """The parent runs of one experiment."""

    def __init__(self, connection: MlflowConnection, runs: ExperimentRuns, ends: RunEnds) -> None:
        self._connection = connection
        self._runs = runs
        self._ends = ends

    def open(
        self, key: str, name: str, tags: Mapping[str, str], params: Mapping[str, object]
    ) -> str:
        """Return the id of the run with this key and these parameters, found or made, RUNNING.

        MLflow's parameters cannot change, so changed ones make a new run next to the old one, which
        stays until the new one is finished. A run that is FINISHED already stays so.
        """
        with self._connection.lock("runs", key):
            content = hash_of(params)
            twins = self._runs.find(key)
            twin = preferred([run for run in twins if run.data.tags.get(CONTENT_TAG) == content])
            if twin is None:
                return self._make(key, name, tags, params)
            self._ends.take_over(twin)
            run_id: str = twin.info.run_id
            return run_id

    def ensure(
        self, key: str, name: str, tags: Mapping[str, str], params: Mapping[str, object]
    ) -> str:
        """Return the id of the run with this key that counts, or of a new one that is FINISHED.

        What is found stays as it is, whatever its state and its parameters.
        """
        with self._connection.lock("runs", key):
            written = [run for run in self._runs.find(key) if CONTENT_TAG in run.data.tags]
            if twin := preferred(written):
                run_id: str = twin.info.run_id
                return run_id
            made = self._make(key, name, tags, params)
            self._connection.client.set_terminated(made, "FINISHED")
            return made

    def finish(
        self,
        run_id: str,
        metrics: Mapping[str, float],
        files: Mapping[str, bytes],
        description: str,
    ) -> None:
        """Log a parent's summary where it has changed, mark it FINISHED, and supersede the others.

        These are the runs with the same key, such as those of a session that was run before with
        other tickers.
        """
        client = self._connection.client
        self._runs.log_files(run_id, files)
        run = client.get_run(run_id)
        # The link stays that of the first who asked for the run.
        link = run.data.tags.get(LINK_TAG, "")
        text = "\n\n".join(filter(None, [description, link]))
        if description and run.data.tags.get(DESCRIPTION_TAG) != text:
            client.set_tag(run_id, DESCRIPTION_TAG, text)
        known = run.data.metrics
        changed = {name: value for name, value in metrics.items() if known.get(name) != value}
        self._runs.log(run_id, {}, metrics_of(changed, run.info.start_time))
        with self._connection.lock("runs", run.data.tags[KEY_TAG]):
            self._ends.finish(run)
            self._supersede(run)

    def _make(
        self, key: str, name: str, tags: Mapping[str, str], params: Mapping[str, object]
    ) -> str:
        """Make a run with its parameters.

        Their hash comes last, so that a run cut short is never taken for a complete one.
        """
        created = self._runs.create(name, {**tags, KEY_TAG: key, OWNER_TAG: self._ends.owner})
        run_id: str = created.run_id
        with self._runs.ended_on_error(run_id):
            self._runs.log(run_id, params, [], {CONTENT_TAG: hash_of(params)})
        return run_id

    def _supersede(self, run: Run) -> None:
        """Delete the other runs with a finished run's key, but for those that somebody works on.

        Their children move to it, unless it has the same ones.
        """
        kept, twins = run.info.run_id, self._runs.find(run.data.tags[KEY_TAG])
        others = [twin for twin in twins if twin.info.run_id != kept and self._is_over(twin)]
        if not others:
            return
        finished = [each for each in self._runs.children(kept) if each.info.status == "FINISHED"]
        known = {child.data.tags.get(KEY_TAG) for child in finished}
        for other in reversed(others):  # the newest first
            for child in self._runs.children(other.info.run_id):
                if child.data.tags.get(KEY_TAG) in known:
                    self._runs.delete(child)
                else:
                    self._connection.client.set_tag(child.info.run_id, PARENT_TAG, kept)
                    known.add(child.data.tags.get(KEY_TAG))
            self._runs.delete(other)
            self._ends.forget(other.info.run_id)

    def _is_over(self, run: Run) -> bool:
        """Return whether nobody but us works on a run."""
        is_ours = run.data.tags.get(OWNER_TAG) == self._ends.owner
        return run.info.status != "RUNNING" or is_ours or self._ends.is_abandoned(run)
