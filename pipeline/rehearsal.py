"""The day in a home of its own that nobody else sees: prices put into its store by hand, the product's own steps, nothing tracked."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import steps
from pipeline.assembly import Parts
from pipeline.errors import NothingStored
from pipeline.run import Run

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from pipeline.prices.source import Raw
    from pipeline.settings import Settings
    from pipeline.tracking import StockRun
    from pipeline.universes import Universe


class Untracked:
    """A tracker that keeps nothing."""

    def prepare(self) -> None:
        """There is nothing to prepare."""

    def open_session(self, *_: object) -> str:
        return ""

    def close_session(self, parent: str, metrics: dict[str, float]) -> None:
        """There is nothing to close."""

    def record(self, parent: str, run: StockRun) -> str:
        return ""

    def set_champions(self, champions: Mapping[str, str | None]) -> None:
        """No model is registered, so none is named."""


class StoredOnly:
    """A source that has nothing: all prices are in the store already."""

    name = "store"

    def tickers(self) -> None:
        return None

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> Raw:
        raise NothingStored(f"{ticker}: a rehearsal fetches nothing; {first} to {last} is expected to be in its store.")


class Rehearsal(Parts):
    """Real parts in the folder `home`, but for the source and the tracker. What networks are trained by are the workers of `settings`."""

    def __init__(self, home: Path, settings: Settings, **changes: object) -> None:
        own = {"home": home, "store_url": f"sqlite:///{home}/store.db", "tracking_uri": "", "artifacts": "", "tensorboard": ""}
        super().__init__(dataclasses.replace(settings, **own, **changes), progress=_silently)
        home.mkdir(parents=True, exist_ok=True)

    def source(self, universe: Universe) -> StoredOnly:
        return StoredOnly()

    def tracker(self, universe: Universe) -> Untracked:
        return Untracked()


def day(parts: Parts, run: Run) -> None:
    """The steps of a session that lead to its forecasts."""
    tickers = steps.check(parts, run)
    steps.pretrain(parts, run)
    steps.build_windows(parts, run, tickers)
    steps.train(parts, run, tickers)
    steps.evaluate(parts, run, tickers)
    steps.promote(parts, run)
    steps.publish(parts, run)


def unequal(ours: pd.DataFrame, theirs: pd.DataFrame) -> np.ndarray:
    """Which cells of two tables of one shape are not the same, bool (rows, columns); what is missing in both is the same."""
    return (ours.ne(theirs) & ~(ours.isna() & theirs.isna())).to_numpy()


def _silently(step: str, ticker: str, message: str) -> None:
    """Nobody waits for these lines."""
