"""Whole days on made prices with every real part but two: where prices come from, and a default recipe cut down to what trains in seconds."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline import steps
from pipeline.assembly import Parts
from pipeline.models import DEFAULT, lent
from pipeline.run import Run
from pipeline.settings import Settings
from pipeline.splits import Newest, Split
from pipeline.tables import PRICE_COLUMNS
from pipeline.universes import Universe
from tests.made_prices import LAST, MadeSource, random_walk

NOW = dt.datetime(2013, 3, 9, tzinfo=dt.UTC)
#: The default recipe, content with two units, two epochs and a short history.
SMALL = dataclasses.replace(
    DEFAULT,
    window=dataclasses.replace(DEFAULT.window, context_length=40),
    split=Split(Newest(60), Newest(60), min_train_windows=100),
    network=dataclasses.replace(DEFAULT.network, units=2, means=(1, 5), strengths=(0.1,), rounds=2),
    epochs=2,
    fine_tuning=dataclasses.replace(DEFAULT.fine_tuning, epochs=2),
)
#: OLD and TWO have enough history for networks of their own, YNG for the pooled one to be measured on it, the others for none.
SESSIONS = {"OLD": 850, "TWO": 420, "YNG": 160, "AAA": 120, "BBB": 121, "CCC": 122}
UNIVERSE = Universe(name="made", source="sample", tickers=("AAA", "BBB", "CCC"), retrain="monthly", start=dt.date(2000, 1, 3))
TRAINED = dataclasses.replace(UNIVERSE, name="trained", tickers=("OLD", "TWO", "YNG", "AAA"))


def made_source(swing: float = 0.0) -> MadeSource:
    """Random walks; with `swing`, every second session is so much higher, which a network is worth publishing for."""
    bars = {ticker: random_walk(number, count) for number, (ticker, count) in enumerate(SESSIONS.items())}
    for table in bars.values():
        table[PRICE_COLUMNS] = table[PRICE_COLUMNS].mul(1 + swing * (np.arange(len(table))[::-1] % 2), axis=0)
    return MadeSource(bars)


class MadeParts(Parts):
    """Real parts in the folder `home`; `said` keeps what they say as they go on."""

    def __init__(self, home: Path, source: MadeSource, **changes: object) -> None:
        self.said: list[tuple[str, str, str]] = []
        settings = Settings(
            home=home, store_url=f"sqlite:///{home}/store.db", tracking_uri=f"sqlite:///{home}/mlflow.db", **changes
        )
        super().__init__(settings, progress=lambda *words: self.said.append(words))
        self.made = source

    def source(self, universe: Universe) -> MadeSource:
        return self.made


def run_day(parts: Parts, session: dt.date = LAST, universe: Universe = UNIVERSE) -> Run:
    """All steps of a session, the default recipe being `SMALL`."""
    run = steps.plan(parts, universe, session, NOW)
    with lent(SMALL):
        steps.day(parts, run)
    return run


def run_until(parts: Parts, step: str, session: dt.date = LAST, universe: Universe = TRAINED) -> tuple[Run, list[str]]:
    """Ingests, checks and goes on through `step` ("pretrain", "build_windows", "train" or "evaluate"); (run, tickers that passed)."""
    run = steps.plan(parts, universe, session, NOW)
    with lent(SMALL):
        steps.ingest(parts, run, list(universe.tickers))
        tickers = steps.check(parts, run)
        for name in _up_to(step):
            getattr(steps, name)(parts, run, *([] if name == "pretrain" else [tickers]))
    return run, tickers


def _up_to(step: str) -> Sequence[str]:
    names = ("pretrain", "build_windows", "train", "evaluate")
    return names[: names.index(step) + 1]
