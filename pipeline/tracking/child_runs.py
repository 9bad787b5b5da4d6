"""Child runs: one per stock, forecaster, trial or exercise, below its parent."""

from __future__ import annotations

from collections.abc import Mapping
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
    preferred,
)
from pipeline.tracking.registered_models import RegisteredModels, logged_id

if TYPE_CHECKING:
    from mlflow.entities import Run
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

    def record(self, parent: str, run: TrackedRun, owner: str) -> str:
        """Track a child run; return its run id.

        One child with this title remains below a parent. Nothing is written when the same content
        is there. Other content becomes a new child, and the old one goes when that is complete. The
        children of another parent with the same key are its own until it is superseded.
        """
        parent, labels = self._labelled_parent(parent)
        key, content = f"{labels.pop(KEY_TAG)} {run.title or run.ticker}", run.content_hash()
        with self._connection.lock("runs", key):
            twins = self._runs.find(key)
            ours = [twin for twin in twins if self._may_be_replaced(twin, parent)]
            child = self._same_child(twins, ours, content, parent)
            if child is None:
                identity = {"ticker": run.ticker, KEY_TAG: key, PARENT_TAG: parent}
                tags = {**labels, **identity, **run.tags, OWNER_TAG: owner}
                child = self._write(labels, run, tags, content)
            for twin in ours:
                if twin.info.run_id != child:
                    self._runs.delete(twin)
            return child

    def _labelled_parent(self, parent: str) -> tuple[str, dict[str, str]]:
        """Return a parent and what identifies it; of one that was superseded, its successor's."""
        run = self._connection.client.get_run(parent)
        if run.info.lifecycle_stage != "active":
            run = preferred(self._runs.find(run.data.tags[KEY_TAG])) or run
        tags = run.data.tags
        return run.info.run_id, {name: tags[name] for name in LABEL_TAGS if name in tags}

    def _may_be_replaced(self, child: Run, parent: str) -> bool:
        """Return whether a child is this parent's, or that of one that is there no more."""
        above = child.data.tags.get(PARENT_TAG)
        return above == parent or above is None or not self._runs.is_there(above)

    def _same_child(
        self, twins: list[Run], ours: list[Run], content: str, parent: str
    ) -> str | None:
        """Return the child that has this content, below this parent where it may move there."""
        for runs in (ours, twins):
            same = [run for run in runs if run.data.tags.get(CONTENT_TAG) == content]
            if child := preferred(same):
                run_id: str = child.info.run_id
                if runs is ours and child.data.tags.get(PARENT_TAG) != parent:
                    self._connection.client.set_tag(run_id, PARENT_TAG, parent)
                return run_id
        return None

    def _write(
        self, labels: Mapping[str, str], run: TrackedRun, tags: Mapping[str, str], content: str
    ) -> str:
        """Write a new child run.

        Its content's hash comes last, so that a run cut short is never taken for a complete one.
        """
        name = run.title or f"{run.ticker} {session_name(labels)}"
        created = self._runs.create(name, tags, run.description)
        child: str = created.run_id
        with self._runs.ended_on_error(child):
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
