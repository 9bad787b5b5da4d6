"""What every recipe promises."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import SettingsError
from pipeline.models import RECIPES, find_recipe
from pipeline.models.default import DEFAULT


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_its_parameters_are_plain_values_that_decide_its_hash(recipe):
    assert json.loads(json.dumps(recipe.parameters())).keys() == recipe.parameters().keys()
    assert replace(recipe, batch_size=recipe.batch_size + 1).config_hash() != recipe.config_hash()
    assert replace(recipe, summary="another wording").config_hash() == recipe.config_hash()
    assert find_recipe(recipe.name) is recipe


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_its_network_maps_windows_to_horizons_with_either_layer(recipe):
    import keras

    from pipeline.models.fused import FusedLSTM

    past_scale, future_scale = np.full((recipe.context_length, 5), 0.1), np.array([0.01, 0.02, 0.03])
    for lstm in (keras.layers.LSTM, FusedLSTM):
        model = recipe.build(recipe, past_scale, future_scale, lstm)
        recipe.compile(model, future_scale)
        assert model.output_shape == (None, 3)
        assert model.input_shape == (None, recipe.context_length, 5)


def test_the_untrained_default_network_is_the_naive_forecast():
    from pipeline.models.fused import FusedLSTM

    model = DEFAULT.build(DEFAULT, np.full((60, 5), 0.1), np.array([0.01, 0.02]), FusedLSTM)
    past = np.random.default_rng(0).normal(size=(4, 60, 5)).astype("float32")
    np.testing.assert_array_equal(model(past), np.zeros((4, 2)))


def test_a_misspelt_recipe_is_told_the_real_ones():
    with pytest.raises(SettingsError, match=r"no recipe 'defualt'.*default"):
        find_recipe("defualt")
