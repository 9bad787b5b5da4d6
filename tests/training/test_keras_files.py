"""Networks as files: plain, the same bytes for the same network, and built once."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

from pipeline.errors import LookAtTheData
from pipeline.training import keras_files
from pipeline.training.fit import fit
from pipeline.training.predict import keras_outputs, predict, symbol_inputs
from tests.training.made_networks import small, training_files

pytestmark = pytest.mark.slow


def test_a_network_that_has_been_built_is_given_the_weights_of_each_file(dataset):
    one, other = (fit(small(), training_files(), seed).model for seed in (7, 8))
    inputs = {"past": dataset.test.past, **symbol_inputs("UP", len(dataset.test))}
    alone = {}
    for model in (one, other):
        keras_files._built.clear()
        alone[model] = keras_outputs(keras_files.load_fused(model), inputs)
    assert not np.array_equal(alone[one], alone[other])
    for model in (one, other, one):
        again = keras_outputs(keras_files.load_fused(model), inputs)
        np.testing.assert_array_equal(again, alone[model])
    assert len(keras_files._built) == 1
    fused, loaded = keras_files.load_fused(one), keras_files.load_model(one)
    for weights, expected in zip(fused.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, expected)


def test_weights_are_read_without_keras_as_keras_reads_them(trained):
    loaded = keras_files.load_model(trained.model)
    places = keras_files.weight_places(keras_files.load_model(trained.model))
    read = keras_files.read_weights(trained.model, places)
    for place, expected in zip(places, loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(read[place], expected)
    with pytest.raises(LookAtTheData, match="no model file that Keras can load"):
        keras_files.read_weights(trained.model, ["layers/absent/vars/0"])


def test_a_file_with_other_weights_is_the_file_of_the_other_network(trained):
    other = keras_files.load_model(trained.model)
    places = keras_files.weight_places(keras_files.load_model(trained.model))
    other.set_weights([weight + number for number, weight in enumerate(other.get_weights())])
    weights = dict(zip(places, other.get_weights(), strict=True))
    file = keras_files.with_weights(trained.model, weights)
    assert file == keras_files.plain_file(other) != trained.model
    with pytest.raises(LookAtTheData, match="no model file that Keras can load"):
        keras_files.with_weights(trained.model[:2000], {})


def test_a_file_names_no_moment_and_no_address(trained):
    with zipfile.ZipFile(io.BytesIO(trained.model)) as file:
        assert {entry.date_time[0] for entry in file.infolist()} == {1980}
        assert json.loads(file.read("metadata.json"))["date_saved"].startswith("1980")
        assert set(file.namelist()) == {"config.json", "metadata.json", "model.weights.h5"}


def test_a_damaged_model_file_is_a_matter_for_a_person(trained, dataset):
    for data in (
        b"",
        b"no zip",
        trained.model[:2000],
        trained.model.replace(b"Rescaling", b"Rescalinq"),
    ):
        with pytest.raises(LookAtTheData, match="no model file that Keras can load"):
            predict(data, (dataset.test,), 2)


def test_a_model_file_cannot_bring_code_along(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "lambda.keras")
    with pytest.raises(LookAtTheData):
        keras_files.load_model((tmp_path / "lambda.keras").read_bytes())
