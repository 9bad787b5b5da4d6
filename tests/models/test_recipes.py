"""What every recipe promises, and what each source's recipe must be to the number.

The promises are kept by whatever is listed. The tables are of the shipped recipes: one more needs no row.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import SettingsError
from pipeline.models import RECIPES, find_recipe, with_modes
from pipeline.models.ganegedara import ExponentialMean, WindowMean
from pipeline.models.optimisation import Pinball
from pipeline.models.recipe import Shape
from pipeline.models.recurrent import Stack
from pipeline.normalisation import Unscaled
from pipeline.quantiles import COUNT, PROBABILITIES
from pipeline.spec import Spec, Windowing
from pipeline.splits import Newest, Split
from pipeline.tables import HISTORY
from pipeline.windows import encode, load_dataset, load_replay
from tests.made_prices import random_walk

HORIZON = 3
MODES = with_modes()
#: Recipes that forecast prices, in each mode; the others make their own examples.
PRICED = [recipe for recipe in MODES if recipe.targets]
FAITHFUL = [recipe for recipe in RECIPES if recipe.faithful]


def each(recipes):
    return pytest.mark.parametrize("recipe", recipes, ids=lambda recipe: recipe.name)


@cache
def history(ticker: str = "AAA", count: int = 600) -> pd.DataFrame:
    """A made history on real sessions, dividends and all."""
    prices = random_walk(len(ticker) + ord(ticker[0]), count).rename(columns={"date": "session"})
    return HISTORY.conform(prices.assign(ticker=ticker, adj_close=prices["close"] * np.linspace(0.9, 1, count)))


def small(recipe):
    """The same recipe with two units a layer, for at most one epoch, content with a short history."""
    units = getattr(recipe.network, "units", None)
    fewer = {} if units is None else {"units": (2,) * len(units) if isinstance(units, tuple) else 2}
    network = replace(recipe.network, **fewer)
    return replace(recipe, network=network, split=replace(recipe.split, min_train_windows=20), epochs=min(1, recipe.epochs))


def file(recipe, table: pd.DataFrame) -> bytes:
    spec = small(recipe).spec(table["ticker"].iloc[0], table["session"].iloc[-1].date(), recipe.targets[0], HORIZON)
    return encode(table, spec)


def later_tripled(table: pd.DataFrame, session: np.datetime64) -> pd.DataFrame:
    """The same history, but every price and volume after `session` is another."""
    changed = table.copy()
    after = changed["session"].to_numpy() > session
    columns = ["open", "high", "low", "close", "adj_close", "volume"]
    changed.loc[after, columns] = 3 * changed.loc[after, columns]
    return changed


@each(MODES)
def test_its_parameters_are_plain_values_that_decide_its_hash(recipe):
    assert json.loads(json.dumps(recipe.parameters())) == recipe.parameters()
    for change in ({"batch_size": recipe.batch_size + 1}, {"epochs": recipe.epochs + 1}, {"shuffle": not recipe.shuffle}):
        assert replace(recipe, **change).config_hash() != recipe.config_hash()
    worded = replace(recipe, name="another", summary="another wording", source="another source", published={"IBM": 1.0})
    assert worded.config_hash() == recipe.config_hash()
    assert find_recipe(recipe.name).parameters() == recipe.parameters()


@pytest.mark.parametrize(
    ("name", "change"), [("default", {"rounds": 9}), ("default", {"strengths": (1.0,)}), ("weng-multi", {"unknown_share": 0.2})]
)
def test_how_a_network_is_started_and_learns_the_unknown_decides_the_hash_too(name, change):
    recipe = find_recipe(name)
    assert replace(recipe, network=replace(recipe.network, **change)).config_hash() != recipe.config_hash()


def test_no_name_is_given_twice():
    names = [recipe.name for recipe in MODES]
    assert len(set(names)) == len(names)


@each(MODES)
def test_it_tells_people_what_it_is(recipe):
    assert recipe.summary.endswith(".") and recipe.source
    parts = (recipe.window, recipe.normalisation, recipe.split, recipe.network, recipe.optimiser, recipe.loss)
    assert [part for part in parts if part is not None and str(part) == repr(part)] == []


def test_a_misspelt_recipe_is_told_the_real_ones():
    with pytest.raises(SettingsError, match=r"no recipe 'defualt'.*default"):
        find_recipe("defualt")


WENG = "by the last price of the previous window"
TRAIN, ALL = "MinMax fitted on train", "MinMax fitted on the whole history"
BLOCK = "MinMax per block of 2,500 sessions, by {} block"
DECAYED = "RMSprop({}, after 5 epochs times 0.99 each{})"
HALVED = "Adam(0.0001, halved down to 1e-06 when the {} loss has not improved for 2 epochs)"
YEAR, TENTH = "test: the last calendar year", "test: the newest 10 %"
HALF = "test: the newest 50 % of the rows, inputs included"
#: target, context, steps, outputs, batch size, epochs, optimiser, loss, split, normalisation. Where a source names no learning rate, .001 is Keras's.
SOURCES = {
    "weng-sp500": ("close", 30, 30, 1, 64, 50, DECAYED.format("0.001", ""), "MSE", TENTH, WENG),
    "weng-sp500-32": ("close", 30, 30, 1, 64, 50, DECAYED.format("0.001", ""), "MSE", TENTH, WENG),
    "weng-sp500-w5": ("close", 150, 30, 5, 64, 75, DECAYED.format("0.001", ""), "MSE", TENTH, WENG),
    "weng-sp500-direction": (
        *("close", 30, 30, 1, 64, 50, DECAYED.format("0.001", "; clipnorm 1"), "MSE, wrong directions counted 2-fold", TENTH, WENG),
    ),
    "weng-multi": ("close", 90, 30, 3, 64, 50, DECAYED.format("0.05", ""), "MSE", TENTH, WENG),
    "sezer-dis": ("adj_close", 240, 240, 1, 240, 1000, "Adam(0.001)", "MSE", HALF, TRAIN),
    "sezer-dis.faithful": ("adj_close", 240, 240, 1, 240, 1000, "Adam(0.001)", "MSE", HALF, ALL),
    "fastnu-default": ("high", 60, 60, 1, 32, 50, "RMSprop(0.001)", "MSE", YEAR, TRAIN),
    "fastnu-improved": ("high", 60, 60, 1, 12, 20, "RMSprop(0.001)", "MSE", YEAR, TRAIN),
    "yadav-lstm": ("high", 60, 60, 1, 32, 50, "RMSprop(0.001)", "MSE", YEAR, TRAIN),
    "yadav-gru": ("high", 60, 60, 1, 150, 50, "SGD(0.01, decay 1e-07 per update; momentum 0.9)", "MSE", YEAR, TRAIN),
    "castilla": ("close", 1, 1, 1, 128, 10, "RMSprop(0.001)", "MSE", "test: the newest 20 %", TRAIN),
    "castilla.faithful": ("close", 1, 1, 1, 128, 10, "RMSprop(0.001)", "MSE", "test: the newest 20 %", ALL),
    "ganegedara-average": ("mid", 100, 100, 1, 500, 0, "none: nothing is learnt", "MSE", TENTH, BLOCK.format("the previous")),
    "ganegedara-average.faithful": ("mid", 100, 100, 1, 500, 0, "none: nothing is learnt", "MSE", TENTH, BLOCK.format("its own")),
    "ganegedara-ema": ("mid", 100, 100, 1, 500, 0, "none: nothing is learnt", "MSE", TENTH, BLOCK.format("the previous")),
    "ganegedara-ema.faithful": ("mid", 100, 100, 1, 500, 0, "none: nothing is learnt", "MSE", TENTH, BLOCK.format("its own")),
    "ganegedara-lstm": (
        *("mid", 50, 50, 1, 500, 30, HALVED.format("validation"), "MSE"),
        *(TENTH + "; validation: the newest 10 % before", BLOCK.format("the previous")),
    ),
    "ganegedara-lstm.faithful": ("mid", 50, 50, 1, 500, 30, HALVED.format("test"), "MSE", TENTH, BLOCK.format("its own")),
    "walia": ("high", 60, 60, 1, 32, 50, "RMSprop(0.001)", "MSE", "test: the newest 25 %", TRAIN),
    "aungiers-sp500": (
        *("close", 50, 50, 1, 512, 1, "RMSprop(0.001)", "MSE"),
        *(TENTH + "; validation: the newest 5 % before", "by the window's first value"),
    ),
    "aungiers-sp500-later": (
        *(
            "close",
            49,
            49,
            1,
            32,
            2,
            "Adam(0.001)",
            "MSE",
            "test: the newest 15 % of the rows, inputs included",
            "by the window's first value",
        ),
    ),
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


def shipped():
    """The recipes of the sources; a name that is no longer listed fails."""
    return {name: find_recipe(name) for name in SOURCES}


def test_every_recipe_has_its_sources_numbers():
    assert {
        name: (
            *(
                recipe.targets[0],
                recipe.window.context_length,
                recipe.window.steps,
                recipe.window.outputs,
                recipe.batch_size,
                recipe.epochs,
            ),
            *(str(recipe.optimiser), str(recipe.loss), str(recipe.split), str(recipe.normalisation)),
        )
        for name, recipe in shipped().items()
    } == SOURCES


def test_every_network_has_its_sources_layers():
    recipes = shipped()
    networks = {name: recipe.network for name, recipe in recipes.items() if isinstance(recipe.network, Stack) and not recipe.leak}
    assert {name: (each.cell, each.units, each.dropouts, each.embedding) for name, each in networks.items()} == NETWORKS
    assert find_recipe("ganegedara-ema").network == ExponentialMean(0.5)
    assert find_recipe("ganegedara-average").network == WindowMean()
    assert [name for name, recipe in recipes.items() if recipe.pooled] == ["weng-multi"]
    assert {name: recipe.window.columns for name, recipe in recipes.items() if recipe.window.columns} == {
        "aungiers-sp500-later": ("close", "volume")
    }
    assert {name: (recipe.window.block, recipe.window.stride) for name, recipe in recipes.items() if recipe.window.block > 1} == {
        "weng-sp500-w5": (5, 5),
        "weng-multi": (3, 3),
    }


def test_the_published_errors_stand_beside_the_recipes():
    published = {name: recipe.published for name, recipe in shipped().items() if recipe.published and not recipe.leak}
    assert published == {
        "sezer-dis": {"DIS": 2.172},
        "fastnu-default": {"IBM": 3.0946, "AAPL": 17.6443, "AMZN": 160.634, "HD": 22.4909},
        "fastnu-improved": {"IBM": 1.9054, "AAPL": 14.2768, "AMZN": 140.331, "HD": 18.4878},
    }


@each(FAITHFUL)
def test_the_faithful_mode_differs_in_what_it_names_alone(recipe):
    faithful = recipe.in_mode("faithful")
    assert (recipe.mode, faithful.mode) == ("honest", "faithful")
    honest, published = recipe.parameters(), faithful.parameters()
    assert {name for name in honest if honest[name] != published[name]} == {*recipe.faithful.changes, "leak"}
    words = {"normalisation": "MinMax", "smoothing": "smoothed", "optimiser": "learning rate is halved by the test loss"}
    assert [change for change in recipe.faithful.changes if change in words and words[change] not in faithful.leak] == []


def test_the_modes_are_those_of_the_sources_that_peeked():
    assert [name for name, recipe in shipped().items() if recipe.faithful] == [
        *("sezer-dis", "castilla", "ganegedara-average", "ganegedara-ema", "ganegedara-lstm")
    ]
    with pytest.raises(ValueError, match="fastnu-default has no mode 'faithful'"):
        find_recipe("fastnu-default").in_mode("faithful")


@each(PRICED)
def test_training_never_sees_what_comes_after_it_unless_it_is_the_leak(recipe):
    before = load_dataset(file(recipe, history()))
    assert len(before.train) and len(before.test)
    last = history()["session"].to_numpy()[before.train.position[-1] + before.spec.reach]
    after = load_dataset(file(recipe, later_tripled(history(), last)))
    assert not np.array_equal(before.test.actual, after.test.actual)
    same = (
        before.train.past.tobytes() == after.train.past.tobytes() and before.train.future.tobytes() == after.train.future.tobytes()
    )
    assert same == (recipe.mode == "honest")


@pytest.mark.parametrize(
    ("name", "rows", "train", "test", "first_tested"),
    [("aungiers-sp500-later", 4697, 3942, 655, 3992 + 50), ("sezer-dis", 5035, 2517 - 240, 2518 - 240, 2517 + 240)],
)
def test_a_source_that_cuts_rows_first_has_its_number_of_windows(name, rows, train, test, first_tested):
    table, recipe = history(count=rows), find_recipe(name)
    spec = recipe.spec("AAA", table["session"].iloc[-1].date(), recipe.targets[0], 1)
    dataset = load_dataset(encode(table, spec))
    assert (len(dataset.train), len(dataset.test)) == (train, test)
    last_trained, first_seen = dataset.train.position[-1] + 1, dataset.test.position[0] - recipe.window.context_length + 1
    assert last_trained < rows - len(dataset.test) - recipe.window.context_length <= first_seen
    assert dataset.test.position[0] + 1 == first_tested


def test_the_worked_example_of_the_sliding_windows():
    table = pd.DataFrame({"session": pd.bdate_range("2010-01-04", periods=10), "ticker": "SEQ", "close": np.arange(10.0)})
    table = HISTORY.conform(table.assign(**dict.fromkeys(("open", "high", "low", "adj_close"), table["close"]), volume=1.0))
    window = Windowing(context_length=6, outputs=3, block=3, stride=3)
    cutoff = table["session"].iloc[-1].date()
    spec = Spec("SEQ", cutoff, "close", 1, window, Unscaled(), Split(test=Newest(0), min_train_windows=1))
    train = load_dataset(encode(table, spec)).train
    np.testing.assert_array_equal(train.past, [[[0, 1, 2], [3, 4, 5]]])
    np.testing.assert_array_equal(train.future, [[6, 7, 8]])


def shape(recipe) -> Shape:
    window = recipe.window
    seen = getattr(recipe.normalisation, "features", max(len(window.columns), 1))
    features, outputs = seen * window.block, window.outputs or HORIZON
    symbols = ("AAA", "BBB") if recipe.knows_symbols else ()
    inputs = (window.steps, features)
    ascending = np.tile(PROBABILITIES, (outputs, 1))
    return Shape(*inputs, outputs, np.zeros(inputs), np.full(inputs, 0.1), np.full(outputs, 0.02), ascending, symbols)


@each([recipe for recipe in PRICED if recipe.mode == "honest"])
def test_its_network_maps_windows_to_outputs_with_either_layer(recipe):
    import keras

    from pipeline.models.fused import FusedLSTM

    wanted = shape(recipe)
    models = [recipe.network.build(wanted, lstm) for lstm in (keras.layers.LSTM, FusedLSTM)]
    for model in models:
        model.compile(recipe.optimiser.make(), recipe.loss.make(wanted.future_scale))
        assert {tensor.name: tensor.shape[1:] for tensor in model.inputs} == {
            "past": (wanted.steps, wanted.features),
            **({"symbol": (1,)} if recipe.knows_symbols else {}),
        }
        assert model.output_shape == (None, wanted.outputs * (COUNT if isinstance(recipe.loss, Pinball) else 1))
    assert models[0].count_params() == models[1].count_params()


def test_the_symbol_stands_beside_every_step():
    import keras

    model = find_recipe("weng-multi").network.build(shape(find_recipe("weng-multi")), keras.layers.LSTM)
    assert model.get_layer("lstm_1").cell.kernel.shape == (3 + 3, 4 * 256)
    vectors = np.asarray(model.get_layer("symbol_embedding").embeddings)
    assert vectors.shape == (2 + 1, 3) and (np.abs(vectors) <= 1).all() and (np.abs(vectors) > 0.05).any()


def plain_mean(prices: np.ndarray) -> float:
    total = 0.0
    for price in prices:
        total += price
    return total / len(prices)


def plain_average(prices: np.ndarray) -> float:
    average = 0.0
    for price in prices:
        average = 0.5 * average + 0.5 * price
    return average


AVERAGES = pytest.mark.parametrize(
    ("name", "plain"), [("ganegedara-average", plain_mean), ("ganegedara-ema", plain_average)], ids=["average", "ema"]
)


@AVERAGES
def test_the_moving_averages_are_those_of_a_plain_loop(name, plain):
    import keras

    recipe = find_recipe(name)
    model = recipe.network.build(shape(recipe), keras.layers.LSTM)
    assert model.trainable_weights == []
    past = np.random.default_rng(0).uniform(size=(5, 100, 1)).astype("float32")
    np.testing.assert_allclose(np.asarray(model(past))[:, 0], [plain(window[:, 0]) for window in past], rtol=1e-5)


@AVERAGES
@pytest.mark.slow
def test_the_moving_averages_are_of_dollars(name, plain):
    from pipeline.training import fit, predict

    recipe, table = small(find_recipe(name)), history()
    dataset = load_dataset(file(recipe, table))
    (prices,) = predict(fit(recipe, {"AAA": dataset}, seed=7).model, (dataset.test,), 1)
    mid = ((table["high"] + table["low"]) / 2).to_numpy()
    expected = [plain(mid[last - 99 : last + 1]) for last in dataset.test.position]
    np.testing.assert_allclose(prices[:, 0], expected, rtol=1e-5)


#: One recipe of each kind is trained twice: many stocks, watching the test, several layers, many columns.
KINDS = ("weng-multi", "ganegedara-lstm.faithful", "castilla", "default")


@each([recipe for recipe in PRICED if recipe.mode == "honest" or recipe.optimiser.peeks])
@pytest.mark.slow
def test_it_trains_and_forecasts_dollars(recipe):
    from pipeline.training import fit, predict

    recipe, again = small(recipe), recipe.name in KINDS
    files = {ticker: file(recipe, history(ticker)) for ticker in (("AAA", "BBB") if recipe.pooled else ("AAA",))}
    datasets = {ticker: load_dataset(data) for ticker, data in files.items()}
    trained = fit(recipe, datasets, seed=7)
    assert len(trained.history["loss"]) == 1 + recipe.epochs
    wanted = (datasets["AAA"].test, load_replay(files["AAA"]))
    said = (HORIZON, COUNT) if isinstance(recipe.loss, Pinball) else (HORIZON,)
    for symbol in ("AAA", "ZZZ") if recipe.knows_symbols else ("",):
        for some, prices in zip(wanted, predict(trained.model, wanted, HORIZON, symbol), strict=True):
            assert prices.shape == (len(some), *said) and np.isfinite(prices).all()
    assert not again or fit(recipe, datasets, seed=7).model == trained.model  # the same seed, the same bytes
