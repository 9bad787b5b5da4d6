"""Child runs in bulk: those of a shard, with their models, in two transactions.

The first makes the runs, RUNNING, and the models behind them; then come the files; the second adds
all the rest and ends the runs. So a run that is cut short is known by its owner, like any other.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from pipeline.tracking.bulk_database import BulkDatabase
from pipeline.tracking.bulk_models import BulkModels, Registered
from pipeline.tracking.bulk_plan import BulkPlan
from pipeline.tracking.connection import MlflowConnection
from pipeline.tracking.entries import NewChild, TrackedModel
from pipeline.tracking.experiment_runs import CONTENT_TAG, KEY_TAG, PARENT_TAG, ExperimentRuns
from pipeline.tracking.mlflow_rows import READY
from pipeline.tracking.registered_models import RegisteredModels

if TYPE_CHECKING:
    from mlflow.entities import Run


class BulkRuns:
    """The child runs of one experiment, many at a time."""

    def __init__(
        self,
        connection: MlflowConnection,
        runs: ExperimentRuns,
        models: RegisteredModels,
        database: BulkDatabase,
    ) -> None:
        self._connection = connection
        self._runs = runs
        self._models = models
        self._database = database
        self._registry = BulkModels(database)

    def find(self, keys: Sequence[str]) -> dict[str, list[Run]]:
        """Return by key the runs with it, oldest first, each with the tags that identify it."""
        found: dict[str, list[Run]] = defaultdict(list)
        for run in self._database.runs_with_tag(KEY_TAG, keys, (KEY_TAG, CONTENT_TAG, PARENT_TAG)):
            found[run.data.tags[KEY_TAG]].append(run)
        return found

    def write(self, children: Sequence[NewChild]) -> dict[str, str]:
        """Write new child runs of different keys; return their run ids by key."""
        if not children:
            return {}
        names = {self._models.name_of(child.run.ticker) for child in children if child.run.models}
        with self._connection.lock("models", *names):
            model_ids = {model.model_id for child in children for model in child.run.models}
            plan = self._plan(names, model_ids, self._datasets(children))
            for child in children:
                plan.add(child, self._runs, self._models)
            with self._database.transaction() as connection:
                self._database.insert(connection, plan.begun)
            with self._runs.ended_on_error(*plan.run_ids.values()):
                for write_files in plan.files:
                    write_files()
                self._end(plan)
        return plan.run_ids

    def register(self, models: Mapping[str, TrackedModel]) -> dict[str, Registered]:
        """Register models that no run has made; return their versions by ticker.

        The caller holds the locks of their names.
        """
        names = {self._models.name_of(ticker) for ticker in models}
        plan = self._plan(names, {model.model_id for model in models.values()}, {})
        versions = {
            ticker: plan.version(ticker, {}, None, model, self._models)
            for ticker, model in models.items()
        }
        with self._database.transaction() as connection:
            self._database.insert(connection, plan.begun)
        for write_files in plan.files:
            write_files()
        self._end(plan)
        return versions

    def _plan(
        self,
        names: Collection[str],
        model_ids: Collection[str],
        datasets: dict[tuple[str, str], str],
    ) -> BulkPlan:
        experiment = self._connection.experiment_id
        return BulkPlan(
            moment=_now(),
            experiment=int(experiment),
            location=self._connection.client.get_experiment(experiment).artifact_location,
            versions=self._registry.versions(names, model_ids),
            newest=self._registry.newest_numbers(names),
            datasets=datasets,
        )

    def _datasets(self, children: Sequence[NewChild]) -> dict[tuple[str, str], str]:
        """Return MLflow's ids of the children's datasets that it knows, by name and digest."""
        table = self._database.table("datasets")
        names = {dataset.name for child in children for dataset in child.run.datasets}
        query = sa.select(table.c.name, table.c.digest, table.c.dataset_uuid).where(
            table.c.experiment_id == int(self._connection.experiment_id), table.c.name.in_(names)
        )
        with self._database.transaction() as connection:
            return {(name, digest): key for name, digest, key in connection.execute(query)}

    def _end(self, plan: BulkPlan) -> None:
        """Add all but what has begun, and end the runs."""
        runs, models = (self._database.table(name) for name in ("runs", "logged_models"))
        changed = {str(row["name"]) for row in plan.ended.by_table.get("model_versions", [])}
        with self._database.transaction() as connection:
            self._database.insert(connection, plan.ended)
            self._registry.touch(connection, changed, plan.moment)
            connection.execute(
                sa.update(models)
                .where(models.c.model_id.in_(plan.logged))
                .values(status=READY, last_updated_timestamp_ms=_now())
            )
            connection.execute(
                sa.update(runs)
                .where(runs.c.run_uuid.in_(list(plan.run_ids.values())))
                .values(status="FINISHED", end_time=_now())
            )


def _now() -> int:
    return time.time_ns() // 1_000_000
