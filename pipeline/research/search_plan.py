"""A search that is decided: its request, its folds, its space and its names."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.arrays import Floats
from pipeline.errors import SettingsError
from pipeline.models import BASELINES, EWMA, PriceRecipe
from pipeline.quantiles import losses
from pipeline.research.search import Dimension, Params, dimension_text
from pipeline.storage import content_digest, digest_of
from pipeline.universes import Universe
from pipeline.windows import load_dataset

#: Folder of the files, and name of the experiment in MLflow.
TUNING_FOLDER = "tuning"
STEP = "tune"
#: Sessions of a fold.
FOLD_SESSIONS = 252


@dataclass(frozen=True)
class SearchRequest:
    """A search as somebody asks for it.

    Attributes:
        trials: their number in the end; those that are done already count.
        folds: the years that a trial is measured on.
        first, last: the days whose sessions are looked at. The newest of these sessions are kept
            back. None: the universe's own.
    """

    trials: int
    folds: int
    first: dt.date | None = None
    last: dt.date | None = None

    def __post_init__(self) -> None:
        for name in ("trials", "folds"):
            if getattr(self, name) < 1:
                raise SettingsError(f"--{name} is {getattr(self, name)}; at least 1 is expected.")
        if self.first and self.last and self.first > self.last:
            raise SettingsError(f"--from {self.first} is after --to {self.last}. Exchange them.")


@dataclass(frozen=True, eq=False)
class FoldBenchmark:
    """The EWMA random walk on one ticker's sessions of a fold.

    Attributes:
        actuals: prices (n, H), with the dividends on the way.
        last_prices: (n,), of each window.
        loss: its mean pinball loss.
    """

    actuals: Floats
    last_prices: Floats
    loss: float

    @classmethod
    def of(cls, file: bytes) -> FoldBenchmark:
        """Measure the EWMA random walk on the test part of a dataset file."""
        dataset = load_dataset(file)
        # Copies, so that the whole dataset need not stay in memory.
        actuals = dataset.test.actual_with_dividends.copy()
        last_prices = dataset.test.last.copy()
        quantiles = BASELINES[EWMA].fit(dataset.train, dataset.spec.horizon)(dataset.test)
        return cls(actuals, last_prices, float(losses(actuals, quantiles, last_prices).mean()))

    def ratio_of(self, quantiles: np.ndarray) -> float:
        """Return the mean pinball loss of quantiles (n, H, Q), relative to the random walk's."""
        return float(losses(self.actuals, quantiles, self.last_prices).mean() / self.loss)


@dataclass(frozen=True, eq=False)
class Fold:
    """A year that trials are measured on.

    Attributes:
        first, last: its sessions.
        files: by ticker, the dataset file with the year as its test part.
    """

    first: dt.date
    last: dt.date
    files: Mapping[str, bytes]

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"

    @cached_property
    def benchmarks(self) -> dict[str, FoldBenchmark]:
        """The EWMA random walk by ticker."""
        return {ticker: FoldBenchmark.of(file) for ticker, file in self.files.items()}


@dataclass(frozen=True, eq=False)
class SearchPlan:
    """A search, decided to the last detail.

    Attributes:
        untouched: the first session that is kept back.
        own_values: the recipe's values; they are trial 0.
    """

    universe: Universe
    recipe: PriceRecipe
    seed: int
    folds: tuple[Fold, ...]
    untouched: dt.date
    space: tuple[Dimension, ...]
    own_values: Params

    @property
    def name(self) -> str:
        """Its name in the store, in MLflow and among the files."""
        return f"{self.universe.name}-{self.recipe.name}-{self.universe.target}"

    @cached_property
    def fingerprint(self) -> str:
        """The hash of all that decides its trials: data, folds, space, recipe and seed."""
        folds = [
            [
                str(fold),
                [[ticker, content_digest(file, 64)] for ticker, file in sorted(fold.files.items())],
            ]
            for fold in self.folds
        ]
        return digest_of(
            [
                folds,
                [dimension_text(dimension) for dimension in self.space],
                self.recipe.name,
                self.recipe.config_hash(),
                self.seed,
            ]
        )

    @property
    def folder(self) -> str:
        """The folder of its files, among the artifacts."""
        return f"{TUNING_FOLDER}/{self.name}-{self.fingerprint[:8]}"

    def params(self) -> dict[str, object]:
        """Return the plan as MLflow shows it."""
        return {
            "recipe": self.recipe.name,
            "universe": self.universe.name,
            "source": self.universe.source,
            "tickers": ",".join(self.universe.tickers),
            "target": self.universe.target,
            "horizon": self.universe.horizon,
            "seed": self.seed,
            "folds": len(self.folds),
            "first_fold": str(self.folds[0]),
            "last_fold": str(self.folds[-1]),
            "untouched_from": self.untouched,
            "fingerprint": self.fingerprint,
            **{f"space.{dimension.name}": dimension_text(dimension) for dimension in self.space},
        }
