"""Searches that take seconds: made prices of two stocks, forecasts by a formula of the values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.decisions import SplitForecasts
from pipeline.models import BASELINES, EWMA, PriceRecipe
from pipeline.outcomes import Outcomes
from pipeline.parts import Parts
from pipeline.research.search_plan import SearchPlan, SearchRequest
from pipeline.research.search_planning import plan_search
from pipeline.research.search_trials import kept_trials, run_trial
from pipeline.sessions import Calendar
from pipeline.windows import Dataset, load_dataset
from tests.made_days import NOW, SMALL, UNIVERSE, MadeParts
from tests.made_prices import LAST, MadeSource, random_walk

TWO = replace(UNIVERSE, name="two", tickers=("AAA", "BBB"))
SESSIONS = Calendar("XNYS").sessions(UNIVERSE.start, LAST)
#: The first session that a search of `SMALL` keeps back.
UNTOUCHED = SESSIONS[-252]
REQUEST = SearchRequest(trials=6, folds=2)


def two_walks() -> MadeSource:
    """Return the prices of a stock with 1400 sessions and of one with 1130."""
    return MadeSource({"AAA": random_walk(1, 1400), "BBB": random_walk(2, 1130)})


class SearchParts(MadeParts):
    """Real parts in the folder `home`, with the prices of `two_walks`."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, two_walks())

    def plan(self, request: SearchRequest = REQUEST, recipe: PriceRecipe = SMALL) -> SearchPlan:
        """Plan a search on both stocks."""
        return plan_search(self, TWO, recipe, request, NOW)

    def run_trials(self, plan: SearchPlan, count: int) -> None:
        """Carry out the trials that are missing, without MLflow."""
        while len(done := kept_trials(self, plan)) < count:
            run_trial(self, plan, done)


class FormulaForecasts:
    """Stands in for `network_forecasts`: the EWMA random walk, wider with worse values.

    `asked` keeps what was to be forecast: (recipe, tickers).
    """

    def __init__(self) -> None:
        self.asked: list[tuple[PriceRecipe, list[str]]] = []

    def __call__(
        self, parts: Parts, step: str, recipe: PriceRecipe, files: Mapping[str, bytes], seed: int
    ) -> Outcomes[SplitForecasts]:
        self.asked.append((recipe, sorted(files)))
        width = width_of(recipe)
        return Outcomes({t: wider(load_dataset(file), width) for t, file in files.items()})


def width_of(recipe: PriceRecipe) -> float:
    """Return how wide a recipe forecasts: least at 24 units and a dropout of 0.1."""
    network = recipe.network
    return 1 + abs(np.log(network.units / 24)) / 3 + abs(network.dropout - 0.1) / 3


def wider(dataset: Dataset, width: float) -> SplitForecasts:
    """Return the EWMA random walk's forecasts, with quantiles so many times as far apart."""
    ewma = BASELINES[EWMA].fit(dataset.train, dataset.spec.horizon)
    validation, test = (
        part.last[:, None, None] + width * (ewma(part) - part.last[:, None, None])
        for part in (dataset.validation, dataset.test)
    )
    return SplitForecasts(validation, test)
