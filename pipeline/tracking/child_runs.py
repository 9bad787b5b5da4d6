"""Child runs: one per stock, forecaster, trial or exercise, below its parent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pipeline.tracking.connection import MlflowConnection
from pipeline.tracking.entries import TrackedRun
from pipeline.tracking.experiment_runs import (
    CONTENT_TAG,
    KEY_TAG,
    OWNER_TAG,
    PARENT_TAG,
    ExperimentRuns,
    metrics_of,
)
from pipeline.tracking.registered_models import RegisteredModels, logged_id

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

#: The tags of a parent that its children have too.
LABEL_TAGS = ("session", "recipe", "target", "universe", KEY_TAG)


class ChildRuns:
    """The child runs of one experiment."""

    def __init__(
        self, connection: MlflowConnection, runs: ExperimentRuns, models: RegisteredModels
    ) -> None:
        self._connection = connection
        self._runs = runs
        self._models = models
        self._labels_by_parent: dict[str, dict[str, str]] = {}

    def record(self, parent: str, run: TrackedRun, owner: str) -> str:
        """Track a child run; return its run id.

        One child with this title remains. Nothing is written when the same content is there. Other
        content becomes a new child, and the old one goes when that is complete.
        """
        labels = self._labels_of(parent)
        key, content = f"{labels.pop(KEY_TAG)} {run.title or run.ticker}", run.content_hash()
        with self._connection.lock("runs", key):
            twins = self._runs.find(key)
            same = [twin for twin in twins if twin.data.tags.get(CONTENT_TAG) == content]
            if same:
                child: str = same[0].info.run_id
                if same[0].data.tags.get(PARENT_TAG) != parent:
                    self._connection.client.set_tag(child, PARENT_TAG, parent)
            else:
                identity = {"ticker": run.ticker, KEY_TAG: key, PARENT_TAG: parent}
                tags = {**labels, **identity, **run.tags, OWNER_TAG: owner}
                child = self._write(labels, run, tags, content)
            self._runs.delete_others(twins, child)
            return child

    def _labels_of(self, parent: str) -> dict[str, str]:
        """Return what identifies a parent, which never changes: it is asked for once."""
        if parent not in self._labels_by_parent:
            tags = self._connection.client.get_run(parent).data.tags
            labels = {name: tags[name] for name in LABEL_TAGS if name in tags}
            self._labels_by_parent[parent] = labels
        return dict(self._labels_by_parent[parent])

    def _write(
        self, labels: Mapping[str, str], run: TrackedRun, tags: Mapping[str, str], content: str
    ) -> str:
        """Write a new child run.

        Its content's hash comes last, so that a run cut short is never taken for a complete one.
        """
        name = run.title or f"{run.ticker} {session_name(labels)}"
        created = self._runs.create(name, tags, run.description)
        child: str = created.run_id
        with self._ended_on_error(child):
            self._runs.log_datasets(child, run.datasets)
            versions = [
                self._models.register(child, labels, run.ticker, model) for model in run.models
            ]
            if run.model:
                self._link(child, versions[0])
            # The figures are also shown with the model, in the run that made it.
            made_here = run.model and versions[0].run_id == child
            model_id = logged_id(versions[0]) if made_here else None
            drawn = {name: draw() for name, draw in run.pictures.items()}
            self._runs.log_files(child, {**run.files, **drawn})
            figures: dict[str, float | list[float]] = {**run.metrics, **run.history}
            metrics = metrics_of(figures, created.start_time, model_id)
            self._runs.log(child, run.params, metrics, {CONTENT_TAG: content})
            self._connection.client.set_terminated(child, "FINISHED")
        return child

    @contextlib.contextmanager
    def _ended_on_error(self, run_id: str) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            # What cannot be ended because MLflow is away is found later by its owner.
            with contextlib.suppress(Exception):
                self._connection.client.set_terminated(run_id, status)
            raise

    def _link(self, run_id: str, version: ModelVersion) -> None:
        """Show a registered model on a run, whichever run it was made in."""
        from mlflow.entities import LoggedModelOutput

        client = self._connection.client
        client.log_outputs(run_id, [LoggedModelOutput(logged_id(version), step=0)])
        client.set_tag(run_id, "model_version", f"{version.name}/{version.version}")


def session_name(labels: Mapping[str, str]) -> str:
    """Return a session and its recipe, and the target where it is not the close."""
    target = "" if labels.get("target", "close") == "close" else f" {labels['target']}"
    return f"{labels.get('session', '')} {labels.get('recipe', '')}{target}".strip()
