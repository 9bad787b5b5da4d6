"""What can be trained. `RECIPES` lists every recipe; adding one is one file, which has a `RECIPES` of its own, and one line here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from pipeline.errors import SettingsError
from pipeline.models.default import DEFAULT
from pipeline.models.recipe import FAITHFUL, Recipe

#: The files of this folder that define recipes, besides the default one.
FILES = (
    "weng",
    "sezer",
    "fastnu",
    "yadav",
    "castilla",
    "ganegedara",
    "walia",
    "aungiers",
    "statquest",
    "aungiers_sine",
    "meetup",
)
RECIPES: tuple[Recipe, ...] = (DEFAULT, *(recipe for file in FILES for recipe in import_module(f"pipeline.models.{file}").RECIPES))

#: Recipes that stand in for those of their name, see `lent`.
_LENT: dict[str, Recipe] = {}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name, in the mode named after its dot; `SettingsError` lists them all when there is none."""
    every = {recipe.name: recipe for recipe in with_modes()} | _LENT
    if name not in every:
        raise SettingsError(f"There is no recipe {name!r}. The recipes are: {', '.join(every)}.")
    return every[name]


def with_modes() -> list[Recipe]:
    """All recipes, each followed by what its source had otherwise, where its protocol peeked."""
    return [mode for recipe in RECIPES for mode in (recipe, *([recipe.in_mode(FAITHFUL)] if recipe.faithful else []))]


@contextmanager
def lent(*recipes: Recipe) -> Iterator[None]:
    """As long as this lasts, these are found by their names in this process, whatever is listed: an audit trains short versions."""
    before = dict(_LENT)
    _LENT.update({recipe.name: recipe for recipe in recipes})
    try:
        yield
    finally:
        _LENT.clear()
        _LENT.update(before)
