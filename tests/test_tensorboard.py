"""What is written for TensorBoard, read back with what TensorBoard reads it with; the networks are tiny."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import embedding, tensorboard
from pipeline.errors import SettingsError
from pipeline.keras_files import load_model
from pipeline.models.default import DEFAULT
from pipeline.models.optimisation import MeanSquaredError
from pipeline.models.recurrent import Stack
from pipeline.normalisation import PreviousWindow
from pipeline.spec import Spec, Windowing
from pipeline.splits import Fraction, Newest, Split
from pipeline.training import fit, predict
from pipeline.windows import encode, load_dataset
from tests.made_prices import LAST, random_walk

pytestmark = pytest.mark.slow

POOLED = replace(
    DEFAULT,
    name="pooled",
    window=Windowing(6, outputs=2, block=2, stride=2),
    normalisation=PreviousWindow(),
    split=Split(test=Fraction(0.2), validation=Newest(40)),
    network=Stack((4,), dropout=0.2, embedding=2),
    loss=MeanSquaredError(),
    epochs=3,
    patience=None,
    pooled=True,
    fine_tuning=None,
)
STOCKS = ("AAA", "BBB", "CCC")


def made(ticker: str, seed: int):
    history = random_walk(seed, 300).rename(columns={"date": "session"})
    history = history.assign(ticker=ticker, adj_close=history["close"])
    return load_dataset(encode(history, Spec(ticker, LAST, "close", 2, POOLED.window, POOLED.normalisation, POOLED.split)))


@pytest.fixture(scope="module")
def datasets():
    return {ticker: made(ticker, seed) for seed, ticker in enumerate(STOCKS)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("board") / "pooled" / "network"


@pytest.fixture(scope="module")
def trained(datasets, folder):
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "notes.txt").write_text("mine")
    fit(replace(POOLED, epochs=1), datasets, seed=1, tensorboard=str(folder))  # an earlier training, to be replaced
    return fit(POOLED, datasets, seed=7, tensorboard=str(folder))


def records(path: Path):
    """The records of an event file, by the format's definition: length, its checksum, the record, its checksum."""
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield data[12 : 12 + length]
        data = data[16 + length :]


def read(folder: Path):
    """The events of a run and, by the plugin that shows them and their tag, its values by step."""
    import tensorflow as tf

    events = [tf.compat.v1.Event.FromString(record) for path in folder.glob("events*") for record in records(path)]
    values = defaultdict(dict)
    for event in events:
        for value in event.summary.value:
            assert event.step not in values[value.metadata.plugin_data.plugin_name, value.tag], "two trainings in one folder"
            values[value.metadata.plugin_data.plugin_name, value.tag][event.step] = tf.make_ndarray(value.tensor)
    return events, values


def test_training_is_the_same_to_the_bit_with_tensorboard(datasets, trained):
    alone = fit(POOLED, datasets, seed=7)
    assert (alone.model, alone.history) == (trained.model, trained.history)


def test_scalars_are_the_history(folder, trained):
    (_, train), (_, validation) = read(folder / "train"), read(folder / "validation")
    for values, tag, name in ((train, "loss", "loss"), (train, "learning_rate", "learning_rate"), (validation, "loss", "val_loss")):
        told = values["scalars", tag]
        assert list(told) == [1, 2, 3]
        np.testing.assert_array_equal(list(told.values()), np.float32(trained.history[name][1:]))


def test_every_weight_has_a_histogram_from_the_untrained_network_on(folder, trained):
    _, values = read(folder / "train")
    weights = {weight.path: weight.numpy() for weight in load_model(trained.model).trainable_weights}
    histograms = {tag: by_step for (plugin, tag), by_step in values.items() if plugin == "histograms"}
    assert set(histograms) == set(weights)
    for tag, weight in weights.items():
        assert list(histograms[tag]) == [0, 1, 2, 3]
        buckets = histograms[tag][3]  # (buckets, 3): left, right, count
        assert (buckets[:, 2].sum(), buckets[0, 0], buckets[-1, 1]) == pytest.approx((weight.size, weight.min(), weight.max()))


