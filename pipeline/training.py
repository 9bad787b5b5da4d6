"""Fits a recipe to the datasets of a network or to made examples, and the worker processes that do so.

TensorFlow is imported in worker processes only (it hangs after a fork, and costs seconds and half a gigabyte). A worker is a plain
subprocess that speaks pickles with a length before each over its standard input and output: no child of
`multiprocessing`, because an Airflow task may run where multiprocessing refuses to have children, and nothing is imported
again from whatever `__main__` happens to be. The pickles never leave the two processes.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from pipeline import characters, lookahead
from pipeline.errors import LookAtTheData, RunError, StockcastError, TryAgain
from pipeline.keras_files import load_fused, load_model, places, plain_file, with_weights
from pipeline.models.optimisation import Loss, Optimiser
from pipeline.models.recipe import Examples, Exercise, Recipe, Shape
from pipeline.quantiles import COUNT, MEDIAN, PROBABILITIES
from pipeline.windows import Dataset, Windows, load_dataset

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


#: Relative changes that vary by less than this are rounding errors of numbers that do not move.
STANDSTILL = 1e-6
#: Examples that are measured or forecast in one go.
EVALUATED_TOGETHER = 4096
#: Examples that a network of many stocks learns from in an epoch: with 505 stocks every fourth window of each, which overlap anyway.
LEARNT_TOGETHER = 100_000
#: Predictions with a network each that take as long as importing TensorFlow in one more process.
WORTH_A_WORKER = 100
#: A stock that a pooled network was not trained on. Some of its training examples go by this name.
UNKNOWN = ""
#: In place of a ticker, for a network that all stocks share.
SHARED = "all"


@dataclass(frozen=True)
class Trained:
    """A fitted network.

    Attributes:
        model: a plain `.keras` file, the same bytes for the same recipe, examples and seed.
        history: "loss", "val_loss" and "learning_rate" per epoch; entry 0 is the network before its first epoch.
        best_epoch: whose weights the model has: the entry of `history` with the lowest val_loss, or the last where the recipe does not choose.
        seconds: from the examples to the file.
        weights: how many numbers were learnt.
    """

    model: bytes
    history: dict[str, list[float]]
    best_epoch: int
    seconds: float
    weights: int

    def about(self) -> bytes:
        """How the training went, as a JSON file that lies beside the model."""
        told = {"history": self.history, "best_epoch": self.best_epoch, "seconds": self.seconds}
        return json.dumps(told, sort_keys=True).encode()


@dataclass(frozen=True, eq=False)
class FitJob:
    """One network for the stocks of `datasets` (files of `windows.encode`, by ticker).

    Attributes:
        base: the `.keras` file of the pooled network that it goes on from, where the recipe is tuned per stock; None: it begins anew.
        tensorboard: folder for its event files, or "".
    """

    ticker: str
    recipe: Recipe
    datasets: dict[str, bytes]
    seed: int
    tensorboard: str = ""
    base: bytes | None = None


@dataclass(frozen=True, eq=False)
class ExerciseJob:
    """One network for made examples. The outcome is (Trained, what it says on the test examples)."""

    ticker: str
    recipe: Recipe
    exercise: Exercise
    seed: int
    tensorboard: str = ""


@dataclass(frozen=True, eq=False)
class PredictJob:
    """`model`: a `.keras` file. The outcome is what `predict` says about each of `windows`."""

    ticker: str
    model: bytes
    windows: tuple[Windows, ...]
    horizon: int


@dataclass(frozen=True, eq=False)
class LookAheadJob:
    """`model`: a `.keras` file. The outcome is a `lookahead.LookAhead` over `windows`."""

    ticker: str
    model: bytes
    windows: Windows
    length: int


@dataclass(frozen=True, eq=False)
class WriteJob:
    """`model`: a `.keras` file. The outcome is text of `length` characters that goes on after `start`; see `characters.written`."""

    ticker: str
    model: bytes
    alphabet: str
    start: np.ndarray
    length: int
    seed: int


Job = FitJob | ExerciseJob | PredictJob | LookAheadJob | WriteJob


def fit(recipe: Recipe, datasets: Mapping[str, Dataset], seed: int, tensorboard: str = "", base: bytes | None = None) -> Trained:
    """Trains one network on the windows of all `datasets` (by ticker) together, or tunes `base` on them; see `fit_examples`.

    Each is asked for once, and only its examples are kept: at most `LEARNT_TOGETHER`, of all stocks as many.
    """
    parts: dict[str, list[Examples]] = {"train": [], "validation": [], "test": []}
    for ticker in sorted(datasets):  # the order of the examples decides the outcome
        dataset = datasets[ticker]
        _require_finite(dataset)
        for name, examples in parts.items():
            wanted = name != "test" or recipe.optimiser.peeks
            examples.append(_examples(recipe, ticker, _thinned(getattr(dataset, name), LEARNT_TOGETHER // len(datasets)), wanted))
    train, validation, test = (_together(examples) for examples in parts.values())
    if recipe.pooled:
        train = _some_unknown(train, recipe.network.unknown_share, seed)
    symbols = tuple(sorted(datasets)) if recipe.knows_symbols else ()
    if base is not None and recipe.fine_tuning:
        recipe = recipe.tuned
    return fit_examples(recipe, train, validation, test, seed, tensorboard, symbols, base)


def _thinned(windows: Windows, count: int) -> Windows:
    """Every so many-th window, the newest among them, so that there are no more than `count`."""
    stride = -(-len(windows) // count)
    return windows if stride <= 1 else windows.take(slice((len(windows) - 1) % stride, None, stride))


def fit_examples(
    recipe: Recipe,
    train: Examples,
    validation: Examples,
    test: Examples,
    seed: int,
    tensorboard: str = "",
    symbols: tuple[str, ...] = (),
    base: bytes | None = None,
) -> Trained:
    """Trains in this process, from `base` on or from a new network, for `recipe.epochs` epochs or until the validation loss has not improved
    for `recipe.patience` of them.

    Where the recipe has a patience, the network before its first epoch counts as a candidate: where it is the naive forecast and nothing
    learnt beats it, it is what comes out. `test` is looked at only by a recipe whose leak is to do so.
    """
    import keras

    from pipeline.models.fused import FusedLSTM

    began = time.monotonic()
    shape = _shape(train, symbols)
    steps = -(-len(train) // recipe.batch_size)  # Keras's own loop runs once an epoch
    ready = None
    if base is not None:
        ready = _ready(base, recipe.optimiser, recipe.loss, shape.outputs, steps, seed)
        model = ready.begin(shape)
    else:
        _begin_anew(seed)
        model = recipe.network.build(shape, FusedLSTM)
        if hasattr(recipe.network, "start"):
            recipe.network.start(model, train, validation)
        model.compile(recipe.optimiser.make(), recipe.loss.make(shape.future_scale), steps_per_execution=steps)
    best = _Best(model, recipe.patience)
    best.after_epoch(-1, {"loss": _loss(model, train), "val_loss": _loss(model, validation)})
    # Keras's own validation sets a pipeline of data up at every epoch, which takes longer than to measure a stock's year.
    watched = {"val_loss": validation, **({"test_loss": test} if recipe.optimiser.peeks else {})}
    watched = {name: examples for name, examples in watched.items() if len(examples)}
    if recipe.epochs:
        model.fit(
            _batches(model, train, recipe, steps),
            epochs=recipe.epochs,
            steps_per_epoch=steps,
            shuffle=False,  # they are, where the recipe says so
            callbacks=[
                keras.callbacks.LambdaCallback(
                    on_epoch_end=lambda _, logs: logs.update({name: _loss(model, part) for name, part in watched.items()})
                ),
                keras.callbacks.LambdaCallback(on_epoch_end=best.after_epoch),  # before the learning rate moves
                *recipe.optimiser.callbacks(),
                *(_tensorboard(tensorboard) if tensorboard else ()),
            ],
            verbose=0,
        )
    model.set_weights(best.weights)
    file = ready.file(best.weights) if ready else plain_file(model)
    return Trained(file, best.history, best.epoch, time.monotonic() - began, model.count_params())


def _batches(model: keras.Model, examples: Examples, recipe: Recipe, count: int) -> tf.data.Dataset:
    """An epoch's `count` batches, again and again.

    These are the batches that `fit` makes of arrays: Keras draws one order with the seed and begins every epoch with it anew. It sets a pipeline
    of data up twice an epoch for that, a fifth of the time that a stock's network takes; this one is set up once.
    """
    import tensorflow as tf

    def order(_: tf.Tensor) -> tf.Tensor:
        positions = tf.range(len(examples), dtype=tf.int64)
        return tf.random.shuffle(positions) if recipe.shuffle else positions

    def batch(number: tf.Tensor) -> tuple:
        begin = number * recipe.batch_size
        return tf.nest.map_structure(lambda values: values[begin : begin + recipe.batch_size], ordered)

    once = tf.data.Options()
    once.experimental_optimization.apply_default_optimizations = False  # takes longer than it saves
    [positions] = tf.data.Dataset.range(1).map(order).with_options(once)
    inputs = _given(model, examples.inputs)
    ordered = tf.nest.map_structure(
        lambda values: tf.gather(values, positions), (tuple(inputs) if isinstance(inputs, list) else inputs, examples.targets)
    )
    return tf.data.Dataset.range(count).map(batch).repeat().prefetch(1).with_options(once)


def _begin_anew(seed: int) -> None:
    """Layer names, graphs and numbers must not depend on what this process did before."""
    import keras
    import tensorflow as tf

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


@dataclass(frozen=True, eq=False)
class _Ready:
    """A compiled network that each stock tunes from the same beginning: to trace it takes longer than to tune it.

    Attributes:
        base: the `.keras` file of that beginning.
        places: where it keeps each of the weights.
        loss: it may have a `rescale`, which makes it the loss of another stock's targets.
        beginning: what all variables of the model and its optimiser were.
    """

    base: bytes
    places: list[str]
    model: keras.Model
    loss: Callable
    seed: int
    beginning: list[np.ndarray]

    def begin(self, shape: Shape) -> keras.Model:
        import keras

        for variable, value in zip(_variables(self.model), self.beginning, strict=True):
            variable.assign(value)
        if hasattr(self.loss, "rescale"):
            self.loss.rescale(shape.future_scale)
        keras.utils.set_random_seed(self.seed)
        return self.model

    def file(self, weights: list[np.ndarray]) -> bytes:
        return with_weights(self.base, dict(zip(self.places, weights, strict=True)))


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]


@lru_cache(maxsize=4)
def _ready(base: bytes, optimiser: Optimiser, loss: Loss, outputs: int, steps: int, seed: int) -> _Ready:
    from pipeline.models.fused import fused_twin

    _begin_anew(seed)
    plain = load_model(base)
    model, measure = fused_twin(plain), loss.make(np.ones(outputs))
    model.compile(optimiser.make(), measure, steps_per_execution=steps)
    model.optimizer.build(model.trainable_variables)
    ready = _Ready(base, places(plain), model, measure, seed, [np.array(variable) for variable in _variables(model)])
    gc.freeze()  # or every collection of garbage goes through TensorFlow's million objects, and the network's, again
    return ready


def _examples(recipe: Recipe, ticker: str, windows: Windows, wanted: bool) -> Examples:
    """A stock's windows as a network takes them; none of them where they are not `wanted`."""
    windows = windows if wanted else windows.take(slice(0))
    symbol = {"symbol": _symbol(ticker, len(windows))} if recipe.knows_symbols else {}
    return Examples({"past": windows.past, **symbol}, windows.future)


