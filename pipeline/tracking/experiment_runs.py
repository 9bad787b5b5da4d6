"""The runs of one experiment as MLflow keeps them: found by tags, made, written in batches."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.leftovers import TemporaryFolder
from pipeline.tracking.connection import DESCRIPTION_TAG, MlflowConnection
from pipeline.tracking.entries import Origin, TrackedDataset
from pipeline.tracking.model_folder import write_file

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Run, RunInfo

#: Identify a run and its content for this program; readable tags (session, recipe, target, ticker)
#: are for people.
KEY_TAG, CONTENT_TAG = "stockcast.key", "stockcast.content_hash"
#: Who will end a run (see `owners`), and why it failed.
OWNER_TAG, FAILURE_TAG = "stockcast.owner", "failure"
#: A run's link back to what asked for it, which also ends its description.
LINK_TAG = "stockcast.link"
#: MLflow's own tag of a child run.
PARENT_TAG = "mlflow.parentRunId"
#: What MLflow takes in one `log_batch`.
BATCH = 1000
#: Runs that are read at once.
MOST_RUNNING, MOST_CHILDREN = 5_000, 10_000


class ExperimentRuns:
    """The runs of a connection's experiment.

    Args:
        tags: of every run that is made.
        origin: what asks for the runs; None: this process does.
    """

    def __init__(
        self, connection: MlflowConnection, tags: Mapping[str, str], origin: Origin | None
    ) -> None:
        self._connection = connection
        self._tags = dict(tags)
        self._origin = origin

    def find(self, key: str) -> list[Run]:
        """Return the runs with this key, oldest first; deleted runs do not count."""
        return list(
            self._connection.client.search_runs(
                [self._connection.experiment_id],
                f"tags.`{KEY_TAG}` = '{key}'",
                order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
            )
        )

    def running(self) -> list[Run]:
        """Return the runs that nobody has ended."""
        return list(
            self._connection.client.search_runs(
                [self._connection.experiment_id],
                "attributes.status = 'RUNNING'",
                max_results=MOST_RUNNING,
            )
        )

    def running_of(self, owner: str) -> list[Run]:
        """Return the runs that an owner has not ended, of all experiments."""
        client = self._connection.client
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        query = f"attributes.status = 'RUNNING' AND tags.`{OWNER_TAG}` = '{owner}'"
        return list(client.search_runs(experiments, query, max_results=MOST_RUNNING))

    def running_of_processes(self) -> list[Run]:
        """Return the runs that a process of this program has not ended, of all experiments."""
        client = self._connection.client
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        owned = f"tags.`{OWNER_TAG}` LIKE '{{%'"  # the name of a process is a JSON object
        query = f"attributes.status = 'RUNNING' AND {owned}"
        return list(client.search_runs(experiments, query, max_results=MOST_RUNNING))

    def create(self, name: str, tags: Mapping[str, str], description: str = "") -> RunInfo:
        """Make a run, with a link back to what asked for it."""
        client, experiment = self._connection.client, self._connection.experiment_id
        labels = self.tags_of(tags, description)
        return client.create_run(experiment, run_name=name, tags=labels).info

    def tags_of(self, tags: Mapping[str, str], description: str) -> dict[str, str]:
        """Return all tags of a new run: its own, its description, and what made it."""
        origin = self._origin
        link = f"[Airflow: run {origin.dag_run}]({origin.url})" if origin else ""
        text = "\n\n".join(filter(None, [description, link]))
        notes = {LINK_TAG: link, DESCRIPTION_TAG: text}
        return {
            "mlflow.source.name": "stockcast",
            "mlflow.source.type": "JOB",
            **self._tags,
            **{tag: note for tag, note in notes.items() if note},
            **tags,
        }

    def log(
        self,
        run_id: str,
        params: Mapping[str, object],
        metrics: list[Metric],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log in batches, the last of them with the tags."""
        from mlflow.entities import Param, RunTag

        values = [Param(name, str(value)) for name, value in params.items()]
        labels = [RunTag(name, value) for name, value in (tags or {}).items()]
        size = BATCH - len(values) - len(labels)
        for start in range(0, max(len(metrics), 1), size):
            self._connection.client.log_batch(
                run_id,
                metrics=metrics[start : start + size],
                params=values if start == 0 else (),
                tags=labels if start + size >= len(metrics) else (),
            )

    def log_files(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Log artifacts by name."""
        if not files:
            return
        with TemporaryFolder("mlflow") as folder:
            for name, data in files.items():
                write_file(folder / name, data)
            self._connection.client.log_artifacts(run_id, str(folder))

    def log_datasets(self, run_id: str, datasets: Iterable[TrackedDataset]) -> None:
        """Log what a run has learnt from."""
        inputs = [dataset_input(dataset) for dataset in datasets]
        if inputs:
            self._connection.client.log_inputs(run_id, inputs)

    def children(self, parent: str) -> list[Run]:
        """Return the runs below a run."""
        return list(
            self._connection.client.search_runs(
                [self._connection.experiment_id],
                f"tags.`{PARENT_TAG}` = '{parent}'",
                max_results=MOST_CHILDREN,
            )
        )

    def is_there(self, run_id: str) -> bool:
        """Return whether MLflow has a run, and nobody has deleted it."""
        from mlflow.exceptions import MlflowException

        try:
            run = self._connection.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return bool(run.info.lifecycle_stage == "active")

    def delete(self, run: Run) -> None:
        """Delete a run; one that is still open ends as KILLED."""
        if run.info.status == "RUNNING":
            self._connection.client.set_terminated(run.info.run_id, "KILLED")
        self._connection.client.delete_run(run.info.run_id)

    @contextlib.contextmanager
    def ended_on_error(self, *run_ids: str) -> Iterator[None]:
        """End runs that cannot be written: FAILED, or KILLED by an interrupt."""
        try:
            yield
        except BaseException as error:
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            # What cannot be ended because MLflow is away is found later by its owner.
            with contextlib.suppress(Exception):
                for run_id in run_ids:
                    self._connection.client.set_terminated(run_id, status)
            raise


def preferred(runs: Sequence[Run]) -> Run | None:
    """Return the newest finished one of runs, else the newest that runs, else the newest.

    Args:
        runs: the oldest first.
    """
    worth = {"FINISHED": 2, "RUNNING": 1}
    return max(reversed(runs), key=lambda run: worth.get(run.info.status, 0), default=None)


def metrics_of(
    values: Mapping[str, float | list[float]], moment: int, model_id: str | None = None
) -> list[Metric]:
    """Return MLflow's metrics, sorted by name: its pages keep the order.

    Args:
        values: a list is a curve, one value per step; NaN is left out.
        moment: milliseconds since 1970.
        model_id: the logged model that they are shown with; None: none.
    """
    from mlflow.entities import Metric

    curves = {name: each if isinstance(each, list) else [each] for name, each in values.items()}
    return [
        Metric(name, float(value), moment, step, model_id=model_id)
        for name, curve in sorted(curves.items())
        for step, value in enumerate(curve)
        if value == value  # not NaN
    ]


def dataset_input(dataset: TrackedDataset) -> DatasetInput:
    """Return a dataset as MLflow takes it for the input of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    columns = [{"type": "double", "name": name, "required": True} for name in dataset.columns]
    scheme, is_url, _ = dataset.url.partition("://")
    entity = Dataset(
        dataset.name,
        dataset.digest,
        scheme if is_url else "local",
        json.dumps({"uri": dataset.url}),
        json.dumps({"mlflow_colspec": columns}),
        json.dumps({"num_rows": dataset.rows}),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", dataset.context)])
