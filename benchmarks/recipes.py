"""Measure the training time of every price recipe on one core.

    python -m benchmarks.recipes [--data DIR] [--ticker T] [--whole] [--rounds N]

First `fastnu-default` is trained to its last epoch with the product's own `fit`, from the windows
to the model file, next to the same network of `keras.layers.LSTM` in Keras's default loop. Of the
latter a few epochs are trained, half before and half after; the rest is estimated by proportion,
the first epoch (which traces the network) counted once. Then follows one epoch of every recipe that
learns from prices: fused with Keras's loop run once an epoch, as in `fit`, and plain, from the same
weights, taking turns. A recipe for many stocks gets a single one: its seconds are those of each
stock.

Everything runs in one process, on one thread, as in a worker, and deterministically, as in `fit`.
Ratios and estimates are of processor time, which is the same as wall clock on an idle machine and
still means something on a busy one.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import os
import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.engine import seconds
from pipeline.errors import StockcastError
from pipeline.models import RECIPES, Examples, PriceRecipe
from pipeline.prices import CsvSource, SampleSource, fetch_histories, on_calendar
from pipeline.sessions import Calendar
from pipeline.training import WORKER_ENVIRONMENT
from pipeline.training.fit import fit, fit_examples
from pipeline.training.keras_files import load_model
from pipeline.training.network_cache import training_file
from pipeline.windows import Dataset, Windows, decode, encode, load_dataset

if TYPE_CHECKING:
    import keras

SEED = 7
#: Training windows of fastnu-default's source, of 2006 to 2016. Of a longer history, the last
#: windows are taken.
PUBLISHED_WINDOWS = 2709
#: Seconds of wall clock that fastnu-default's whole training may take.
GOAL = 60
#: Epochs of the plain network, from which the others are estimated.
MEASURED_EPOCHS = 6
#: Columns of the recipes' table. Seconds of an epoch are wall clock and processor time; the number
#: of epochs is the published one.
COLUMNS = (
    "recipe",
    "windows",
    "weights",
    "layers on the kernel",
    "an epoch, fused: wall / CPU s",
    "plain: wall / CPU s",
    "times as fast",
    "epochs",
    "all of them, fused / plain: CPU s",
)

#: Wall and processor seconds.
Seconds = tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recipes", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder of price files (default: the shipped sample)",
    )
    parser.add_argument(
        "--ticker", default="IBM", help="the ticker that is learnt from (default IBM)"
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="train the plain fastnu-default to its last epoch as well",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="measured epochs of every recipe, once it is traced (default 3)",
    )
    arguments = parser.parse_args()
    use_one_thread()
    try:
        history = history_of(arguments.data, arguments.ticker)
        report_training(RECIPES.for_price("fastnu-default"), history, arguments.whole)
    except StockcastError as error:
        raise SystemExit(str(error)) from None
    report_epochs(history, arguments.rounds)


def use_one_thread() -> None:
    """Limit TensorFlow to one thread; to be called before TensorFlow is imported."""
    os.environ.update(WORKER_ENVIRONMENT)
    # The process is not pinned to a core: there, TensorFlow's idle threads wait in doubling sleeps,
    # and an epoch of 1.6 s ended after 2.6, 5.2 or 10.3.
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def history_of(folder: str | None, ticker: str) -> pd.DataFrame:
    """Return all sessions of a ticker, adjusted for splits."""
    source = CsvSource(folder) if folder else SampleSource()
    calendar, now = Calendar("XNYS"), dt.datetime.now(dt.UTC)
    first = dt.date(1990, 1, 1)
    histories = fetch_histories(source, [ticker], first, now.date(), calendar, now)
    last = histories.bars["session"].max().date()
    history = histories.of(ticker, last, masked=False)
    return on_calendar(history, calendar.sessions(history["session"].iloc[0].date(), last))


def file_of(recipe: PriceRecipe, history: pd.DataFrame) -> bytes:
    """Return a history's dataset file for the recipe's own target, one session ahead."""
    ticker, last = history["ticker"].iloc[-1], history["session"].iloc[-1].date()
    return encode(history, recipe.spec(ticker, last, recipe.targets[0], 1))


def report_training(recipe: PriceRecipe, history: pd.DataFrame, whole: bool) -> None:
    """Train a recipe to its last epoch, fused and plain, and print both.

    Args:
        whole: whether the plain network is trained to its last epoch, too; nothing is estimated.
    """
    file = file_of(recipe, history)
    dataset = load_dataset(file)
    dataset = dataclasses.replace(
        dataset, train=dataset.train.take(slice(-PUBLISHED_WINDOWS, None))
    )
    count, ticker = recipe.epochs if whole else MEASURED_EPOCHS, dataset.spec.ticker
    train, validation = examples_of(dataset.train), examples_of(dataset.validation)
    epoch = trainer(recipe, dataset, plain_network(recipe, file), steps_per_call=1)
    epochs = [seconds(epoch) for _ in range(count // 2)]
    fused = seconds(lambda: fit_examples(recipe, train, validation, seed=SEED))
    epochs += [seconds(epoch) for _ in range(count - count // 2)]
    plain = total_seconds(epochs, recipe.epochs)
    note = "" if whole else f" ({count} epochs measured)"
    print(f"{recipe.name}, {ticker}, {len(dataset.train)} windows, {recipe.epochs} epochs:\n")
    print("| contender | wall s | CPU s | times as fast |\n|---|---|---|---|")
    print(f"| `fit`: fused | {fused[0]:.1f} | {fused[1]:.1f} | {plain[1] / fused[1]:.2f}x |")
    print(f"| plain{note} | {plain[0]:.1f} | {plain[1]:.1f} | 1.00x |\n")
    print(
        f"Under {GOAL} s of wall clock: {'yes' if fused[0] < GOAL else 'no'}, {fused[0]:.1f} s.\n",
        flush=True,
    )


def report_epochs(history: pd.DataFrame, rounds: int) -> None:
    """Print a line for every recipe that learns from prices."""
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for recipe in RECIPES.for_prices:
        if recipe.epochs:
            try:
                cells = epoch_cells(recipe, file_of(recipe, history), rounds)
            except StockcastError as error:
                cells = [str(error), *[""] * (len(COLUMNS) - 2)]
            print(f"| {' | '.join([recipe.name, *cells])} |", flush=True)


def epoch_cells(recipe: PriceRecipe, file: bytes, rounds: int) -> list[str]:
    """Return the cells of a recipe's line; seconds of an epoch are the least of all turns."""
    from pipeline.training.fused import fused_twin

    dataset, plain = load_dataset(file), plain_network(recipe, file)
    fused = fused_twin(plain)
    once_an_epoch = -(-len(dataset.train) // recipe.batch_size)
    epochs = [trainer(recipe, dataset, fused, once_an_epoch), trainer(recipe, dataset, plain, 1)]
    times: list[list[Seconds]] = [[], []]
    for _ in range(1 + rounds):  # the first traces the network
        for epoch, measured in zip(epochs, times, strict=True):
            measured.append(seconds(epoch))
    (wall, processor), (plain_wall, plain_processor) = (
        map(min, zip(*measured[1:], strict=True)) for measured in times
    )
    return [
        f"{len(dataset.train):,}",
        f"{plain.count_params():,}",
        on_the_kernel(fused),
        f"{wall:.2f} / {processor:.2f}",
        f"{plain_wall:.2f} / {plain_processor:.2f}",
        f"{plain_processor / processor:.2f}x",
        f"{recipe.epochs}",
        " / ".join(f"{total_seconds(measured, recipe.epochs)[1]:.0f}" for measured in times),
    ]


def examples_of(windows: Windows) -> Examples:
    """Return the examples of a network that knows no symbols."""
    return Examples({"past": windows.past}, windows.future)


def plain_network(recipe: PriceRecipe, file: bytes) -> keras.Model:
    """Return the network before its first epoch, of Keras's own layers, as a model file has it."""
    untrained = dataclasses.replace(recipe, epochs=0)
    ticker = decode(file)[0].ticker
    return load_model(fit(untrained, {ticker: training_file(file, recipe)}, SEED).model)


def trainer(
    recipe: PriceRecipe, dataset: Dataset, model: keras.Model, steps_per_call: int
) -> Callable[[], object]:
    """Return the function that trains a model for one epoch.

    Args:
        steps_per_call: batches after which Keras's own loop runs once.
    """
    import tensorflow as tf

    past, future = dataset.train.past, dataset.train.future
    by_name = {"past": past, "symbol": tf.fill((len(past), 1), dataset.spec.ticker)}
    inputs = [by_name[tensor.name] for tensor in model.inputs]
    inputs = inputs if len(inputs) > 1 else inputs[0]
    model.compile(
        recipe.optimiser.make(),
        recipe.loss.make(np.ones(future.shape[1])),
        steps_per_execution=steps_per_call,
    )
    return lambda: model.fit(
        inputs, future, batch_size=recipe.batch_size, shuffle=recipe.shuffle, verbose=0
    )


def on_the_kernel(fused: keras.Model) -> str:
    """Return the number of a network's LSTM layers that the fused kernel runs."""
    from keras.layers import LSTM

    served = [layer._kernel_serves() for layer in fused.layers if isinstance(layer, LSTM)]
    return f"{sum(served)} of {len(served)}" if served else "no LSTM"


def total_seconds(epochs: list[Seconds], count: int) -> Seconds:
    """Return the seconds of `count` epochs, of which the first ones were measured.

    The others take the median of the later ones.
    """
    wall, processor = (
        sum(measured) + (count - len(measured)) * statistics.median(measured[1:])
        for measured in zip(*epochs, strict=True)
    )
    return wall, processor


if __name__ == "__main__":
    main()