def test_the_graph_is_there_as_operations_and_as_layers(folder, trained):
    import tensorflow as tf

    events, values = read(folder / "train")
    (graph,) = [tf.compat.v1.GraphDef.FromString(event.graph_def) for event in events if event.graph_def]
    assert {"Placeholder", "LookupTableFindV2", "GatherV2", "BlockLSTM"} <= {node.op for node in graph.node}
    layers = json.loads(str(values["graph_keras_model", "keras"][0].item().decode()))
    names = {layer["config"]["name"] for layer in layers["config"]["layers"]}
    assert {"past", "symbol", "symbol_embedding", "lstm_1", "forecast"} <= names


def test_the_projector_reads_the_weights_with_symbol_and_sector(folder, trained):
    from google.protobuf import text_format
    from tensorboard.plugins.projector import ProjectorConfig

    symbols, vectors = embedding.vectors(trained.model)
    tensorboard.save_projector(str(folder), symbols, vectors, {"AAA": "Energy", "CCC": "Materials"})
    config = text_format.Parse((folder / "train" / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (told,) = config.embeddings
    tensors = np.loadtxt(folder / "train" / told.tensor_path, delimiter="\t", dtype="float32")
    np.testing.assert_array_equal(tensors, load_model(trained.model).get_layer("symbol_embedding").get_weights()[0])
    metadata = (folder / "train" / told.metadata_path).read_text()
    assert metadata == "symbol\tsector\nunknown\t\nAAA\tEnergy\nBBB\t\nCCC\tMaterials\n"


def test_a_stock_that_training_never_saw_has_the_unknown_vector(datasets, trained):
    import keras
    import tensorflow as tf

    symbols, vectors = embedding.vectors(trained.model)
    assert symbols == STOCKS
    model = load_model(trained.model)
    of = keras.Model(model.inputs, model.get_layer("vector").output)
    past = tf.constant(datasets["AAA"].test.past[:1])
    said = [of([past, tf.constant([[symbol]])]).numpy()[0] for symbol in ("", "ZZZ", *STOCKS)]
    np.testing.assert_array_equal(said, vectors[[0, 0, 1, 2, 3]])
    unknown, other, known = (predict(trained.model, (datasets["AAA"].test,), 2, symbol)[0] for symbol in ("ZZZ", "YYY", "AAA"))
    np.testing.assert_array_equal(unknown, other)
    assert (unknown != known).any()


def test_a_network_of_one_stock_is_written_too(datasets, tmp_path):
    recipe = replace(POOLED, pooled=False, network=Stack((3,), cell="GRU"), epochs=1)
    fit(recipe, {"AAA": datasets["AAA"]}, seed=7, tensorboard=str(tmp_path))
    events, values = read(tmp_path / "train")
    assert sum(bool(event.graph_def) for event in events) == 1
    assert list(values["scalars", "loss"]) == [1]


def test_weights_that_exploded_stop_no_training(tmp_path):
    import keras

    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    nothing = np.full((4, 2), np.nan, "float32")
    model.fit(nothing, np.zeros((4, 1)), epochs=1, verbose=0, callbacks=tensorboard.callbacks(str(tmp_path)))
    _, values = read(tmp_path / "train")
    assert np.isnan(values["scalars", "loss"][1])


def test_other_files_of_a_folder_are_left_alone(folder, trained):
    assert (folder / "train" / "notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named(datasets, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(SettingsError, match=rf"The TensorBoard folder {file} cannot be written"):
        tensorboard.save_projector(str(file), (), np.zeros((1, 2)), {})
    with pytest.raises(SettingsError, match=rf"The TensorBoard folder {file} cannot be written"):
        fit(replace(POOLED, epochs=1), datasets, seed=7, tensorboard=str(file))
