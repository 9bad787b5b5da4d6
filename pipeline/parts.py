"""Parts: the store, gate, tracker, workers and sources of a deployment, made from its settings.

Nothing is opened before it is used.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from functools import cache, cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.addresses import LOOPBACK, without_login
from pipeline.connections import Connections, connections_of_environment
from pipeline.errors import SettingsError
from pipeline.models import DEFAULT, RECIPES, Recipes
from pipeline.private_home import private_home
from pipeline.settings import Settings
from pipeline.shipped_files import shipped_folder
from pipeline.universes import SERVICE_SOURCES, Universe, Universes, load_universes
from pipeline.version import code_version

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.decisions import ChoiceMeasures
    from pipeline.prices import FilesReadAhead, KeptHistories, Source
    from pipeline.quality import Gate
    from pipeline.run import Run
    from pipeline.sessions import Calendar
    from pipeline.storage import Artifacts, Store
    from pipeline.tables import Table
    from pipeline.tracking import Origin, Tracker
    from pipeline.training import Networks, Workers


class Progress(Protocol):
    """A receiver of progress messages."""

    def __call__(self, step: str, ticker: str, message: str) -> object:
        """Take one line of progress; `ticker` "": it is about no single ticker."""
        ...


class Parts:
    """The parts that the steps work with.

    Leaving this context manager closes the store and ends what is still open in MLflow.

    Args:
        progress: None: lines on standard output.
        origin: what asks for the work, for MLflow's runs; None: a command.
        recipes: where recipes are found by name; they are trained on the settings' device.
        tries_left: whether the work is repeated by itself where that may help. Without, a ticker
            that waiting could mend is given up, and the others go on.
        connections: where the keys of price sources are found.

    Attributes:
        files_ahead: what of files is read once for several sessions; None: each reads for itself.
    """

    files_ahead: FilesReadAhead | None = None

    def __init__(
        self,
        settings: Settings,
        progress: Progress | None = None,
        origin: Origin | None = None,
        recipes: Recipes = RECIPES,
        tries_left: bool = False,
        connections: Connections = connections_of_environment,
    ) -> None:
        from pipeline.reporting import Lines

        self.settings = settings
        self.origin = origin
        self.recipes = recipes.on(settings.device)
        self.tries_left = tries_left
        self.connections = connections
        self.progress: Progress = progress or Lines()
        self._trackers: dict[str, Tracker] = {}

    def __enter__(self) -> Parts:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.close_progress()
        try:
            for tracker in self._trackers.values():
                tracker.close(error)
        finally:
            if "store" in self.__dict__:
                self.store.close()

    @property
    def asked_by(self) -> str:
        """The name of what asks for the work, for the record: an Airflow run, or a command."""
        return self.origin.dag_run if self.origin else "stockcast, a command"

    def close_progress(self) -> None:
        """End a bar in the terminal, where there is one."""
        close = getattr(self.progress, "close", None)
        if close is not None:
            close()

    @cached_property
    def store(self) -> Store:
        """The database of rows."""
        from pipeline.storage import Store

        return Store.open(store_url(self.settings))

    @cached_property
    def artifacts(self) -> Artifacts:
        """The files beside it."""
        from pipeline.storage import Artifacts

        if not self.settings.artifacts:
            private_home(self.settings.home)
        return Artifacts(artifact_root(self.settings))

    @cached_property
    def exports(self) -> Artifacts:
        """The folder that results are written to for others.

        Raises:
            SettingsError: none is named, or it cannot be used.
        """
        from pipeline.storage import Artifacts

        if not self.settings.export_to:
            raise SettingsError(
                "export_to is empty; expected: a folder or a URL such as s3://bucket/exports "
                "(--export-to or STOCKCAST_EXPORT_TO)."
            )
        return Artifacts(self.settings.export_to, "export folder", "STOCKCAST_EXPORT_TO")

    @cached_property
    def gate(self) -> Gate:
        """The quality gate."""
        from pipeline.quality import Gate

        return Gate(shipped_folder("expectations"), private_home(self.settings.home) / "data_docs")

    @cached_property
    def kept_histories(self) -> KeptHistories:
        """The prices that a step has read, for the next one."""
        from pipeline.prices import KeptHistories

        return KeptHistories()

    @cached_property
    def choice_measures(self) -> ChoiceMeasures:
        """The measures of choices, for the next session of a backfill."""
        from pipeline.decisions import ChoiceMeasures

        return ChoiceMeasures()

    @property
    def workers(self) -> Workers:
        """This process's worker processes."""
        from pipeline.training import shared_workers

        return shared_workers(self.settings.workers, self.settings.training_limit)

    @property
    def networks(self) -> Networks:
        """The cache of fitted networks."""
        from pipeline.training import Networks

        return Networks(self.artifacts, self.workers, self.settings.tensorboard)

    def source(self, universe: Universe) -> Source:
        """Return where a universe's prices come from."""
        return _source(
            universe.source, universe.data, universe.query, self.settings, self.connections
        )

    def calendar(self, universe: Universe) -> Calendar:
        """Return a universe's calendar."""
        from pipeline.sessions import calendar_of

        return calendar_of(universe)

    def rows(self, table: Table, run: Run, tickers: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a run's rows in a table that begins with `RUN_KEY`; tickers None: of all."""
        wanted = list(run.universe.tickers if tickers is None else tickers)
        return self.store.load(table, **run.key, ticker=wanted)

    def tracker(self, experiment: str) -> Tracker:
        """Return the tracker of an experiment (a universe's has its name), kept until the end."""
        from pipeline.tracking import Tracker

        if experiment not in self._trackers:
            uri = tracking_uri(self.settings)
            self._trackers[experiment] = Tracker(
                uri,
                artifact_root(self.settings),
                experiment,
                lock_url=store_url(self.settings) if uri.startswith("http") else "",
                code_version=code_version(),
                origin=self.origin,
            )
        return self._trackers[experiment]


# Where things are


def store_url(settings: Settings) -> str:
    """Return the store's database URL; the embedded PostgreSQL is started for it."""
    return settings.store_url or _embedded(settings, "stockcast")


def tracking_uri(settings: Settings) -> str:
    """Return MLflow's tracking URI; the embedded PostgreSQL is started for it."""
    return settings.tracking_uri or _embedded(settings, "mlflow")


def artifact_root(settings: Settings) -> str:
    """Return the folder or URL of datasets, models and reports."""
    return settings.artifacts or str(settings.home / "artifacts")


def store_name(settings: Settings) -> str:
    """Return where the store is, for people."""
    import sqlalchemy as sa

    url = sa.make_url(store_url(settings))
    if "host" in url.query:  # a socket: the embedded server
        return f"database {url.database} of the PostgreSQL under {settings.home / 'postgres'}"
    return url.render_as_string(hide_password=True)


def mlflow_url(settings: Settings) -> str:
    """Return where people look at training runs."""
    if settings.mlflow_public_url:
        return without_login(settings.mlflow_public_url.rstrip("/"))
    if settings.tracking_uri.startswith("http"):
        return without_login(settings.tracking_uri)
    return f"http://{LOOPBACK}:{settings.mlflow_port}"


def experiments_url(settings: Settings) -> str:
    """Return the address of MLflow's list of experiments."""
    # Without the query, MLflow opens on its pages for language models.
    return f"{mlflow_url(settings)}/#/experiments?workflowType=machine_learning"


# What is asked for


def universe_of(settings: Settings) -> Universe:
    """Return the universe that the settings name, with what they override.

    A source without a universe makes one: named like the source, with the tickers named, or all
    that a folder of files has.

    Raises:
        SettingsError: there is no such universe.
    """
    source = settings.source or ("csv" if settings.data and not settings.universe else "")
    tickers = tuple(settings.ticker_list)
    if settings.tickers and not tickers:
        raise SettingsError(
            f"tickers is {settings.tickers!r}, which names none; expected for example IBM,AAPL "
            "(flag --tickers)."
        )
    overrides = {
        "source": source,
        "data": settings.data,
        "calendar": settings.calendar,
        "tickers": tickers,
        "target": settings.target,
        "recipe": settings.recipe,
        "horizon": settings.horizon,
    }
    chosen: dict[str, Any] = {key: value for key, value in overrides.items() if value}
    if settings.universe or source in ("", "sample"):
        universes = load_universes(settings.universes)
        return overridden(universes.of(settings.universe or _usual(universes)), **chosen)
    from pipeline.prices import CsvSource, ending_calendar

    files = CsvSource(settings.data) if source == "csv" and settings.data else None
    if files and not tickers:
        chosen["tickers"] = tuple(files.named_tickers())
    base: dict[str, Any] = {"name": source, "tickers": (), "start": dt.date(1990, 1, 1)}
    for key in ("source", "data", "tickers"):
        if key in chosen:
            base[key] = chosen.pop(key)
    named = ending_calendar(base["tickers"])
    if files and not named and not settings.calendar:
        named = files.named_calendar(base["tickers"])
    if named:
        base["calendar"] = named
    return overridden(Universe(**base), **chosen)


def universes_of(settings: Settings) -> list[Universe]:
    """Return all universes of the file; the one that the settings name has what they override.

    One that is declared wrongly is left out; `Universes.wrong` has the reason.
    """
    universes = load_universes(settings.universes)
    if settings.universe in universes.wrong:
        return list(universes.values())
    chosen = universe_of(settings)
    return list({**universes, chosen.name: chosen}.values())


def _usual(universes: Universes) -> str:
    """Return the name of the universe that is run where none is named."""
    return "sample" if "sample" in universes else next(iter(universes))


def overridden(universe: Universe, **changes: Any) -> Universe:
    """Return the universe with `changes`.

    A source's recipe brings its source's column, unless another one is among the changes. What
    another source needs is left behind.
    """
    recipe = str(changes.get("recipe", universe.recipe))
    if recipe not in (universe.recipe, DEFAULT.name) and "target" not in changes:
        changes["target"] = RECIPES.for_price(recipe).targets[0]
    source = changes.get("source", universe.source)
    if source != universe.source and source in SERVICE_SOURCES:
        changes.setdefault("data", "")
    if source != "sql":
        changes.setdefault("query", "")
    if "tickers" in changes:
        changes["members"] = ()  # these tickers, whether they are members or not
    return dataclasses.replace(universe, **changes)


@cache
def _source(
    name: str, data: str, query: str, settings: Settings, connections: Connections
) -> Source:
    from pipeline.prices import (
        SERVICES,
        CsvSource,
        FunctionSource,
        LakeSource,
        Pacing,
        SampleSource,
        SqlSource,
        YahooSource,
    )

    if name == "sample":
        return SampleSource()
    if name == "csv":
        return CsvSource(data)
    if name == "lake":
        return LakeSource(data)
    if name == "function":
        return FunctionSource(data)
    if name == "sql":
        return SqlSource(data, query, connections, settings.fetch_timeout)
    if name in SERVICES:
        service = SERVICES[name]
        pacing = Pacing(settings.fetch_attempts, min(settings.fetch_rate, service.most_per_second))
        return service(pacing, settings.fetch_timeout, connections, data)
    return YahooSource(
        private_home(settings.home) / "yahoo",
        settings.fetch_attempts,
        settings.fetch_timeout,
        settings.fetch_rate,
    )


def _embedded(settings: Settings, database: str) -> str:
    from pipeline.storage import embedded_postgres

    return embedded_postgres.url(settings.home, database)
