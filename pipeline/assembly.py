"""Settings -> parts: the real ones are chosen here, tests choose others. Nothing is opened before it is used."""

from __future__ import annotations

import dataclasses
import datetime as dt
import subprocess
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.errors import SettingsError
from pipeline.models import DEFAULT, find_recipe
from pipeline.progress import Lines
from pipeline.settings import Settings
from pipeline.universes import Universe, load_universes

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.artifacts import Artifacts
    from pipeline.prices.source import Source
    from pipeline.quality import Gate
    from pipeline.run import Run
    from pipeline.sessions import Calendar
    from pipeline.store import Store
    from pipeline.tables import Table
    from pipeline.tracking import Origin, Tracker
    from pipeline.training import Workers

#: (step, ticker or "", message)
Progress = Callable[[str, str, str], None]


class Parts:
    """What the steps work with. A context manager: leaving it closes the store.

    Args:
        origin: what asks for the work, as MLflow's runs say it; None: a command.
    """

    def __init__(self, settings: Settings, progress: Progress | None = None, origin: Origin | None = None) -> None:
        self.settings = settings
        self.origin = origin
        self.progress = progress or Lines()
        self._trackers: dict[str, Tracker] = {}

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        if isinstance(self.progress, Lines):
            self.progress.close()
        if "store" in self.__dict__:
            self.store.close()
        for tracker in self._trackers.values():
            tracker.close()

    @cached_property
    def store(self) -> Store:
        from pipeline.store import Store

        return Store.open(store_url(self.settings))

    @cached_property
    def artifacts(self) -> Artifacts:
        from pipeline.artifacts import Artifacts

        return Artifacts(artifact_root(self.settings))

    @cached_property
    def gate(self) -> Gate:
        from pipeline.quality import Gate

        return Gate(suites_folder(), self.settings.home / "data_docs")

    @property
    def workers(self) -> Workers:
        from pipeline.training import shared_workers

        return shared_workers(self.settings.workers)

    def source(self, universe: Universe) -> Source:
        return _source(universe.source, universe.data, self.settings)

    def calendar(self, universe: Universe) -> Calendar:
        return _calendar(universe.calendar)

    def rows(self, table: Table, run: Run, tickers: list[str] | None = None) -> pd.DataFrame:
        """What the store has of a run in one of the tables that begin with `RUN_KEY`; None: of all tickers."""
        return self.store.load(table, **run.key, ticker=list(run.universe.tickers) if tickers is None else tickers)

    def tracker(self, experiment: str) -> Tracker:
        """One per experiment (a universe's has its name), with its connections, for as long as this lasts."""
        from pipeline.tracking import Tracker

        if experiment not in self._trackers:
            uri = tracking_uri(self.settings)
            turns = store_url(self.settings) if uri.startswith("http") else ""
            self._trackers[experiment] = Tracker(
                uri, artifact_root(self.settings), experiment, turns=turns, code_version=code_version(), origin=self.origin
            )
        return self._trackers[experiment]


def parts(settings: Settings, progress: Progress | None = None, origin: Origin | None = None) -> Parts:
    return Parts(settings, progress, origin)


def store_url(settings: Settings) -> str:
    return settings.store_url or _embedded(settings, "stockcast")


def tracking_uri(settings: Settings) -> str:
    return settings.tracking_uri or _embedded(settings, "mlflow")


def artifact_root(settings: Settings) -> str:
    return settings.artifacts or str(settings.home / "artifacts")


def suites_folder() -> Path:
    return Path(__file__).parent.parent / "expectations"


def store_name(parts: Parts) -> str:
    """Where the store is, for people."""
    import sqlalchemy as sa

    url = sa.make_url(store_url(parts.settings))
    if "host" in url.query:  # a socket: the embedded server
        return f"database {url.database} of the PostgreSQL under {parts.settings.home / 'postgres'}"
    return url.render_as_string(hide_password=True)


def mlflow_url(settings: Settings) -> str:
    """Where people look at training runs: the server the settings name, or the one that `make up` starts."""
    if settings.tracking_uri.startswith("http"):
        return settings.tracking_uri
    return f"http://127.0.0.1:{settings.mlflow_port}"


def report_file(run: Run) -> str:
    """The artifact that is the day's page."""
    return f"reports/{run.universe.name}/{run.session}-{run.universe.recipe}-{run.universe.target}.html"


