"""The shipped recipes with every parameter."""

from collections.abc import Iterator
from importlib import import_module

from pipeline.models import DEFAULT, ExerciseRecipe, PriceRecipe
from tests.reference_pages.markdown import cell, table

#: The files whose recipes the documentation shows. A recipe of one's own needs no place there.
SHOWN_FILES = [
    *(f"literature.{source}" for source in ("weng", "sezer", "fastnu", "yadav", "castilla")),
    *(f"literature.{source}" for source in ("ganegedara", "walia", "aungiers")),
    *(f"toys.{source}" for source in ("statquest", "aungiers_sine", "meetup")),
]


def shown_recipes() -> Iterator[PriceRecipe | ExerciseRecipe]:
    yield DEFAULT
    for file in SHOWN_FILES:
        yield from import_module(f"pipeline.models.{file}").RECIPES


def recipes_part() -> str:
    return "\n\n".join(_described(recipe) for recipe in shown_recipes())


def _described(recipe: PriceRecipe | ExerciseRecipe) -> str:
    lines = recipe.described()
    rows = [
        f"| {name} | {cell(value)} |"
        for name, value in lines.items()
        if value and name != "summary"
    ]
    shown = table("| parameter | value |", rows)
    return f"### {recipe.name}\n\n{lines['summary']}\n\n{shown}"
