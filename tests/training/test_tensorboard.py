"""What is written for TensorBoard, read back as TensorBoard reads it; the networks are tiny."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import SettingsError
from pipeline.models import DEFAULT, Stack
from pipeline.models.optimisation import MeanSquaredError
from pipeline.training import embedding, tensorboard
from pipeline.training.fit import fit
from pipeline.training.jobs import Trained
from pipeline.training.keras_files import load_model
from pipeline.training.predict import predict
from pipeline.windows import (
    Fraction,
    Newest,
    PreviousWindow,
    Split,
    Windowing,
    encode,
    load_dataset,
    training_part,
)
from tests.made_windows import walk

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
    one_pass=None,
    fine_tuning=None,
)
STOCKS = ("AAA", "BBB", "CCC")


def dataset_file(ticker: str, seed: int) -> bytes:
    history = walk(1000, seed).assign(ticker=ticker)
    return encode(history, POOLED.spec(ticker, history["session"].iloc[-1].date(), "close", 2))


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The dataset file of each stock."""
    return {ticker: dataset_file(ticker, seed) for seed, ticker in enumerate(STOCKS)}


@pytest.fixture(scope="module")
def learnt(files) -> dict[str, bytes]:
    """The training file of each stock."""
    return {ticker: training_part(file) for ticker, file in files.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("board") / "pooled" / "network"


@pytest.fixture(scope="module")
def trained(learnt, folder) -> Trained:
    """A network; its event files have replaced those of an earlier training."""
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "notes.txt").write_text("mine")
    fit(replace(POOLED, epochs=1), learnt, seed=1, tensorboard=str(folder))
    return fit(POOLED, learnt, seed=7, tensorboard=str(folder))


def records(path: Path) -> Iterator[bytes]:
    """Yield the records of an event file, by the format's definition.

    It is a length, its checksum, the record and its checksum, again and again.
    """
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield data[12 : 12 + length]
        data = data[16 + length :]


def read(folder: Path) -> tuple[list[Any], dict[tuple[str, str], dict[int, np.ndarray]]]:
    """Return the events of a run, and by plugin and tag its values by step."""
    import tensorflow as tf

    events = [
        tf.compat.v1.Event.FromString(record)
        for path in folder.glob("events*")
        for record in records(path)
    ]
    values: dict[tuple[str, str], dict[int, np.ndarray]] = defaultdict(dict)
    for event in events:
        for value in event.summary.value:
            key = value.metadata.plugin_data.plugin_name, value.tag
            assert event.step not in values[key], "two trainings in one folder"
            values[key][event.step] = tf.make_ndarray(value.tensor)
    return events, values


def test_training_is_the_same_to_the_bit_with_tensorboard(learnt, trained):
    alone = fit(POOLED, learnt, seed=7)
    assert (alone.model, alone.history) == (trained.model, trained.history)


def test_scalars_are_the_history(folder, trained):
    (_, train), (_, validation) = read(folder / "train"), read(folder / "validation")
    for values, tag, name in (
        (train, "loss", "loss"),
        (train, "learning_rate", "learning_rate"),
        (validation, "loss", "val_loss"),
    ):
        scalars = values["scalars", tag]
        assert list(scalars) == [1, 2, 3]
        np.testing.assert_array_equal(list(scalars.values()), np.float32(trained.history[name][1:]))


def test_every_weight_has_a_histogram_from_the_untrained_network_on(folder, trained):
    _, values = read(folder / "train")
    model = load_model(trained.model)
    weights = {weight.path: weight.numpy() for weight in model.trainable_weights}
    histograms = {
        tag: by_step for (plugin, tag), by_step in values.items() if plugin == "histograms"
    }
    assert set(histograms) == set(weights)
    for tag, weight in weights.items():
        assert list(histograms[tag]) == [0, 1, 2, 3]
        buckets = histograms[tag][3]  # (buckets, 3): left, right, count
        assert (buckets[:, 2].sum(), buckets[0, 0], buckets[-1, 1]) == pytest.approx(
            (weight.size, weight.min(), weight.max())
        )


