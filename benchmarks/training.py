"""Measure the default recipe's training beside training on windows, one network after another.

    python -m benchmarks.training [--data DIR] [--tickers A,B] [--year 2017] [--seed N]

The same stocks and sessions, learnt from before the validation year, in the same run and on one
thread: the pooled network in one pass and on windows (at the settings that it had before), then
each stock's own, its last layer tuned next to others by numpy, and all its layers by Keras. Seconds
are the processor's. Losses are the pinball loss of the stocks' validation windows in hundredths of
a percent of the price, whichever way the network was trained. The last line says how much of what
this processor can multiply one pass needs: so small a network is bound by 119 steps in a row.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.accuracy import files_of, histories_of, masked_until
from pipeline.models import BASELINES, DEFAULT, EWMA, HAR, NAIVE, Optimiser
from pipeline.models.optimisation import Constant
from pipeline.parts import Parts
from pipeline.quantiles import losses
from pipeline.research import anchored_files, studied_universe
from pipeline.settings import Settings, variables
from pipeline.training import SHARED, WORKER_ENVIRONMENT, Trained
from pipeline.windows import Windows, load_dataset, training_part

#: The pooled network as it was trained before there was one pass, and the stocks' own.
ON_WINDOWS = replace(
    DEFAULT.pool,
    one_pass=None,
    optimiser=Optimiser("Adam", Constant(1e-4), clip_norm=1.0),
    epochs=30,
    batch_size=256,
)
WHOLE = DEFAULT.tuned
#: Rows and columns of the product that measures the processor's arithmetic.
PRODUCT = 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="a folder of files (default: the sample)")
    parser.add_argument("--tickers", default="", help="comma-separated (default: all)")
    parser.add_argument("--year", type=int, default=2012, help="the test year, which is not read")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in variables():
        os.environ.pop(name, None)
    os.environ.update(WORKER_ENVIRONMENT)
    files = training_files(arguments)
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    print(f"{len(files)} stocks, {sum(map(examples, files.values())):,} windows to learn from\n")
    print("| what | how | processor s | epochs | validation loss |")
    print("|---|---|---|---|---|")
    report(files, arguments.seed)


def training_files(arguments: argparse.Namespace) -> dict[str, bytes]:
    """Return what networks learn from, by ticker."""
    data = "" if arguments.data is None else str(arguments.data)
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(
            home=Path(home),
            data=data,
            source="" if data else "sample",
            tickers=arguments.tickers,
        )
        with Parts(settings, progress=lambda *_: None) as parts:
            masked = masked_until(histories_of(parts, "close"), arguments.year)
            files = files_of(masked, "close", arguments.year)
            calendar = parts.calendar(studied_universe(parts.settings))
            files = anchored_files(files, masked, calendar)
    return {ticker: training_part(file) for ticker, file in files.items()}


def examples(file: bytes) -> int:
    """Return how many windows a network may learn from."""
    return len(load_dataset(file).train)


def report(files: Mapping[str, bytes], seed: int) -> None:
    """Train the networks in every way, and print what they took and reached."""
    from pipeline.training.fit import fit
    from pipeline.training.jobs import TuneJob
    from pipeline.training.last_layer import tune_together

    fit(replace(DEFAULT.pool, epochs=1), files, seed)  # what is first pays for TensorFlow's start
    pools: dict[str, Trained] = {}
    for how, recipe in (("one pass", DEFAULT.pool), ("windows", ON_WINDOWS)):
        began = time.process_time()
        pools[how] = fit(recipe, files, seed)
        row("pooled", how, began, {SHARED: pools[how]}, files)
    pooled = pools["one pass"]
    share = arithmetic_share(files, seed, pooled)
    began = time.process_time()
    jobs = [TuneJob(t, DEFAULT, {t: file}, seed, pooled.model) for t, file in files.items()]
    tuned = zip(files, tune_together(jobs), strict=True)
    own = {ticker: each for ticker, each in tuned if isinstance(each, Trained)}
    row("own", "last layer, next to each other", began, own, files)
    began = time.process_time()
    whole = replace(DEFAULT, one_pass=None, fine_tuning=WHOLE.fine_tuning)
    own = {t: fit(whole, {t: file}, seed, base=pooled.model) for t, file in files.items()}
    row("own", "all layers, on windows", began, own, files)
    for name in (NAIVE, EWMA):
        print(f"| {name} | | | | {baseline_loss(name, files):.3f} |")
    nothing = replace(DEFAULT, fine_tuning=replace(DEFAULT.fine_tuning, epochs=0))
    untrained = fit(replace(DEFAULT.pool, epochs=0), files, seed)
    jobs = [TuneJob(t, nothing, {t: file}, seed, untrained.model) for t, file in files.items()]
    own = dict(zip(files, tune_together(jobs), strict=True))
    print(f"| {HAR}: nothing learnt | | | | {mean_loss(own, files):.3f} |")
    print(f"\nShare of one processor's arithmetic that one pass needs: {share:.1%}")


def row(
    what: str, how: str, began: float, trained: Mapping[str, Trained], files: Mapping[str, bytes]
) -> None:
    """Print a line of the table; `trained`: by ticker, or the one of all."""
    seconds = time.process_time() - began
    epochs = np.mean([each.epochs for each in trained.values()])
    networks = {ticker: trained.get(ticker) or trained[SHARED] for ticker in files}  # none failed
    loss = mean_loss(networks, files)
    print(f"| {what} | {how} | {seconds:.1f} | {epochs:.1f} | {loss:.3f} |", flush=True)


def mean_loss(networks: Mapping[str, Trained], files: Mapping[str, bytes]) -> float:
    """Return the mean over stocks of their networks' validation losses."""
    return float(np.mean([validation_loss(t, files[t], each) for t, each in networks.items()]))


