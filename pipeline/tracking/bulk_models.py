"""Registered models in bulk: what is registered of many stocks, and where aliases point."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pipeline.tracking.bulk_database import BulkDatabase
from pipeline.tracking.mlflow_rows import WORKSPACE, Rows, logged_of

#: The stage of a version that was deleted, as MLflow's registry keeps it.
DELETED_STAGE = "Deleted_Internal"


@dataclass(frozen=True)
class Registered:
    """A version of a registered model.

    Attributes:
        logged_id: MLflow's id of the logged model behind it.
        run_id: the run that it was made in; None: in none.
        location: the address of its files.
    """

    name: str
    version: int
    logged_id: str
    run_id: str | None
    location: str


class BulkModels:
    """The registered models of an experiment, many at a time."""

    def __init__(self, database: BulkDatabase) -> None:
        self._database = database

    def versions(
        self, names: Collection[str], model_ids: Collection[str]
    ) -> dict[tuple[str, str], Registered]:
        """Return the first version of each network that is registered, by name and model_id."""
        versions, tags = (
            self._database.table(name) for name in ("model_versions", "model_version_tags")
        )
        same = (tags.c[column] == versions.c[column] for column in ("workspace", "name", "version"))
        columns = tuple(
            versions.c[name] for name in ("name", "version", "source", "run_id", "storage_location")
        )
        query = (
            sa.select(tags.c.value, *columns)
            .join(tags, sa.and_(*same))
            .where(
                versions.c.workspace == WORKSPACE,
                versions.c.name.in_(names),
                versions.c.current_stage != DELETED_STAGE,
                tags.c.key == "model_id",
                tags.c.value.in_(model_ids),
            )
            .order_by(versions.c.version.desc())
        )
        with self._database.transaction() as connection:
            return {
                (name, model_id): Registered(name, version, logged_of(source), run_id, location)
                for model_id, name, version, source, run_id, location in connection.execute(query)
            }

    def newest_numbers(self, names: Collection[str]) -> dict[str, int]:
        """Return the number of the newest version of each registered model; 0: it has none."""
        models, versions = (
            self._database.table(name) for name in ("registered_models", "model_versions")
        )
        same = sa.and_(versions.c.workspace == models.c.workspace, versions.c.name == models.c.name)
        newest = sa.func.coalesce(sa.func.max(versions.c.version), 0)
        query = (
            sa.select(models.c.name, newest)
            .join(versions, same, isouter=True)
            .where(models.c.workspace == WORKSPACE, models.c.name.in_(names))
            .group_by(models.c.name)
        )
        with self._database.transaction() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def touch(self, connection: sa.Connection, names: Collection[str], moment: int) -> None:
        """Note that registered models have changed, in milliseconds since 1970."""
        models = self._database.table("registered_models")
        connection.execute(
            sa.update(models)
            .where(models.c.workspace == WORKSPACE, models.c.name.in_(names))
            .values(last_updated_time=moment)
        )

    def point(
        self,
        alias: str,
        versions: Mapping[str, int | None],
        tags: Mapping[str, Mapping[str, str]],
    ) -> None:
        """Point an alias of registered models at versions, and set tags of them.

        Args:
            versions: by registered model; None: the alias goes.
            tags: by registered model, all of the same names.
        """
        names, rows = list(versions), Rows()
        for name, version in versions.items():
            identity = {"workspace": WORKSPACE, "name": name}
            if version is not None:
                rows.add("registered_model_aliases", **identity, alias=alias, version=version)
            for tag, value in tags[name].items():
                rows.add("registered_model_tags", **identity, key=tag, value=value)
        keys = sorted({tag for each in tags.values() for tag in each})
        with self._database.transaction() as connection:
            self._clear(connection, "registered_model_aliases", names, "alias", [alias])
            self._clear(connection, "registered_model_tags", names, "key", keys)
            self._database.insert(connection, rows)

    def _clear(
        self,
        connection: sa.Connection,
        table_name: str,
        names: Sequence[str],
        column: str,
        values: Sequence[str],
    ) -> None:
        table = self._database.table(table_name)
        connection.execute(
            sa.delete(table).where(
                table.c.workspace == WORKSPACE,
                table.c.name.in_(names),
                table.c[column].in_(values),
            )
        )