def _together(parts: list[Examples]) -> Examples:
    """One stock's examples after the other's."""
    inputs = {name: np.concatenate([part.inputs[name] for part in parts]) for name in parts[0].inputs}
    return Examples(inputs, np.concatenate([part.targets for part in parts]))


def _symbol(ticker: str, count: int) -> np.ndarray:
    return np.full((count, 1), ticker, dtype=object)


def _some_unknown(examples: Examples, share: float, seed: int) -> Examples:
    """The same examples, some without their symbol: from them the network learns what to say about a stock it does not know."""
    unknown = np.random.default_rng(seed).random((len(examples), 1)) < share
    symbol = np.where(unknown, UNKNOWN, examples.inputs["symbol"]).astype(object)
    return Examples({**examples.inputs, "symbol": symbol}, examples.targets)


def _shape(train: Examples, symbols: tuple[str, ...]) -> Shape:
    past = train.inputs["past"]
    steps, features = (*past.shape[1:], 1)[:2]
    outputs = train.targets.shape[1]
    quantiles = np.quantile(train.targets.astype("float64"), PROBABILITIES, axis=0).T if len(train) else np.zeros((outputs, COUNT))
    return Shape(
        steps, features, outputs, past.mean(axis=0, dtype="float64"), _scale(past), _scale(train.targets), quantiles, symbols
    )


