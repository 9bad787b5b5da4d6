"""The sandbox: real parts in a home of its own, for days that nobody else sees."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import NothingStored
from pipeline.models import RECIPES, Recipes
from pipeline.parts import Parts
from pipeline.shipped_files import shipped_folder
from pipeline.tracking import PublishedModel, TrackedRun, Tracker, this_process

if TYPE_CHECKING:
    from pipeline.prices import RawPrices, Source
    from pipeline.quality import Gate
    from pipeline.settings import Settings
    from pipeline.training import Networks, Workers
    from pipeline.universes import Universe

#: The run id of everything in a sandbox.
UNTRACKED_RUN = "untracked"


class SilentTracker(Tracker):
    """A tracker that keeps nothing: it has no MLflow, and every run has the same id."""

    def __init__(self, experiment: str) -> None:
        # Not the real tracker's, which connects to MLflow. Every method is replaced below.
        self.experiment = experiment

    @property
    def address(self) -> str:
        """No address: there is no MLflow."""
        return ""

    @property
    def owner(self) -> str:
        """This process."""
        return this_process()

    def prepare(self) -> None:
        """Do nothing: there is nothing to prepare."""

    def close(self, error: BaseException | None = None) -> None:
        """Do nothing: there is no connection."""

    def open_session(
        self,
        session: dt.date,
        recipe: str,
        target: str,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> str:
        """Return the id of every run."""
        return UNTRACKED_RUN

    def ensure_session(
        self,
        session: dt.date,
        recipe: str,
        target: str,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> str:
        """Return the id of every run."""
        return UNTRACKED_RUN

    def open_parent(
        self,
        key: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, object] | None = None,
    ) -> str:
        """Return the id of every run."""
        return UNTRACKED_RUN

    def finish(
        self,
        parent: str,
        metrics: Mapping[str, float],
        files: Mapping[str, bytes] | None = None,
        description: str = "",
    ) -> None:
        """Do nothing: no run was opened."""

    def end(self, run_id: str, status: str, reason: str = "") -> None:
        """Do nothing: no run was opened."""

    def end_open(self, error: BaseException) -> None:
        """Do nothing: no run was opened."""

    def end_runs_of(self, owner: str, status: str, reason: str) -> list[str]:
        """Return no ids: no owner has runs."""
        return []

    def end_abandoned(self) -> list[str]:
        """Return no names: no run was abandoned."""
        return []

    def address_of(self, key: str) -> str | None:
        """Return None: no run has a page."""
        return None

    def record(self, parent: str, run: TrackedRun) -> str:
        """Return the id of every run; nothing is tracked."""
        return UNTRACKED_RUN

    def record_together(self, runs: Sequence[tuple[str, TrackedRun]]) -> list[str]:
        """Return the id of every run; nothing is tracked."""
        return [UNTRACKED_RUN for _ in runs]

    def set_champions(
        self, champions: Mapping[str, PublishedModel | None], is_newest: Callable[[], bool]
    ) -> None:
        """Do nothing: no model is registered, so none is named."""


class NoSource:
    """A source that has nothing: all prices of a sandbox are in its store already."""

    name = "store"
    reads_all = False
    is_metered = False

    def tickers(self) -> list[str] | None:
        """Return None: it cannot list them."""
        return None

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        """Raise `NothingStored`: nothing is fetched in a sandbox."""
        raise NothingStored(
            f"{ticker}: a sandbox fetches nothing; its prices from {first} to {last} must be in "
            "its store. Put them there first."
        )


class Sandbox(Parts):
    """Real parts in the folder `home`, but for source and tracker.

    Its store is an SQLite file. The gate writes no Data Docs.

    Args:
        settings: those that decide a run's outcome are used; where things are is the sandbox's own.
        recipes: where recipes are found by name, such as shortened ones.
        beside: parts whose networks and workers it shares; None: it has its own networks, and the
            workers of `settings`.
    """

    def __init__(
        self,
        home: Path,
        settings: Settings,
        recipes: Recipes = RECIPES,
        beside: Parts | None = None,
    ) -> None:
        inside = settings.replaced(
            home=home,
            store_url=f"sqlite:///{home}/store.db",
            tracking_uri="",
            artifacts="",
            tensorboard="",
        )
        super().__init__(inside, progress=_ignore_progress, recipes=recipes)
        self._beside = beside
        home.mkdir(parents=True, exist_ok=True)

    @cached_property
    def gate(self) -> Gate:
        """The quality gate."""
        from pipeline.quality import Gate

        return Gate(shipped_folder("expectations"))

    @property
    def workers(self) -> Workers:
        """This process's worker processes."""
        return self._beside.workers if self._beside else super().workers

    @property
    def networks(self) -> Networks:
        """The cache of fitted networks."""
        return self._beside.networks if self._beside else super().networks

    def source(self, universe: Universe) -> Source:
        """Return a source that has nothing."""
        return NoSource()

    def tracker(self, experiment: str) -> Tracker:
        """Return a tracker that keeps nothing."""
        return SilentTracker(experiment)


def _ignore_progress(step: str, ticker: str, message: str) -> None:
    """Take a line of progress; nobody waits for it."""
