"""The plan of child runs that are written in bulk: their rows and files, put together in memory.

What one stock's fault can stop, it stops here, before anything is written.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from pipeline.tracking.artifact_folders import artifact_folder
from pipeline.tracking.bulk_models import Registered
from pipeline.tracking.entries import NewChild, TrackedDataset, TrackedModel
from pipeline.tracking.experiment_runs import (
    CONTENT_TAG,
    ExperimentRuns,
    dataset_input,
    metrics_of,
)
from pipeline.tracking.mlflow_rows import MODELS_SCHEME, Rows
from pipeline.tracking.model_folder import write_file, write_model_folder
from pipeline.tracking.registered_models import RegisteredModels, logged_name, version_tags

if TYPE_CHECKING:
    from mlflow.entities import Metric


@dataclass
class BulkPlan:
    """The rows and files of some children, and what they are made from.

    Attributes:
        moment: when they begin, in milliseconds since 1970.
        experiment: MLflow's number of it.
        location: the address of the experiment's files.
        versions: what is registered, by registered model and model_id.
        newest: the number of the newest version of each registered model.
        datasets: MLflow's ids of datasets by name and digest.
        begun: rows of runs and logged models, as they are before their files are written.
        ended: all other rows.
        files: write the files of a run or a model.
        run_ids: by key.
        logged: the ids of new logged models.
    """

    moment: int
    experiment: int
    location: str
    versions: dict[tuple[str, str], Registered]
    newest: dict[str, int]
    datasets: dict[tuple[str, str], str]
    begun: Rows = field(default_factory=Rows)
    ended: Rows = field(default_factory=Rows)
    files: list[Callable[[], None]] = field(default_factory=list)
    run_ids: dict[str, str] = field(default_factory=dict)
    logged: list[str] = field(default_factory=list)

    def add(self, child: NewChild, runs: ExperimentRuns, models: RegisteredModels) -> None:
        """Add a child with its models."""
        run, run_id = child.run, uuid.uuid4().hex
        self.run_ids[child.key] = run_id
        versions = [
            self.version(run.ticker, child.labels, run_id, model, models) for model in run.models
        ]
        own = versions[0] if run.model else None
        final = {CONTENT_TAG: child.content}
        if own:
            final["model_version"] = f"{own.name}/{own.version}"
            self.ended.add_model_link(run_id, own.logged_id)
        self._begin(run_id, child.name, runs.tags_of(child.tags, run.description))
        # The figures are also shown with the model, in the run that made it.
        made_here = own.logged_id if own and own.run_id == run_id else None
        figures: dict[str, float | list[float]] = {**run.metrics, **run.history}
        self._end(run_id, run.params, metrics_of(figures, self.moment, made_here), final)
        for dataset in run.datasets:
            self._add_dataset(run_id, dataset)
        drawn = {name: draw() for name, draw in run.pictures.items()}
        files = partial(_write_files, self._address(run_id), {**run.files, **drawn})
        self.files.append(files)

    def _begin(self, run_id: str, name: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag
        from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

        labels = {**tags, MLFLOW_RUN_NAME: name}
        self.begun.add_run(run_id, self.experiment, name, self._address(run_id), self.moment)
        self.begun.add_tags(run_id, [RunTag(key, value) for key, value in labels.items()])

    def _end(
        self,
        run_id: str,
        params: Mapping[str, object],
        metrics: list[Metric],
        tags: Mapping[str, str],
    ) -> None:
        from mlflow.entities import Param, RunTag
        from mlflow.utils.validation import _validate_batch_log_data

        # MLflow's own rules: what is too long is cut, what is no name is refused.
        checked: Callable[..., tuple[list[Metric], list[Param], list[RunTag]]] = (
            _validate_batch_log_data
        )
        figures, values, labels = checked(
            metrics,
            [Param(name, str(value)) for name, value in params.items()],
            [RunTag(name, value) for name, value in tags.items()],
        )
        self.ended.add_metrics(run_id, self.experiment, figures)
        self.ended.add_params(run_id, values)
        self.ended.add_tags(run_id, labels)

    def version(
        self,
        ticker: str,
        labels: Mapping[str, str],
        run_id: str | None,
        model: TrackedModel,
        models: RegisteredModels,
    ) -> Registered:
        """Return the version of a model; one that is not there yet is added.

        Args:
            labels, run_id: see `RegisteredModels.register`.
        """
        from mlflow.utils.validation import _validate_logged_model_name, _validate_model_name

        name = models.name_of(ticker)
        if known := self.versions.get((name, model.model_id)):
            return known
        shown, tags = logged_name(ticker, model), version_tags(labels, ticker, model)
        _validate_model_name(name)
        _validate_logged_model_name(shown)
        logged_id = f"m-{uuid.uuid4().hex}"
        address, source = self._address("models", logged_id), MODELS_SCHEME + logged_id
        if name not in self.newest:
            self.ended.add_registered_model(name, models.description_of(ticker), self.moment)
        number = self.newest[name] = self.newest.get(name, 0) + 1
        self.begun.add_logged_model(
            logged_id, self.experiment, shown, address, run_id, self.moment, tags
        )
        self.ended.add_version(name, number, source, address, run_id, self.moment, tags)
        self.files.append(partial(_write_model, address, model, run_id, logged_id))
        self.logged.append(logged_id)
        version = Registered(name, number, logged_id, run_id, address)
        self.versions[name, model.model_id] = version
        return version

    def _add_dataset(self, run_id: str, dataset: TrackedDataset) -> None:
        identity, given = (dataset.name, dataset.digest), dataset_input(dataset)
        if identity not in self.datasets:
            self.datasets[identity] = uuid.uuid4().hex
            self.ended.add_dataset(self.experiment, self.datasets[identity], given)
        self.ended.add_dataset_link(run_id, self.datasets[identity], given)

    def _address(self, *names: str) -> str:
        """Return the address of the artifacts of a run or model."""
        from mlflow.utils.uri import append_to_uri_path

        below: Callable[..., str] = append_to_uri_path
        return below(self.location, *names, "artifacts")


def _write_files(location: str, files: Mapping[str, bytes]) -> None:
    if files:
        with artifact_folder(location) as folder:
            for name, content in files.items():
                write_file(folder / name, content)


def _write_model(location: str, model: TrackedModel, run_id: str | None, logged_id: str) -> None:
    with artifact_folder(location) as folder:
        write_model_folder(folder, model, run_id, logged_id, location)
