"""Made prices and small audits of recipes, for the tests of the audit."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools

from pipeline.inspection import AuditReport, TradedPrices, audit
from pipeline.models import PriceRecipe
from pipeline.parts import Parts
from pipeline.tables import ACTIONS, PRICES
from pipeline.universes import Universe
from tests.made_prices import random_walk

#: The last calendar year is as short as can be, for the recipes that are tested on it.
LAST_AUDITED = dt.date(2012, 7, 31)
HORIZON = 2
#: Units of a narrow network's layers.
NARROW = 2


def narrow(recipe: PriceRecipe) -> PriceRecipe:
    """Return the recipe with two units a layer and two layers at most.

    How wide a network is has nothing to do with what it may see.
    """
    units = getattr(recipe.network, "units", None)
    if units is None:
        return recipe
    changes: dict[str, object] = {"units": NARROW}
    if isinstance(units, tuple):
        dropout = recipe.network.dropout
        dropout = dropout[:2] if isinstance(dropout, tuple) else dropout
        changes = {"units": (NARROW,) * len(units[:2]), "dropout": dropout}
    return dataclasses.replace(recipe, network=dataclasses.replace(recipe.network, **changes))


@functools.cache
def made_bars(*tickers: str, count: int = 1200) -> dict[str, TradedPrices]:
    """Return random walks by ticker."""
    bars = {}
    for seed, ticker in enumerate(tickers):
        walk = random_walk(seed, count, LAST_AUDITED).rename(columns={"date": "session"})
        bars[ticker] = TradedPrices(PRICES.conform(walk.assign(ticker=ticker)), ACTIONS.empty())
    return bars


def audited_universe(recipe: PriceRecipe, *tickers: str) -> Universe:
    """Return a universe with the recipe's own target."""
    return Universe(
        name="made",
        source="sample",
        tickers=tickers,
        target=recipe.targets[0],
        horizon=HORIZON,
        start=dt.date(2000, 1, 3),
    )


def small_audit(
    parts: Parts, recipe: PriceRecipe, *levels: str, cutoffs: int = 1, epochs: int = 1
) -> AuditReport:
    """Audit a narrow recipe on made prices."""
    recipe = narrow(recipe)
    tickers = ("AAA", "BBB") if recipe.knows_symbols else ("AAA",)
    universe = audited_universe(recipe, *tickers)
    return audit(parts, recipe, universe, made_bars(*tickers), cutoffs, epochs, levels)


def moved_outputs(report: AuditReport, level: str) -> set[str]:
    """Return the names of the outputs that moved at a level."""
    return {line.what for line in report.moved if line.level == level}
