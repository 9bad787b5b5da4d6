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
    ExperimentRuns,
    metrics_of,
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

        MLflow's parameters cannot change, so changed ones make a new run, to which the children of
        the old one move. A run that is FINISHED already stays so.
        """
        with self._connection.lock("runs", key):
            run_id, twin = self._find_or_make(key, name, tags, params)
            if twin is not None:
                self._ends.take_over(twin)
            return run_id

    def ensure(
        self, key: str, name: str, tags: Mapping[str, str], params: Mapping[str, object]
    ) -> str:
        """Return the id of the run, found in whichever state it is, or made FINISHED."""
        with self._connection.lock("runs", key):
            run_id, twin = self._find_or_make(key, name, tags, params)
            if twin is None:
                self._connection.client.set_terminated(run_id, "FINISHED")
            return run_id

    def finish(
        self,
        run_id: str,
        metrics: Mapping[str, float],
        files: Mapping[str, bytes],
        description: str,
    ) -> None:
        """Log a parent's summary where it has changed, and mark it FINISHED."""
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
        self._ends.finish(run)

    def _find_or_make(
        self, key: str, name: str, tags: Mapping[str, str], params: Mapping[str, object]
    ) -> tuple[str, Run | None]:
        """Return the run's id, and the run itself where it was there before."""
        content = hash_of(params)
        twins = self._runs.find(key)
        same = [run for run in twins if run.data.tags.get(CONTENT_TAG) == content]
        if same:
            run_id: str = same[0].info.run_id
        else:
            owned = {**tags, KEY_TAG: key, OWNER_TAG: self._ends.owner}
            run_id = self._runs.create(name, owned).run_id
            self._runs.log(run_id, params, [], {CONTENT_TAG: content})
        self._runs.delete_others(twins, run_id)
        return run_id, next(iter(same), None)
