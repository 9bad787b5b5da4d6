"""Search spaces: every recipe's own values lie in its space, and other values change the recipe."""

import dataclasses

from pipeline.models import RECIPES, AnchoredQuantiles, Stack
from pipeline.research.search_spaces import SPACES, applied, own_values, space_of, tunable
from tests.made_days import SMALL

TUNABLE = [RECIPES.for_price(name) for name in tunable()]


def test_a_recipes_own_values_lie_in_its_space_and_change_nothing():
    for recipe in TUNABLE:
        values = own_values(recipe)
        assert list(values) == [dimension.name for dimension in SPACES[type(recipe.network)]]
        assert applied(recipe, values) == recipe
        for dimension in space_of(recipe):
            assert dimension.holding(values[dimension.name]) == dimension


def test_every_recipe_with_a_network_that_has_a_space_is_offered():
    assert set(tunable()) == {
        recipe.name
        for recipe in RECIPES.for_prices
        if isinstance(recipe.network, AnchoredQuantiles | Stack)
    }


def test_a_space_is_widened_where_a_recipes_own_value_lies_outside():
    network = dataclasses.replace(SMALL.network, units=128, means=(3,))
    dimensions = {
        dimension.name: dimension
        for dimension in space_of(dataclasses.replace(SMALL, network=network))
    }
    assert (dimensions["units"].low, dimensions["units"].high) == (4, 128)
    assert dimensions["means"].values[-1] == (3,)


def test_values_of_a_stack_are_applied_to_all_of_its_layers():
    recipe = RECIPES.for_price("aungiers-sp500-later")
    changed = applied(recipe, {"width": 0.25, "dropout": 0.4, "learning_rate": 0.002})
    assert changed.network == Stack((25, 25, 25), dropout=(0.4, 0.0, 0.4))
    assert changed.optimiser.schedule.rate == 0.002


def test_values_of_the_default_recipe_change_its_network_and_its_training():
    values = {
        "units": 5,
        "means": (1, 20),
        "batch_size": 64,
        "patience": 9,
        "learning_rate": 0.001,
    }
    changed = applied(SMALL, values)
    assert (changed.network.units, changed.network.means) == (5, (1, 20))
    assert (changed.batch_size, changed.patience) == (64, 9)
    schedule = dataclasses.replace(SMALL.optimiser.schedule, rate=0.001)
    assert changed.optimiser == dataclasses.replace(SMALL.optimiser, schedule=schedule)
    assert changed.fine_tuning == SMALL.fine_tuning
