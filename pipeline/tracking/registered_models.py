"""Registered models: one per ticker, with a version per training cutoff."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from pipeline.leftovers import TemporaryFolder
from pipeline.tracking.connection import MlflowConnection, unless_taken
from pipeline.tracking.entries import TrackedModel
from pipeline.tracking.mlflow_rows import MODELS_SCHEME, logged_of
from pipeline.tracking.model_folder import write_file, write_model_folder

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel
    from mlflow.store.entities.paged_list import PagedList

Found = TypeVar("Found")

#: Registered models that are read at once.
MODELS_A_PAGE = 500
#: Versions of models that are read at once.
VERSIONS_A_PAGE = 5000
#: Seconds that a new version may take to be ready.
REGISTRATION_SECONDS = 30
MODEL_DESCRIPTION = """\
Models of **{ticker}** in the universe `{universe}`: a version per network and training cutoff, \
and one per baseline that has been published. The alias `champion` is on the one that is published \
today, as of its newest session: it takes the price rows up to that session and answers with the \
published quantiles. Not financial advice.
"""


class RegisteredModels:
    """The registered models of one experiment, one per ticker."""

    def __init__(self, connection: MlflowConnection) -> None:
        self._connection = connection

    def register(
        self, run_id: str | None, labels: Mapping[str, str], ticker: str, model: TrackedModel
    ) -> ModelVersion:
        """Return the version of a model, logged and registered where it is not there yet.

        Args:
            run_id: the run that it is made in; None: in none.
            labels: of that run; recipe and target are taken over.
        """
        name = self.name_of(ticker)
        with self._connection.lock("models", name):
            if known := self.version(name, model.model_id):
                return known
            return self.add(run_id, labels, ticker, model)

    def add(
        self, run_id: str | None, labels: Mapping[str, str], ticker: str, model: TrackedModel
    ) -> ModelVersion:
        """Log and register a model that is not there; see `register`, whose lock is held."""
        tags = version_tags(labels, ticker, model)
        logged = self._log_model(run_id, ticker, model, tags)
        return self._create_version(self.name_of(ticker), ticker, logged, run_id, tags)

    def write_files(self, version: ModelVersion, files: Mapping[str, bytes]) -> None:
        """Write files into the folder of a version."""
        with TemporaryFolder("mlflow") as folder:
            for name, content in files.items():
                write_file(folder / name, content)
            self._connection.client.log_model_artifacts(logged_id(version), str(folder))

    def _log_model(
        self, run_id: str | None, ticker: str, model: TrackedModel, tags: dict[str, str]
    ) -> str:
        """Log a model with its folder; return MLflow's id of it."""
        client = self._connection.client
        logged = client.create_logged_model(
            self._connection.experiment_id,
            name=logged_name(ticker, model),
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
        self, name: str, ticker: str, logged_model: str, run_id: str | None, tags: dict[str, str]
    ) -> ModelVersion:
        import mlflow

        client = self._connection.client
        with unless_taken():
            client.create_registered_model(name, description=self.description_of(ticker))
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

    def superseded(self, needed: Collection[str], before: int) -> list[ModelVersion]:
        """Return the versions of networks that nobody needs: no alias is on them.

        Args:
            needed: the model_ids of networks that are needed.
            before: those that were made since stay; milliseconds since 1970.
        """
        aliases = {
            (model.name, str(version))
            for model in self.registered().values()
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

    def name_of(self, ticker: str) -> str:
        """Return the name of a ticker's registered model."""
        return f"{self._connection.experiment}.{ticker}"

    def description_of(self, ticker: str) -> str:
        """Return the description of a ticker's registered model."""
        return MODEL_DESCRIPTION.format(ticker=ticker, universe=self._connection.experiment)

    def registered(self) -> dict[str, RegisteredModel]:
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

    def version(
        self, name: str, model_id: str, known: Iterable[ModelVersion] = ()
    ) -> ModelVersion | None:
        """Return the registered version of a network, from `known` where it is among them."""
        for version in known:
            if version.tags.get("model_id") == model_id:
                return version
        query = f"name = '{name}' and tags.model_id = '{model_id}'"
        versions = self._connection.client.search_model_versions(query)
        return min(versions, key=lambda version: int(version.version), default=None)


def version_tags(labels: Mapping[str, str], ticker: str, model: TrackedModel) -> dict[str, str]:
    """Return the tags of a logged model and its version.

    A baseline, which no run has made, has neither a training cutoff nor a recipe.
    """
    tags = {"model_id": model.model_id, "ticker": ticker}
    if model.training_cutoff:
        tags["training_cutoff"] = str(model.training_cutoff)
    return tags | {label: labels[label] for label in ("recipe", "target") if label in labels}


def logged_name(ticker: str, model: TrackedModel) -> str:
    """Return the name of a logged model, which may have no dots."""
    return f"{ticker} {model.training_cutoff or model.model_id}".replace(".", "-")


def logged_id(version: ModelVersion) -> str:
    """Return the id of the logged model behind a version.

    The version's own `model_id` is not filled in by a database (mlflow 3.17).
    """
    return logged_of(version.source)