def _loss(model: keras.Model, examples: Examples) -> float:
    """NaN where there are no examples."""
    loss = float("nan")
    model.reset_metrics()
    for start in range(0, len(examples), EVALUATED_TOGETHER):
        some = slice(start, start + EVALUATED_TOGETHER)
        inputs = _given(model, {name: values[some] for name, values in examples.inputs.items()})
        loss = model.test_on_batch(inputs, examples.targets[some])  # of all batches since the reset
    return float(loss)


def _given(model: keras.Model, inputs: dict[str, np.ndarray]) -> list[np.ndarray] | np.ndarray:
    """The inputs that a network asks for, as Keras takes them."""
    import tensorflow as tf

    asked = [inputs[tensor.name] for tensor in model.inputs]
    asked = [tf.convert_to_tensor(values) if values.dtype == object else values for values in asked]
    return asked if len(asked) > 1 else asked[0]


def _tensorboard(folder: str) -> list[keras.callbacks.Callback]:
    from pipeline import tensorboard

    return tensorboard.callbacks(folder)


def predict(model: bytes, windows: Sequence[Windows], horizon: int, symbol: str = "") -> tuple[np.ndarray, ...]:
    """What a `.keras` file makes of windows: dollars, float64, for each of `windows`; beyond its outputs by rolling forward.

    (n, horizon), or (n, horizon, Q) for a network that forecasts quantiles (see `quantiles`).

    Raises `LookAtTheData` for a file that plain Keras cannot load; no code inside a file is ever run.
    """
    network = _network(model, symbol)
    return tuple(
        _quantiles(network, some)[:, :horizon]
        if _is_distribution(network, some)
        else lookahead.forecast(some, _median(network), horizon)
        for some in windows
    )


