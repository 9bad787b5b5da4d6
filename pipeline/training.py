"""Fits one recipe to one dataset, and the worker processes that do so.

TensorFlow is imported in worker processes only (it hangs after a fork, and costs seconds and half a gigabyte). A worker is a plain
subprocess that speaks pickles with a length before each over its standard input and output: no child of
`multiprocessing`, because an Airflow task may run where multiprocessing refuses to have children, and nothing is imported
again from whatever `__main__` happens to be. The pickles never leave the two processes.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import pickle
import queue
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from pipeline.errors import LookAtTheData, RunError, StockcastError, TryAgain
from pipeline.models import find_recipe
from pipeline.models.recipe import Recipe
from pipeline.windows import Dataset, load_dataset

if TYPE_CHECKING:
    import keras


#: Relative changes that vary by less than this are rounding errors of numbers that do not move.
STANDSTILL = 1e-6


@dataclass(frozen=True)
class Trained:
    """A fitted network.

    Attributes:
        model: a plain `.keras` file, the same bytes for the same recipe, dataset and seed.
        history: "loss", "val_loss" and "learning_rate" per epoch; entry 0 is the untrained network.
        best_epoch: whose weights the model has: the entry of `history` with the lowest val_loss.
        seconds: from the windows to the file.
    """

    model: bytes
    history: dict[str, list[float]]
    best_epoch: int
    seconds: float


@dataclass(frozen=True)
class FitJob:
    """`dataset`: a file of `windows.encode`; `recipe`: a name in `RECIPES`."""

    ticker: str
    recipe: str
    dataset: bytes
    seed: int


@dataclass(frozen=True)
class PredictJob:
    """`model`: a `.keras` file; `past`: (n, context_length, features)."""

    ticker: str
    model: bytes
    past: np.ndarray


def fit(recipe: Recipe, dataset: Dataset, seed: int) -> Trained:
    """Trains in this process until the validation loss has not improved for `recipe.patience` epochs.

    The untrained network counts as a candidate: where it is the naive forecast and nothing learnt beats it, it is what comes out.
    """
    import keras
    import tensorflow as tf

    from pipeline.models.fused import FusedLSTM

    began = time.monotonic()
    _require_finite(dataset)
    keras.utils.clear_session()  # layer names and graphs must not depend on what this process did before
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    train, validation = dataset.train, dataset.validation
    future_scale = _scale(train.future)
    model = recipe.build(recipe, _scale(train.past), future_scale, FusedLSTM)
    recipe.compile(model, future_scale)
    model.steps_per_execution = -(-len(train) // recipe.batch_size)  # Keras's own loop runs once an epoch
    best = _Best(model, recipe.patience)
    best.after_epoch(
        -1,
        {
            "loss": model.evaluate(train.past, train.future, batch_size=len(train), verbose=0),
            "val_loss": model.evaluate(validation.past, validation.future, batch_size=len(validation), verbose=0),
        },
    )
    model.fit(
        train.past,
        train.future,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        validation_data=(validation.past, validation.future),
        validation_batch_size=len(validation),
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=best.after_epoch)],
        verbose=0,
    )
    model.set_weights(best.weights)
    return Trained(plain_file(model), best.history, best.epoch, time.monotonic() - began)


def predict(model: bytes, past: np.ndarray) -> np.ndarray:
    """What a `.keras` file makes of windows (n, context_length, features): relative changes (n, horizon), float32.

    Raises `LookAtTheData` for a file that plain Keras cannot load; no code inside a file is ever run.
    """
    from pipeline.models.fused import fused_twin

    network = fused_twin(load_model(model))
    return np.asarray(network(past.astype("float32"), training=False))


def load_model(data: bytes) -> keras.Model:
    """The Keras model in a `.keras` file."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        path.write_bytes(data)
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras names no error of its own: zip, JSON, HDF5 and configuration errors all come as they are
            raise LookAtTheData(
                f"This is no model file that Keras can load ({_first_line(error)}). Delete it and repeat train."
            ) from error


