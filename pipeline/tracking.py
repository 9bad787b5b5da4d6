"""Experiments, runs and registered models in MLflow; the only mlflow import.

One experiment per universe; in it one parent run per (session, recipe, target) and below it one child run per stock. All writes are
safe to repeat: runs are found by their tags, model versions by their `model_id`, and what is already there is left alone.

TensorFlow is never imported here. `mlflow.keras.log_model` would need a live Keras model, so the model folder is put together from
the `.keras` file in the layout of MLflow's own `keras` flavor (mlflow 3.17, `mlflow/keras/save.py`); a test loads one with
`mlflow.keras.load_model` and `mlflow.pyfunc.load_model`. No part of it is a pickle.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import hashlib
import json
import logging
import os
import platform
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import sqlalchemy

from pipeline.errors import NothingStored, SettingsError, StoreTooNew, TrackingUnavailable

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient
    from mlflow.entities import Run, RunInfo
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

CHAMPION = "champion"
#: Identify a run and its content for this program; the readable tags (session, recipe, target, ticker) are for people.
KEY, CONTENT = "stockcast.key", "stockcast.content_hash"
CONNECT_SECONDS = 5
#: Set before mlflow is imported. No telemetry; no "View run" lines and progress bars between ours; and an unreachable server is
#: reported within seconds (MLflow's defaults add up to minutes). A deployment that needs more patience sets its own.
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
#: What a person reads at the head of an experiment, and of a registered model.
EXPERIMENT_DESCRIPTION = """\
**stockcast: {experiment}.** A run is a session, a backtest, a search or a study; the runs below it are its stocks, forecasters, trials or recipes.

Metric names are `group/figure`, or `group/figure_rival` for a rival on the same sessions: `skill/` first (above 0: better than the rival), then
`test/`, `test_by_horizon/`, `training/` and `validation/`. Tags to filter by: `ticker`, `session`, `recipe`, `dag_run`, `code_version`.
"""
MODEL_DESCRIPTION = """\
Networks of **{ticker}** in the universe `{universe}`, a version per training cutoff. The alias `champion` is on the one that is
published today; where none has it, a random walk is published, since no network was better on the evidence. Not financial advice.
"""
#: What MLflow takes in one `log_batch`.
BATCH = 1000
#: Registered models that are read at once.
MODELS_A_PAGE = 500
#: MLflow shows this tag of a run, experiment or registered model as its description, in Markdown.
DESCRIPTION = "mlflow.note.content"
#: The tag with a run's link back to what asked for it, which ends its description too.
LINK = "stockcast.link"
#: Tag of a registered model: the version that the alias `champion` points at and its model_id, or that no network is published.
PUBLISHED, NOTHING = "stockcast.champion", "none"


@dataclass(frozen=True)
class TrackedModel:
    """A trained network as a plain `.keras` file.

    Attributes:
        inputs: the shape of each without its batch, by name; "symbol" has strings, all others float32.
        outputs: sessions ahead that it forecasts at once: float32 (batch, outputs).
        columns: what it sees of a session.
        told: what its output is, in words.
        example: an input of one window, by name, for who wants to try the network; empty: there is none.
    """

    model_id: str
    training_cutoff: dt.date
    content: bytes
    inputs: dict[str, tuple[int, ...]]
    outputs: int
    columns: tuple[str, ...]
    told: str
    example: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class TrackedDataset:
    """What a run has learnt from and was measured on, as MLflow lists it: a reference, not the data.

    Attributes:
        digest: names the content; at most 36 characters.
        url: where it is.
        rows: of each column, sessions.
        context: what it was for: "training".
    """

    name: str
    digest: str
    url: str
    columns: tuple[str, ...]
    rows: int
    context: str


@dataclass(frozen=True)
class Origin:
    """What has asked for runs: an Airflow DAG run's id and its page."""

    dag_run: str
    url: str


