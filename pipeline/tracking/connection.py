"""The way to MLflow: its client, its experiment, and its errors in one line.

This room is the only one that imports mlflow.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import sqlalchemy

from pipeline.addresses import without_login, without_proxy
from pipeline.errors import SettingsError, TrackingUnavailable
from pipeline.extras import require
from pipeline.tracking.locks import Locks
from pipeline.tracking.mlflow_database import (
    CONNECT_SECONDS,
    database_of,
    has_tables,
    make_folder,
    prepare_tables,
)
from pipeline.tracking.moved_artifacts import as_url, follow_moved_artifacts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

#: Set before mlflow is imported: no telemetry, no "View run" lines and progress bars between ours,
#: and an unreachable server is reported within seconds (MLflow's defaults add up to minutes). A
#: deployment that needs more patience sets its own.
MLFLOW_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
#: MLflow's pages then show training runs first, not those for language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
#: MLflow shows this tag of a run, experiment or registered model as its description (Markdown).
DESCRIPTION_TAG = "mlflow.note.content"
EXPERIMENT_DESCRIPTION = """\
Forecasts and studies of {experiment}, made by stockcast. A run is a session, a backtest, a search \
or a study; the runs below it are its stocks, forecasters, trials or recipes.

Metric names are `group/figure`, or `group/figure_rival` for a rival on the same sessions: \
`skill/` first (above 0: better than the rival), then `test/`, `test_by_horizon/`, `training/` \
and `validation/`. Tags to filter by: `ticker`, `session`, `recipe`, `dag_run`, `code_version`.
"""


class MlflowConnection:
    """One experiment at one MLflow address. Nothing is imported or touched before the first use.

    Args:
        uri: a database URL, or http(s) for an MLflow server.
        artifact_root: folder or URL for files and models; an MLflow server has its own.
        experiment: its name.
        lock_url: the database at which writers to an MLflow server take turns; "": they do not.
        upgrade: whether the database of an older MLflow is upgraded; otherwise `SettingsError`.
    """

    def __init__(
        self, uri: str, artifact_root: str, experiment: str, lock_url: str, upgrade: bool
    ) -> None:
        self.uri = uri
        self.experiment = experiment
        self._artifact_root = artifact_root
        self._lock_url = lock_url
        self._upgrade = upgrade

    def close(self) -> None:
        """Give back the connections that locks were taken with."""
        if "_locks" in self.__dict__:
            self._locks.close()

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client, once the address answers and its tables are there.

        Raises:
            SettingsError: MLflow is not installed.
        """
        require("mlflow", "Tracking")
        _configure_mlflow()
        if self.database is None:
            _probe(self.uri)
        else:
            make_folder(self.database)
            with self.lock("schema"):
                prepare_tables(self.database, self.address, self._upgrade)
                follow_moved_artifacts(self.uri, self._artifact_root)
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @property
    def has_tables(self) -> bool:
        """True where this program reaches MLflow's database, and MLflow has been used."""
        return self.database is not None and has_tables(self.database)

    @cached_property
    def experiment_id(self) -> str:
        """The experiment's id; it is made where it is missing.

        Raises:
            SettingsError: it was deleted, or its files are behind an MLflow server.
        """
        experiment = self.client.get_experiment_by_name(self.experiment)
        if experiment is None:
            with self.lock("experiment"), unless_taken():
                return self._create_experiment()
            experiment = self.client.get_experiment_by_name(self.experiment)
        if experiment is None:
            raise SettingsError(
                f"MLflow's experiment {self.experiment!r} cannot be made. Look at its log."
            )
        self._require_usable(experiment)
        experiment_id: str = experiment.experiment_id
        return experiment_id

    def _create_experiment(self) -> str:
        name = self.experiment
        folder = f"{self._artifact_root.rstrip('/')}/{name}"
        tags = {**EXPERIMENT_TAGS, DESCRIPTION_TAG: EXPERIMENT_DESCRIPTION.format(experiment=name)}
        location = None if self.database is None else as_url(folder)
        created: str = self.client.create_experiment(name, artifact_location=location, tags=tags)
        return created

    def _require_usable(self, experiment: Experiment) -> None:
        name = self.experiment
        if experiment.lifecycle_stage != "active":
            raise SettingsError(
                f"The MLflow experiment {name!r} was deleted. Restore it with `mlflow experiments "
                f"restore --experiment-id {experiment.experiment_id}`, or purge it with "
                "`mlflow gc`."
            )
        behind_server = experiment.artifact_location.startswith("mlflow-artifacts:")
        if self.database is not None and behind_server:
            raise SettingsError(
                f"The MLflow experiment {name!r} keeps its files behind an MLflow server. Set "
                "STOCKCAST_TRACKING_URI to that server's http address."
            )

    @property
    def address(self) -> str:
        """The URI without its password."""
        if self.database is not None:
            return self.database.render_as_string(hide_password=True)
        return without_login(self.uri)

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Connect first; turn what MLflow and its database raise into one line.

        Raises:
            TrackingUnavailable: MLflow or its database does not answer.
            SettingsError: MLflow refuses our credentials.
        """
        with self.translated_errors():
            _ = self.experiment_id
            yield

    @contextlib.contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn what MLflow and its database raise into one line; see `answering`."""
        try:
            yield
        except (sqlalchemy.exc.OperationalError, OSError) as error:
            raise self._unavailable(error) from error
        except Exception as error:
            code = getattr(error, "error_code", "")  # of an MlflowException
            if code in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
                raise SettingsError(
                    f"MLflow at {self.address} refuses us ({code}). Set MLFLOW_TRACKING_USERNAME "
                    "and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
                ) from error
            if code in (
                "TEMPORARILY_UNAVAILABLE",
                "INTERNAL_ERROR",
                "DEADLINE_EXCEEDED",
                "REQUEST_LIMIT_EXCEEDED",
            ):
                raise self._unavailable(error) from error
            raise

    def _unavailable(self, error: Exception) -> TrackingUnavailable:
        reason = " ".join(str(error).split())[:200]
        database = self.database
        secret = urlsplit(self.uri).password if database is None else database.password
        reason = reason.replace(str(secret), "***") if secret else reason
        return TrackingUnavailable(
            f"MLflow at {self.address} cannot be used: {reason}. Start it, or set "
            "STOCKCAST_TRACKING_URI to one that answers."
        )

    @contextlib.contextmanager
    def lock(self, kind: str, *names: str) -> Iterator[None]:
        """Hold names of a kind (on SQLite: all of them) against other processes.

        The lock is taken at MLflow's own database or, for an MLflow server, at that of `lock_url`.
        """
        with self._locks.hold(kind, *names):
            yield

    @cached_property
    def database(self) -> sqlalchemy.URL | None:
        """The database that the URI names; None for an MLflow server."""
        return database_of(self.uri)

    @cached_property
    def _locks(self) -> Locks:
        shared = self.database
        if shared is None and self._lock_url:
            shared = sqlalchemy.make_url(self._lock_url)
        return Locks(shared, self.experiment)


def _configure_mlflow() -> None:
    for name, value in MLFLOW_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.update(without_proxy())  # a server on this machine
    import mlflow  # noqa: F401 (configures its loggers on import)

    # MLflow logs a traceback for an error that it also raises, and we report it in one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def _probe(uri: str) -> None:
    """Raise `OSError` within seconds when nobody listens; MLflow's own retries take longer."""
    parts = urlsplit(uri)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS).close()


@contextlib.contextmanager
def unless_taken() -> Iterator[None]:
    """Accept that a name is taken already: somebody else was first, and theirs will do."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
