"""Studies that take seconds: a folder of made prices, and recipes shortened to an epoch."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import StockcastError
from pipeline.models import RECIPES, Stack
from pipeline.parts import Parts
from pipeline.research.study import studied_universe
from pipeline.settings import Settings
from pipeline.training import Job
from pipeline.universes import Universe
from pipeline.windows import Newest, Split, Windowing
from tests.made_days import SMALL
from tests.made_prices import random_walk
from tests.made_stores import store_in

NOW = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
LAST_OF_2017 = dt.date(2017, 12, 29)
#: The days on which the study "made" tests: 63 sessions.
TESTED = dt.date(2017, 10, 2), LAST_OF_2017
#: The session on which KO lacks a high.
GAP = "2017-11-13"
SHORT = dataclasses.replace(
    RECIPES.for_price("fastnu-default"),
    name="short",
    study="made",
    tested=TESTED,
    split=Split(Newest(63), min_train_windows=100),
    window=Windowing(10),
    network=Stack((3,)),
    epochs=1,
    batch_size=512,
    published={"IBM": 2.5},
    published_loss={"training": 0.5},
)
POOL = dataclasses.replace(
    SHORT,
    name="pool",
    window=Windowing(5),
    network=Stack((3,), embedding=2),
    pooled=True,
    published={},
    published_loss={},
)
#: The default recipe's windows and split, made small, with a network that trains in a second.
SHORT_DEFAULT = dataclasses.replace(
    SMALL,
    network=Stack((2,)),
    optimiser=SHORT.optimiser,
    loss=SHORT.loss,
    epochs=1,
    batch_size=512,
    one_pass=None,
    fine_tuning=None,
)
#: All recipes, those of the study "made", and a small default one.
SHORT_RECIPES = RECIPES.replaced(SHORT, POOL, SHORT_DEFAULT)
#: Sessions of each ticker, and the last of them. FEW and OLD cannot be tested.
HISTORIES = {
    "IBM": (300, LAST_OF_2017),
    "KO": (300, LAST_OF_2017),
    "FEW": (100, LAST_OF_2017),
    "OLD": (150, dt.date(2013, 3, 1)),
}


def write_prices(folder: Path) -> Path:
    """Write a file for each of `HISTORIES`, and one that cannot be read; return the folder."""
    for seed, (ticker, (count, last)) in enumerate(HISTORIES.items()):
        bars = random_walk(seed, count, last)
        if ticker == "KO":
            bars.loc[bars["date"] == GAP, "high"] = np.nan
        bars.to_csv(folder / f"{ticker}.csv", index=False)
    (folder / "TORN.csv").write_text("Date,Open\n2017-01-03,1\n")
    return folder


class StudyParts(Parts):
    """Real parts of a study in the folder `home`.

    `messages` keeps their lines of progress: (step, ticker, message).
    """

    def __init__(self, home: Path, folder: Path, **changes: Any) -> None:
        self.messages: list[tuple[str, str, str]] = []
        settings = Settings(
            home=home,
            data=str(folder),
            store_url=store_in(home),
            tracking_uri=f"sqlite:///{home}/mlflow.db",
            workers=1,
        )
        options = {"recipes": SHORT_RECIPES, **changes}
        super().__init__(settings, progress=lambda *line: self.messages.append(line), **options)

    def universe(self, *tickers: str) -> Universe:
        """Return the universe of these tickers; of all in the folder where none is named."""
        universe = studied_universe(self.settings)
        return dataclasses.replace(universe, tickers=tickers or universe.tickers)


class AnsweringWorkers:
    """Workers without processes: a function answers their jobs, or raises.

    `jobs` keeps those that have been run.
    """

    def __init__(self, answer: Callable[[Job[Any]], Any]) -> None:
        self.answer = answer
        self.jobs: list[Job[Any]] = []

    def run(self, jobs: Sequence[Job[Any]]) -> Iterator[tuple[Job[Any], Future[Any]]]:
        self.jobs += jobs
        for job in jobs:
            future: Future[Any] = Future()
            try:
                future.set_result(self.answer(job))
            except StockcastError as error:
                future.set_exception(error)
            yield job, future
