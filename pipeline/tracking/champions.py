"""Champions: the alias of a registered model on the version that is published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.errors import NothingStored
from pipeline.tracking.artifact_folders import artifact_folder
from pipeline.tracking.bulk_database import BulkDatabase
from pipeline.tracking.bulk_models import BulkModels, Registered
from pipeline.tracking.bulk_runs import BulkRuns
from pipeline.tracking.connection import MlflowConnection
from pipeline.tracking.entries import PublishedModel, TrackedModel
from pipeline.tracking.model_folder import write_file
from pipeline.tracking.registered_models import RegisteredModels

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

CHAMPION_ALIAS = "champion"
#: Tag of a registered model: the version that the alias points at and its model_id, or that
#: nothing is published that could be served.
CHAMPION_TAG, NO_CHAMPION = "stockcast.champion", "none"
#: Stocks whose files are written, and whose aliases are moved, in one go.
MOVED_AT_ONCE = 500


class Champions:
    """The champions of one experiment."""

    def __init__(
        self,
        connection: MlflowConnection,
        models: RegisteredModels,
        database: BulkDatabase,
        bulk: BulkRuns,
    ) -> None:
        self._connection = connection
        self._models = models
        self._database = database
        self._registry = BulkModels(database)
        self._bulk = bulk

    def set(self, champions: Mapping[str, PublishedModel | None]) -> None:
        """Point each ticker's alias at the model that is published, once its files are there.

        Args:
            champions: by ticker; None: nothing that could be served, and the alias goes.

        Raises:
            NothingStored: a network is not registered.
        """
        known = self._models.registered()
        models = {ticker: known.get(self._models.name_of(ticker)) for ticker in champions}
        if self._database.is_written:
            tickers = list(champions)
            for start in range(0, len(tickers), MOVED_AT_ONCE):
                own = {t: champions[t] for t in tickers[start : start + MOVED_AT_ONCE]}
                self._set_together(own, [t for t in own if not _is_right(models[t], own[t])])
            return
        for ticker, champion in champions.items():
            with self._connection.lock("models", self._models.name_of(ticker)):
                self._set(ticker, models[ticker], champion)

    def _set_together(
        self, champions: Mapping[str, PublishedModel | None], moved: Sequence[str]
    ) -> None:
        """Write files, and point aliases in one transaction; one that cannot be stops no other.

        Args:
            moved: the tickers whose alias is elsewhere.
        """
        names = {ticker: self._models.name_of(ticker) for ticker in champions}
        published = {ticker: each for ticker, each in champions.items() if each}
        with self._connection.lock("models", *names.values()):
            versions = self._versions(names, published)
            for ticker, version in versions.items():
                _write_files(version.location, published[ticker].served())
            pointed = {
                t: versions[t].version if champions[t] else None
                for t in moved
                if champions[t] is None or t in versions
            }
            self._registry.point(
                CHAMPION_ALIAS,
                {names[ticker]: version for ticker, version in pointed.items()},
                {names[each]: _tags(pointed[each], champions[each]) for each in pointed},
            )
        for ticker, champion in published.items():
            if ticker not in versions:
                raise _not_registered(ticker, champion.model_id, names[ticker])

    def _versions(
        self, names: Mapping[str, str], published: Mapping[str, PublishedModel]
    ) -> dict[str, Registered]:
        """Return the registered versions by ticker, those of new baselines too."""
        wanted = {each.model_id for each in published.values()}
        found = self._registry.versions([names[ticker] for ticker in published], wanted)
        versions = {
            ticker: found[names[ticker], each.model_id]
            for ticker, each in published.items()
            if (names[ticker], each.model_id) in found
        }
        new = {
            ticker: TrackedModel(each.model_id)
            for ticker, each in published.items()
            if each.is_baseline and ticker not in versions
        }
        return versions | (self._bulk.register(new) if new else {})

    def _set(
        self, ticker: str, model: RegisteredModel | None, champion: PublishedModel | None
    ) -> None:
        client, name = self._connection.client, self._models.name_of(ticker)
        version = None
        if champion:
            version = self._version(ticker, model, champion)
            if files := champion.served():
                self._models.write_files(version, files)
        if _is_right(model, champion):
            return
        current = model.aliases.get(CHAMPION_ALIAS) if model else None
        if version and str(current) != str(version.version):
            client.set_registered_model_alias(name, CHAMPION_ALIAS, version.version)
        elif not version and current is not None:
            client.delete_registered_model_alias(name, CHAMPION_ALIAS)
        for tag, value in _tags(version.version if version else None, champion).items():
            if model is None or model.tags.get(tag) != value:
                client.set_registered_model_tag(name, tag, value)

    def _version(
        self, ticker: str, model: RegisteredModel | None, champion: PublishedModel
    ) -> ModelVersion:
        """Return the registered version of a champion; a baseline's is added."""
        name, model_id = self._models.name_of(ticker), champion.model_id
        known = model.latest_versions if model else ()
        if version := self._models.version(name, model_id, known):
            return version
        if not champion.is_baseline:
            raise _not_registered(ticker, model_id, name)
        return self._models.add(None, {}, ticker, TrackedModel(model_id))


def _write_files(location: str, files: Mapping[str, bytes]) -> None:
    """Write files into the folder of a version; a reader never sees half of one."""
    if files:
        with artifact_folder(location) as folder:
            for name, content in files.items():
                draft = folder / f".{name}.draft"
                write_file(draft, content)
                draft.replace(folder / name)


def _tags(version: int | str | None, champion: PublishedModel | None) -> dict[str, str]:
    """Return the tags of a registered model that say what is published."""
    if version is None or champion is None:
        return {"published": "naive", CHAMPION_TAG: NO_CHAMPION}
    published = champion.model_id if champion.is_baseline else "network"
    return {"published": published, CHAMPION_TAG: f"{version} {champion.model_id}"}


def _not_registered(ticker: str, model_id: str, name: str) -> NothingStored:
    return NothingStored(
        f"{ticker}: model {model_id} is not registered as {name} in MLflow (any more). Delete the "
        "session's run and the ticker's below it there, if there are any, then repeat evaluate, "
        "promote and publish."
    )


def _is_right(model: RegisteredModel | None, champion: PublishedModel | None) -> bool:
    """Return whether the alias is right already: one reading of all models was then enough."""
    if model is None:
        return champion is None
    if champion is None:
        return bool(model.tags.get(CHAMPION_TAG) == NO_CHAMPION)
    version = model.aliases.get(CHAMPION_ALIAS)
    return bool(model.tags.get(CHAMPION_TAG) == f"{version} {champion.model_id}")
