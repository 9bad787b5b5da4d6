"""Contracts that every recipe keeps, whichever are listed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from pipeline.models import RECIPES, Pinball, PriceRecipe, Recipe, Shape
from pipeline.quantiles import PROBABILITIES, QUANTILE_COUNT
from pipeline.tables import HISTORY
from pipeline.training.network_cache import training_file
from pipeline.windows import encode, load_dataset, load_replay
from tests.made_prices import random_walk

HORIZON = 3
#: Recipes that forecast prices, in each mode.
PRICED = RECIPES.price_modes
#: All recipes, in each mode.
MODES: tuple[Recipe, ...] = (*PRICED, *RECIPES.for_exercises)


def of_each(recipes: Iterable[Recipe]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recipe", list(recipes), ids=lambda recipe: recipe.name)


@cache
def history(ticker: str = "AAA", count: int = 600) -> pd.DataFrame:
    """Return a made history on real sessions, dividends and all."""
    prices = random_walk(len(ticker) + ord(ticker[0]), count).rename(columns={"date": "session"})
    adjusted = prices["close"] * np.linspace(0.9, 1, count)
    return HISTORY.conform(prices.assign(ticker=ticker, adj_close=adjusted))


def small(recipe: PriceRecipe) -> PriceRecipe:
    """Return the recipe with two units a layer and at most one epoch, for a short history."""
    units = getattr(recipe.network, "units", None)
    fewer = {} if units is None else {"units": (2,) * len(units) if isinstance(units, tuple) else 2}
    return replace(
        recipe,
        network=replace(recipe.network, **fewer),
        split=replace(recipe.split, min_train_windows=20),
        epochs=min(1, recipe.epochs),
    )


def dataset_file(recipe: PriceRecipe, table: pd.DataFrame) -> bytes:
    ticker, last = table["ticker"].iloc[0], table["session"].iloc[-1].date()
    return encode(table, small(recipe).spec(ticker, last, recipe.targets[0], HORIZON))


def later_tripled(table: pd.DataFrame, session: np.datetime64) -> pd.DataFrame:
    """Return the history with every price and volume after `session` tripled."""
    changed = table.copy()
    after = changed["session"].to_numpy() > session
    columns = ["open", "high", "low", "close", "adj_close", "volume"]
    changed.loc[after, columns] = 3 * changed.loc[after, columns]
    return changed


def test_a_recipes_parameters_are_plain_values_that_decide_its_hash():
    for recipe in MODES:
        assert json.loads(json.dumps(recipe.parameters())) == recipe.parameters()
        for change in (
            {"batch_size": recipe.batch_size + 1},
            {"epochs": recipe.epochs + 1},
            {"shuffle": not recipe.shuffle},
        ):
            assert replace(recipe, **change).config_hash() != recipe.config_hash(), recipe.name
        reworded = replace(
            recipe, name="another", summary="another wording", source="another source"
        )
        assert reworded.config_hash() == recipe.config_hash()
        if isinstance(recipe, PriceRecipe):
            compared = replace(recipe, published={"IBM": 1.0})
            assert compared.config_hash() == recipe.config_hash()
        assert RECIPES.find(recipe.name).parameters() == recipe.parameters()


def test_stored_networks_are_found_again_because_configurations_keep_their_hashes():
    expected = {
        "default": "313ca8e0534fdeb2",
        "weng-multi": "f5dee2d72495bcca",
        "sezer-dis": "81a19e9cc0c3f4af",
        "sezer-dis.faithful": "b51323c71830523b",
        "ganegedara-lstm.faithful": "c40843688da06380",
        "aungiers-sp500-later": "842f8390f9fb20cb",
    }
    assert {name: RECIPES.find(name).config_hash() for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("default", {"means": (1,)}),
        ("weng-multi", {"unknown_share": 0.2}),
    ],
)
def test_what_a_network_sees_and_its_share_of_unknown_stocks_decide_the_hash_too(name, change):
    recipe = RECIPES.for_price(name)
    changed = replace(recipe, network=replace(recipe.network, **change))
    assert changed.config_hash() != recipe.config_hash()


def test_every_recipe_describes_itself_to_people():
    for recipe in MODES:
        assert recipe.summary.endswith(".") and recipe.source
        parts = [recipe.network, recipe.optimiser, recipe.loss]
        if isinstance(recipe, PriceRecipe):
            parts += [recipe.window, recipe.normalisation, recipe.split]
        assert [part for part in parts if str(part) == repr(part)] == []
        described = recipe.described()
        assert described["name"] == recipe.name
        assert described["network"].startswith(str(recipe.network))
    # One command prints recipes of both kinds.
    assert len({tuple(recipe.described()) for recipe in MODES}) == 1


@of_each(recipe for recipe in RECIPES.for_prices if recipe.faithful)
def test_the_faithful_mode_differs_in_what_it_names_alone(recipe):
    faithful = recipe.in_mode("faithful")
    assert (recipe.mode, faithful.mode) == ("honest", "faithful")
    honest, published = recipe.parameters(), faithful.parameters()
    changed = {name for name in honest if honest[name] != published[name]}
    assert changed == {*recipe.faithful.changes, "leak"}
    words = {
        "normalisation": "MinMax",
        "smoothing": "smoothed",
        "optimiser": "learning rate is halved by the test loss",
    }
    unnamed = [
        name
        for name in recipe.faithful.changes
        if name in words and words[name] not in faithful.leak
    ]
    assert unnamed == []


@of_each(PRICED)
def test_training_never_sees_what_comes_after_it_unless_it_is_the_leak(recipe):
    before = load_dataset(dataset_file(recipe, history()))
    assert len(before.train) and len(before.test)
    last = history()["session"].to_numpy()[before.train.position[-1] + before.spec.reach]
    after = load_dataset(dataset_file(recipe, later_tripled(history(), last)))
    assert not np.array_equal(before.test.actual, after.test.actual)
    is_same = (
        before.train.past.tobytes() == after.train.past.tobytes()
        and before.train.future.tobytes() == after.train.future.tobytes()
    )
    assert is_same == (recipe.mode == "honest")


def shape_of_network(recipe: PriceRecipe) -> Shape:
    """Return the shape that a recipe's network must fit."""
    window = recipe.window
    seen = getattr(recipe.normalisation, "features", max(len(window.columns), 1))
    outputs = window.outputs or HORIZON
    inputs = (window.steps, seen * window.block)
    return Shape(
        *inputs,
        outputs,
        past_mean=np.zeros(inputs),
        past_scale=np.full(inputs, 0.1),
        future_scale=np.full(outputs, 0.02),
        future_quantiles=np.tile(PROBABILITIES, (outputs, 1)),
        symbols=("AAA", "BBB") if recipe.knows_symbols else (),
    )


