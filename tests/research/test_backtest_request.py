"""Requests for backtests: which forecasters may take part, and which numbers make sense."""

import dataclasses

import pytest

from pipeline.errors import SettingsError
from pipeline.models import DEFAULT, RECIPES
from pipeline.research.backtest_request import forecaster_names, forecasters_of
from tests.made_backtests import REQUEST, TINY


def names_of(wanted, seeds=1):
    return [each.name for each in forecasters_of(RECIPES, wanted, "close", 7, seeds)]


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
    forecasters = forecasters_of(RECIPES, [TINY], "close", 7, 1)
    assert [each.cutter for each in forecasters] == [TINY, DEFAULT, DEFAULT]


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
        forecasters_of(RECIPES, ["castilla"], "high", 7, 1)


@pytest.mark.parametrize(
    ("name", "value"), [("step", 0), ("refit", -1), ("embargo", -1), ("seeds", 0)]
)
def test_a_number_that_makes_no_sense_is_refused(name, value):
    with pytest.raises(SettingsError, match=f"--{name} is {value}"):
        dataclasses.replace(REQUEST, **{name: value})
