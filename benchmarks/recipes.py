"""How long every price recipe takes to train on one core, and `fastnu-default` to its last epoch: `python -m benchmarks.recipes`.

    python -m benchmarks.recipes [--data DIR] [--ticker T] [--whole] [--rounds N]

First `fastnu-default` with the product's own `fit`, from the windows to the model file, beside the same network of
`keras.layers.LSTM` in Keras's default loop. Of the latter a few epochs are trained, half before and half after; the rest is
estimated by proportion, the first epoch (which traces the network) counted once. Then one epoch of every recipe that learns from
prices: fused with Keras's loop run once an epoch, as `fit` has it, and plain, from the same weights, taking turns. A recipe for many
stocks is given the one: its seconds are those of each stock.

Everything is in one process, on one thread, as in a worker, and deterministic, as `fit` asks for. Ratios and estimates are of processor
time, which is the same as wall clock on an idle machine and still means something on a busy one.
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
from pipeline import training, windows
from pipeline.errors import StockcastError
from pipeline.keras_files import load_model
from pipeline.models import RECIPES, find_recipe
from pipeline.models.recipe import Recipe
from pipeline.prices.adjustment import adjust
from pipeline.prices.csv_files import CsvSource
from pipeline.prices.sample import SampleSource
from pipeline.prices.source import fetch
from pipeline.sessions import Calendar

if TYPE_CHECKING:
    import keras

SEED = 7
#: What fastnu-default had to learn from: 2006 to 2016. Of a longer history, its last sessions make as many windows.
PUBLISHED_WINDOWS = 2709
#: Seconds of wall clock that fastnu-default's whole training may take.
GOAL = 60
#: Epochs of the plain network, of which the others are estimated.
MEASURED = 6
#: Of the recipes' table; seconds of an epoch are wall clock and processor time, and so many epochs are the published ones.
COLUMNS = (
    *("recipe", "windows", "weights", "layers on the kernel", "an epoch, fused: wall / CPU s", "plain: wall / CPU s"),
    *("times as fast", "epochs", "all of them, fused / plain: CPU s"),
)

#: Wall and processor seconds.
Seconds = tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", help="folder with price files (default: the sample that comes along)")
    parser.add_argument("--ticker", default="IBM", help="whose prices (default IBM)")
    parser.add_argument("--whole", action="store_true", help="train the plain fastnu-default to its last epoch, too")
    parser.add_argument("--rounds", type=int, default=3, help="epochs that every recipe gets once it is traced (default 3)")
    arguments = parser.parse_args()
    use_one_thread()
    try:
        history = history_of(arguments.data, arguments.ticker)
        report_training(find_recipe("fastnu-default"), history, arguments.whole)
    except StockcastError as error:
        raise SystemExit(str(error)) from None
    report_epochs(history, arguments.rounds)


def use_one_thread() -> None:
    """Must come before TensorFlow is imported."""
    os.environ.update(training.WORKER_ENVIRONMENT)
    # No affinity: on a pinned core TensorFlow's idle threads wait in doubling sleeps, and an epoch of 1.6 s ended after 2.6, 5.2 or 10.3.
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def history_of(folder: str | None, ticker: str) -> pd.DataFrame:
    """All sessions of a ticker, adjusted for splits."""
    source, calendar, now = CsvSource(folder) if folder else SampleSource(), Calendar("XNYS"), dt.datetime.now(dt.UTC)
    fetched = fetch(source, ticker, dt.date(1990, 1, 1), now.date(), calendar, now)
    last = fetched.prices["session"].max().date()
    history = adjust(fetched.prices, fetched.actions, last)
    return windows.on_calendar(history, calendar.sessions(history["session"].iloc[0].date(), last))


def dataset_of(recipe: Recipe, history: pd.DataFrame) -> windows.Dataset:
    """What the recipe makes of a history for its own target, one session ahead."""
    ticker, last = history["ticker"].iloc[-1], history["session"].iloc[-1].date()
    return windows.load_dataset(windows.encode(history, recipe.spec(ticker, last, recipe.targets[0], 1)))


def report_training(recipe: Recipe, history: pd.DataFrame, whole: bool) -> None:
    """A recipe trained to its last epoch, fused and plain; `whole`: nothing is estimated."""
    dataset = dataset_of(recipe, history)
    dataset = dataclasses.replace(dataset, train=dataset.train.take(slice(-PUBLISHED_WINDOWS, None)))
    count, ticker = recipe.epochs if whole else MEASURED, dataset.spec.ticker
    plain = plain_network(recipe, dataset)
    epoch = trainer(recipe, dataset, plain, steps_per_call=1)
    epochs = [seconds(epoch) for _ in range(count // 2)]
    fused = seconds(lambda: training.fit(recipe, {ticker: dataset}, SEED))
    epochs += [seconds(epoch) for _ in range(count - count // 2)]
    plainly = in_all(epochs, recipe.epochs)
    how = "" if whole else f" ({count} epochs measured)"
    print(f"{recipe.name}, {ticker}, {len(dataset.train)} windows, {recipe.epochs} epochs:\n")
    print("| contender | wall s | CPU s | times as fast |\n|---|---|---|---|")
    print(f"| `fit`: fused | {fused[0]:.1f} | {fused[1]:.1f} | {plainly[1] / fused[1]:.2f}x |")
    print(f"| plain{how} | {plainly[0]:.1f} | {plainly[1]:.1f} | 1.00x |\n")
    print(f"Under {GOAL} s of wall clock: {'yes' if fused[0] < GOAL else 'no'}, {fused[0]:.1f} s.\n", flush=True)


def report_epochs(history: pd.DataFrame, rounds: int) -> None:
    """A line for every recipe that learns from prices."""
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for recipe in RECIPES:
        if recipe.targets and recipe.epochs:
            try:
                cells = measured(recipe, dataset_of(recipe, history), rounds)
            except StockcastError as error:
                cells = [str(error), *[""] * (len(COLUMNS) - 2)]
            print(f"| {' | '.join([recipe.name, *cells])} |", flush=True)


def measured(recipe: Recipe, dataset: windows.Dataset, rounds: int) -> list[str]:
    """The cells of a recipe's line; seconds of an epoch are the least of all turns."""
    from pipeline.models.fused import fused_twin

    plain = plain_network(recipe, dataset)
    fused = fused_twin(plain)
    once_an_epoch = -(-len(dataset.train) // recipe.batch_size)
    turns = [trainer(recipe, dataset, fused, once_an_epoch), trainer(recipe, dataset, plain, 1)]
    times: list[list[Seconds]] = [[], []]
    for _ in range(1 + rounds):  # the first traces the network
        for epoch, taken in zip(turns, times, strict=True):
            taken.append(seconds(epoch))
    (wall, processor), (plain_wall, plain_processor) = (map(min, zip(*taken[1:], strict=True)) for taken in times)
    return [
        f"{len(dataset.train):,}",
        f"{plain.count_params():,}",
        on_the_kernel(fused),
        f"{wall:.2f} / {processor:.2f}",
        f"{plain_wall:.2f} / {plain_processor:.2f}",
        f"{plain_processor / processor:.2f}x",
        f"{recipe.epochs}",
        " / ".join(f"{in_all(taken, recipe.epochs)[1]:.0f}" for taken in times),
    ]


def plain_network(recipe: Recipe, dataset: windows.Dataset) -> keras.Model:
    """The recipe's network before its first epoch, of Keras's own layers, as a model file has it."""
    untrained = dataclasses.replace(recipe, epochs=0)
    return load_model(training.fit(untrained, {dataset.spec.ticker: dataset}, SEED).model)


def trainer(recipe: Recipe, dataset: windows.Dataset, model: keras.Model, steps_per_call: int) -> Callable[[], object]:
    """What trains `model` for one epoch; Keras's own loop runs once every `steps_per_call` batches."""
    import tensorflow as tf

    past, future = dataset.train.past, dataset.train.future
    given = {"past": past, "symbol": tf.fill((len(past), 1), dataset.spec.ticker)}
    inputs = [given[tensor.name] for tensor in model.inputs]
    inputs = inputs if len(inputs) > 1 else inputs[0]
    model.compile(recipe.optimiser.make(), recipe.loss.make(np.ones(future.shape[1])), steps_per_execution=steps_per_call)
    return lambda: model.fit(inputs, future, batch_size=recipe.batch_size, shuffle=recipe.shuffle, verbose=0)


def on_the_kernel(fused: keras.Model) -> str:
    from keras.layers import LSTM

    served = [layer._kernel_serves() for layer in fused.layers if isinstance(layer, LSTM)]
    return f"{sum(served)} of {len(served)}" if served else "no LSTM"


def in_all(epochs: list[Seconds], count: int) -> Seconds:
    """Of `count` epochs, of which these were measured, the first first; the others take the median of the later ones."""
    wall, processor = (sum(taken) + (count - len(taken)) * statistics.median(taken[1:]) for taken in zip(*epochs, strict=True))
    return wall, processor


if __name__ == "__main__":
    main()
