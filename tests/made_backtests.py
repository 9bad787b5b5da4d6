"""Backtests that take seconds: a folder of made prices, and a network that is trained at once."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.models import DEFAULT
from pipeline.parts import Parts, universe_of
from pipeline.research.backtest import BacktestResult, backtest
from pipeline.research.backtest_plan import BacktestPlan
from pipeline.research.backtest_planning import plan_backtest
from pipeline.research.backtest_request import BacktestRequest, Forecaster
from pipeline.settings import Settings
from pipeline.storage import unpack_table
from pipeline.tables import BACKTESTS
from pipeline.training import Job, PredictJob, Trained, Workers
from pipeline.training.jobs import FitJob
from tests.made_prices import random_walk
from tests.made_stores import store_in

NOW = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
LAST_PRICE = dt.date(2017, 1, 31)
FIRST_CUTOFF, LAST_DAY, HORIZON = dt.date(2016, 6, 1), dt.date(2016, 12, 30), 2
TINY = dataclasses.replace(
    DEFAULT,
    name="tiny",
    window=dataclasses.replace(DEFAULT.window, context_length=20),
    split=dataclasses.replace(DEFAULT.split, min_train_windows=100),
    network=dataclasses.replace(DEFAULT.network, units=2, means=(1, 5)),
    epochs=1,
    fine_tuning=dataclasses.replace(DEFAULT.fine_tuning, epochs=1),
)
#: The forecaster that `REQUEST` makes of it.
TINY_FORECASTER = Forecaster(TINY.name, TINY)
REQUEST = BacktestRequest([TINY, "random_walk"], FIRST_CUTOFF, LAST_DAY, step=10, refit=8)
#: The same, without networks.
NAIVE_REQUEST = dataclasses.replace(REQUEST, recipes=["naive"])


def bars_of(seed: int, count: int = 800) -> pd.DataFrame:
    """Return the bars of a random walk up to `LAST_PRICE`."""
    return random_walk(seed, count, LAST_PRICE)


class RecordedWorkers:
    """Workers that add the jobs that they get to a list."""

    def __init__(self, workers: Workers, jobs: list[Job[Any]]) -> None:
        self.workers = workers
        self.jobs = jobs

    def run(self, jobs: Sequence[Job[Any]]) -> Iterator[tuple[Job[Any], Future[Any]]]:
        self.jobs += jobs
        return self.workers.run(jobs)


class BacktestParts(Parts):
    """Real parts in the folder `home`, with a folder of price files as their source.

    Attributes:
        messages: lines of progress: (step, ticker, message).
        jobs: what the workers were given.
    """

    def __init__(
        self,
        home: Path,
        folder: Path,
        bars: Mapping[str, pd.DataFrame],
        workers: Workers | None = None,
    ) -> None:
        folder.mkdir()
        for ticker, table in bars.items():
            table.to_csv(folder / f"{ticker}.csv", index=False)
        self.folder = folder
        self.messages: list[tuple[str, str, str]] = []
        self.jobs: list[Job[Any]] = []
        self._made_workers = workers
        settings = Settings(
            home=home,
            data=str(folder),
            tracking_uri=f"sqlite:///{home}/mlflow.db",
            store_url=store_in(home),
            workers=1,
            horizon=HORIZON,
        )
        super().__init__(settings, progress=lambda *line: self.messages.append(line))
        self.universe = universe_of(settings)

    @property
    def workers(self) -> RecordedWorkers:
        return RecordedWorkers(self._made_workers or super().workers, self.jobs)

    def run(self, request: BacktestRequest = REQUEST) -> BacktestResult:
        """Run a backtest; forget the messages and jobs of earlier ones."""
        self.messages.clear()
        self.jobs.clear()
        return backtest(self, self.universe, request, NOW)

    def plan(self, request: BacktestRequest) -> BacktestPlan:
        return plan_backtest(self, self.universe, request, NOW)

    def table(self, result: BacktestResult) -> pd.DataFrame:
        """Return the BACKTESTS rows of a result."""
        file = self.artifacts.read(f"{result.folder}/forecasts.parquet")
        return BACKTESTS.conform(unpack_table(file))

    def files_below(self, result: BacktestResult) -> dict[str, bytes]:
        """Return the files of a result by name."""
        root = self.settings.home / "artifacts" / result.folder
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): path.read_bytes() for path in paths}

    def closes_of(self, ticker: str) -> tuple[np.ndarray, list[dt.date]]:
        """Return a ticker's closes and their sessions, as its file has them."""
        table = pd.read_csv(self.folder / f"{ticker}.csv", parse_dates=["date"])
        return table["close"].to_numpy(), [moment.date() for moment in table["date"]]

    @property
    def trained(self) -> list[tuple[str, str]]:
        """The networks that the workers were to train, sorted: (label, recipe)."""
        fits = (job for job in self.jobs if isinstance(job, FitJob))
        return sorted((job.label, job.recipe.name) for job in fits)

    @property
    def made_shards(self) -> list[str]:
        """The shards that were made, as "tiny, block 1 of 2"."""
        lines = (message for _, _, message in self.messages)
        return [line.split(" (")[0] for line in lines if ", block " in line]


def made_answer(job: Job[Any]) -> Any:
    """Answer a job as a network does that forecasts 1% above the last price."""
    if isinstance(job, PredictJob):
        return tuple(
            np.repeat(1.01 * windows.last[:, None], job.horizon, axis=1) for windows in job.windows
        )
    history = {"loss": [1.0, 0.5], "val_loss": [1.0, 0.5], "learning_rate": [0.1, 0.1]}
    return Trained(b"network", history, best_epoch=1, seconds=0.1, weights=1)
