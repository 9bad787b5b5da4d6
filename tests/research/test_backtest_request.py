"""Requests for backtests: which forecasters may take part, and which numbers make sense."""

import dataclasses

import pytest

from pipeline.errors import SettingsError
from pipeline.models import DEFAULT, RECIPES
from pipeline.research.backtest_request import forecaster_names, forecasters_of
from pipeline.settings import Settings
from tests.made_backtests import REQUEST, TINY
from tests.made_days import UNIVERSE

SEED_7 = Settings(seed=7)


def names_of(wanted, seeds=1):
    return [each.name for each in made_of(wanted, seeds=seeds)]


def made_of(wanted, universe=UNIVERSE, seeds=1):
    return forecasters_of(RECIPES, wanted, universe, SEED_7, seeds)


def test_naive_and_ewma_always_take_part_and_nobody_twice():
    assert names_of(["ewma", TINY, "drift", TINY]) == ["ewma", "tiny", "drift", "naive"]


def test_each_seed_of_a_recipe_is_a_forecaster_of_its_own():
    names = ["default seed 7", "default seed 8", "ema", "naive", "ewma"]
    assert names_of(["default", "ema"], seeds=2) == names


def test_recipes_baselines_and_statistical_models_can_be_named_but_no_exercise():
    names = forecaster_names(RECIPES)
    assert {"default", "castilla", "window_average", "har", "har_range", "garch"} <= set(names)
    assert "statquest-unit" not in names


def test_a_baseline_sees_the_windows_of_the_default_recipe():
    forecasters = made_of([TINY])
    assert [each.cutter for each in forecasters] == [TINY, DEFAULT, DEFAULT]


def test_whole_days_are_those_of_the_universes_recipe_under_the_settings_that_decide():
    published, *_ = made_of(["published"])
    assert (published.recipe, published.seed) == (DEFAULT, 7)
    decisive = {"seed", "pool", "test_floor", "max_quarantined"}
    assert {name for name, _ in published.settings} == decisive
    daily, *_ = made_of(["published"], dataclasses.replace(UNIVERSE, recipe="castilla"))
    assert daily.identity[:2] == ["published", "castilla"]
    published, own, *_ = made_of(["published", TINY])
    assert (published.trains_here, own.trains_here) == (False, True)


def test_days_that_publish_nothing_are_refused():
    recipes = RECIPES.replaced(dataclasses.replace(DEFAULT, smoothing=0.5))
    with pytest.raises(SettingsError, match="its days publish nothing"):
        forecasters_of(recipes, ["published"], UNIVERSE, SEED_7, 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonesuch", "There is no forecaster 'nonesuch'. There are: default, "),
        ("ganegedara-ema.faithful", "ganegedara-ema.faithful peeks .* Name ganegedara-ema"),
        ("statquest-unit", "forecasts no prices: `stockcast exercise` trains it"),
    ],
)
def test_a_forecaster_that_cannot_take_part_is_refused(name, message):
    with pytest.raises(SettingsError, match=message):
        names_of([name])


def test_a_recipe_that_does_not_forecast_the_target_names_its_targets():
    message = "castilla does not forecast high; its targets are close"
    with pytest.raises(SettingsError, match=message):
        made_of(["castilla"], dataclasses.replace(UNIVERSE, target="high"))


@pytest.mark.parametrize(
    ("name", "value"), [("step", 0), ("refit", -1), ("embargo", -1), ("seeds", 0)]
)
def test_a_number_that_makes_no_sense_is_refused(name, value):
    with pytest.raises(SettingsError, match=f"--{name} is {value}"):
        dataclasses.replace(REQUEST, **{name: value})
