"""What can be trained. `RECIPES` lists every recipe; adding one is one file and one line here."""

from __future__ import annotations

from pipeline.errors import SettingsError
from pipeline.models.default import DEFAULT
from pipeline.models.recipe import Recipe

RECIPES: tuple[Recipe, ...] = (DEFAULT,)


def find_recipe(name: str) -> Recipe:
    """The recipe of that name; `SettingsError` lists them all when there is none."""
    for recipe in RECIPES:
        if recipe.name == name:
            return recipe
    raise SettingsError(f"There is no recipe {name!r}. The recipes are: {', '.join(recipe.name for recipe in RECIPES)}.")