def baseline_loss(name: str, files: Mapping[str, bytes]) -> float:
    """Return the mean over stocks of a baseline's losses on the same windows."""
    datasets = [load_dataset(file) for file in files.values()]
    horizon = datasets[0].spec.horizon
    found = [
        loss_of(each.validation, BASELINES[name].fit(each.train, horizon)(each.validation))
        for each in datasets
    ]
    return float(np.mean(found))


def loss_of(windows: Windows, quantiles: np.ndarray) -> float:
    """Return the pinball loss over windows, in hundredths of a percent of the price."""
    return 10_000 * float(losses(windows.actual, quantiles, windows.last).mean())


def validation_loss(ticker: str, file: bytes, trained: Trained) -> float:
    """Return the loss of a network over a stock's validation windows."""
    from pipeline.training.predict import predict

    windows = load_dataset(file).validation
    [quantiles] = predict(trained.model, (windows,), windows.actual.shape[1], ticker)
    return loss_of(windows, quantiles)


def arithmetic_share(files: Mapping[str, bytes], seed: int, pooled: Trained) -> float:
    """Return the share of the pooled training's time that its products take at full speed.

    Only the LSTM's products are counted, backwards twice those forwards.
    """
    from pipeline.training.examples import training_examples

    train, validation, _ = training_examples(DEFAULT.pool, files, seed)
    units, features = DEFAULT.network.units, train.inputs["past"].shape[2]
    step = 2 * (features + units) * 4 * units
    sessions = [
        part.inputs["past"].shape[0] * part.inputs["past"].shape[1] for part in (train, validation)
    ]
    operations = step * (pooled.epochs * (3 * sessions[0] + sessions[1]))
    return operations / full_speed() / pooled.seconds


def full_speed() -> float:
    """Return this processor's operations a second in a product of float32, on one thread."""
    import tensorflow as tf

    factor = tf.random.normal((PRODUCT, PRODUCT))
    tf.matmul(factor, factor)
    began, rounds = time.process_time(), 10
    for _ in range(rounds):
        tf.matmul(factor, factor).numpy()
    return rounds * 2 * PRODUCT**3 / (time.process_time() - began)


if __name__ == "__main__":
    main()
