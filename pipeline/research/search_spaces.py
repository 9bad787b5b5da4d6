"""Search spaces: the values of a recipe that a search tries, and the recipe with such values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.models import RECIPES, AnchoredQuantiles, PriceRecipe, Recipes, Stack
from pipeline.research.search import Categorical, Dimension, Integer, Params, Real

#: The values that are searched, by the kind of network. A space is widened where a recipe's own
#: value lies outside it.
SPACES: Mapping[type, tuple[Dimension, ...]] = {
    AnchoredQuantiles: (
        Integer("units", 4, 64, log=True),
        Real("dropout", 0.0, 0.6),
        Integer("embedding", 1, 16, log=True),
        Categorical(
            "means", ((1, 5, 20, 60), (1, 5, 20), (1, 20), (1, 5), (1, 2, 5, 10, 20, 40, 60))
        ),
        Real("learning_rate", 3e-5, 3e-3, log=True),
        Categorical("batch_size", (8, 16, 32, 64)),  # stretches, each of 60 windows
        Integer("patience", 2, 10),
    ),
    Stack: (
        # Units of every layer, in multiples of the recipe's own.
        Categorical("width", (0.25, 0.5, 1.0, 2.0)),
        Real("dropout", 0.0, 0.6),
        Real("learning_rate", 1e-5, 1e-2, log=True),
    ),
}
#: Values of the default recipe's network, and of its training, that keep their names.
NETWORK_VALUES = ("units", "dropout", "embedding", "means")
TRAINING_VALUES = ("batch_size", "patience")


def tunable(recipes: Recipes = RECIPES) -> list[str]:
    """Return the names of the recipes that there is a space for."""
    return [recipe.name for recipe in recipes.for_prices if type(recipe.network) in SPACES]


def space_of(recipe: PriceRecipe) -> tuple[Dimension, ...]:
    """Return the space of a recipe's network, wide enough for the recipe's own values."""
    values = own_values(recipe)
    return tuple(
        dimension.holding(values[dimension.name]) for dimension in SPACES[type(recipe.network)]
    )


def own_values(recipe: PriceRecipe) -> dict[str, Any]:
    """Return a recipe's own value in each dimension of its network's space."""
    network, rate = recipe.network, recipe.optimiser.schedule.rate
    if isinstance(network, Stack):
        return {"width": 1.0, "dropout": float(max(network.dropouts)), "learning_rate": rate}
    return {
        **{name: getattr(network, name) for name in NETWORK_VALUES},
        "learning_rate": rate,
        **{name: getattr(recipe, name) for name in TRAINING_VALUES},
    }


def applied(recipe: PriceRecipe, params: Params) -> PriceRecipe:
    """Return the recipe with these values; those that equal its own change nothing."""
    known = own_values(recipe)
    changed = {name: value for name, value in params.items() if value != known[name]}
    training = {name: changed[name] for name in TRAINING_VALUES if name in changed}
    if "learning_rate" in changed:
        schedule = replace(recipe.optimiser.schedule, rate=changed["learning_rate"])
        training["optimiser"] = replace(recipe.optimiser, schedule=schedule)
    network: Any = recipe.network
    if isinstance(network, Stack):
        values = _stack_values(network, changed)
    else:
        values = {name: changed[name] for name in NETWORK_VALUES if name in changed}
    return replace(recipe, network=replace(network, **values), **training)


def _stack_values(network: Stack, changed: Params) -> dict[str, Any]:
    """Return the fields of a stack that change; a layer without dropout stays without."""
    values: dict[str, Any] = {}
    if "width" in changed:
        width = changed["width"]
        values["units"] = tuple(max(1, round(units * width)) for units in network.units)
    if "dropout" in changed:
        dropout = changed["dropout"]
        by_layer = tuple(dropout if share else 0.0 for share in network.dropouts)
        values["dropout"] = by_layer if isinstance(network.dropout, tuple) else dropout
    return values
