"""A backtest's request: its forecasters, its days, and how often its networks are trained."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import SettingsError
from pipeline.models import BASELINES, DEFAULT, PriceRecipe, Recipe, Recipes, har, statistical
from pipeline.research.leaderboard import OPPONENTS


@dataclass(frozen=True)
class BacktestRequest:
    """A backtest as somebody asks for it.

    Attributes:
        recipes: names of recipes, baselines and statistical models, or recipes themselves; naive
            and ewma always take part.
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
    """One line of the leaderboard; `recipe` is None for a baseline and a statistical model."""

    name: str
    recipe: PriceRecipe | None = None
    seed: int = 0

    @property
    def identity(self) -> list[str | int]:
        """The values that decide its forecasts, besides its data."""
        if self.recipe is None:
            return [self.name]
        return [self.name, self.recipe.name, self.recipe.config_hash(), self.seed]

    @property
    def cutter(self) -> PriceRecipe:
        """The recipe that cuts its windows; of a baseline, the default one."""
        return self.recipe or DEFAULT


def forecaster_names(recipes: Recipes) -> list[str]:
    """Return all names that may take part: recipes for prices, baselines, statistical models."""
    names = [recipe.name for recipe in recipes.for_prices]
    return [*names, *BASELINES, *har.HAR_NAMES, *statistical.STATISTICAL_NAMES]


def forecasters_of(
    recipes: Recipes, wanted: Sequence[str | Recipe], target: str, seed: int, seeds: int
) -> tuple[Forecaster, ...]:
    """Return the forecasters that are wanted, each once, then naive and ewma.

    Args:
        recipes: where recipes are found by name.
        wanted: names, or recipes themselves.
        seed, seeds: the first seed of a recipe's networks, and their number.

    Raises:
        SettingsError: one is unknown, peeks or does not forecast `target`.
    """
    forecasters: dict[str, Forecaster] = {}
    for entry in (*wanted, *OPPONENTS):
        name = entry if isinstance(entry, str) else entry.name
        if name in (*BASELINES, *har.HAR_NAMES, *statistical.STATISTICAL_NAMES):
            forecasters.setdefault(name, Forecaster(name))
            continue
        recipe = _honest_recipe(recipes, entry, target)
        for number in range(seed, seed + seeds):
            title = f"{name} seed {number}" if seeds > 1 else name
            forecasters.setdefault(title, Forecaster(title, recipe, number))
    return tuple(forecasters.values())


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