def look_ahead(model: bytes, windows: Windows, length: int, symbol: str = "") -> lookahead.LookAhead:
    """The three ways to look ahead with the network in a `.keras` file."""
    return lookahead.look_ahead(windows, _median(_network(model, symbol)), length)


@dataclass(frozen=True)
class _Network:
    """A loaded network that is told `symbol`; `width`: numbers that it says of a window."""

    model: keras.Model
    symbol: str

    @property
    def width(self) -> int:
        return self.model.output_shape[-1]

    def __call__(self, windows: Windows) -> np.ndarray:
        return _outputs(self.model, {"past": windows.past, "symbol": _symbol(self.symbol, len(windows))})


def _network(model: bytes, symbol: str) -> _Network:
    return _Network(load_fused(model), symbol)


def _is_distribution(network: _Network, windows: Windows) -> bool:
    return network.width == windows.cut.outputs * COUNT


def _quantiles(network: _Network, windows: Windows) -> np.ndarray:
    """Dollars (n, outputs, Q)."""
    return windows.to_prices(network(windows)).reshape(len(windows), -1, COUNT)


def _median(network: _Network) -> lookahead.Predict:
    def said(windows: Windows) -> np.ndarray:
        outputs = network(windows)
        return outputs.reshape(len(windows), -1, COUNT)[:, :, MEDIAN] if _is_distribution(network, windows) else outputs

    return said


