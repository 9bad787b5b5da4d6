"""Vectors of stocks: where they are placed, and the picture of them. Reading them out of a network: tests/test_tensorboard.py."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from pipeline import embedding
from pipeline.charts import embedding_picture
from pipeline.errors import LookAtTheData


def two_clouds(count: int) -> np.ndarray:
    """Vectors of `count` stocks, every other one far from the rest."""
    return (np.random.default_rng(0).normal(scale=0.1, size=(count, 3)) + 5 * (np.arange(count) % 2)[:, None]).astype("float32")


def distances(points: np.ndarray) -> np.ndarray:
    return np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))


def test_few_stocks_are_placed_by_their_principal_components():
    square = np.array([[0, 0, 7], [3, 0, 7], [3, 4, 7], [0, 4, 7]], "float32")
    points = embedding.placed(square)
    assert embedding.method(4) == "PCA"
    np.testing.assert_allclose(distances(points), distances(square), atol=1e-6)  # they lie in a plane: nothing is lost
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
    points = embedding.placed(np.random.default_rng(0).normal(size=(count, length)).astype("float32"))
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()


def test_equal_vectors_are_one_point():
    np.testing.assert_array_equal(embedding.placed(np.ones((6, 3), "float32")), np.zeros((6, 2)))


def test_vectors_are_not_modified():
    stocks = two_clouds(6)
    embedding.placed(stocks)
    np.testing.assert_array_equal(stocks, two_clouds(6))


@pytest.mark.parametrize("content", [b"", b"PK no zip", b"<html>"])
def test_what_is_no_model_file_is_said(content):
    with pytest.raises(LookAtTheData, match="This is no model file"):
        embedding.vectors(content)


def test_a_zip_of_something_else_is_no_model_file():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.txt", "")
    with pytest.raises(LookAtTheData, match="This is no model file"):
        embedding.vectors(buffer.getvalue())


@pytest.mark.slow
def test_a_network_of_one_stock_has_no_vectors():
    import keras

    from pipeline.keras_files import plain_file

    past = keras.Input((2,), name="past")
    with pytest.raises(LookAtTheData, match="no vectors of stocks"):
        embedding.vectors(plain_file(keras.Model(past, keras.layers.Dense(1)(past))))


def test_neither_placing_nor_drawing_imports_tensorflow():
    code = (
        "import sys, numpy, pipeline.tensorboard; from pipeline import charts, embedding\n"
        "points = embedding.placed(numpy.arange(15.).reshape(5, 3) ** 2)\n"
        "import h5py; charts.embedding_picture(points, 'ABCDE', {})\n"
        "print(*sorted({'tensorflow', 'keras', 'tensorboard'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def drawn(monkeypatch, points: np.ndarray, symbols: list[str], sectors: dict[str, str]):
    """The axes of the picture."""
    from matplotlib.figure import Figure

    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **kwargs: (figures.append(self), save(self, *args, **kwargs))[1])
    embedding_picture(points, symbols, sectors)
    return figures[0].axes[0]


def test_the_picture_labels_every_stock_and_names_method_and_number(monkeypatch):
    symbols = ["AAPL", "IBM", "JPM", "KO", "XOM"]
    sectors = {"AAPL": "Information Technology", "IBM": "Information Technology", "JPM": "Financials", "XOM": "Energy"}
    points = np.arange(10.0).reshape(5, 2)
    axes = drawn(monkeypatch, points, symbols, sectors)
    assert {text.get_text(): tuple(text.xy) for text in axes.texts} == dict(zip(symbols, map(tuple, points), strict=True))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "Energy",
        "Financials",
        "Information Technology",
        "sector unknown",
    ]
    colours = {group.get_label(): tuple(group.get_facecolor()[0]) for group in axes.collections}
    assert len(set(colours.values())) == 4
    by_label = {group.get_label(): group.get_offsets().tolist() for group in axes.collections}
    assert by_label["Information Technology"] == points[:2].tolist()
    assert axes.get_title(loc="left").startswith("What the network has learnt of 5 stocks: t-SNE")


def test_the_picture_of_few_stocks_says_pca_and_has_the_same_bytes_again(monkeypatch):
    points = np.eye(2)
    assert "2 stocks: PCA" in drawn(monkeypatch, points, ["A", "B"], {}).get_title(loc="left")
    pictures = {embedding_picture(points, ["A", "B"], {}) for _ in range(2)}
    assert len(pictures) == 1
    assert pictures.pop().startswith(b"\x89PNG")
