"""Fitting: a recipe and the training files of its stocks, or made examples, to a `.keras` file.

It runs in a worker process (see `workers`), which imports TensorFlow once.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models import Examples, Loss, Optimiser, PriceRecipe, Recipe, Shape
from pipeline.training.examples import network_shape, training_examples
from pipeline.training.jobs import Trained, divergence
from pipeline.training.keras_files import load_model, plain_file, weight_places, with_weights
from pipeline.training.one_pass import in_a_row, over_sessions, span_of, windowed
from pipeline.training.predict import MEASURED_TOGETHER, as_inputs

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def fit(
    recipe: PriceRecipe,
    training_files: Mapping[str, bytes],
    seed: int,
    tensorboard: str = "",
    base: bytes | None = None,
) -> Trained:
    """Train one network on the windows of all stocks together, or tune `base` on them.

    Args:
        training_files: by ticker; see `windows.training_part`.
        tensorboard: folder for event files; "": none are written.
        base: the `.keras` file of the network that it goes on from.

    Raises:
        LookAtTheData: a stock has too few usable windows, a number is missing in one, or the
            training diverges.
    """
    trained_as = recipe if base is None else recipe.tuned
    train, validation, test = training_examples(trained_as, training_files, seed)
    symbols = tuple(sorted(training_files)) if recipe.knows_symbols else ()
    trained = fit_examples(trained_as, train, validation, test, seed, tensorboard, symbols, base)
    loss = trained.history["loss"][trained.best_epoch]
    if not math.isfinite(loss):
        raise divergence(loss, trained.best_epoch, trained.epochs)
    return trained


def fit_examples(
    recipe: Recipe,
    train: Examples,
    validation: Examples,
    test: Examples | None = None,
    seed: int = 0,
    tensorboard: str = "",
    symbols: tuple[str, ...] = (),
    base: bytes | None = None,
) -> Trained:
    """Train in this process for `recipe.epochs` epochs, or as long as validation improves.

    With a patience, the network before its first epoch counts as a candidate: where it is the
    naive forecast and nothing learnt beats it, it is the result.

    Args:
        test: looked at only by a recipe that has this leak.
        symbols: the stocks that share the network.
        base: the `.keras` file that training goes on from; None: random weights.
    """
    import keras

    began = time.monotonic()
    span = span_of(recipe)
    shape = network_shape(in_a_row(train, span) if span else train, symbols)
    if span:
        shape = replace(shape, steps=train.inputs["past"].shape[1] - span + 1)
    steps = -(-len(train) // recipe.batch_size)  # Keras's own loop runs once an epoch
    prepared = None
    if base is not None:
        prepared = _prepared(base, recipe.optimiser, recipe.loss, shape.outputs, steps, seed)
        model = prepared.begin(shape)
        if train.anchor is not None and hasattr(recipe.network, "anchor"):
            recipe.network.anchor(model, shape)
    else:
        model = _new_model(recipe, shape, seed, steps, span)
    best = _BestEpoch(model, recipe.patience)
    best.after_epoch(-1, {"loss": _loss(model, train), "val_loss": _loss(model, validation)})
    # Keras's own validation builds a data pipeline at every epoch, which takes longer than to
    # measure a stock's year.
    watched = {"val_loss": validation}
    if test is not None and recipe.optimiser.peeks:
        watched["test_loss"] = test

    def measure(_: int, logs: dict[str, float]) -> None:
        logs.update({name: _loss(model, part) for name, part in watched.items() if len(part)})

    if recipe.epochs:
        model.fit(
            _batches(model, train, recipe, steps),
            epochs=recipe.epochs,
            steps_per_epoch=steps,
            shuffle=False,  # `_batches` shuffles where the recipe asks for it
            callbacks=[
                keras.callbacks.LambdaCallback(on_epoch_end=measure),
                # Before the learning rate moves.
                keras.callbacks.LambdaCallback(on_epoch_end=best.after_epoch),
                *recipe.optimiser.callbacks(),
                *(_tensorboard(tensorboard) if tensorboard else ()),
            ],
            verbose=0,
        )
    model.set_weights(best.weights)
    if span:
        network: Any = recipe.network
        model = windowed(network.build(shape, keras.layers.LSTM), model)
    file = prepared.file(best.weights) if prepared else plain_file(model)
    seconds = time.monotonic() - began
    return Trained(file, best.history, best.epoch, seconds, model.count_params())


def _new_model(recipe: Recipe, shape: Shape, seed: int, steps: int, span: int) -> keras.Model:
    from pipeline.training.fused import FusedLSTM

    _reset(seed)
    network: Any = recipe.network
    loss = recipe.loss.make(shape.future_scale)
    if span:
        model, loss = network.build_pass(shape, span, FusedLSTM), over_sessions(loss)
    else:
        model = network.build(shape, FusedLSTM)
    model.compile(recipe.optimiser.make(), loss, steps_per_execution=steps)
    return model


def _reset(seed: int) -> None:
    """Make layer names, graphs and numbers independent of what this process did before."""
    import keras
    import tensorflow as tf

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def _batches(model: keras.Model, examples: Examples, recipe: Recipe, count: int) -> tf.data.Dataset:
    """Return an epoch's `count` batches, repeated for ever.

    These are the batches that `fit` makes of arrays: Keras draws one order with the seed and
    repeats it at every epoch. It builds a data pipeline twice an epoch for that, a fifth of the
    time that a stock's network takes; this one is built once.
    """
    import tensorflow as tf

    def order(_: tf.Tensor) -> tf.Tensor:
        positions = tf.range(len(examples), dtype=tf.int64)
        return tf.random.shuffle(positions) if recipe.shuffle else positions

    def batch(number: tf.Tensor) -> tuple[Any, ...]:
        begin = number * recipe.batch_size
        batched: tuple[Any, ...] = tf.nest.map_structure(
            lambda values: values[begin : begin + recipe.batch_size], ordered
        )
        return batched

    once = tf.data.Options()
    once.experimental_optimization.apply_default_optimizations = False  # takes longer than it saves
    [positions] = tf.data.Dataset.range(1).map(order).with_options(once)
    inputs = as_inputs(model, examples.inputs)
    inputs = tuple(inputs) if isinstance(inputs, list) else inputs
    ordered = tf.nest.map_structure(
        lambda values: tf.gather(values, positions), (inputs, examples.targets)
    )
    return tf.data.Dataset.range(count).map(batch).repeat().prefetch(1).with_options(once)


@dataclass(frozen=True, eq=False)
class _PreparedModel:
    """A compiled network that each stock tunes from the same weights.

    Tracing it takes longer than tuning it, so it is traced once a process.

    Attributes:
        base: the `.keras` file of those weights.
        places: where it keeps each of the weights.
        loss: it may have a `rescale`, which makes it the loss of another stock's targets.
        initial: the values of all variables of the model and its optimiser.
    """

    base: bytes
    places: list[str]
    model: keras.Model
    loss: Callable[..., Any]
    seed: int
    initial: list[np.ndarray]

    def begin(self, shape: Shape) -> keras.Model:
        """Return the model with its initial values, for examples of this shape."""
        import keras

        for variable, value in zip(_variables(self.model), self.initial, strict=True):
            variable.assign(value)
        if hasattr(self.loss, "rescale"):
            self.loss.rescale(shape.future_scale)
        keras.utils.set_random_seed(self.seed)
        return self.model

    def file(self, weights: list[np.ndarray]) -> bytes:
        """Return the `.keras` file of these weights."""
        return with_weights(self.base, dict(zip(self.places, weights, strict=True)))


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]


@lru_cache(maxsize=4)
def _prepared(
    base: bytes, optimiser: Optimiser, loss: Loss, outputs: int, steps: int, seed: int
) -> _PreparedModel:
    from pipeline.training.fused import fused_twin

    _reset(seed)
    plain = load_model(base)
    model, measure = fused_twin(plain), loss.make(np.ones(outputs))
    model.compile(optimiser.make(), measure, steps_per_execution=steps)
    model.optimizer.build(model.trainable_variables)
    initial = [np.array(variable) for variable in _variables(model)]
    prepared = _PreparedModel(base, weight_places(plain), model, measure, seed, initial)
    # Otherwise every collection of garbage visits TensorFlow's million objects, and the network's.
    gc.freeze()
    return prepared


class _BestEpoch:
    """The weights of the epoch with the lowest validation loss; without a patience, of the last.

    It stops the training when the best epoch is a patience away.
    """

    def __init__(self, model: keras.Model, patience: int | None) -> None:
        self.history: dict[str, list[float]] = {"loss": [], "val_loss": [], "learning_rate": []}
        self.epoch = 0
        self.weights: list[np.ndarray] = model.get_weights()
        self._model = model
        self._patience = patience

    def after_epoch(self, _: int, logs: Mapping[str, float]) -> None:
        """Record an epoch, and keep its weights where they are the best so far."""
        rate = self._model.optimizer.learning_rate
        values = {"val_loss": float("nan"), **logs, "learning_rate": rate}
        for name, entries in self.history.items():
            entries.append(float(values[name]))
        losses = self.history["val_loss"]
        newest = len(losses) - 1
        if self._patience is None or losses[newest] < losses[self.epoch]:
            self.epoch, self.weights = newest, self._model.get_weights()
        if self._patience is not None and newest - self.epoch >= self._patience:
            self._model.stop_training = True


def _loss(model: keras.Model, examples: Examples) -> float:
    """Return the model's loss; NaN where there are no examples."""
    loss = float("nan")
    model.reset_metrics()
    for start in range(0, len(examples), MEASURED_TOGETHER):
        some = slice(start, start + MEASURED_TOGETHER)
        inputs = {name: values[some] for name, values in examples.inputs.items()}
        # Of all batches since the reset.
        loss = model.test_on_batch(as_inputs(model, inputs), examples.targets[some])
    return float(loss)


def _tensorboard(folder: str) -> list[keras.callbacks.Callback]:
    from pipeline.training import tensorboard

    return tensorboard.callbacks(folder)