def _outputs(network: keras.Model, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """(n, outputs), float32, in pieces that fit into memory."""
    import tensorflow as tf

    count = len(inputs["past"])
    tensors = {name: tf.convert_to_tensor(values) for name, values in inputs.items()}
    pieces = [
        network(
            _given(network, {name: tensor[start : start + EVALUATED_TOGETHER] for name, tensor in tensors.items()}), training=False
        )
        for start in range(0, max(count, 1), EVALUATED_TOGETHER)
    ]
    return np.concatenate([np.asarray(piece) for piece in pieces])


class _Best:
    """The weights of the epoch with the lowest validation loss, and the end of the training when it is long past; without patience, the last."""

    def __init__(self, model: keras.Model, patience: int | None) -> None:
        self.history: dict[str, list[float]] = {"loss": [], "val_loss": [], "learning_rate": []}
        self.epoch = 0
        self.weights = model.get_weights()
        self._model = model
        self._patience = patience

    def after_epoch(self, _: int, logs: dict[str, float]) -> None:
        values = {"val_loss": float("nan"), **logs, "learning_rate": self._model.optimizer.learning_rate}
        for name, entries in self.history.items():
            entries.append(float(values[name]))
        newest = len(self.history["val_loss"]) - 1
        if self._patience is None or self.history["val_loss"][newest] < self.history["val_loss"][self.epoch]:
            self.epoch, self.weights = newest, self._model.get_weights()
        if self._patience is not None and newest - self.epoch >= self._patience:
            self._model.stop_training = True


def _scale(windows: np.ndarray) -> np.ndarray:
    """Standard deviations over the windows; 1 where nothing ever moves, as the last close (by definition) or an index's volume."""
    deviation = windows.std(axis=0, dtype="float64")
    return np.where(deviation > STANDSTILL, deviation, 1.0)


def _require_finite(dataset: Dataset) -> None:
    if not dataset.trainable:
        spec = dataset.spec
        if spec.trainable and any(dataset.left_out.values()):
            counts = ", ".join(f"{count} of {name}" for name, count in dataset.left_out.items() if count)
            raise LookAtTheData(
                f"{spec.ticker}: too few windows up to {spec.cutoff} are usable, {dataset.usable}: {counts} are without their {spec.target} "
                "or cannot be normalised (a volume of 0, for some recipes). Look at its prices, or name another recipe."
            )
        raise LookAtTheData(
            f"{spec.ticker}: too little history up to {spec.cutoff} to train on: {spec.needed_sessions} sessions are needed "
            f"({spec.window.context_length} of context; {spec.split}). Fetch from an earlier date."
        )
    for part in (dataset.train, dataset.validation):
        if not (np.isfinite(part.past).all() and np.isfinite(part.future).all()):
            raise LookAtTheData(
                f"{dataset.spec.ticker}: a training window up to {dataset.spec.cutoff} has a number missing. Repeat check."
            )


#: Of a worker process. A GPU would make other numbers, and several workers would fight for it.
WORKER_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


class Workers:
    """Processes that fit and predict, one thread each; started when first needed, ended by `close` or with this process.

    A worker that dies takes its job along, which then gives `TryAgain`; the next job gets a new worker.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._owner = os.getpid()
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self._all: set[_Worker] = set()
        atexit.register(self.close)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        """Starts all workers, so that TensorFlow is imported while something else is being done."""
        while len(self._all) < self.count:
            self._idle.put(self._start())

    def close(self) -> None:
        """Ends the workers, in the middle of a job if need be."""
        if os.getpid() != self._owner:
            return  # a fork has a copy of this object, but the workers are not its own
        atexit.unregister(self.close)
        self._idle = queue.LifoQueue()
        while self._all:
            self._all.pop().stop()

    def fit_all(self, jobs: Sequence[FitJob]) -> Iterator[tuple[FitJob, Trained | StockcastError]]:
        """Each job with its outcome, as they finish; one that failed does not keep the others."""
        return self._do_all(_fit, jobs)

    def exercise_all(
        self, jobs: Sequence[ExerciseJob]
    ) -> Iterator[tuple[ExerciseJob, tuple[Trained, np.ndarray] | StockcastError]]:
        """Each job with its network and what that says on the test examples, as they finish."""
        return self._do_all(_exercise, jobs)

    def predict_all(self, jobs: Sequence[PredictJob]) -> Iterator[tuple[PredictJob, tuple[np.ndarray, ...] | StockcastError]]:
        """Each job with its dollars (n, horizon) or its error, as they finish.

        Uses the workers that there are, or starts one; more where there is much to do: importing TensorFlow once more takes as long as
        `WORTH_A_WORKER` predictions.
        """
        worth = 1 + len(jobs) // WORTH_A_WORKER
        return self._do_all(_predict, jobs, at_once=max(len(self._all), min(worth, self.count)))

    def look_ahead_all(self, jobs: Sequence[LookAheadJob]) -> Iterator[tuple[LookAheadJob, lookahead.LookAhead | StockcastError]]:
        """Each job with its three ways ahead, as they finish."""
        return self._do_all(_look_ahead, jobs)

    def write_all(self, jobs: Sequence[WriteJob]) -> Iterator[tuple[WriteJob, str | StockcastError]]:
        """Each job with the text that its network wrote."""
        return self._do_all(_write, jobs)

    def _do_all(self, task: Callable, jobs: Sequence, at_once: int | None = None) -> Iterator[tuple]:
        threads = ThreadPoolExecutor(at_once or self.count, thread_name_prefix="training")
        try:
            futures = {threads.submit(self._do, task, job): job for job in jobs}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except KeyboardInterrupt:
            threads.shutdown(wait=False, cancel_futures=True)
            self.close()
            raise
        finally:
            threads.shutdown(cancel_futures=True)

    def _do(self, task: Callable, job: Job) -> object:
        try:
            worker = self._idle.get_nowait()
        except queue.Empty:
            worker = self._start()
        try:
            outcome = worker.do(task, job)
        except (EOFError, OSError):
            self._all.discard(worker)
            return worker.obituary(job.ticker)
        self._idle.put(worker)
        return outcome

    def _start(self) -> _Worker:
        worker = _Worker()
        self._all.add(worker)
        return worker


def shared_workers(count: int) -> Workers:
    """The one pool of this process with `count` workers: steps that follow each other pay for importing TensorFlow once."""
    return _shared_workers(count, os.getpid())


@cache
def _shared_workers(count: int, process: int) -> Workers:
    return Workers(count)


class _Worker:
    """This end of one worker process."""

    #: -P: not whatever lies in the working directory; the worker imports this very package.
    COMMAND = (sys.executable, "-P", "-c", "from pipeline.training import _serve; _serve()")

    def __init__(self) -> None:
        root = str(Path(__file__).parent.parent)
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            self.COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, **WORKER_ENVIRONMENT},
        )

    def do(self, task: Callable, job: object) -> object:
        """The outcome, or the error as an object; `EOFError` or `OSError` when the process is gone."""
        _send(self._process.stdin, (task, job))
        return _receive(self._process.stdout)

    def obituary(self, ticker: str) -> RunError:
        """What to tell about the job that died with this process."""
        code = self._process.wait()
        self.stop()
        if code >= 0:
            return RunError(f"{ticker}: its training process ended with exit code {code}; what it wrote before says why.")
        name = signal.Signals(-code).name
        return TryAgain(
            f"{ticker}: its training process was ended by {name}. Repeat, with fewer workers (STOCKCAST_WORKERS) if memory is short."
        )

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):  # a job that it never read
                pipe.close()


def _serve() -> None:
    """A worker's main: jobs from standard input, outcomes to standard output, until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get between the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends its workers
    jobs: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(sys.stdin.buffer, jobs), daemon=True).start()
    _import_tensorflow()
    gc.freeze()
    while True:
        _send(answers, _outcome(*jobs.get()))


