"""One pass: stretches of a history, each session of which is computed once (see `OnePass`).

past[i, k]     what is seen of the k-th session of stretch i; after the history's end, 0
future[i, j]   the targets of the window that ends `steps` + j - 1 sessions after its first;
               NaN where no window ends that may be learnt from
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.arrays import Array
from pipeline.models import Examples, LossFunction, PriceRecipe, Recipe
from pipeline.windows import Stretch

if TYPE_CHECKING:
    import keras


def span_of(recipe: Recipe) -> int:
    """Return how many windows end in each stretch; 0: the recipe learns from windows alone."""
    return recipe.one_pass.span if isinstance(recipe, PriceRecipe) and recipe.one_pass else 0


def passes(history: Stretch, ends: Array, steps: int, span: int) -> tuple[Array, Array]:
    """Cut a history into stretches that follow each other.

    Args:
        ends: bool (sessions,), where a window ends that counts.
        steps: sessions of a window.

    Returns:
        past (n, steps + span - 1, features) and future (n, span, outputs), float32, of those
        stretches in which a window ends that counts.
    """
    count = max(-(-(len(ends) - steps + 1) // span), 0)
    length = steps - 1 + count * span
    past = np.zeros((length, history.past.shape[1]), "float32")
    past[: len(ends)] = history.past
    future = np.full((length, history.future.shape[1]), np.nan, "float32")
    future[: len(ends)][ends] = history.future[ends]
    first = np.arange(count)[:, None] * span
    future = future[first + np.arange(steps - 1, steps - 1 + span)]
    counts = np.isfinite(future).any(axis=(1, 2))
    return past[first[counts] + np.arange(steps - 1 + span)], future[counts]


def in_a_row(examples: Examples, span: int) -> Examples:
    """Return the sessions in which windows end that count, as windows of one session."""
    past = examples.inputs["past"][:, -span:]
    counts = np.isfinite(examples.targets).all(axis=2)
    return Examples({"past": past[counts][:, None]}, examples.targets[counts], examples.anchor)


def over_sessions(loss: LossFunction) -> LossFunction:
    """Return the mean of a loss over the windows that count.

    Args:
        loss: of each example.
    """

    def mean(actual: Any, forecast: Any) -> Any:
        from keras import ops

        actual = ops.reshape(actual, (-1, actual.shape[-1]))
        counts = ops.all(ops.isfinite(actual), axis=1)
        losses = loss(
            ops.where(counts[:, None], actual, 0.0), ops.reshape(forecast, (-1, forecast.shape[-1]))
        )
        total = ops.sum(ops.where(counts, losses, 0.0))
        return total / ops.maximum(ops.sum(ops.cast(counts, losses.dtype)), 1.0)

    return mean


def windowed(network: keras.Model, model: keras.Model) -> keras.Model:
    """Return `network`, built for a window, with the weights of a model of one pass."""
    for layer in network.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return network
