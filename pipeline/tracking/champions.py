"""Champions: the alias of a registered model on the version that is published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.errors import NothingStored
from pipeline.tracking.bulk_database import BulkDatabase
from pipeline.tracking.bulk_models import BulkModels
from pipeline.tracking.connection import MlflowConnection
from pipeline.tracking.registered_models import RegisteredModels

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel

CHAMPION_ALIAS = "champion"
#: Tag of a registered model: the version that the alias points at and its model_id, or that no
#: network is published.
CHAMPION_TAG, NO_CHAMPION = "stockcast.champion", "none"
#: Aliases that are moved in one transaction.
MOVED_AT_ONCE = 500


class Champions:
    """The champions of one experiment."""

    def __init__(
        self, connection: MlflowConnection, models: RegisteredModels, database: BulkDatabase
    ) -> None:
        self._connection = connection
        self._models = models
        self._database = database
        self._bulk = BulkModels(database)

    def set(self, champions: Mapping[str, str | None]) -> None:
        """Point each ticker's alias at the model that is published.

        Args:
            champions: by ticker a model_id; None: a baseline is published, and the alias goes.

        Raises:
            NothingStored: a model is not registered.
        """
        known = self._models.registered()
        models = {ticker: known.get(self._models.name_of(ticker)) for ticker in champions}
        moved = [
            ticker
            for ticker, model_id in champions.items()
            if not _is_up_to_date(models[ticker], model_id)
        ]
        if self._database.is_written:
            for start in range(0, len(moved), MOVED_AT_ONCE):
                self._set_together({t: champions[t] for t in moved[start : start + MOVED_AT_ONCE]})
            return
        for ticker in moved:
            with self._connection.lock("models", self._models.name_of(ticker)):
                self._set(ticker, models[ticker], champions[ticker])

    def _set_together(self, champions: Mapping[str, str | None]) -> None:
        """Point aliases in one transaction; one that cannot be pointed stops no other."""
        names = {ticker: self._models.name_of(ticker) for ticker in champions}
        with self._connection.lock("models", *names.values()):
            wanted = {model_id for model_id in champions.values() if model_id}
            found = self._bulk.versions(names.values(), wanted)
            versions = {
                ticker: found[names[ticker], model_id].version if model_id else None
                for ticker, model_id in champions.items()
                if not model_id or (names[ticker], model_id) in found
            }
            self._bulk.point(
                CHAMPION_ALIAS,
                {names[ticker]: version for ticker, version in versions.items()},
                {names[each]: _tags(versions[each], champions[each]) for each in versions},
            )
        for ticker, model_id in champions.items():
            if ticker not in versions:
                raise _not_registered(ticker, str(model_id), names[ticker])

    def _set(self, ticker: str, model: RegisteredModel | None, model_id: str | None) -> None:
        client, name = self._connection.client, self._models.name_of(ticker)
        version = None
        if model_id:
            version = self._models.version(name, model_id, model.latest_versions if model else ())
            if version is None:
                raise _not_registered(ticker, model_id, name)
        current = model.aliases.get(CHAMPION_ALIAS) if model else None
        if version and str(current) != str(version.version):
            client.set_registered_model_alias(name, CHAMPION_ALIAS, version.version)
        elif not version and current is not None:
            client.delete_registered_model_alias(name, CHAMPION_ALIAS)
        for tag, value in _tags(version.version if version else None, model_id).items():
            if model is None or model.tags.get(tag) != value:
                client.set_registered_model_tag(name, tag, value)


def _tags(version: int | str | None, model_id: str | None) -> dict[str, str]:
    """Return the tags of a registered model that say what is published."""
    if version is None:
        return {"published": "naive", CHAMPION_TAG: NO_CHAMPION}
    return {"published": "network", CHAMPION_TAG: f"{version} {model_id}"}


def _not_registered(ticker: str, model_id: str, name: str) -> NothingStored:
    return NothingStored(
        f"{ticker}: model {model_id} is not registered as {name} in MLflow (any more). Delete the "
        "session's run and the ticker's below it there, if there are any, then repeat evaluate, "
        "promote and publish."
    )


def _is_up_to_date(model: RegisteredModel | None, model_id: str | None) -> bool:
    """Return whether the alias is right already: one reading of all models was then enough."""
    if model is None:
        return model_id is None
    if model_id is None:
        return bool(model.tags.get(CHAMPION_TAG) == NO_CHAMPION)
    version = model.aliases.get(CHAMPION_ALIAS)
    return bool(model.tags.get(CHAMPION_TAG) == f"{version} {model_id}")