def _read_jobs(stream: BinaryIO, jobs: queue.SimpleQueue) -> None:
    """In a thread of its own, so that a worker ends with its parent, however that ends, even in the middle of a job."""
    while True:
        try:
            jobs.put(_receive(stream))
        except EOFError:
            os._exit(0)


def _import_tensorflow() -> None:
    with _quiet_stderr():
        import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # each network is traced anew, which it would warn of
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keeps what is written to standard error, and shows it only when there is an exception.

    TensorFlow's libraries report at import that there is no GPU, before any log level counts.
    """
    with tempfile.TemporaryFile() as kept:
        real = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(real, kept.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)


def _outcome(task: Callable, job: Job) -> object:
    try:
        return task(job)
    except StockcastError as error:
        return error if job.ticker in str(error) else type(error)(f"{job.ticker}: {error}")
    except Exception as error:  # a defect must not end the worker, and its traceback must reach the reader of the parent's log
        failure = RunError(f"{job.ticker}: the recipe or Keras failed with {type(error).__name__}: {_first_line(error)}")
        failure.add_note(traceback.format_exc())
        return failure


def _fit(job: FitJob) -> Trained:
    return fit(job.recipe, _Files(job.datasets), job.seed, job.tensorboard, job.base)


class _Files(Mapping):
    """Datasets by ticker, each cut anew when it is asked for: the windows of a whole universe are never in memory together."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def __getitem__(self, ticker: str) -> Dataset:
        return load_dataset(self._files[ticker])

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _exercise(job: ExerciseJob) -> tuple[Trained, np.ndarray]:
    train, test = job.exercise.train, job.exercise.test
    none = Examples({name: values[:0] for name, values in test.inputs.items()}, test.targets[:0])
    trained = fit_examples(job.recipe, train, job.exercise.validation or none, test, job.seed, job.tensorboard)
    return trained, _outputs(load_model(trained.model), test.inputs)


def _predict(job: PredictJob) -> tuple[np.ndarray, ...]:
    return predict(job.model, job.windows, job.horizon, job.ticker)


def _look_ahead(job: LookAheadJob) -> lookahead.LookAhead:
    return look_ahead(job.model, job.windows, job.length, job.ticker)


def _write(job: WriteJob) -> str:
    network = load_model(job.model)
    return characters.written(lambda window: _outputs(network, {"past": window}), job.alphabet, job.start, job.length, job.seed)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "no message")


def _send(stream: BinaryIO, value: object) -> None:
    body = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(struct.pack("<Q", len(body)))
    stream.write(body)
    stream.flush()


def _receive(stream: BinaryIO) -> object:
    """The next value; `EOFError` when the other end is gone."""
    header = stream.read(8)
    if len(header) < 8:
        raise EOFError
    (length,) = struct.unpack("<Q", header)
    body = stream.read(length)
    if len(body) < length:
        raise EOFError
    return pickle.loads(body)
