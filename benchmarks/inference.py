"""Forecast with the networks of many stocks: by Keras, by numpy, and by going on from yesterday.

    python -m benchmarks.inference [--networks 505] [--recipe default] [--rounds 2]

Each row is a process of its own, begun in turn with the others, with what it imports: processor
seconds of it and its workers, wall time, and the largest peak memory of one process. The networks
have the recipe's size and weights of chance; all forecast the replay of one made stock, 505
windows, or its newest window alone. "Keras" is what an evening did before numpy forecast: workers
that import TensorFlow. The last column is the largest difference from Keras's forecasts, as a
share of the price.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pipeline.models import RECIPES
from pipeline.training import PredictJob, Workers
from pipeline.windows import encode, load_replay
from tests.made_prices import random_walk

HORIZON, SESSIONS, TICKER = 5, 700, "AAA"
NOTHING, KERAS, NUMPY, CONTINUED = "imports alone", "Keras", "numpy", "numpy, the newest window"
WAYS = (NOTHING, KERAS, NUMPY, CONTINUED)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=505)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--way", default="", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=Path(), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way == "make":
        make_networks(arguments.folder, arguments.recipe, arguments.networks)
    elif arguments.way:
        forecast(arguments.way, arguments.folder)
    else:
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            report(Path(folder), arguments.recipe, arguments.networks, arguments.rounds)


def report(folder: Path, recipe: str, networks: int, rounds: int) -> None:
    """Measure each way in turn, and print the least of its rounds."""
    child("make", folder, "--recipe", recipe, "--networks", str(networks))
    measured: dict[str, list[tuple[float, ...]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            begun = time.perf_counter()
            printed = child(way, folder)
            wall = time.perf_counter() - begun
            measured[way].append((*map(float, printed.split()[-2:]), wall))
    print(f"| {networks} networks of {recipe} | processor, s | wall, s | MiB | from Keras |")
    print("|---|---|---|---|---|")
    for way, figures in measured.items():
        processor, memory, wall = map(min, zip(*figures, strict=True))
        print(
            f"| {way} | {processor:.2f} | {wall:.2f} | {memory:.0f} | {difference(folder, way)} |"
        )


def child(way: str, folder: Path, *more: str) -> str:
    """Return what a process of this program prints."""
    command = [sys.executable, "-m", __spec__.name, "--way", way, "--folder", str(folder), *more]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def difference(folder: Path, way: str) -> str:
    """Return the largest difference of the newest forecasts from Keras's, a share of the price."""
    if way == NOTHING:
        return ""
    made, expected = (np.load(folder / f"{each}.npy") for each in (way, KERAS))
    return f"{np.abs(made / expected - 1).max():.1e}"


def made_dataset(recipe: str) -> bytes:
    from pipeline.tables import HISTORY

    prices = random_walk(1, SESSIONS).rename(columns={"date": "session"})
    history = HISTORY.conform(prices.assign(ticker=TICKER, adj_close=prices["close"]))
    last = history["session"].iloc[-1].date()
    found = RECIPES.for_price(recipe)
    return encode(history, found.spec(TICKER, last, "close", HORIZON))


def make_networks(folder: Path, name: str, count: int) -> None:
    """Write a recipe's dataset, and networks that differ in their weights."""
    import keras

    from pipeline.models import Examples
    from pipeline.training.fit import network_shape
    from pipeline.training.keras_files import load_model, plain_file, weight_places, with_weights

    recipe, dataset = RECIPES.for_price(name), made_dataset(name)
    (folder / "dataset").write_bytes(dataset)
    windows = load_replay(dataset)
    examples = Examples({"past": windows.past[:-HORIZON]}, windows.future[:-HORIZON])
    shape = network_shape(examples, (TICKER,) if recipe.knows_symbols else ())
    keras.utils.set_random_seed(7)
    file = plain_file(recipe.network.build(shape, keras.layers.LSTM))
    places, weights = weight_places(load_model(file)), load_model(file).get_weights()
    random = np.random.default_rng(7)
    for number in range(count):
        moved = [each + random.normal(scale=0.02, size=each.shape) for each in weights]
        file = with_weights(file, dict(zip(places, moved, strict=True)))
        (folder / f"{number:05}.keras").write_bytes(file)


def forecast(way: str, folder: Path) -> None:
    """Forecast in one way; print processor seconds, and the largest process in MiB."""
    if way != NOTHING:
        forecast_all(way, folder)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(each.ru_utime + each.ru_stime for each in used)
    print(seconds, max(each.ru_maxrss for each in used) / 1024)


def forecast_all(way: str, folder: Path) -> None:
    from benchmarks.inference import ByKeras  # workers do not know it as one of __main__

    windows = load_replay((folder / "dataset").read_bytes())
    if way == CONTINUED:
        windows = windows.take(slice(-1, None))
    kind = ByKeras if way == KERAS else PredictJob
    jobs = [
        kind(TICKER, file.read_bytes(), (windows,), HORIZON)
        for file in sorted(folder.glob("*.keras"))
    ]
    with Workers(os.cpu_count() or 1) as workers:
        answers = {job: future.result() for job, future in workers.run(jobs)}
    np.save(folder / f"{way}.npy", [answers[job][0][-1] for job in jobs])


class ByKeras(PredictJob):
    """A forecast that a worker makes with Keras."""

    needs_keras = True

    def run(self) -> tuple[np.ndarray, ...]:
        from pipeline.training import predict

        predict.numpy_network = lambda _: None
        return super().run()


if __name__ == "__main__":
    main()
