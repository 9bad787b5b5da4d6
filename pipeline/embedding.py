"""The vectors that a pooled network has learnt for its stocks: read out of its file, without Keras, and placed on a plane."""

from __future__ import annotations

import json

import numpy as np

from pipeline import keras_files
from pipeline.errors import LookAtTheData
from pipeline.models.recurrent import EMBEDDING, NUMBERING

#: With fewer stocks there are no neighbourhoods for t-SNE to keep.
FEWEST_FOR_TSNE = 5


def vectors(model: bytes) -> tuple[tuple[str, ...], np.ndarray]:
    """The n stocks of a `.keras` file and their vectors (n + 1, k), float32: row 0 is the unknown stock's, row i + 1 is stock i's.

    Raises `LookAtTheData` for a file that has none.
    """
    with keras_files.contents(model) as file:
        layers = json.loads(file.read(keras_files.CONFIG))["config"]["layers"]
    symbols = next((layer["config"]["vocabulary"] for layer in layers if layer["config"]["name"] == NUMBERING), None)
    with keras_files.weights(model) as kept:
        found = next((group["vars/0"][:] for group in kept["layers"].values() if _name(group) == EMBEDDING), None)
    if symbols is None or found is None:
        raise LookAtTheData("This network has no vectors of stocks: each of its stocks has a network of its own.")
    return tuple(symbols), found


def method(count: int) -> str:
    """How `placed` places so many stocks."""
    return "t-SNE" if count >= FEWEST_FOR_TSNE else "PCA"


def placed(stocks: np.ndarray) -> np.ndarray:
    """Points (n, 2) for vectors (n, k), near each other where the vectors are; the same vectors give the same points."""
    plane = _principal(stocks.astype("float64"))
    spread = plane[:, 0].std() if len(plane) else 0.0
    if method(len(plane)) == "PCA" or not spread:
        return plane
    from sklearn.manifold import TSNE

    # t-SNE looks at three times its perplexity in neighbours, and there are no more than n - 1; 30 is its customary value. It starts from
    # the principal components in the size that scikit-learn gives them: nothing is drawn by lot.
    perplexity = min(30.0, (len(plane) - 1) / 3)
    start = (plane / spread * 1e-4).astype("float32")
    return TSNE(perplexity=perplexity, init=start, method="exact", random_state=0).fit_transform(stocks).astype("float64")


def _principal(stocks: np.ndarray) -> np.ndarray:
    """(n, 2): the first two principal components; zeros where there are fewer."""
    points = np.zeros((len(stocks), 2))
    if not len(stocks):
        return points
    left, sizes, axes = np.linalg.svd(stocks - stocks.mean(axis=0), full_matrices=False)
    # An axis may point either way: its largest part is made positive.
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    found = (left * sizes * signs)[:, :2]
    points[:, : found.shape[1]] = found
    return points


def _name(group: object) -> str:
    return group["vars"].attrs.get("name", "") if "vars" in group else ""