def test_the_graph_is_there_as_operations_and_as_layers(folder, trained):
    import tensorflow as tf

    events, values = read(folder / "train")
    [graph] = [
        tf.compat.v1.GraphDef.FromString(event.graph_def) for event in events if event.graph_def
    ]
    operations = {node.op for node in graph.node}
    assert {"Placeholder", "LookupTableFindV2", "GatherV2", "BlockLSTM"} <= operations
    layers = json.loads(str(values["graph_keras_model", "keras"][0].item().decode()))
    names = {layer["config"]["name"] for layer in layers["config"]["layers"]}
    assert {"past", "symbol", "symbol_embedding", "lstm_1", "forecast"} <= names


def test_the_projector_reads_the_weights_with_symbol_and_sector(folder, trained):
    from google.protobuf import text_format
    from tensorboard.plugins.projector import ProjectorConfig

    symbols, vectors = embedding.vectors(trained.model)
    tensorboard.save_projector(str(folder), symbols, vectors, {"AAA": "Energy", "CCC": "Materials"})
    train = folder / "train"
    config = text_format.Parse((train / "projector_config.pbtxt").read_text(), ProjectorConfig())
    [described] = config.embeddings
    tensors = np.loadtxt(train / described.tensor_path, delimiter="\t", dtype="float32")
    [weights] = load_model(trained.model).get_layer("symbol_embedding").get_weights()
    np.testing.assert_array_equal(tensors, weights)
    metadata = (train / described.metadata_path).read_text()
    assert metadata == "symbol\tsector\nunknown\t\nAAA\tEnergy\nBBB\t\nCCC\tMaterials\n"


def test_a_stock_that_training_never_saw_has_the_unknown_vector(files, trained):
    import keras
    import tensorflow as tf

    symbols, vectors = embedding.vectors(trained.model)
    assert symbols == STOCKS
    model, test = load_model(trained.model), load_dataset(files["AAA"]).test
    vector_of = keras.Model(model.inputs, model.get_layer("vector").output)
    past = tf.constant(test.past[:1])
    answers = [
        vector_of([past, tf.constant([[symbol]])]).numpy()[0] for symbol in ("", "ZZZ", *STOCKS)
    ]
    np.testing.assert_array_equal(answers, vectors[[0, 0, 1, 2, 3]])
    unknown, other, known = (
        predict(trained.model, (test,), 2, symbol)[0] for symbol in ("ZZZ", "YYY", "AAA")
    )
    np.testing.assert_array_equal(unknown, other)
    assert (unknown != known).any()


def test_a_network_of_one_stock_is_written_too(learnt, tmp_path):
    recipe = replace(POOLED, pooled=False, network=Stack((3,), cell="GRU"), epochs=1)
    fit(recipe, {"AAA": learnt["AAA"]}, seed=7, tensorboard=str(tmp_path))
    events, values = read(tmp_path / "train")
    assert sum(bool(event.graph_def) for event in events) == 1
    assert list(values["scalars", "loss"]) == [1]


def test_weights_that_exploded_stop_no_training(tmp_path):
    import keras

    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    missing, callbacks = np.full((4, 2), np.nan, "float32"), tensorboard.callbacks(str(tmp_path))
    model.fit(missing, np.zeros((4, 1)), epochs=1, verbose=0, callbacks=callbacks)
    _, values = read(tmp_path / "train")
    assert np.isnan(values["scalars", "loss"][1])


def test_other_files_of_a_folder_are_left_alone(folder, trained):
    assert (folder / "train" / "notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named(learnt, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    message = rf"The TensorBoard folder {file} cannot be written .*--tensorboard"
    with pytest.raises(SettingsError, match=message):
        tensorboard.save_projector(str(file), (), np.zeros((1, 2)), {})
    with pytest.raises(SettingsError, match=message):
        fit(replace(POOLED, epochs=1), learnt, seed=7, tensorboard=str(file))
