"""What a recipe makes of itself: the pooled network's recipe, the tuned one, and its words."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from pipeline.models import DEFAULT, RECIPES, Optimiser
from pipeline.models.optimisation import DecayAfter
from pipeline.windows import ByVolatility, Newest, Split

TUNING = DEFAULT.fine_tuning


def test_the_default_recipe_describes_itself():
    described = DEFAULT.described()
    assert "all zero is har" in described["network"]
    assert (
        "until 2 bring nothing better on the stock's validation sessions"
        in described["fine tuning"]
    )


def test_the_pool_is_the_recipe_for_all_stocks_without_fine_tuning():
    pool = DEFAULT.pool
    assert (pool.name, pool.pooled, pool.fine_tuning) == ("default.pool", True, None)
    assert replace(pool, name="default", pooled=False, fine_tuning=TUNING) == DEFAULT
    assert DEFAULT.knows_symbols and pool.knows_symbols
    assert DEFAULT.config_hash() != pool.config_hash()


def test_another_tuning_makes_new_networks_from_the_same_pool():
    tuned_longer = replace(DEFAULT, fine_tuning=replace(TUNING, epochs=99))
    assert tuned_longer.config_hash() != DEFAULT.config_hash()
    assert tuned_longer.pool.config_hash() == DEFAULT.pool.config_hash()


def test_tuned_is_the_recipe_with_its_fine_tuning_as_its_training():
    tuned = DEFAULT.tuned
    assert (tuned.optimiser, tuned.epochs, tuned.batch_size, tuned.patience) == (
        TUNING.optimiser,
        TUNING.epochs,
        TUNING.batch_size,
        TUNING.patience,
    )
    assert (tuned.one_pass, tuned.fine_tuning.layer, tuned.knows_symbols) == (None, "", True)
    castilla = RECIPES.for_price("castilla")
    assert castilla.tuned is castilla


def test_a_recipe_is_trained_in_one_pass_where_a_session_is_the_same_in_every_window():
    with pytest.raises(ValueError, match="default is trained in one pass, but what it sees"):
        replace(DEFAULT, normalisation=ByVolatility())
    with pytest.raises(ValueError, match="layer log_growth alone, which needs one_pass"):
        replace(DEFAULT, one_pass=None)
    falling = Optimiser("Adam", DecayAfter(0.001, 0.5, first_epochs=2))
    with pytest.raises(
        ValueError, match=r"tuned by Adam at one learning rate, not by Adam\(0.001,"
    ):
        replace(TUNING, optimiser=falling)
    assert replace(TUNING, optimiser=falling, layer="").layer == ""
    on_windows = replace(DEFAULT, one_pass=None, fine_tuning=None)
    assert "in which 60 windows end, 60 epochs" in DEFAULT.described()["training"]
    assert on_windows.described()["training"].startswith("60 epochs")
    assert "layer log_growth alone" in DEFAULT.described()["fine tuning"]


def test_a_recipe_that_is_trained_on_windows_has_the_hash_that_it_had():
    on_windows = replace(DEFAULT, one_pass=None, fine_tuning=None)
    assert "one_pass" not in on_windows.parameters()
    assert "OnePass(span=60)" in DEFAULT.parameters()["one_pass"]


def test_a_recipe_on_a_gpu_makes_other_networks_and_one_on_the_cpu_those_that_it_made():
    assert not any("device" in recipe.parameters() for recipe in RECIPES)
    on_gpu = replace(DEFAULT, device="gpu")
    assert on_gpu.parameters() == {**DEFAULT.parameters(), "device": "'gpu'"}
    assert on_gpu.config_hash() != DEFAULT.config_hash()
    faithful = replace(RECIPES.for_price("castilla"), device="gpu").in_mode("faithful")
    assert (on_gpu.pool.device, on_gpu.tuned.device, faithful.device) == ("gpu", "gpu", "gpu")


def test_a_recipe_cuts_by_its_own_parts_or_by_another_split():
    cutoff = dt.date(2013, 3, 1)
    spec = DEFAULT.spec("IBM", cutoff, "close", 5)
    assert (spec.ticker, spec.cutoff, spec.target, spec.horizon) == ("IBM", cutoff, "close", 5)
    assert (spec.window, spec.normalisation) == (DEFAULT.window, DEFAULT.normalisation)
    assert (spec.split, spec.smoothing) == (DEFAULT.split, 0.0)
    other = Split(Newest(10))
    assert DEFAULT.spec("IBM", cutoff, "close", 5, other) == replace(spec, split=other)
    leaky = RECIPES.for_price("ganegedara-lstm.faithful")
    assert leaky.spec("IBM", cutoff, "mid", 1).smoothing == 0.1


def test_a_recipe_peeks_where_its_normalisation_or_its_schedule_does():
    peeking = [recipe.name for recipe in RECIPES.price_modes if recipe.peeks]
    assert peeking == [
        "sezer-dis.faithful",
        "castilla.faithful",
        "ganegedara-average.faithful",
        "ganegedara-ema.faithful",
        "ganegedara-lstm.faithful",
    ]
