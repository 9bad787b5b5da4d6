"""The vectors that a pooled network has learnt for its stocks, and their places on a plane.

They are read from the network's file without Keras.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Array, Floats
from pipeline.errors import LookAtTheData
from pipeline.models import EMBEDDING, NUMBERING
from pipeline.training import keras_files

if TYPE_CHECKING:
    import h5py

#: With fewer stocks there are no neighbourhoods for t-SNE to keep.
FEWEST_FOR_TSNE = 5
#: The customary perplexity of t-SNE.
USUAL_PERPLEXITY = 30.0


def vectors(model: bytes) -> tuple[tuple[str, ...], Array]:
    """Return the n stocks of a `.keras` file and their vectors.

    Returns:
        The symbols, and float32 (n + 1, k): row 0 is the unknown stock's vector, row i + 1 that of
        stock i.

    Raises:
        LookAtTheData: the file has no vectors.
    """
    with keras_files.members(model) as file:
        layers = json.loads(file.read(keras_files.CONFIG_MEMBER))["config"]["layers"]
    configurations = [layer["config"] for layer in layers]
    vocabularies = [
        configuration["vocabulary"]
        for configuration in configurations
        if configuration["name"] == NUMBERING
    ]
    with keras_files.weight_arrays(model) as arrays:
        groups = [group for group in arrays["layers"].values() if _layer_name(group) == EMBEDDING]
        embeddings = [group["vars/0"][:] for group in groups]
    if not vocabularies or not embeddings:
        raise LookAtTheData(
            "This network has no vectors of stocks: each of its stocks has a network of its own."
        )
    return tuple(vocabularies[0]), embeddings[0]


def method(count: int) -> str:
    """Return the name of the method by which `placed` places this number of stocks."""
    return "t-SNE" if count >= FEWEST_FOR_TSNE else "PCA"


def placed(stocks: Array) -> Floats:
    """Place vectors (n, k) as points (n, 2), near each other where the vectors are.

    The same vectors give the same points.
    """
    plane = _principal(stocks.astype("float64"))
    spread = plane[:, 0].std() if len(plane) else 0.0
    if method(len(plane)) == "PCA" or not spread:
        return plane
    from sklearn.manifold import TSNE

    # t-SNE looks at three times its perplexity in neighbours, and there are no more than n - 1. It
    # starts from the principal components in the size that scikit-learn gives them: nothing is
    # random.
    perplexity = min(USUAL_PERPLEXITY, (len(plane) - 1) / 3)
    start = (plane / spread * 1e-4).astype("float32")
    tsne = TSNE(perplexity=perplexity, init=start, method="exact", random_state=0)
    points: Floats = tsne.fit_transform(stocks).astype("float64")
    return points


def _principal(stocks: Floats) -> Floats:
    """Return the first two principal components, (n, 2); zeros where there are fewer."""
    points = np.zeros((len(stocks), 2))
    if not len(stocks):
        return points
    left, sizes, axes = np.linalg.svd(stocks - stocks.mean(axis=0), full_matrices=False)
    # An axis may point either way: its largest part is made positive.
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    components = (left * sizes * signs)[:, :2]
    points[:, : components.shape[1]] = components
    return points


def _layer_name(group: h5py.Group) -> str:
    return group["vars"].attrs.get("name", "") if "vars" in group else ""
