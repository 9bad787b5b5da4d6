"""Vectors of stocks: the files that have none, and the places of vectors on a plane.

Reading them out of a network is tested with TensorBoard's projector.
"""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import LookAtTheData
from pipeline.training import embedding

ROOT = Path(__file__).parents[2]


def two_clouds(count: int) -> np.ndarray:
    """Return vectors of `count` stocks, every other one far from the rest."""
    near = np.random.default_rng(0).normal(scale=0.1, size=(count, 3))
    return (near + 5 * (np.arange(count) % 2)[:, None]).astype("float32")


def distances(points: np.ndarray) -> np.ndarray:
    return np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))


def test_few_stocks_are_placed_by_their_principal_components():
    square = np.array([[0, 0, 7], [3, 0, 7], [3, 4, 7], [0, 4, 7]], "float32")
    points = embedding.placed(square)
    assert embedding.method(4) == "PCA"
    # They lie in a plane: nothing is lost.
    np.testing.assert_allclose(distances(points), distances(square), atol=1e-6)
    assert points[:, 0].std() >= points[:, 1].std()


@pytest.mark.parametrize("count", [5, 6, 40])
def test_many_stocks_are_placed_by_tsne_near_their_likes(count):
    points = embedding.placed(two_clouds(count))
    assert embedding.method(count) == "t-SNE"
    nearest = (distances(points) + np.diag(np.full(count, np.inf))).argmin(axis=1)
    assert (nearest % 2 == np.arange(count) % 2).all()
    np.testing.assert_array_equal(points, embedding.placed(two_clouds(count)))


@pytest.mark.parametrize(("count", "length"), [(0, 2), (1, 3), (2, 1), (4, 1), (5, 1), (7, 2)])
def test_any_number_of_stocks_and_any_length_of_vector_has_its_place(count, length):
    stocks = np.random.default_rng(0).normal(size=(count, length)).astype("float32")
    points = embedding.placed(stocks)
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()


def test_equal_vectors_are_one_point():
    np.testing.assert_array_equal(embedding.placed(np.ones((6, 3), "float32")), np.zeros((6, 2)))


def test_vectors_are_not_modified():
    stocks = two_clouds(6)
    embedding.placed(stocks)
    np.testing.assert_array_equal(stocks, two_clouds(6))


def zip_of_something_else() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.txt", "")
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"PK no zip", b"<html>", zip_of_something_else()])
def test_a_file_of_something_else_is_no_model_file(content):
    with pytest.raises(LookAtTheData, match="This is no model file"):
        embedding.vectors(content)


@pytest.mark.slow
def test_a_network_of_one_stock_has_no_vectors():
    import keras

    from pipeline.training.keras_files import plain_file

    past = keras.Input((2,), name="past")
    with pytest.raises(LookAtTheData, match="no vectors of stocks"):
        embedding.vectors(plain_file(keras.Model(past, keras.layers.Dense(1)(past))))


def test_placing_imports_no_tensorflow():
    code = (
        "import sys, numpy; from pipeline.training import embedding, tensorboard\n"
        "embedding.placed(numpy.arange(15.).reshape(5, 3) ** 2)\n"
        "import h5py; print(*sorted({'tensorflow', 'keras', 'tensorboard'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
