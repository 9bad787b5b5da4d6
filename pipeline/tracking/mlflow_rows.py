"""Rows of MLflow's own tables, as its store writes them (mlflow 3.17).

Nothing is written here. Whether MLflow then reads the same as what its client writes one by one is
tested (`tests/tracking/test_bulk_runs.py`).
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Param, RunTag

#: The schema of MLflow's tables that these rows are for.
SCHEMA_REVISION = "dc11669786a5"
#: MLflow's workspace where nobody has made another.
WORKSPACE = "default"
#: How MLflow addresses a logged model.
MODELS_SCHEME = "models:/"
#: MLflow's numbers of the states of a logged model.
PENDING, READY = 1, 2


class Rows:
    """Rows by the name of their table, in which they all have the same columns."""

    def __init__(self) -> None:
        self.by_table: dict[str, list[dict[str, object]]] = {}

    def add(self, table: str, **row: object) -> None:
        """Add a row."""
        self.by_table.setdefault(table, []).append(row)

    def add_run(self, run_id: str, experiment: int, name: str, location: str, moment: int) -> None:
        """Add a run that has begun.

        Args:
            location: the address of its files.
            moment: milliseconds since 1970.
        """
        self.add(
            "runs",
            run_uuid=run_id,
            experiment_id=experiment,
            name=name,
            artifact_uri=location,
            source_type="UNKNOWN",
            source_name="",
            source_version="",
            entry_point_name="",
            user_id="unknown",
            status="RUNNING",
            start_time=moment,
            lifecycle_stage="active",
        )

    def add_tags(self, run_id: str, tags: Iterable[RunTag]) -> None:
        """Add tags of a run."""
        for tag in tags:
            self.add("tags", run_uuid=run_id, key=tag.key, value=tag.value)

    def add_params(self, run_id: str, params: Iterable[Param]) -> None:
        """Add parameters of a run."""
        for param in params:
            self.add("params", run_uuid=run_id, key=param.key, value=param.value)

    def add_metrics(self, run_id: str, experiment: int, metrics: Iterable[Metric]) -> None:
        """Add metrics of a run, and of the logged model that they are shown with.

        Args:
            metrics: each curve in the order of its steps.
        """
        latest: dict[str, dict[str, object]] = {}
        for metric in metrics:
            value = _storable(metric.value)
            row = {"run_uuid": run_id, "key": metric.key, "value": value, "is_nan": False}
            latest[metric.key] = {**row, "timestamp": metric.timestamp, "step": metric.step}
            self.add("metrics", **latest[metric.key])
            if metric.model_id:
                self.add(
                    "logged_model_metrics",
                    model_id=metric.model_id,
                    experiment_id=experiment,
                    run_id=run_id,
                    metric_name=metric.key,
                    metric_value=value,
                    metric_timestamp_ms=metric.timestamp,
                    metric_step=metric.step,
                )
        for row in latest.values():
            self.add("latest_metrics", **row)

    def add_dataset(self, experiment: int, dataset_id: str, given: DatasetInput) -> None:
        """Add a dataset that MLflow does not know yet."""
        dataset = given.dataset
        self.add(
            "datasets",
            dataset_uuid=dataset_id,
            experiment_id=experiment,
            name=dataset.name,
            digest=dataset.digest,
            dataset_source_type=dataset.source_type,
            dataset_source=dataset.source,
            dataset_schema=dataset.schema,
            dataset_profile=dataset.profile,
        )

    def add_dataset_link(self, run_id: str, dataset_id: str, given: DatasetInput) -> None:
        """Add that a run has learnt from a dataset."""
        link = self._add_link(("DATASET", dataset_id), ("RUN", run_id))
        for tag in given.tags:
            self.add("input_tags", input_uuid=link, name=tag.key, value=tag.value)

    def add_model_link(self, run_id: str, logged_id: str) -> None:
        """Add that a logged model is shown with a run."""
        self._add_link(("RUN_OUTPUT", run_id), ("MODEL_OUTPUT", logged_id))

    def _add_link(self, source: tuple[str, str], destination: tuple[str, str]) -> str:
        link = uuid.uuid4().hex
        self.add(
            "inputs",
            input_uuid=link,
            source_type=source[0],
            source_id=source[1],
            destination_type=destination[0],
            destination_id=destination[1],
            step=0,
        )
        return link

    def add_logged_model(
        self,
        logged_id: str,
        experiment: int,
        name: str,
        location: str,
        run_id: str | None,
        moment: int,
        tags: Mapping[str, str],
    ) -> None:
        """Add a logged model whose files are not there yet."""
        self.add(
            "logged_models",
            model_id=logged_id,
            experiment_id=experiment,
            name=name,
            artifact_location=location,
            creation_timestamp_ms=moment,
            last_updated_timestamp_ms=moment,
            status=PENDING,
            lifecycle_stage="active",
            model_type="forecaster",
            source_run_id=run_id,
        )
        for tag, value in tags.items():
            self.add(
                "logged_model_tags",
                model_id=logged_id,
                experiment_id=experiment,
                tag_key=tag,
                tag_value=value,
            )

    def add_registered_model(self, name: str, description: str, moment: int) -> None:
        """Add a registered model without versions."""
        self.add(
            "registered_models",
            workspace=WORKSPACE,
            name=name,
            description=description,
            creation_time=moment,
            last_updated_time=moment,
        )

    def add_version(
        self,
        name: str,
        version: int,
        source: str,
        location: str,
        run_id: str | None,
        moment: int,
        tags: Mapping[str, str],
    ) -> None:
        """Add a version of a registered model."""
        identity = {"workspace": WORKSPACE, "name": name, "version": version}
        self.add(
            "model_versions",
            **identity,
            creation_time=moment,
            last_updated_time=moment,
            source=source,
            storage_location=location,
            run_id=run_id,
        )
        for tag, value in tags.items():
            self.add("model_version_tags", **identity, key=tag, value=value)


def logged_of(source: str | None) -> str:
    """Return the id of the logged model that a version's source addresses."""
    return (source or "").removeprefix(MODELS_SCHEME)


def _storable(value: float) -> float:
    """Return the nearest number that a database keeps: MLflow has no infinities."""
    return max(-sys.float_info.max, min(value, sys.float_info.max))
