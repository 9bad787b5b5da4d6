"""Whole days on made prices. Every part is real but two: the source of prices, a small recipe."""

from __future__ import annotations

import dataclasses
import datetime as dt
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.daily import STEPS, plan, run_day
from pipeline.models import DEFAULT, RECIPES, Optimiser
from pipeline.models.optimisation import Constant
from pipeline.parts import Parts
from pipeline.run import Run
from pipeline.settings import Settings
from pipeline.storage import Store
from pipeline.universes import Universe
from pipeline.windows import Newest, Split
from tests.made_prices import LAST, MadeSource, random_walk
from tests.made_stores import store_in

NOW = dt.datetime(2013, 3, 9, tzinfo=dt.UTC)
#: It learns in two epochs.
_FAST = Optimiser("Adam", Constant(0.01), clip_norm=1.0)
#: The default recipe, content with two units, two epochs and a short history.
SMALL = dataclasses.replace(
    DEFAULT,
    window=dataclasses.replace(DEFAULT.window, context_length=40),
    split=Split(Newest(60), Newest(60), min_train_windows=100),
    network=dataclasses.replace(DEFAULT.network, units=2, means=(1, 5)),
    optimiser=_FAST,
    epochs=2,
    fine_tuning=dataclasses.replace(DEFAULT.fine_tuning, optimiser=_FAST, epochs=2),
)
#: All recipes, the small one in place of the default one.
SMALL_RECIPES = RECIPES.replaced(SMALL)
#: OLD and TWO have enough history for networks of their own, YNG for the pooled one to be measured
#: on it, the others for none.
SESSIONS = {"OLD": 850, "TWO": 420, "YNG": 160, "AAA": 120, "BBB": 121, "CCC": 122}
#: Sessions in a row that are calm, or wild.
SPELL = 30
UNIVERSE = Universe(
    name="made",
    source="sample",
    tickers=("AAA", "BBB", "CCC"),
    retrain="monthly",
    start=dt.date(2000, 1, 3),
)
TRAINED = dataclasses.replace(UNIVERSE, name="trained", tickers=("OLD", "TWO", "YNG", "AAA"))


def made_source(signalled: bool = False) -> MadeSource:
    """Return random walks; with `signalled`, the opens tell how far closes will move.

    `har` does not look at opens, so a network is then worth publishing.
    """
    return MadeSource({ticker: bars.copy() for ticker, bars in _made_bars(signalled).items()})


@cache
def _made_bars(signalled: bool) -> dict[str, pd.DataFrame]:
    bars = {
        ticker: random_walk(number, count)
        for number, (ticker, count) in enumerate(SESSIONS.items())
    }
    return {ticker: _signalled(table) for ticker, table in bars.items()} if signalled else bars


def _signalled(bars: pd.DataFrame) -> pd.DataFrame:
    """Return bars that are calm and wild in turn: calm ones open below the close before.

    All have the same range, whatever their closes do.
    """
    calm = np.arange(len(bars))[::-1] // SPELL % 2 == 0
    close = bars["close"].to_numpy()
    changes = np.diff(np.log(close), prepend=np.log(close[0])) * np.where(calm, 0.35, 1.4)
    close = close[0] * np.exp(np.cumsum(changes))
    before = np.concatenate([close[:1], close[:-1]])
    opens = before * np.where(calm, 0.996, 1.004)
    width = 0.03 + np.arange(len(bars)) % 7 / 10_000  # no two ranges in a row are equal
    high = np.maximum.reduce([opens, close, before * (1 + width)])
    low = np.minimum.reduce([opens, close, before * (1 - width)])
    return bars.assign(open=opens, high=high, low=low, close=close)


class MadeParts(Parts):
    """Real parts in the folder `home`, whose default recipe is `SMALL`.

    `messages` keeps their lines of progress: (step, ticker, message).
    """

    def __init__(self, home: Path, source: MadeSource, **changes: object) -> None:
        self.messages: list[tuple[str, str, str]] = []
        own = {
            "home": home,
            "store_url": store_in(home),
            "tracking_uri": f"sqlite:///{home}/mlflow.db",
            "workers": 1,  # all tests of a process share it: importing TensorFlow takes long
        }
        settings = Settings(**(own | changes))
        super().__init__(
            settings, progress=lambda *line: self.messages.append(line), recipes=SMALL_RECIPES
        )
        self.made = source

    @cached_property
    def store(self) -> Store:
        store = Store.open(str(self.settings.store_url))
        store.prices.clock = store.events.clock = lambda: NOW
        return store

    def source(self, universe: Universe) -> MadeSource:
        return self.made


def run_made_day(parts: Parts, session: dt.date = LAST, universe: Universe = UNIVERSE) -> Run:
    """Do all steps of a session."""
    run = plan(parts, universe, session, NOW)
    run_day(parts, run)
    return run


def run_until(
    parts: Parts, step: str, session: dt.date = LAST, universe: Universe = TRAINED
) -> tuple[Run, list[str]]:
    """Do the steps up to `step`, at most "evaluate"; return the run and the tickers that passed."""
    run = plan(parts, universe, session, NOW)
    STEPS["ingest"](parts, run, list(universe.tickers))
    tickers = STEPS["check"](parts, run)
    for name in ("pretrain", "build_windows", "train", "evaluate"):
        STEPS[name](parts, run, *([] if name == "pretrain" else [tickers]))
        if name == step:
            break
    return run, tickers
