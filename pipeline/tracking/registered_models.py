"""Registered models: a version per training cutoff, the alias `champion` on what is published."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import NothingStored
from pipeline.leftovers import TemporaryFolder
from pipeline.tracking.connection import MlflowConnection, unless_taken
from pipeline.tracking.entries import TrackedModel
from pipeline.tracking.model_folder import write_model_folder

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel
    from mlflow.store.entities.paged_list import PagedList

Found = TypeVar("Found")

CHAMPION_ALIAS = "champion"
#: Tag of a registered model: the version that the alias points at and its model_id, or that no
#: network is published.
CHAMPION_TAG, NO_CHAMPION = "stockcast.champion", "none"
#: Registered models that are read at once.
MODELS_A_PAGE = 500
#: Versions of models that are read at once.
VERSIONS_A_PAGE = 5000
#: Seconds that a new version may take to be ready.
REGISTRATION_SECONDS = 30
#: How MLflow addresses a logged model.
MODELS_SCHEME = "models:/"
MODEL_DESCRIPTION = """\
Networks of **{ticker}** in the universe `{universe}`, a version per training cutoff. The alias \
`champion` is on the one that is published today; where none has it, a random walk is published, \
since no network was better on the evidence. Not financial advice.
"""


class RegisteredModels:
    """The registered models of one experiment, one per ticker."""

    def __init__(self, connection: MlflowConnection) -> None:
        self._connection = connection

    def register(
        self, run_id: str, labels: Mapping[str, str], ticker: str, model: TrackedModel
    ) -> ModelVersion:
        """Return the version of a model, logged and registered where it is not there yet.

        Args:
            run_id: the run that it is made in.
            labels: of that run; recipe and target are taken over.
        """
        name = self._name_of(ticker)
        with self._connection.lock("models", name):
            if known := self._version(name, model.model_id):
                return known
            tags = {
                "model_id": model.model_id,
                "ticker": ticker,
                "training_cutoff": str(model.training_cutoff),
                **{label: labels[label] for label in ("recipe", "target")},
            }
            logged = self._log_model(run_id, ticker, model, tags)
            return self._create_version(name, ticker, logged, run_id, tags)

    def _log_model(
        self, run_id: str, ticker: str, model: TrackedModel, tags: dict[str, str]
    ) -> str:
        """Log a model with its folder; return MLflow's id of it."""
        client = self._connection.client
        logged = client.create_logged_model(
            self._connection.experiment_id,
            name=f"{ticker} {model.training_cutoff}".replace(".", "-"),  # no dots allowed here
            source_run_id=run_id,
            tags=tags,
            model_type="forecaster",
        )
        logged_model: str = logged.model_id
        with TemporaryFolder("mlflow") as folder:
            write_model_folder(folder, model, run_id, logged_model, logged.artifact_location)
            client.log_model_artifacts(logged_model, str(folder))
        client.finalize_logged_model(logged_model, "READY")
        return logged_model

    def _create_version(
        self, name: str, ticker: str, logged_model: str, run_id: str, tags: dict[str, str]
    ) -> ModelVersion:
        import mlflow

        client, universe = self._connection.client, self._connection.experiment
        description = MODEL_DESCRIPTION.format(ticker=ticker, universe=universe)
        with unless_taken():
            client.create_registered_model(name, description=description)
        # The registry looks the model up at MLflow's global address, not at the client's.
        mlflow.set_tracking_uri(self._connection.uri)
        return client.create_model_version(
            name,
            f"{MODELS_SCHEME}{logged_model}",
            run_id=run_id,
            tags=tags,
            model_id=logged_model,
            await_creation_for=REGISTRATION_SECONDS,
        )

    def set_champions(self, champions: Mapping[str, str | None]) -> None:
        """Point each ticker's alias at the model that is published.

        Args:
            champions: by ticker a model_id; None: a baseline is published, and the alias goes.

        Raises:
            NothingStored: a model is not registered.
        """
        known = self._registered()
        for ticker, model_id in champions.items():
            name = self._name_of(ticker)
            model = known.get(name)
            if not _is_up_to_date(model, model_id):
                with self._connection.lock("models", name):
                    self._set_champion(name, model, ticker, model_id)

    def _set_champion(
        self, name: str, model: RegisteredModel | None, ticker: str, model_id: str | None
    ) -> None:
        client = self._connection.client
        version = None
        if model_id:
            version = self._version(name, model_id, model.latest_versions if model else ())
            if version is None:
                raise NothingStored(
                    f"{ticker}: model {model_id} is not registered as {name} in MLflow (any "
                    "more). Delete the session's run and the ticker's below it there, if there "
                    "are any, then repeat evaluate, promote and publish."
                )
        current = model.aliases.get(CHAMPION_ALIAS) if model else None
        if version and str(current) != str(version.version):
            client.set_registered_model_alias(name, CHAMPION_ALIAS, version.version)
        elif not version and current is not None:
            client.delete_registered_model_alias(name, CHAMPION_ALIAS)
        champion = f"{version.version} {model_id}" if version else NO_CHAMPION
        tags = {"published": "network" if version else "naive", CHAMPION_TAG: champion}
        for tag, value in tags.items():
            if model is None or model.tags.get(tag) != value:
                client.set_registered_model_tag(name, tag, value)

    def superseded(self, needed: Collection[str], before: int) -> list[ModelVersion]:
        """Return the versions of networks that nobody needs: no alias is on them.

        Args:
            needed: the model_ids of networks that are needed.
            before: those that were made since stay; milliseconds since 1970.
        """
        aliases = {
            (model.name, str(version))
            for model in self._registered().values()
            for version in model.aliases.values()
        }
        return [
            version
            for version in self._versions()
            if version.creation_timestamp < before
            and version.tags.get("model_id") not in needed
            and (version.name, str(version.version)) not in aliases
        ]

    def delete(self, version: ModelVersion) -> None:
        """Delete a version and the logged model behind it, which `mlflow gc` then removes."""
        from mlflow.exceptions import MlflowException

        client = self._connection.client
        try:
            client.delete_logged_model(logged_id(version))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # a killed process came so far
                raise
        client.delete_model_version(version.name, version.version)

    def _versions(self) -> Iterator[ModelVersion]:
        """Yield all versions of all registered models of this experiment."""
        return self._found(self._connection.client.search_model_versions, VERSIONS_A_PAGE)

    def _name_of(self, ticker: str) -> str:
        return f"{self._connection.experiment}.{ticker}"

    def _registered(self) -> dict[str, RegisteredModel]:
        """Return all registered models of this experiment by name."""
        models = self._found(self._connection.client.search_registered_models, MODELS_A_PAGE)
        return {model.name: model for model in models}

    def _found(self, search: Callable[..., PagedList[Found]], a_page: int) -> Iterator[Found]:
        """Yield all that one of the client's searches finds of this experiment's models."""
        query, token = f"name LIKE '{self._connection.experiment}.%'", None
        while True:
            page = search(query, max_results=a_page, page_token=token)
            yield from page
            if not (token := page.token):
                return

    def _version(
        self, name: str, model_id: str, known: Iterable[ModelVersion] = ()
    ) -> ModelVersion | None:
        """Return the registered version of a network, from `known` where it is among them."""
        for version in known:
            if version.tags.get("model_id") == model_id:
                return version
        query = f"name = '{name}' and tags.model_id = '{model_id}'"
        versions = self._connection.client.search_model_versions(query)
        return min(versions, key=lambda version: int(version.version), default=None)


def _is_up_to_date(model: RegisteredModel | None, model_id: str | None) -> bool:
    """Return whether the alias is right already: one reading of all models was then enough."""
    if model is None:
        return model_id is None
    if model_id is None:
        return bool(model.tags.get(CHAMPION_TAG) == NO_CHAMPION)
    version = model.aliases.get(CHAMPION_ALIAS)
    return bool(model.tags.get(CHAMPION_TAG) == f"{version} {model_id}")


def logged_id(version: ModelVersion) -> str:
    """Return the id of the logged model behind a version.

    The version's own `model_id` is not filled in by a database (mlflow 3.17).
    """
    return (version.source or "").removeprefix(MODELS_SCHEME)