def whereabouts(parts: Parts, run: Run, hint: str) -> list[str]:
    """Lines that say where a person finds what a run has left."""
    return [
        f"Report    {parts.artifacts.url(report_file(run))}",
        f"Store     {store_name(parts)}; read it with `stockcast forecasts` and `stockcast scores`",
        f"MLflow    {_experiments(parts)}, experiment {run.universe.name}{hint}",
    ]


def study_whereabouts(parts: Parts, study: str) -> list[str]:
    """The same for a study."""
    return [f"Files     {parts.artifacts.url(f'studies/{study}')}", f"MLflow    {_experiments(parts)}, experiment studies"]


def backtest_whereabouts(parts: Parts, folder: str) -> list[str]:
    """The same for a backtest."""
    return [f"Files     {parts.artifacts.url(folder)}", f"MLflow    {_experiments(parts)}, experiment backtests"]


def tuning_whereabouts(parts: Parts, definition: str) -> list[str]:
    """The same for a search: its winner is a recipe, as a module."""
    told = "copy it to pipeline/models/ and add its name to FILES there to use it"
    return [f"Winner    {parts.artifacts.url(definition)} ({told})", f"MLflow    {_experiments(parts)}, experiment tuning"]


def exercises_whereabouts(parts: Parts) -> list[str]:
    """The same for exercises."""
    return [f"Files     {parts.artifacts.url('exercises')}", f"MLflow    {_experiments(parts)}, experiment exercises"]


def _experiments(parts: Parts) -> str:
    # Without the query, MLflow opens on its pages for language models.
    return f"{mlflow_url(parts.settings)}/#/experiments?workflowType=machine_learning"


def universe_of(settings: Settings) -> Universe:
    """The universe that the settings name, with what they override; `SettingsError` when there is no such universe.

    A source without a universe makes one: named like the source, with the tickers named, or all that a folder of files holds.
    """
    source = settings.source or ("csv" if settings.data and not settings.universe else "")
    name = settings.universe or ("" if source not in ("", "sample") else "sample")
    tickers = tuple(settings.ticker_list)
    if settings.tickers and not tickers:
        raise SettingsError(f"tickers is {settings.tickers!r}, which names none; expected for example IBM,AAPL.")
    overrides = {
        "source": source,
        "data": settings.data,
        "tickers": tickers,
        "target": settings.target,
        "recipe": settings.recipe,
        "horizon": settings.horizon,
    }
    chosen = {key: value for key, value in overrides.items() if value}
    if name:
        universes = load_universes(settings.universes)
        if name not in universes:
            raise SettingsError(f"There is no universe {name!r}. The universes are: {', '.join(universes)}.")
        return overridden(universes[name], **chosen)
    if source == "csv" and settings.data and not tickers:
        chosen["tickers"] = tuple(_source("csv", settings.data, settings).tickers())
    made = [name for name in ("source", "data", "tickers") if name in chosen]
    return overridden(
        Universe(**{"name": source, "tickers": (), "start": dt.date(1990, 1, 1), **{name: chosen.pop(name) for name in made}}),
        **chosen,
    )


def overridden(universe: Universe, **changes: object) -> Universe:
    """The universe with `changes`; a source's recipe brings its source's column, unless another was asked for."""
    asked = changes.get("recipe", universe.recipe)
    if asked != universe.recipe and asked != DEFAULT.name and "target" not in changes:
        changes["target"] = next(iter(find_recipe(str(asked)).targets), universe.target)
    return dataclasses.replace(universe, **changes)


@cache
def code_version() -> str:
    """The version, and in a checkout the commit, with + where files differ from it."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return __version__
    try:
        told = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):  # no git here, or a checkout that it does not trust: the version alone is known
        return __version__
    return f"{__version__} ({told.stdout.strip()})"


@cache
def _calendar(name: str) -> Calendar:
    from pipeline.sessions import Calendar

    return Calendar(name)


@cache
def _source(name: str, data: str, settings: Settings) -> Source:
    if name == "sample":
        from pipeline.prices.sample import SampleSource

        return SampleSource()
    if name == "csv":
        from pipeline.prices.csv_files import CsvSource

        return CsvSource(Path(data))
    from pipeline.prices.yahoo import YahooSource

    return YahooSource(settings.home / "yahoo", settings.fetch_attempts, settings.fetch_timeout, settings.fetch_rate)


def _embedded(settings: Settings, database: str) -> str:
    from pipeline import embedded_postgres

    return embedded_postgres.url(settings.home, database)
