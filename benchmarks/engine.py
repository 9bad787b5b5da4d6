"""Compare the training speed of the default recipe's engine with `keras.layers.LSTM`.

    python -m benchmarks.engine [--rounds N]

All contenders train the same network on the same windows, with one thread, in one process, taking
turns, so that other work on the machine slows all of them alike. "plain" and "jit" are `fit` as
Keras has it by default; "plain, one call an epoch" has this project's training loop
(`steps_per_execution`) with Keras's own layer, which separates the gain of the loop from that of
the kernel.

Times are wall clock; the ratios are of processor time, which on one thread is the same on an idle
machine and still means something on a busy one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.training import WORKER_ENVIRONMENT

CONTEXT, FEATURES, HORIZON = 60, 5, 5
FUSED, PLAIN, PLAIN_FAST_LOOP, JIT = "fused", "plain", "plain, one call an epoch", "jit"
CONTENDERS = (FUSED, PLAIN, PLAIN_FAST_LOOP, JIT)


@dataclass(frozen=True)
class Shape:
    """A network of equal layers, and its training.

    Attributes:
        epochs: of the column "trained model".
    """

    layers: int
    units: int
    batch_size: int
    windows: int
    epochs: int

    @property
    def name(self) -> str:
        return f"{self.layers}x{self.units}, batch {self.batch_size}, {self.windows} windows"


SHAPES = (
    Shape(layers=1, units=32, batch_size=64, windows=2688, epochs=10),
    Shape(layers=1, units=128, batch_size=64, windows=1344, epochs=3),
    Shape(layers=4, units=50, batch_size=32, windows=672, epochs=3),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engine", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--rounds", type=int, default=2, help="turns that every contender gets (default 2)"
    )
    rounds = parser.parse_args().rounds
    os.environ.update(WORKER_ENVIRONMENT)
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    print(
        "| network | contender | epoch: min / median / CPU s | vs plain "
        "| trained model: min / median / CPU s | vs plain |"
    )
    print("|---|---|---|---|---|---|")
    for shape in SHAPES:
        report(shape, *measure(shape, rounds))


#: By contender: (wall, processor) seconds of each turn.
Times = dict[str, list[tuple[float, float]]]


def measure(shape: Shape, rounds: int) -> tuple[Times, Times]:
    """Train every contender in turn.

    Returns:
        The times of an epoch once everything is traced; and those from nothing to a trained model
        of `shape.epochs` epochs.
    """
    epochs: Times = {name: [] for name in CONTENDERS}
    trained: Times = {name: [] for name in CONTENDERS}
    past, future = made_windows(shape)
    for _ in range(rounds):
        for name in CONTENDERS:
            fit: list[Callable[[int], object]] = []
            trained[name].append(
                seconds(lambda name=name, fit=fit: fit.append(train(shape, name, past, future)))
            )
            epochs[name] += [seconds(lambda fit=fit: fit[0](1)) for _ in range(2)]
    return epochs, trained


def train(
    shape: Shape, contender: str, past: np.ndarray, future: np.ndarray
) -> Callable[[int], object]:
    """Build and train a network; return the function that trains it for more epochs."""
    import keras

    from pipeline.training.fused import FusedLSTM

    keras.utils.clear_session()
    keras.utils.set_random_seed(7)
    lstm = FusedLSTM if contender == FUSED else keras.layers.LSTM
    hidden = inputs = keras.Input((CONTEXT, FEATURES))
    for layer in range(shape.layers):
        hidden = lstm(shape.units, return_sequences=layer < shape.layers - 1)(hidden)
    model = keras.Model(inputs, keras.layers.Dense(HORIZON)(hidden))
    steps = -(-len(past) // shape.batch_size) if contender in (FUSED, PLAIN_FAST_LOOP) else 1
    model.compile(
        keras.optimizers.Adam(1e-3, clipnorm=1.0),
        "mse",
        jit_compile=contender == JIT,
        steps_per_execution=steps,
    )

    def fit(epochs: int) -> object:
        return model.fit(past, future, batch_size=shape.batch_size, epochs=epochs, verbose=0)

    fit(shape.epochs)
    return fit


def made_windows(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Return random inputs and targets."""
    rng = np.random.default_rng(0)
    past = rng.normal(size=(shape.windows, CONTEXT, FEATURES)).astype("float32")
    return past, rng.normal(size=(shape.windows, HORIZON)).astype("float32")


def seconds(action: Callable[[], object]) -> tuple[float, float]:
    """Return the wall and processor seconds of a call."""
    wall, processor = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - processor


def report(shape: Shape, epochs: Times, trained: Times) -> None:
    for name in CONTENDERS:
        cells = [shape.name, name]
        for times in (epochs, trained):
            wall, processor = zip(*times[name], strict=True)
            plain = min(processor for _, processor in times[PLAIN])
            cells += [
                f"{min(wall):.2f} / {statistics.median(wall):.2f} / {min(processor):.2f}",
                f"{plain / min(processor):.2f}x",
            ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
