"""Stacks of recurrent layers: their words, and the stocks' vectors among their inputs."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.models import Shape, Stack

SHAPE = Shape(
    steps=30,
    features=3,
    outputs=2,
    past_mean=np.zeros((30, 3)),
    past_scale=np.ones((30, 3)),
    future_scale=np.ones(2),
    future_quantiles=np.zeros((2, 7)),
    symbols=("AAA", "BBB"),
)


def test_equal_layers_are_described_once():
    assert str(Stack((50, 50, 50), dropout=0.2)) == (
        "3 x (LSTM(50) -> dropout 0.2) -> Dense(outputs)"
    )
    assert str(Stack((4,), cell="GRU", bias=False, embedding=3)) == (
        "prices with a symbol embedding of 3 -> GRU(4) -> Dense(outputs), no biases"
    )
    assert Stack((4, 5), dropout=(0.2, 0.0)).dropouts == (0.2, 0.0)
    assert Stack((4, 5), dropout=0.1).dropouts == (0.1, 0.1)


@pytest.mark.slow
def test_a_stocks_vector_is_joined_to_every_step():
    import keras

    model = Stack((256,), dropout=0.2, embedding=3).build(SHAPE, keras.layers.LSTM)
    assert model.get_layer("lstm_1").cell.kernel.shape == (3 + 3, 4 * 256)
    vectors = np.asarray(model.get_layer("symbol_embedding").embeddings)
    assert vectors.shape == (2 + 1, 3)
    assert (np.abs(vectors) <= 1).all()
    assert (np.abs(vectors) > 0.05).any()
