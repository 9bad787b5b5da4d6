"""Recipes are found by name, in their modes, and replaced by others of the same name."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from pipeline import models
from pipeline.errors import SettingsError
from pipeline.models import DEFAULT, FILES, RECIPES, ExerciseRecipe, PriceRecipe


def test_every_name_is_given_once_and_found_in_its_own_kind():
    assert len(set(RECIPES.names)) == len(RECIPES.names)
    assert "default" in RECIPES.names and "sezer-dis.faithful" in RECIPES.names
    for name in RECIPES.names:
        recipe = RECIPES.find(name)
        find = RECIPES.for_price if isinstance(recipe, PriceRecipe) else RECIPES.for_exercise
        assert (recipe.name, find(name)) == (name, recipe)


def test_all_recipes_are_for_prices_or_for_exercises():
    listed = set(map(id, RECIPES))
    assert set(map(id, (*RECIPES.for_prices, *RECIPES.for_exercises))) == listed
    assert all(isinstance(recipe, ExerciseRecipe) for recipe in RECIPES.for_exercises)


def test_modes_follow_the_recipe_that_they_are_of():
    names = [recipe.name for recipe in RECIPES.price_modes]
    for recipe in RECIPES.for_prices:
        following = names[names.index(recipe.name) + 1 :][:1]
        assert (following == [f"{recipe.name}.faithful"]) == (recipe.faithful is not None)


def test_all_recipes_and_their_modes_are_on_the_device_that_is_named():
    on_gpu = RECIPES.on("gpu")
    assert {recipe.device for recipe in (*on_gpu, *on_gpu.price_modes)} == {"gpu"}
    assert on_gpu.names == RECIPES.names
    assert list(on_gpu.on("cpu")) == list(RECIPES)
    assert RECIPES.on("cpu") is RECIPES


def test_a_misspelt_name_gets_all_the_real_ones():
    with pytest.raises(SettingsError, match=r"no recipe 'defualt'.*default, .*castilla\.faithful"):
        RECIPES.find("defualt")
    for find in (RECIPES.for_price, RECIPES.for_exercise):
        with pytest.raises(SettingsError, match="no recipe 'defualt'"):
            find("defualt")


def test_a_recipe_of_the_other_kind_is_an_error_that_names_the_command_for_it():
    with pytest.raises(
        SettingsError, match=r"forecasts no prices.*stockcast exercise --recipe statquest-unit"
    ):
        RECIPES.for_price("statquest-unit")
    with pytest.raises(
        SettingsError, match=r"default learns from prices.*stockcast run --recipe default"
    ):
        RECIPES.for_exercise("default")


def test_only_a_source_that_peeked_has_a_faithful_mode():
    with pytest.raises(ValueError, match="fastnu-default has no mode 'faithful'"):
        RECIPES.for_price("fastnu-default").in_mode("faithful")
    with pytest.raises(SettingsError, match=r"no recipe 'fastnu-default\.faithful'"):
        RECIPES.find("fastnu-default.faithful")


def test_a_replaced_recipe_takes_its_place_and_a_new_one_comes_last():
    quick, another = replace(DEFAULT, epochs=1), replace(DEFAULT, name="another")
    recipes = RECIPES.replaced(another, quick)
    assert [recipe.name for recipe in recipes] == [*(r.name for r in RECIPES), "another"]
    assert recipes.for_price("default") is quick
    assert recipes.for_price("another") is another
    assert recipes.for_price("castilla") is RECIPES.for_price("castilla")
    assert RECIPES.for_price("default") is DEFAULT


def test_a_replaced_recipe_named_like_a_mode_is_found_instead_of_the_derived_mode():
    derived = RECIPES.for_price("sezer-dis.faithful")
    shortened = replace(derived, epochs=1)
    recipes = RECIPES.replaced(shortened)
    assert recipes.find("sezer-dis.faithful") is shortened
    assert recipes.for_price("sezer-dis.faithful") is shortened
    assert recipes.for_price("sezer-dis") is RECIPES.for_price("sezer-dis")
    assert recipes.names.count("sezer-dis.faithful") == 1


def test_modes_of_a_replaced_recipe_are_derived_from_it():
    quick = replace(RECIPES.for_price("sezer-dis"), epochs=1)
    recipes = RECIPES.replaced(quick)
    assert recipes.for_price("sezer-dis.faithful").epochs == 1


def test_every_file_that_defines_recipes_is_listed():
    room = Path(models.__file__).parent
    modules = [
        f"{path.parent.name}.{path.stem}"
        for folder in ("literature", "toys")
        for path in (room / folder).glob("*.py")
        if path.stem != "__init__"
    ]
    defining = {
        name for name in modules if hasattr(import_module(f"pipeline.models.{name}"), "RECIPES")
    }
    assert defining == set(FILES)
