"""What a recipe makes of itself: the pooled network's recipe, the tuned one, and its words."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from pipeline.models import DEFAULT, RECIPES
from pipeline.windows import Newest, Split

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
    castilla = RECIPES.for_price("castilla")
    assert castilla.tuned is castilla


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