@of_each(RECIPES.for_prices)
@pytest.mark.slow
def test_its_network_maps_windows_to_outputs_with_either_lstm_layer(recipe):
    import keras

    from pipeline.training.fused import FusedLSTM

    shape = shape_of_network(recipe)
    models = [recipe.network.build(shape, lstm) for lstm in (keras.layers.LSTM, FusedLSTM)]
    for model in models:
        model.compile(recipe.optimiser.make(), recipe.loss.make(shape.future_scale))
        assert {tensor.name: tensor.shape[1:] for tensor in model.inputs} == {
            "past": (shape.steps, shape.features),
            **({"symbol": (1,)} if recipe.knows_symbols else {}),
        }
        values = QUANTILE_COUNT if isinstance(recipe.loss, Pinball) else 1
        assert model.output_shape == (None, shape.outputs * values)
    assert models[0].count_params() == models[1].count_params()


#: One recipe of each kind is trained twice: many stocks, watching the test, several layers, many
#: columns.
KINDS = ("weng-multi", "ganegedara-lstm.faithful", "castilla", "default")


@of_each(recipe for recipe in PRICED if recipe.mode == "honest" or recipe.optimiser.peeks)
@pytest.mark.slow
def test_it_trains_and_forecasts_dollars(recipe):
    from pipeline.training.fit import fit
    from pipeline.training.predict import predict

    recipe, trains_again = small(recipe), recipe.name in KINDS
    tickers = ("AAA", "BBB") if recipe.pooled else ("AAA",)
    files = {ticker: dataset_file(recipe, history(ticker)) for ticker in tickers}
    training_files = {ticker: training_file(file, recipe) for ticker, file in files.items()}
    trained = fit(recipe, training_files, seed=7)
    assert len(trained.history["loss"]) == 1 + recipe.epochs
    windows = (load_dataset(files["AAA"]).test, load_replay(files["AAA"]))
    answer = (HORIZON, QUANTILE_COUNT) if isinstance(recipe.loss, Pinball) else (HORIZON,)
    for symbol in ("AAA", "ZZZ") if recipe.knows_symbols else ("",):
        forecasts = predict(trained.model, windows, HORIZON, symbol)
        for part, prices in zip(windows, forecasts, strict=True):
            assert prices.shape == (len(part), *answer) and np.isfinite(prices).all()
    if trains_again:
        assert fit(recipe, training_files, seed=7).model == trained.model
