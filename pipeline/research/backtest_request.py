"""A backtest's request: its forecasters, its days, and how often its networks are trained."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.daily import decisive_settings
from pipeline.errors import SettingsError
from pipeline.models import (
    BASELINES,
    DEFAULT,
    PUBLISHED,
    PriceRecipe,
    Recipe,
    Recipes,
    har,
    statistical,
)
from pipeline.research.leaderboard import OPPONENTS
from pipeline.settings import Settings
from pipeline.universes import Universe


@dataclass(frozen=True)
class BacktestRequest:
    """A backtest as somebody asks for it.

    Attributes:
        recipes: names of recipes, baselines and statistical models, `PUBLISHED`, or recipes
            themselves; naive and ewma always take part.
        first, last: the days that cutoffs lie between, both included.
        baselines: names of statistical models that take part too.
        step: sessions from one cutoff to the next.
        refit: cutoffs from one training of the networks to the next; 0: they are trained once, at
            the first cutoff.
        embargo: sessions between what one part of the data knows and the next part's first
            forecast; None: the horizon.
        warm_start: networks of later blocks go on from those of the first.
        seeds: networks of each recipe, each a forecaster of its own, with seeds from the settings'
            on.
    """

    recipes: Sequence[str | Recipe]
    first: dt.date
    last: dt.date
    baselines: Sequence[str] = ()
    step: int = 5
    refit: int = 25
    embargo: int | None = None
    warm_start: bool = False
    seeds: int = 1

    def __post_init__(self) -> None:
        least = {"step": 1, "refit": 0, "embargo": 0, "seeds": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise SettingsError(f"--{name} is {value}; at least {bound} is expected.")
        if self.first > self.last:
            raise SettingsError(f"--from {self.first} is after --to {self.last}. Exchange them.")


@dataclass(frozen=True)
class Forecaster:
    """One line of the leaderboard.

    Attributes:
        recipe: None for a baseline and a statistical model.
        settings: of `PUBLISHED`, those that decide what a day publishes, by name.
    """

    name: str
    recipe: PriceRecipe | None = None
    seed: int = 0
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def identity(self) -> list[Any]:
        """The values that decide its forecasts, besides its data."""
        if self.recipe is None:
            return [self.name]
        settings = [list(pair) for pair in self.settings]
        return [self.name, self.recipe.name, self.recipe.config_hash(), self.seed, *settings]

    @property
    def is_published(self) -> bool:
        """True where its forecasts are those of whole days."""
        return bool(self.settings)

    @property
    def trains_here(self) -> bool:
        """True where networks are trained at the cutoffs of the backtest, not at those of days."""
        return self.recipe is not None and not self.is_published

    @property
    def cutter(self) -> PriceRecipe:
        """The recipe that cuts its windows; without networks of the backtest, the default one."""
        return self.recipe if self.recipe and self.trains_here else DEFAULT


def forecaster_names(recipes: Recipes) -> list[str]:
    """Return all names that may take part."""
    names = [recipe.name for recipe in recipes.for_prices]
    baselines = *BASELINES, *har.HAR_NAMES, *statistical.STATISTICAL_NAMES
    return [*names, PUBLISHED, *baselines]


def forecasters_of(
    recipes: Recipes,
    wanted: Sequence[str | Recipe],
    universe: Universe,
    settings: Settings,
    seeds: int,
) -> tuple[Forecaster, ...]:
    """Return the forecasters that are wanted, each once, then naive and ewma.

    Args:
        recipes: where recipes are found by name.
        wanted: names, or recipes themselves.
        seeds: networks of a recipe, from the settings' seed on.

    Raises:
        SettingsError: one is unknown, peeks or does not forecast the universe's target.
    """
    target, seed = universe.target, settings.seed
    forecasters: dict[str, Forecaster] = {}
    for entry in (*wanted, *OPPONENTS):
        name = entry if isinstance(entry, str) else entry.name
        if name in (*BASELINES, *har.HAR_NAMES, *statistical.STATISTICAL_NAMES):
            forecasters.setdefault(name, Forecaster(name))
            continue
        if name == PUBLISHED:
            forecasters.setdefault(name, _published(recipes, universe, settings))
            continue
        recipe = _honest_recipe(recipes, entry, target)
        for number in range(seed, seed + seeds):
            title = f"{name} seed {number}" if seeds > 1 else name
            forecasters.setdefault(title, Forecaster(title, recipe, number))
    return tuple(forecasters.values())


def _published(recipes: Recipes, universe: Universe, settings: Settings) -> Forecaster:
    recipe = _honest_recipe(recipes, universe.recipe, universe.target)
    if recipe.smoothing:
        raise SettingsError(
            f"{recipe.name} forecasts a smoothed price, which nobody pays, so its days publish "
            f"nothing. Name {recipe.name} in place of {PUBLISHED} (--recipes)."
        )
    decisive = tuple(decisive_settings(settings).items())
    return Forecaster(PUBLISHED, recipe, settings.seed, decisive)


def _honest_recipe(recipes: Recipes, entry: str | Recipe, target: str) -> PriceRecipe:
    names = ", ".join(forecaster_names(recipes))
    try:
        recipe = recipes.find(entry) if isinstance(entry, str) else entry
    except SettingsError:
        raise SettingsError(
            f"There is no forecaster {entry!r}. There are: {names} (--recipes)."
        ) from None
    if not isinstance(recipe, PriceRecipe):
        raise SettingsError(
            f"{recipe.name} makes its own examples and forecasts no prices: `stockcast exercise` "
            f"trains it. Name one of {names} (--recipes)."
        )
    if recipe.leak:
        raise SettingsError(
            f"{recipe.name} peeks ({recipe.leak}): nobody could have had what it gains in a "
            f"backtest. Name {recipe.name.split('.')[0]} (--recipes)."
        )
    if target not in recipe.targets:
        raise SettingsError(
            f"{recipe.name} does not forecast {target}; its targets are "
            f"{', '.join(recipe.targets)} (--target)."
        )
    return recipe