def plain_file(model: keras.Model) -> bytes:
    """`model` as a `.keras` file that needs nothing but Keras, without the optimiser; equal networks give equal bytes."""
    from pipeline.models.fused import plain_twin

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        plain_twin(model).save(path)
        return _reproducible(path.read_bytes())


def _reproducible(keras_file: bytes) -> bytes:
    """The same file without clock readings (all become 1980, where zip's calendar begins) and memory addresses (numbered instead)."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(keras_file)) as old, zipfile.ZipFile(result, "w") as new:
        for name in sorted(old.namelist()):
            content = old.read(name)
            if name == "metadata.json":
                content = json.dumps({**json.loads(content), "date_saved": "1980-01-01@00:00:00"}).encode()
            if name == "config.json":
                content = _number_addresses(content)
            new.writestr(zipfile.ZipInfo(name), content)
    return result.getvalue()


def _number_addresses(config: bytes) -> bytes:
    """Keras marks an object that is used more than once by its address in memory; any number that tells it from others will do."""
    numbers: dict[bytes, int] = {}
    return re.sub(
        rb'"shared_object_id": (\d+)',
        lambda found: b'"shared_object_id": %d' % numbers.setdefault(found[1], len(numbers) + 1),
        config,
    )


class _Best:
    """The weights of the epoch with the lowest validation loss; ends the training when it is long past."""

    def __init__(self, model: keras.Model, patience: int) -> None:
        self.history: dict[str, list[float]] = {"loss": [], "val_loss": [], "learning_rate": []}
        self.epoch = 0
        self.weights = model.get_weights()
        self._model = model
        self._patience = patience

    def after_epoch(self, _: int, logs: dict[str, float]) -> None:
        values = {**logs, "learning_rate": self._model.optimizer.learning_rate}
        for name, entries in self.history.items():
            entries.append(float(values[name]))
        newest = len(self.history["val_loss"]) - 1
        if self.history["val_loss"][newest] < self.history["val_loss"][self.epoch]:
            self.epoch, self.weights = newest, self._model.get_weights()
        if newest - self.epoch >= self._patience:
            self._model.stop_training = True


def _scale(windows: np.ndarray) -> np.ndarray:
    """Standard deviations over the windows; 1 where nothing ever moves, as the last close (by definition) or an index's volume."""
    deviation = windows.std(axis=0, dtype="float64")
    return np.where(deviation > STANDSTILL, deviation, 1.0)


def _require_finite(dataset: Dataset) -> None:
    if not dataset.trainable:
        raise LookAtTheData(
            f"{dataset.spec.ticker}: too little history up to {dataset.spec.cutoff} to train on. Fetch from an earlier date."
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

    def predict_all(self, jobs: Sequence[PredictJob]) -> Iterator[tuple[PredictJob, np.ndarray | StockcastError]]:
        """Each job with its relative changes (n, horizon) or its error, as they finish.

        Uses the workers that there are, or starts one: predicting takes less than importing TensorFlow once more.
        """
        return self._do_all(_predict, jobs, at_once=len(self._all) or 1)

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

    def _do(self, task: Callable, job: FitJob | PredictJob) -> object:
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


def _outcome(task: Callable, job: FitJob | PredictJob) -> object:
    try:
        return task(job)
    except StockcastError as error:
        return error if job.ticker in str(error) else type(error)(f"{job.ticker}: {error}")
    except Exception as error:  # a defect must not end the worker, and its traceback must reach the reader of the parent's log
        failure = RunError(f"{job.ticker}: the recipe or Keras failed with {type(error).__name__}: {_first_line(error)}")
        failure.add_note(traceback.format_exc())
        return failure


def _fit(job: FitJob) -> Trained:
    return fit(find_recipe(job.recipe), load_dataset(job.dataset), job.seed)


def _predict(job: PredictJob) -> np.ndarray:
    return predict(job.model, job.past)


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
