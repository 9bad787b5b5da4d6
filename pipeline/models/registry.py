"""All recipes by name.

Adding one is one file with a `RECIPES` of its own, and one line in `FILES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib import import_module

from pipeline.errors import SettingsError
from pipeline.models.default import DEFAULT
from pipeline.models.recipe import FAITHFUL, ExerciseRecipe, PriceRecipe, Recipe

#: The files of this room that define recipes, besides the default one.
FILES = (
    "literature.weng",
    "literature.sezer",
    "literature.fastnu",
    "literature.yadav",
    "literature.castilla",
    "literature.ganegedara",
    "literature.walia",
    "literature.aungiers",
    "toys.statquest",
    "toys.aungiers_sine",
    "toys.meetup",
)


class Recipes:
    """A set of recipes that are found by name, in their modes too."""

    def __init__(self, recipes: Iterable[Recipe]) -> None:
        self._listed = tuple(recipes)

    def __iter__(self) -> Iterator[Recipe]:
        return iter(self._listed)

    @property
    def for_prices(self) -> tuple[PriceRecipe, ...]:
        """The recipes that forecast prices."""
        return tuple(recipe for recipe in self._listed if isinstance(recipe, PriceRecipe))

    @property
    def for_exercises(self) -> tuple[ExerciseRecipe, ...]:
        """The recipes that make their own examples."""
        return tuple(recipe for recipe in self._listed if isinstance(recipe, ExerciseRecipe))

    @property
    def price_modes(self) -> tuple[PriceRecipe, ...]:
        """The recipes that forecast prices, each followed by its `faithful` mode if it has one."""
        return tuple(
            mode
            for recipe in self.for_prices
            for mode in (recipe, *([recipe.in_mode(FAITHFUL)] if recipe.faithful else []))
        )

    @property
    def names(self) -> list[str]:
        """The names of all recipes and modes."""
        recipes = (*self.price_modes, *self.for_exercises)
        return list(dict.fromkeys(recipe.name for recipe in recipes))

    def find(self, name: str) -> Recipe:
        """Return the recipe of that name; `SettingsError` lists them all where there is none."""
        modes = {recipe.name: recipe for recipe in self.price_modes}
        recipes = modes | {recipe.name: recipe for recipe in self._listed}
        if name not in recipes:
            raise SettingsError(
                f"There is no recipe {name!r}. The recipes are: {', '.join(self.names)}."
            )
        return recipes[name]

    def for_price(self, name: str) -> PriceRecipe:
        """Return a recipe that forecasts prices; `SettingsError` for any other name."""
        recipe = self.find(name)
        if isinstance(recipe, PriceRecipe):
            return recipe
        raise SettingsError(
            f"Recipe {name} makes its own examples and forecasts no prices. "
            f"`stockcast exercise --recipe {name}` trains it."
        )

    def for_exercise(self, name: str) -> ExerciseRecipe:
        """Return a recipe that makes its own examples; `SettingsError` for any other name."""
        recipe = self.find(name)
        if isinstance(recipe, ExerciseRecipe):
            return recipe
        raise SettingsError(
            f"{name} learns from prices: `stockcast run --recipe {name}` trains it."
        )

    def replaced(self, *recipes: Recipe) -> Recipes:
        """Return these recipes with others in place of those of the same name."""
        others = {recipe.name: recipe for recipe in recipes}
        kept = [others.pop(recipe.name, recipe) for recipe in self._listed]
        return Recipes((*kept, *others.values()))

    def on(self, device: str) -> Recipes:
        """Return these recipes, with networks that are trained on this device."""
        if all(recipe.device == device for recipe in self._listed):
            return self
        return Recipes(replace(recipe, device=device) for recipe in self._listed)


def _recipes_of(file: str) -> tuple[Recipe, ...]:
    recipes: tuple[Recipe, ...] = import_module(f"pipeline.models.{file}").RECIPES
    return recipes


#: The name, in a backtest, of what the days of a universe publish; no recipe has it.
PUBLISHED = "published"
#: Every recipe that ships with this program.
RECIPES = Recipes((DEFAULT, *(recipe for file in FILES for recipe in _recipes_of(file))))