@dataclass(frozen=True)
class StockRun:
    """What is tracked for one stock of one session.

    Attributes:
        metrics: NaN means not known, and is left out.
        history: values per epoch, by name: loss, val_loss, learning_rate.
        model: the network of this session; None where there is too little history for one.
        rivals: other networks that may be published (the previous training cutoff's): registered if they are not yet.
        files: artifacts of the run, by name: "predictions.csv".
        pictures: more of them, drawn from `files`, and only when they are to be written: "prediction.png".
        title: of a run that is not the one of its stock and session; it names and identifies the run below its parent.
        description: Markdown; the verdict comes first.
    """

    ticker: str
    params: dict[str, object]
    metrics: dict[str, float]
    history: dict[str, list[float]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    model: TrackedModel | None = None
    rivals: tuple[TrackedModel, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)
    pictures: dict[str, Callable[[], bytes]] = field(default_factory=dict)
    title: str = ""
    description: str = ""
    datasets: tuple[TrackedDataset, ...] = ()

    def content_hash(self) -> str:
        """Changes when anything that is tracked does; a model counts by its id."""
        models = [model.model_id for model in self.models]
        files = {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}
        return _hash({**vars(self), "model": None, "rivals": models, "files": files, "pictures": sorted(self.pictures)})

    @property
    def models(self) -> tuple[TrackedModel, ...]:
        return (*((self.model,) if self.model else ()), *self.rivals)


class Tracker:
    """One experiment at one MLflow address. Nothing is imported or touched before the first call.

    Args:
        uri: a database URL, or http(s) for an MLflow server.
        artifact_root: folder or URL for plots and models; with an MLflow server, the server has its own.
        experiment: the universe's name, or that of studies or exercises.
        upgrade: whether a database of an older MLflow is brought up to date; otherwise `SettingsError` says how to.
        turns: URL of the database at which writers to an MLflow server take turns; empty: they take none.
        code_version: a tag of every run that is made.
        origin: what asked for them; None: a command.
    """

    def __init__(
        self,
        uri: str,
        artifact_root: str,
        experiment: str,
        upgrade: bool = True,
        turns: str = "",
        code_version: str = "",
        origin: Origin | None = None,
    ) -> None:
        self.turns = turns
        self.origin = origin
        self.tags = {"code_version": code_version} if code_version else {}
        self.tags |= {"dag_run": origin.dag_run} if origin else {}
        self.uri = uri
        self.artifact_root = artifact_root
        self.experiment = experiment
        self.upgrade = upgrade
        self._labels_of: dict[str, dict[str, str]] = {}

    def close(self) -> None:
        """Give back the connections that locks were taken with."""
        if "_locks" in self.__dict__:
            self._locks.dispose()

    def prepare(self) -> None:
        """Make the database's tables and the experiment where they are missing; several processes may do so at once."""
        with self._answering():
            pass

    def open_session(
        self,
        session: dt.date,
        recipe: str,
        target: str,
        tags: dict[str, str] | None = None,
        params: dict[str, object] | None = None,
    ) -> str:
        """The parent run of a session, found or created; its run id.

        MLflow's parameters cannot change, so changed `params` make a new parent, and the children move to it. Processes that share
        a database take turns; an MLflow server has no lock, so there they take them at the database `turns`.
        """
        labels = {"session": str(session), "recipe": recipe, "target": target}
        return self.open_parent(f"{session} {recipe} {target}", _session_name(labels), {**labels, **(tags or {})}, params)

    def open_parent(self, key: str, name: str, tags: dict[str, str], params: dict[str, object] | None = None) -> str:
        """A parent run, found by its key or created; its run id. What holds for `open_session` holds here."""
        content = _hash(params or {})
        with self._answering(), self._lock("runs", key):
            twins = self._find(key)
            kept = next((run.info.run_id for run in twins if run.data.tags.get(CONTENT) == content), None)
            if kept is None:
                kept = self._create_run(name, {**tags, KEY: key}).run_id
                self._log(kept, params or {}, [], {CONTENT: content})
            self._delete_others(twins, kept)
            return kept

    def record(self, parent: str, run: StockRun) -> str:
        """The child run of one stock; its run id. One child per stock remains, whatever was there before.

        Nothing is written when the same content is there. Other content (the configuration has changed) becomes a new child, and
        the old one goes when that is complete.
        """
        with self._answering():
            labels = self._labels(parent)
            key, content = f"{labels.pop(KEY)} {run.title or run.ticker}", run.content_hash()
            with self._lock("runs", key):
                twins = self._find(key)
                kept = next((twin for twin in twins if twin.data.tags.get(CONTENT) == content), None)
                child = kept.info.run_id if kept else self._write(parent, {**labels, KEY: key}, run, content)
                if kept and kept.data.tags.get("mlflow.parentRunId") != parent:
                    self._client.set_tag(child, "mlflow.parentRunId", parent)
                self._delete_others(twins, child)
                return child

    def close_session(
        self, parent: str, metrics: dict[str, float], files: dict[str, bytes] | None = None, description: str = ""
    ) -> None:
        """Log a session's summary on its parent run, with `files` by name and a `description` in Markdown, and mark it finished."""
        with self._answering():
            self._log_files(parent, files or {})
            run = self._client.get_run(parent)
            # Whoever made the run may not be who closes it: the link stays that to the first.
            link = run.data.tags.get(LINK, "")
            told = "\n\n".join(filter(None, [description, link]))
            if description and run.data.tags.get(DESCRIPTION) != told:
                self._client.set_tag(parent, DESCRIPTION, told)
            changed = {name: value for name, value in metrics.items() if run.data.metrics.get(name) != value}
            self._log(parent, {}, self._metrics(changed, run.info.start_time))
            if run.info.status != "FINISHED":
                self._client.set_terminated(parent, "FINISHED")

    def failed(self, parent: str, reason: str) -> None:
        """Mark a session's parent run as failed, with the reason as its tag."""
        with self._answering():
            self._client.set_tag(parent, "failure", reason)
            self._client.set_terminated(parent, "FAILED")

    def set_champions(self, champions: Mapping[str, str | None]) -> None:
        """Point each ticker's alias `champion` at the model that is published; None takes it away: a baseline is published.

        Whether this is the newest session is for the caller to know. Raises `NothingStored` for a model that nobody registered.
        """
        with self._answering():
            known = self._registered()
            for ticker, model_id in champions.items():
                name = self._model_name(ticker)
                model = known.get(name)
                if (model_id is None and (model is None or model.tags.get(PUBLISHED) == NOTHING)) or (
                    model and model_id and model.tags.get(PUBLISHED) == f"{model.aliases.get(CHAMPION)} {model_id}"
                ):
                    continue  # as it is: one reading of all models was enough
                with self._lock("models", name):
                    self._set_champion(name, model, ticker, model_id)

    def _set_champion(self, name: str, model: RegisteredModel | None, ticker: str, model_id: str | None) -> None:
        found = self._version(name, model_id, model.latest_versions if model else ()) if model_id else None
        if model_id and not found:
            raise NothingStored(
                f"{ticker}: model {model_id} is not registered as {name} in MLflow (any more). "
                "Delete the session's run and the ticker's below it there, if there are any, then repeat evaluate and promote."
            )
        current = model.aliases.get(CHAMPION) if model else None
        if found and str(current) != str(found.version):
            self._client.set_registered_model_alias(name, CHAMPION, found.version)
        elif not found and current is not None:
            self._client.delete_registered_model_alias(name, CHAMPION)
        tags = {"published": "network" if found else "naive", PUBLISHED: f"{found.version} {model_id}" if found else NOTHING}
        for tag, value in tags.items():
            if model is None or model.tags.get(tag) != value:
                self._client.set_registered_model_tag(name, tag, value)

    def _registered(self) -> dict[str, RegisteredModel]:
        """All registered models of this experiment, by name."""
        found, token = {}, None
        while True:
            page = self._client.search_registered_models(
                f"name LIKE '{self.experiment}.%'", max_results=MODELS_A_PAGE, page_token=token
            )
            found |= {model.name: model for model in page}
            if not (token := page.token):
                return found

    def where(self, key: str) -> str | None:
        """Where MLflow's pages show the run with this key (a session's, or a stock's below it), after the server's address; None: it has none."""
        with self._answering():
            found = self._find(key)
            return f"#/experiments/{self._experiment_id}/runs/{found[0].info.run_id}" if found else None

    # Runs

    def _find(self, key: str) -> list[Run]:
        """Runs with this key, oldest first; runs deleted in MLflow do not count."""
        return list(
            self._client.search_runs(
                [self._experiment_id], f"tags.`{KEY}` = '{key}'", order_by=["attributes.start_time ASC", "attributes.run_id ASC"]
            )
        )

    def _create_run(self, name: str, tags: dict[str, str], description: str = "") -> RunInfo:
        link = f"[Airflow: run {self.origin.dag_run}]({self.origin.url})" if self.origin else ""
        notes = {LINK: link, DESCRIPTION: "\n\n".join(filter(None, [description, link]))}
        tags = {
            "mlflow.source.name": "stockcast",
            "mlflow.source.type": "JOB",
            **self.tags,
            **{name: text for name, text in notes.items() if text},
            **tags,
        }
        return self._client.create_run(self._experiment_id, run_name=name, tags=tags).info

    def _write(self, parent: str, labels: dict[str, str], run: StockRun, content: str) -> str:
        """A new child run. The content's hash comes last, so that a run cut short is never taken for a complete one."""
        tags = {**labels, "ticker": run.ticker, "mlflow.parentRunId": parent, **run.tags}
        created = self._create_run(run.title or f"{run.ticker} {_session_name(labels)}", tags, run.description)
        child = created.run_id
        self._log_datasets(child, run.datasets)
        registered = [self._register(child, labels, run.ticker, model) for model in run.models]
        if run.model:
            self._link(child, registered[0])
        # The figures are shown beside the model too, in the run that made it.
        made_here = _logged_id(registered[0]) if run.model and registered[0].run_id == child else None
        self._log_files(child, {**run.files, **{name: draw() for name, draw in run.pictures.items()}})
        metrics = self._metrics({**run.metrics, **run.history}, created.start_time, made_here)
        self._log(child, run.params, metrics, {CONTENT: content})
        self._client.set_terminated(child, "FINISHED")
        return child

    def _log_datasets(self, run_id: str, datasets: Iterable[TrackedDataset]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = []
        for dataset in datasets:
            schema = {"mlflow_colspec": [{"type": "double", "name": name, "required": True} for name in dataset.columns]}
            kind = dataset.url.partition("://")[0] if "://" in dataset.url else "local"
            entity = Dataset(
                dataset.name,
                dataset.digest,
                kind,
                json.dumps({"uri": dataset.url}),
                json.dumps(schema),
                json.dumps({"num_rows": dataset.rows}),
            )
            inputs.append(DatasetInput(entity, [InputTag("mlflow.data.context", dataset.context)]))
        if inputs:
            self._client.log_inputs(run_id, inputs)

    def _log_files(self, run_id: str, files: dict[str, bytes]) -> None:
        if not files:
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                _write_file(Path(folder) / name, data)
            self._client.log_artifacts(run_id, folder)

    def _log(self, run_id: str, params: dict[str, object], metrics: list, tags: dict[str, str] | None = None) -> None:
        """In batches, the last of them with the tags."""
        from mlflow.entities import Param, RunTag

        values = [Param(name, str(value)) for name, value in params.items()]
        labels = [RunTag(name, value) for name, value in (tags or {}).items()]
        size = BATCH - len(values) - len(labels)
        for start in range(0, max(len(metrics), 1), size):
            self._client.log_batch(
                run_id,
                metrics=metrics[start : start + size],
                params=values if start == 0 else (),
                tags=labels if start + size >= len(metrics) else (),
            )

    @staticmethod
    def _metrics(values: dict[str, float | list[float]], moment: int, model_id: str | None = None) -> list:
        """MLflow's metrics, by name: its pages keep the order. A list is a curve, one value per step. `moment`: milliseconds since 1970."""
        from mlflow.entities import Metric

        series = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
        return [
            Metric(name, float(value), moment, step, model_id=model_id)
            for name, steps in sorted(series.items())
            for step, value in enumerate(steps)
            if value == value  # not NaN
        ]

    def _labels(self, parent: str) -> dict[str, str]:
        """What identifies a parent, which never changes; for each of its many children, but asked for once."""
        if parent not in self._labels_of:
            tags = self._client.get_run(parent).data.tags
            names = ("session", "recipe", "target", "universe", KEY)
            self._labels_of[parent] = {name: tags[name] for name in names if name in tags}
        return dict(self._labels_of[parent])

    def _delete_others(self, runs: list[Run], kept: str) -> None:
        """Delete all runs but one; their children move to it."""
        for run in runs:
            if run.info.run_id != kept:
                children = f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
                for child in self._client.search_runs([self._experiment_id], children, max_results=10_000):
                    self._client.set_tag(child.info.run_id, "mlflow.parentRunId", kept)
                self._client.delete_run(run.info.run_id)

    # Models

    def _model_name(self, ticker: str) -> str:
        return f"{self.experiment}.{ticker}"

    def _version(self, name: str, model_id: str, known: Iterable[ModelVersion] = ()) -> ModelVersion | None:
        """The registered version of a network, from `known` where it is among them."""
        if found := next((version for version in known if version.tags.get("model_id") == model_id), None):
            return found
        found = self._client.search_model_versions(f"name = '{name}' and tags.model_id = '{model_id}'")
        return min(found, key=lambda version: int(version.version), default=None)

    def _register(self, run_id: str, labels: dict[str, str], ticker: str, model: TrackedModel) -> ModelVersion:
        """The registered version of a model; logged and registered from its file when it is not there yet."""
        import mlflow

        name = self._model_name(ticker)
        with self._lock("models", name):
            if found := self._version(name, model.model_id):
                return found
            tags = {"model_id": model.model_id, "ticker": ticker, "training_cutoff": str(model.training_cutoff)}
            tags |= {label: labels[label] for label in ("recipe", "target")}
            logged = self._client.create_logged_model(
                self._experiment_id,
                name=f"{ticker} {model.training_cutoff}".replace(".", "-"),  # MLflow refuses dots here
                source_run_id=run_id,
                tags=tags,
                model_type="forecaster",
            )
            with tempfile.TemporaryDirectory() as folder:
                _write_model_folder(Path(folder), model, run_id, logged.model_id, logged.artifact_location)
                self._client.log_model_artifacts(logged.model_id, folder)
            self._client.finalize_logged_model(logged.model_id, "READY")
            with _unless_taken():
                self._client.create_registered_model(
                    name, description=MODEL_DESCRIPTION.format(ticker=ticker, universe=self.experiment)
                )
            # The registry looks the model up at MLflow's global address, not at the client's.
            mlflow.set_tracking_uri(self.uri)
            return self._client.create_model_version(
                name, f"models:/{logged.model_id}", run_id=run_id, tags=tags, model_id=logged.model_id, await_creation_for=30
            )

    def _link(self, run_id: str, registered: ModelVersion) -> None:
        """Show a registered model on the run, whichever run it was made in."""
        from mlflow.entities import LoggedModelOutput

        self._client.log_outputs(run_id, [LoggedModelOutput(_logged_id(registered), step=0)])
        self._client.set_tag(run_id, "model_version", f"{registered.name}/{registered.version}")

    # Connection

    @cached_property
    def _client(self) -> MlflowClient:
        _silence()
        if self._database is None:
            _probe(self.uri)
        else:
            self._prepare_database()
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @cached_property
    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self.experiment)
        if found is None:
            local = None if self._database is None else _as_url(f"{self.artifact_root.rstrip('/')}/{self.experiment}")
            with self._lock("experiment"), _unless_taken():
                tags = {**EXPERIMENT_TAGS, DESCRIPTION: EXPERIMENT_DESCRIPTION.format(experiment=self.experiment)}
                return self._client.create_experiment(self.experiment, artifact_location=local, tags=tags)
            found = self._client.get_experiment_by_name(self.experiment)
        if found.lifecycle_stage != "active":
            raise SettingsError(
                f"The MLflow experiment {self.experiment!r} was deleted. Bring it back with `mlflow experiments restore "
                f"--experiment-id {found.experiment_id}`, or purge it with `mlflow gc`."
            )
        if self._database is not None and found.artifact_location.startswith("mlflow-artifacts:"):
            raise SettingsError(
                f"The MLflow experiment {self.experiment!r} keeps its files behind an MLflow server. Set "
                "STOCKCAST_TRACKING_URI to that server's http address."
            )
        return found.experiment_id

    @cached_property
    def _database(self) -> sqlalchemy.URL | None:
        """The database that the URI names; None for an MLflow server."""
        if self.uri.startswith(("http://", "https://")):
            return None
        try:
            return sqlalchemy.make_url(self.uri)
        except sqlalchemy.exc.ArgumentError:
            raise SettingsError(
                "The tracking URI is neither a database URL (postgresql+psycopg2://..., sqlite:///...) nor http(s)://... "
                "Correct STOCKCAST_TRACKING_URI."
            ) from None

    @property
    def address(self) -> str:
        """The URI as it may be shown: without its password."""
        if self._database is not None:
            return self._database.render_as_string(hide_password=True)
        parts = urlsplit(self.uri)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    def _prepare_database(self) -> None:
        """Connect once, quickly (MLflow itself would try for hours), and bring the tables to this MLflow's version."""
        if self._database.get_backend_name() == "sqlite" and self._database.database:
            Path(self._database.database).parent.mkdir(parents=True, exist_ok=True)
        with self._lock("schema"):
            engine = self._engine(self._database)
            current = _schema_version(engine)
            from mlflow.store.db import utils

            if current == utils._get_latest_schema_revision():
                return
            if current is None:
                utils._initialize_tables(engine)
                return
            if not self.upgrade:
                raise SettingsError(f"The MLflow database {self.address} is of an older MLflow. Run `mlflow db upgrade` on it.")
            from alembic.util import CommandError

            try:
                utils._upgrade_db(engine)
            except CommandError:
                raise StoreTooNew(
                    f"The MLflow database {self.address} was written by a newer MLflow than {version('mlflow')}. "
                    "Upgrade this program or name another database."
                ) from None

    @cached_property
    def _locks(self) -> sqlalchemy.Engine:
        """Connections of their own, kept: thousands of locks are taken for a large universe."""
        return self._engine(self._database or sqlalchemy.make_url(self.turns), sqlalchemy.QueuePool)

    def _engine(self, database: sqlalchemy.URL, pool: type[sqlalchemy.Pool] = sqlalchemy.NullPool) -> sqlalchemy.Engine:
        arguments = {} if database.get_backend_name() == "sqlite" else {"connect_timeout": CONNECT_SECONDS}
        try:
            return sqlalchemy.create_engine(database, poolclass=pool, connect_args=arguments)
        except sqlalchemy.exc.NoSuchModuleError:
            kind = database.drivername
            raise SettingsError(
                f"MLflow cannot be reached as {kind}://...; use http(s)://, postgresql+psycopg2:// or sqlite:///."
            ) from None

    @contextlib.contextmanager
    def _lock(self, kind: str, name: str = "") -> Iterator[None]:
        """One process at a time, per name (on SQLite: per kind), at MLflow's own database or, for an MLflow server, at that of `turns`."""
        database = self._database
        if database is None and self.turns:
            database = sqlalchemy.make_url(self.turns)
        backend = database.get_backend_name() if database is not None else "http"
        if backend == "postgresql":
            number = int.from_bytes(hashlib.sha256(f"{self.experiment} {kind} {name}".encode()).digest()[:8], signed=True)
            with self._locks.begin() as connection:  # the end of the transaction gives the lock back
                connection.execute(sqlalchemy.text("select pg_advisory_xact_lock(:number)"), {"number": number})
                yield
        elif backend == "sqlite" and database.database:
            with Path(f"{database.database}.{kind}.lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        else:
            yield

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Connect first; turn what MLflow and the database say when they do not answer into one line."""
        try:
            _ = self._experiment_id
            yield
        except (sqlalchemy.exc.OperationalError, OSError) as error:
            raise self._unavailable(error) from error
        except Exception as error:
            code = getattr(error, "error_code", "")  # of an MlflowException; the class is not worth its import here
            if code in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
                raise SettingsError(
                    f"MLflow at {self.address} refuses us ({code}). Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
                    "or MLFLOW_TRACKING_TOKEN."
                ) from error
            if code in ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "DEADLINE_EXCEEDED", "REQUEST_LIMIT_EXCEEDED"):
                raise self._unavailable(error) from error
            raise

    def _unavailable(self, error: Exception) -> TrackingUnavailable:
        reason = " ".join(str(error).split())[:200]
        for secret in (self._database.password if self._database is not None else urlsplit(self.uri).password,):
            reason = reason.replace(secret, "***") if secret else reason
        return TrackingUnavailable(
            f"MLflow at {self.address} cannot be used: {reason}. Start it, or set STOCKCAST_TRACKING_URI to one that answers."
        )


def _silence() -> None:
    for name, value in MLFLOW_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401 (configures its loggers on import)

    # MLflow logs a traceback for an error that it also raises, and we say it in one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def _probe(uri: str) -> None:
    """Raise `OSError` within seconds when nobody listens; MLflow's own retries take longer."""
    parts = urlsplit(uri)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS).close()


def _schema_version(engine: sqlalchemy.Engine) -> str | None:
    """The schema's Alembic revision; None for a database without MLflow's tables."""
    with engine.connect() as connection:
        if not sqlalchemy.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sqlalchemy.text("select version_num from alembic_version")).scalar()


