"""The recipes of published sources have their sources' numbers.

The tables are of the shipped recipes: one more needs no row.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.models import RECIPES, PriceRecipe, Stack
from pipeline.models.literature.ganegedara import ExponentialMean, WindowMean
from pipeline.tables import HISTORY
from pipeline.windows import (
    BlockMinMax,
    FirstValue,
    Fraction,
    LastYear,
    MinMax,
    Newest,
    PreviousWindow,
    RowFraction,
    Spec,
    Split,
    Unscaled,
    Windowing,
    encode,
    load_dataset,
)
from tests.made_windows import walk

WENG, TRAIN, ALL, FIRST = PreviousWindow(), MinMax("train"), MinMax("all"), FirstValue()
PREVIOUS_BLOCK, OWN_BLOCK = BlockMinMax(2500, known="previous"), BlockMinMax(2500, known="own")
YEAR, TENTH, FIFTH = Split(LastYear()), Split(Fraction(0.1)), Split(Fraction(0.2))
QUARTER, HALF_OF_ROWS = Split(Fraction(0.25)), Split(RowFraction(0.5))
VALIDATED_TENTH = Split(Fraction(0.1), validation=Fraction(0.1))
SP500, SP500_LATER = Split(Fraction(0.1), Fraction(0.05)), Split(RowFraction(0.15, spare=1))
DECAYED = "RMSprop(0.001, after 5 epochs times 0.99 each)"
CLIPPED = "RMSprop(0.001, after 5 epochs times 0.99 each; clipnorm 1)"
FAST = "RMSprop(0.05, after 5 epochs times 0.99 each)"
MOMENTUM = "SGD(0.01, decay 1e-07 per update; momentum 0.9)"
HALVED = "Adam(0.0001, halved down to 1e-06 when the {} loss has not improved for 2 epochs)"
BY_VALIDATION, BY_TEST = HALVED.format("validation"), HALVED.format("test")
#: Where a source names no learning rate, 0.001 is Keras's.
ADAM, RMSPROP = "Adam(0.001)", "RMSprop(0.001)"
NOTHING = "none: nothing is learnt"
DIRECTION = "MSE, wrong directions counted 2-fold"
#: target; context, steps, outputs, batch size, epochs; optimiser, loss; split, normalisation.
SOURCES = {
    "weng-sp500": ("close", (30, 30, 1, 64, 50), DECAYED, "MSE", TENTH, WENG),
    "weng-sp500-32": ("close", (30, 30, 1, 64, 50), DECAYED, "MSE", TENTH, WENG),
    "weng-sp500-w5": ("close", (150, 30, 5, 64, 75), DECAYED, "MSE", TENTH, WENG),
    "weng-sp500-direction": ("close", (30, 30, 1, 64, 50), CLIPPED, DIRECTION, TENTH, WENG),
    "weng-multi": ("close", (90, 30, 3, 64, 50), FAST, "MSE", TENTH, WENG),
    "sezer-dis": ("adj_close", (240, 240, 1, 240, 1000), ADAM, "MSE", HALF_OF_ROWS, TRAIN),
    "sezer-dis.faithful": ("adj_close", (240, 240, 1, 240, 1000), ADAM, "MSE", HALF_OF_ROWS, ALL),
    "fastnu-default": ("high", (60, 60, 1, 32, 50), RMSPROP, "MSE", YEAR, TRAIN),
    "fastnu-improved": ("high", (60, 60, 1, 12, 20), RMSPROP, "MSE", YEAR, TRAIN),
    "yadav-lstm": ("high", (60, 60, 1, 32, 50), RMSPROP, "MSE", YEAR, TRAIN),
    "yadav-gru": ("high", (60, 60, 1, 150, 50), MOMENTUM, "MSE", YEAR, TRAIN),
    "castilla": ("close", (1, 1, 1, 128, 10), RMSPROP, "MSE", FIFTH, TRAIN),
    "castilla.faithful": ("close", (1, 1, 1, 128, 10), RMSPROP, "MSE", FIFTH, ALL),
    "ganegedara-average": ("mid", (100, 100, 1, 500, 0), NOTHING, "MSE", TENTH, PREVIOUS_BLOCK),
    "ganegedara-average.faithful": (
        *("mid", (100, 100, 1, 500, 0), NOTHING, "MSE", TENTH, OWN_BLOCK),
    ),
    "ganegedara-ema": ("mid", (100, 100, 1, 500, 0), NOTHING, "MSE", TENTH, PREVIOUS_BLOCK),
    "ganegedara-ema.faithful": ("mid", (100, 100, 1, 500, 0), NOTHING, "MSE", TENTH, OWN_BLOCK),
    "ganegedara-lstm": (
        *("mid", (50, 50, 1, 500, 30), BY_VALIDATION, "MSE", VALIDATED_TENTH, PREVIOUS_BLOCK),
    ),
    "ganegedara-lstm.faithful": ("mid", (50, 50, 1, 500, 30), BY_TEST, "MSE", TENTH, OWN_BLOCK),
    "walia": ("high", (60, 60, 1, 32, 50), RMSPROP, "MSE", QUARTER, TRAIN),
    "aungiers-sp500": ("close", (50, 50, 1, 512, 1), RMSPROP, "MSE", SP500, FIRST),
    "aungiers-sp500-later": ("close", (49, 49, 1, 32, 2), ADAM, "MSE", SP500_LATER, FIRST),
}
#: cell, units, dropout after each layer, length of the symbol embedding.
NETWORKS = {
    "weng-sp500": ("LSTM", (128,), (0.2,), 0),
    "weng-sp500-32": ("LSTM", (32,), (0.2,), 0),
    "weng-sp500-w5": ("LSTM", (128,), (0.2,), 0),
    "weng-sp500-direction": ("LSTM", (128,), (0.2,), 0),
    "weng-multi": ("LSTM", (256,), (0.2,), 3),
    "sezer-dis": ("LSTM", (25,), (0.1,), 0),
    "fastnu-default": ("LSTM", (50, 50, 50, 50), (0.2, 0.2, 0.2, 0.2), 0),
    "fastnu-improved": ("LSTM", (50, 50, 50, 50), (0.1, 0.1, 0.1, 0.1), 0),
    "yadav-lstm": ("LSTM", (50, 50, 50, 50), (0.2, 0.2, 0.2, 0.2), 0),
    "yadav-gru": ("GRU", (50, 50, 50, 50), (0.2, 0.2, 0.2, 0.2), 0),
    "castilla": ("LSTM", (50, 100), (0.2, 0.2), 0),
    "ganegedara-lstm": ("LSTM", (200, 200, 150), (0.2, 0.2, 0.2), 0),
    "walia": ("LSTM", (50, 50, 50, 50), (0.2, 0.2, 0.2, 0.2), 0),
    "aungiers-sp500": ("LSTM", (50, 100), (0.2, 0.2), 0),
    "aungiers-sp500-later": ("LSTM", (100, 100, 100), (0.2, 0.0, 0.2), 0),
}


def shipped() -> dict[str, PriceRecipe]:
    """Return the recipes of the sources; a name that is no longer listed fails."""
    return {name: RECIPES.for_price(name) for name in SOURCES}


def test_every_recipe_has_its_sources_numbers():
    def row(recipe: PriceRecipe) -> tuple[object, ...]:
        window = recipe.window
        sizes = (window.context_length, window.steps, window.outputs)
        return (
            recipe.targets[0],
            (*sizes, recipe.batch_size, recipe.epochs),
            str(recipe.optimiser),
            str(recipe.loss),
            recipe.split,
            recipe.normalisation,
        )

    assert {name: row(recipe) for name, recipe in shipped().items()} == SOURCES


def test_every_network_has_its_sources_layers():
    recipes = shipped()
    networks = {
        name: recipe.network
        for name, recipe in recipes.items()
        if isinstance(recipe.network, Stack) and not recipe.leak
    }
    assert {
        name: (network.cell, network.units, network.dropouts, network.embedding)
        for name, network in networks.items()
    } == NETWORKS
    assert RECIPES.for_price("ganegedara-ema").network == ExponentialMean(0.5)
    assert RECIPES.for_price("ganegedara-average").network == WindowMean()
    assert [name for name, recipe in recipes.items() if recipe.pooled] == ["weng-multi"]
    windows = {name: recipe.window for name, recipe in recipes.items()}
    assert {name: window.columns for name, window in windows.items() if window.columns} == {
        "aungiers-sp500-later": ("close", "volume")
    }
    assert {
        name: (window.block, window.stride) for name, window in windows.items() if window.block > 1
    } == {"weng-sp500-w5": (5, 5), "weng-multi": (3, 3)}


def test_the_published_errors_are_kept_with_the_recipes():
    published = {
        name: recipe.published
        for name, recipe in shipped().items()
        if recipe.published and not recipe.leak
    }
    assert published == {
        "sezer-dis": {"DIS": 2.172},
        "fastnu-default": {"IBM": 3.0946, "AAPL": 17.6443, "AMZN": 160.634, "HD": 22.4909},
        "fastnu-improved": {"IBM": 1.9054, "AAPL": 14.2768, "AMZN": 140.331, "HD": 18.4878},
    }


def test_the_faithful_modes_are_those_of_the_sources_that_peeked():
    assert [name for name, recipe in shipped().items() if recipe.faithful] == [
        *("sezer-dis", "castilla", "ganegedara-average", "ganegedara-ema", "ganegedara-lstm")
    ]


@pytest.mark.parametrize(
    ("name", "rows", "train", "test", "first_tested"),
    [
        ("aungiers-sp500-later", 4697, 3942, 655, 3992 + 50),
        ("sezer-dis", 5035, 2517 - 240, 2518 - 240, 2517 + 240),
    ],
)
def test_a_source_that_cuts_rows_first_has_its_number_of_windows(
    name, rows, train, test, first_tested
):
    table, recipe = walk(rows), RECIPES.for_price(name)
    context = recipe.window.context_length
    spec = recipe.spec("IBM", table["session"].iloc[-1].date(), recipe.targets[0], 1)
    dataset = load_dataset(encode(table, spec))
    assert (len(dataset.train), len(dataset.test)) == (train, test)
    last_trained = dataset.train.position[-1] + 1
    first_seen = dataset.test.position[0] - context + 1
    assert last_trained < rows - len(dataset.test) - context <= first_seen
    assert dataset.test.position[0] + 1 == first_tested


def test_wengs_worked_example_of_the_sliding_windows():
    closes = np.arange(10.0)
    prices = dict.fromkeys(("open", "high", "low", "close", "adj_close"), closes)
    sessions = pd.bdate_range("2010-01-04", periods=10)
    table = HISTORY.conform(
        pd.DataFrame({"ticker": "SEQ", "session": sessions, **prices, "volume": 1.0})
    )
    window = Windowing(context_length=6, outputs=3, block=3, stride=3)
    split = Split(test=Newest(0), min_train_windows=1)
    spec = Spec("SEQ", sessions[-1].date(), "close", 1, window, Unscaled(), split)
    train = load_dataset(encode(table, spec)).train
    np.testing.assert_array_equal(train.past, [[[0, 1, 2], [3, 4, 5]]])
    np.testing.assert_array_equal(train.future, [[6, 7, 8]])
