"""MLflow's database, written many rows at a time: its own tables, one transaction for a shard.

MLflow's client takes some 60 transactions for a stock's run with its models. What is written here
is compared with what the client writes by `tests/tracking/test_bulk_runs.py`, for the schema that
`mlflow_rows.SCHEMA_REVISION` names; with another one, or behind an MLflow server, the client does
it.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import sqlalchemy as sa

from pipeline.tracking.connection import MlflowConnection
from pipeline.tracking.mlflow_database import engine_of, installed_revision
from pipeline.tracking.mlflow_rows import SCHEMA_REVISION, Rows

if TYPE_CHECKING:
    from mlflow.entities import Run

#: Values that a query names at once.
NAMED_AT_ONCE = 1000


class BulkDatabase:
    """The database of a connection, for writing in bulk. It is opened when it is first used."""

    def __init__(self, connection: MlflowConnection) -> None:
        self._connection = connection

    @cached_property
    def is_written(self) -> bool:
        """True where this program writes to MLflow's tables itself."""
        _ = self._connection.client  # the tables are then there
        database = self._connection.database
        return database is not None and installed_revision() == SCHEMA_REVISION

    def close(self) -> None:
        """Give back all connections."""
        if "_engine" in self.__dict__:
            self._engine.dispose()

    def table(self, name: str) -> sa.Table:
        """Return one of MLflow's tables."""
        return self._tables.tables[name]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Yield a connection; what it does is kept together, or not at all."""
        with self._engine.begin() as connection:
            yield connection

    def insert(self, connection: sa.Connection, rows: Rows) -> None:
        """Insert rows, those that others refer to first."""
        for table in self._tables.sorted_tables:
            if table.name in rows.by_table:
                connection.execute(sa.insert(table), rows.by_table[table.name])

    def runs_with_tag(self, tag: str, values: Sequence[str], shown: Sequence[str]) -> list[Run]:
        """Return the runs with one of these values of a tag, oldest first, without most tags.

        Runs that were deleted do not count.

        Args:
            shown: the tags that are read.
        """
        from mlflow.entities import Run, RunData, RunInfo, RunTag

        runs, tags, labels = self.table("runs"), self.table("tags"), self.table("tags").alias()
        experiment = self._connection.experiment_id
        query = (
            sa.select(
                runs.c.run_uuid, runs.c.status, runs.c.start_time, labels.c.key, labels.c.value
            )
            .join(tags, tags.c.run_uuid == runs.c.run_uuid)
            .join(labels, labels.c.run_uuid == runs.c.run_uuid)
            .where(
                tags.c.key == tag,
                tags.c.value.in_(values),
                labels.c.key.in_(shown),
                runs.c.experiment_id == int(experiment),
                runs.c.lifecycle_stage == "active",
            )
            .order_by(runs.c.start_time, runs.c.run_uuid)
        )
        with self.transaction() as connection:
            rows = connection.execute(query).all()
        infos: dict[str, RunInfo] = {}
        read: dict[str, list[RunTag]] = defaultdict(list)
        for run_id, status, start, key, value in rows:
            infos[run_id] = RunInfo(run_id, experiment, "", status, start, None, "active")
            read[run_id].append(RunTag(key, value))
        return [Run(infos[run_id], RunData(tags=read[run_id])) for run_id in infos]

    @cached_property
    def _engine(self) -> sa.Engine:
        if self._connection.database is None:
            raise ValueError("An MLflow server has a database of its own.")
        return engine_of(self._connection.database, sa.QueuePool)

    @cached_property
    def _tables(self) -> sa.MetaData:
        from mlflow.store.db.base_sql_model import Base
        from mlflow.store.model_registry.dbmodels import models as registry
        from mlflow.store.tracking.dbmodels import models as tracking

        _ = registry, tracking  # importing them fills it
        metadata: sa.MetaData = Base.metadata
        return metadata