@contextlib.contextmanager
def _unless_taken() -> Iterator[None]:
    """Let a name be taken already: somebody else was first, and theirs will do."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _session_name(labels: Mapping[str, str]) -> str:
    """A session and its recipe; the target where it is not the close."""
    target = "" if labels.get("target", "close") == "close" else f" {labels['target']}"
    return f"{labels.get('session', '')} {labels.get('recipe', '')}{target}".strip()


def _logged_id(registered: ModelVersion) -> str:
    """The id of the logged model behind a version; its `model_id` is not filled in by a database (mlflow 3.17)."""
    return registered.source.removeprefix("models:/")


def _as_url(location: str) -> str:
    return location if "://" in location else Path(location).absolute().as_uri()


def _hash(values: dict) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _write_model_folder(folder: Path, model: TrackedModel, run_id: str, logged_id: str, location: str) -> None:
    """An MLflow model folder as `mlflow.keras.save_model` writes it, but from the file and without TensorFlow."""
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import Schema, TensorSpec

    dtypes = {name: np.dtype("str" if name == "symbol" else "float32") for name in model.inputs}
    names = model.inputs if len(model.inputs) > 1 else [None]  # a single input is given without its name
    inputs = [
        TensorSpec(dtypes[known], (-1, *shape), name) for (known, shape), name in zip(model.inputs.items(), names, strict=True)
    ]
    future = TensorSpec(np.dtype("float32"), (-1, model.outputs))
    description = Model(
        artifact_path=location,
        model_uuid=logged_id,
        model_id=logged_id,
        run_id=run_id,
        signature=ModelSignature(inputs=Schema(inputs), outputs=Schema([future])),
        metadata={
            "model_id": model.model_id,
            "training_cutoff": str(model.training_cutoff),
            "columns": list(model.columns),
            "forecast": f"{model.told}, 1 to {model.outputs} sessions ahead",
        },
    )
    description.add_flavor(
        "keras", data="data", keras_version=version("keras"), keras_backend="tensorflow", save_exported_model=False
    )
    # As `mlflow.pyfunc.add_to_model` does; importing that costs a second and a warning.
    description.add_flavor(
        "python_function",
        loader_module="mlflow.keras",
        python_version=platform.python_version(),
        env={"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
    )
    description.model_size_bytes = len(model.content)
    if model.example:
        from mlflow.models.utils import _save_example

        single = next(iter(model.example.values()))
        _save_example(description, dict(model.example) if len(model.example) > 1 else single, str(folder))
    _write_file(folder / "data" / "model.keras", model.content)
    requirements = [f"{package}=={version(package)}" for package in ("mlflow", "keras", "tensorflow")]
    for name, text in _environment_files(requirements).items():
        _write_file(folder / name, text.encode())
    description.save(str(folder / "MLmodel"))


def _environment_files(requirements: list[str]) -> dict[str, str]:
    """What MLflow needs to build an environment for a model. (JSON is YAML.)"""
    python = platform.python_version()
    conda = {"name": "mlflow-env", "channels": ["conda-forge"]}
    conda["dependencies"] = [f"python={python}", "pip", {"pip": requirements}]
    build = {"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    return {
        "requirements.txt": "\n".join(requirements),
        "conda.yaml": json.dumps(conda, indent=2),
        "python_env.yaml": json.dumps(build, indent=2),
    }


def _write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
