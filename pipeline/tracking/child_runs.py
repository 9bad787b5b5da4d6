"""Child runs: one per stock, forecaster, trial or exercise, below its parent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.tracking.bulk_database import BulkDatabase
from pipeline.tracking.bulk_runs import BulkRuns
from pipeline.tracking.connection import MlflowConnection
from pipeline.tracking.entries import NewChild, TrackedRun
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
        self,
        connection: MlflowConnection,
        runs: ExperimentRuns,
        models: RegisteredModels,
        database: BulkDatabase,
        bulk: BulkRuns,
    ) -> None:
        self._connection = connection
        self._runs = runs
        self._models = models
        self._database = database
        self._bulk = bulk

    def record(self, parent: str, run: TrackedRun, owner: str) -> str:
        """Track a child run; return its run id.

        One child with this title remains below a parent. Nothing is written when the same content
        is there. Other content becomes a new child, and the old one goes when that is complete. The
        children of another parent with the same key are its own until it is superseded.
        """
        child = _new_child(self._labelled_parent(parent), run, owner)
        with self._connection.lock("runs", child.key):
            twins = {child.key: self._runs.find(child.key)}
            return self._recorded([child], twins, self._write_each)[child.key]

    def record_together(self, runs: Sequence[tuple[str, TrackedRun]], owner: str) -> list[str]:
        """Track child runs of different keys, each with its parent; return their run ids.

        They are as `record` would leave them. Where MLflow's database is reached, they are written
        in bulk.
        """
        if not self._database.is_written:
            return [self.record(parent, run, owner) for parent, run in runs]
        parents = {parent: self._labelled_parent(parent) for parent in {each for each, _ in runs}}
        children = [_new_child(parents[parent], run, owner) for parent, run in runs]
        keys = [child.key for child in children]
        with self._connection.lock("runs", *keys):
            ids = self._recorded(children, self._bulk.find(keys), self._bulk.write)
        return [ids[key] for key in keys]

    def _recorded(
        self,
        children: Sequence[NewChild],
        twins: Mapping[str, list[Run]],
        write: Callable[[Sequence[NewChild]], Mapping[str, str]],
    ) -> dict[str, str]:
        """Return the run ids of children by key; what is there already is not written again.

        Args:
            twins: by key, the runs that have it, oldest first.
            write: writes children that are not there; returns their run ids by key.
        """
        ours = {
            child.key: [run for run in twins[child.key] if self._may_be_replaced(run, child.parent)]
            for child in children
        }
        same = {
            child.key: self._same_child(
                twins[child.key], ours[child.key], child.content, child.parent
            )
            for child in children
        }
        written = write([child for child in children if same[child.key] is None])
        ids = {key: run_id or written[key] for key, run_id in same.items()}
        for key, runs in ours.items():
            for run in runs:
                if run.info.run_id != ids[key]:
                    self._runs.delete(run)
        return ids

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

    def _write_each(self, children: Sequence[NewChild]) -> dict[str, str]:
        return {child.key: self._write(child) for child in children}

    def _write(self, child: NewChild) -> str:
        """Write a new child run.

        Its content's hash comes last, so that a run cut short is never taken for a complete one.
        """
        run = child.run
        created = self._runs.create(child.name, child.tags, run.description)
        run_id: str = created.run_id
        with self._runs.ended_on_error(run_id):
            self._runs.log_datasets(run_id, run.datasets)
            versions = [
                self._models.register(run_id, child.labels, run.ticker, model)
                for model in run.models
            ]
            if run.model:
                self._link(run_id, versions[0])
            # The figures are also shown with the model, in the run that made it.
            made_here = run.model and versions[0].run_id == run_id
            model_id = logged_id(versions[0]) if made_here else None
            drawn = {name: draw() for name, draw in run.pictures.items()}
            self._runs.log_files(run_id, {**run.files, **drawn})
            figures: dict[str, float | list[float]] = {**run.metrics, **run.history}
            metrics = metrics_of(figures, created.start_time, model_id)
            self._runs.log(run_id, run.params, metrics, {CONTENT_TAG: child.content})
            self._connection.client.set_terminated(run_id, "FINISHED")
        return run_id

    def _link(self, run_id: str, version: ModelVersion) -> None:
        """Show a registered model on a run, whichever run it was made in."""
        from mlflow.entities import LoggedModelOutput

        client = self._connection.client
        client.log_outputs(run_id, [LoggedModelOutput(logged_id(version), step=0)])
        client.set_tag(run_id, "model_version", f"{version.name}/{version.version}")


def _new_child(parent: tuple[str, dict[str, str]], run: TrackedRun, owner: str) -> NewChild:
    """Return a child as it is to be written below a parent, given with its labels."""
    run_id, labels = parent[0], dict(parent[1])
    key = f"{labels.pop(KEY_TAG)} {run.title or run.ticker}"
    identity = {"ticker": run.ticker, KEY_TAG: key, PARENT_TAG: run_id}
    return NewChild(
        key=key,
        parent=run_id,
        name=run.title or f"{run.ticker} {session_name(labels)}",
        labels=labels,
        tags={**labels, **identity, **run.tags, OWNER_TAG: owner},
        run=run,
        content=run.content_hash(),
    )


def session_name(labels: Mapping[str, str]) -> str:
    """Return a session and its recipe, and the target where it is not the close."""
    target = "" if labels.get("target", "close") == "close" else f" {labels['target']}"
    return f"{labels.get('session', '')} {labels.get('recipe', '')}{target}".strip()
