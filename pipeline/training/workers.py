"""Worker processes that fit, and that predict where numpy cannot.

TensorFlow is imported in worker processes only: it hangs after a fork, and costs seconds and half a
gigabyte. A worker is a plain subprocess that exchanges pickles, each with its length before it,
over its standard input and output. It is no child of `multiprocessing`: an Airflow task may run
where multiprocessing refuses to have children, and multiprocessing would import the `__main__` of
the parent again. The pickles never leave the two processes.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import os
import pickle
import queue
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from functools import cache, cached_property
from typing import IO, Any, BinaryIO, TypeVar

from pipeline.errors import RunError, StockcastError, TryAgain
from pipeline.extras import require
from pipeline.garbage import search_rarely
from pipeline.leftovers import TemporaryFolder
from pipeline.outcomes import Outcomes
from pipeline.shipped_files import python_path
from pipeline.storage import first_line
from pipeline.training.gpu import require_gpu
from pipeline.training.jobs import GpuJob, Job

Answer = TypeVar("Answer")

#: Jobs that a thread of this process runs at once, where numpy serves their networks.
RUN_TOGETHER = 64
#: Quick jobs that take as long as importing TensorFlow in one more process.
WORTH_A_WORKER = 100
#: Signals that others end a process by: the kernel where memory is short, an operator, a service.
KILLED_FROM_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT", "SIGBUS")
#: Seconds that a process may take to import TensorFlow.
IMPORT_LIMIT = 600
#: What Keras imports where it is installed, for pictures and for what is no network: a third of the
#: time that importing TensorFlow takes.
UNNEEDED = ("matplotlib", "sklearn")
#: Seconds that a process without its output has to end by itself, and say how it ended.
EXIT_LIMIT = 10
#: Variables of any worker process.
_EITHER_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
#: Of one on the CPU. A GPU would give other numbers, and workers would fight for it.
WORKER_ENVIRONMENT = {**_EITHER_ENVIRONMENT, "CUDA_VISIBLE_DEVICES": "-1"}
#: Of one on the GPU: `CUDA_VISIBLE_DEVICES` is the deployment's own.
GPU_WORKER_ENVIRONMENT = {
    **_EITHER_ENVIRONMENT,
    # Without it, cuDNN's recurrent layers may give other bits each time, as its notes say.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # Products have all bits of float32, as on a CPU.
    "NVIDIA_TF32_OVERRIDE": "0",
    # Memory as it is needed: tasks next to each other share the GPU.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}


class Workers:
    """Processes that run jobs, one thread each, and one more for those that need a GPU.

    They start when first needed and end with `close` or with this process, even in the middle of a
    job. A worker that dies takes its job with it: the job's future raises `TryAgain` where it was
    killed from outside, and else `RunError`. One that works on a job for longer than the limit is
    killed. The next job gets a new worker.

    Args:
        limit: seconds that a job may take; None: any time.
        environment: variables of the processes.
    """

    def __init__(
        self,
        count: int,
        limit: float | None = None,
        environment: Mapping[str, str] = WORKER_ENVIRONMENT,
    ) -> None:
        self.count = count
        self.limit = limit
        self._environment = environment
        self._owner = os.getpid()
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self._all: set[_Worker] = set()
        atexit.register(self.close)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, in the middle of a job if need be."""
        if os.getpid() != self._owner:
            return  # a fork has a copy of this object, but the workers are not its own
        atexit.unregister(self.close)
        if "_with_gpu" in self.__dict__:
            self._with_gpu.close()
        self._idle = queue.LifoQueue()
        with contextlib.suppress(KeyError):  # a thread takes out what has died under it
            while True:
                self._all.pop().stop()

    def run(self, jobs: Sequence[Job[Answer]]) -> Iterator[tuple[Job[Answer], Future[Answer]]]:
        """Run jobs; yield each with its finished future, in the order in which they finish.

        A future returns the job's answer or raises its `StockcastError`; one job that fails does
        not stop the others. Jobs that need no Keras are run in this process. Quick jobs among the
        others use the workers that there are, or start one; they start more where there are many:
        see `WORTH_A_WORKER`.

        Raises:
            SettingsError: a job needs Keras, and TensorFlow is not installed.
        """
        here: list[Job[Answer]] = []
        there: list[Job[Answer]] = []
        on_gpu: list[Job[Answer]] = []
        for job in jobs:
            (on_gpu if job.needs_gpu else there if job.needs_keras else here).append(job)
        if there or on_gpu:  # before the others are waited for
            require("tensorflow", "Training")
        yield from self._run_here(here)
        yield from self._run_in_processes(there)
        if on_gpu:
            yield from self._with_gpu._run_in_processes(on_gpu)

    def require_gpu(self) -> str:
        """Return the name of the GPU that networks are trained on.

        Raises:
            SettingsError: TensorFlow sees none.
        """
        [(_, future)] = self.run([GpuJob()])
        return future.result()

    @cached_property
    def _with_gpu(self) -> Workers:
        """The one process that trains on the GPU."""
        return Workers(1, self.limit, GPU_WORKER_ENVIRONMENT)

    def _run_here(
        self, jobs: Sequence[Job[Answer]]
    ) -> Iterator[tuple[Job[Answer], Future[Answer]]]:
        """Run jobs that need no Keras, in threads of this process."""
        if not jobs:
            return
        alike = {kind: [job for job in jobs if type(job) is kind] for kind in map(type, jobs)}
        parts = [
            some[begin : begin + RUN_TOGETHER]
            for some in alike.values()
            for begin in range(0, len(some), RUN_TOGETHER)
        ]
        with ThreadPoolExecutor(self.count, thread_name_prefix="forecasting") as threads:
            for part, answers in zip(parts, threads.map(_run_together, parts), strict=True):
                for job, answer in zip(part, answers, strict=True):
                    future: Future[Answer] = Future()
                    if isinstance(answer, Exception):
                        future.set_exception(_failure(job, answer))
                    else:
                        future.set_result(answer)
                    yield job, future

    def _run_in_processes(
        self, jobs: Sequence[Job[Answer]]
    ) -> Iterator[tuple[Job[Answer], Future[Answer]]]:
        if not jobs:
            return
        at_once = self.count
        if all(job.is_quick for job in jobs):
            worth = 1 + len(jobs) // WORTH_A_WORKER
            at_once = max(len(self._all), min(worth, self.count))
        threads = ThreadPoolExecutor(at_once, thread_name_prefix="training")
        is_over = threading.Event()
        try:
            futures = {threads.submit(self._run_one, job, is_over): job for job in jobs}
            for future in as_completed(futures):
                yield futures[future], future
        except BaseException:
            # An interrupt, a task's time limit (which Airflow raises), or whoever takes the answers
            # has gone: nobody waits for jobs that may take hours.
            is_over.set()
            threads.shutdown(wait=False, cancel_futures=True)
            self.close()
            raise
        threads.shutdown()

    def _run_one(self, job: Job[Answer], is_over: threading.Event) -> Answer:
        try:
            worker = self._idle.get_nowait()
        except queue.Empty:
            worker = self._start()
        if is_over.is_set():  # it was started while the others were ended
            worker.stop()
        try:
            answer: Answer = worker.answer(job, self.limit)
        except (EOFError, OSError):
            self._all.discard(worker)
            raise worker.death(job.label, self.limit) from None
        except StockcastError:
            self._idle.put(worker)
            raise
        self._idle.put(worker)
        return answer

    def _start(self) -> _Worker:
        worker = _Worker(self._environment)
        self._all.add(worker)
        return worker


def answers_by_label(workers: Workers, jobs: Sequence[Job[Answer]]) -> Outcomes[Answer]:
    """Run jobs; return their answers, and what they raised, by label."""
    results: dict[str, Answer] = {}
    failures: dict[str, StockcastError] = {}
    for job, future in workers.run(jobs):
        try:
            results[job.label] = future.result()
        except StockcastError as error:
            failures[job.label] = error
    return Outcomes(results, failures)


def shared_workers(count: int, limit: float | None = None) -> Workers:
    """Return this process's one pool with `count` workers and this limit.

    Steps that follow each other pay once for importing TensorFlow.
    """
    return _shared_workers(count, limit, os.getpid())


@cache
def _shared_workers(count: int, limit: float | None, process: int) -> Workers:
    return Workers(count, limit)


class _Worker:
    """This end of one worker process."""

    #: -P: the working directory is not searched; the worker imports this very package.
    COMMAND = (sys.executable, "-P", "-c", "from pipeline.training.workers import serve; serve()")

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._folder = TemporaryFolder("worker")
        environment = {
            "PYTHONPATH": python_path(),
            "TMPDIR": str(self._folder.path),
            **environment,
        }
        self._is_ready = self._is_late = False
        self._ending = threading.Lock()
        its_end, self._lifeline = os.pipe()
        self._process = subprocess.Popen(
            (*self.COMMAND, str(its_end)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
            pass_fds=(its_end,),
        )
        os.close(its_end)

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise OSError("The worker has no pipes.")
        return stdin, stdout

    def answer(self, job: Job[Any], limit: float | None = None) -> Any:
        """Return the job's answer, or raise its error.

        Args:
            limit: seconds after which the process is killed; None: any time.

        Raises:
            EOFError, OSError: the process is gone.
        """
        stdin, stdout = self._pipes
        try:
            if not self._is_ready:
                with self._killed_after(IMPORT_LIMIT):
                    self._is_ready = _receive(stdout)
            with self._killed_after(limit):
                _send(stdin, job)
                succeeded, answer = _receive(stdout)
        except ValueError as error:
            if stdout.closed:  # by `stop`, in another thread
                raise EOFError from error
            raise
        if succeeded:
            return answer
        raise answer

    @contextlib.contextmanager
    def _killed_after(self, seconds: float | None) -> Iterator[None]:
        """Kill the process where it takes longer; None: it may take any time."""

        def end() -> None:
            self._is_late = True
            self._process.kill()

        watch = threading.Timer(threading.TIMEOUT_MAX if seconds is None else seconds, end)
        watch.daemon = True
        watch.start()
        try:
            yield
        finally:
            watch.cancel()

    def death(self, label: str, limit: float | None = None) -> RunError:
        """Return the error of the job that died with this process."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_LIMIT)
        self.stop()
        code = self._process.returncode
        if self._is_late and not self._is_ready:
            return TryAgain(
                f"{label}: its training process has not begun to work within {IMPORT_LIMIT} s. "
                "Repeat when this machine has less to do."
            )
        if self._is_late:
            return RunError(
                f"{label}: its training took longer than {limit:g} s, and was ended. Allow more "
                "(--training-limit), or look at its prices."
            )
        name = signal.Signals(-code).name if code < 0 else ""
        if name in KILLED_FROM_OUTSIDE:
            return TryAgain(
                f"{label}: its training process was killed by {name}. "
                "Repeat, with fewer workers (STOCKCAST_WORKERS) if memory is short."
            )
        crash = f"crashed with {name}" if name else f"ended with exit code {code}"
        return RunError(
            f"{label}: its training process {crash}. Its last lines in the log say why."
        )

    def stop(self) -> None:
        """Kill the process, and remove what it has left; once more changes nothing."""
        with self._ending:
            self._process.kill()
            self._process.wait()
            for pipe in self._pipes:
                with contextlib.suppress(BrokenPipeError):  # a job that it never read
                    pipe.close()
            self._folder.remove()
            if self._lifeline >= 0:
                os.close(self._lifeline)
                self._lifeline = -1


def _run_together(jobs: Sequence[Job[Any]]) -> list[Any]:
    return type(jobs[0]).run_together(jobs)


def _failure(job: Job[Any], error: Exception) -> StockcastError:
    """Return the error of a job, which names its label."""
    if isinstance(error, StockcastError):
        labelled = job.label in str(error)
        return error if labelled else type(error)(f"{job.label}: {error}")
    # A defect must not end the worker, and its traceback must reach the log.
    failure = RunError(
        f"{job.label}: the recipe or Keras failed with {type(error).__name__}: {first_line(error)}"
    )
    failure.add_note("".join(traceback.format_exception(error)))
    return failure


# In the worker process


def serve() -> None:
    """Run jobs from standard input and write answers to standard output until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    _end_with(int(sys.argv[1]))
    jobs: queue.SimpleQueue[Job[Any]] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(sys.stdin.buffer, jobs), daemon=True).start()
    search_rarely()
    _import_tensorflow()
    gc.freeze()
    _send(answers, True)  # from here on, time counts
    while True:
        _send(answers, _answer(jobs.get()))


def _end_with(lifeline: int) -> None:
    """Let the kernel kill this process once the other end of a pipe is closed.

    The thread that reads jobs ends it too, but not while it is stopped, or while a job keeps Python
    to itself.
    """
    if not hasattr(fcntl, "F_SETSIG"):  # Linux alone has it
        return
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # it was closed before
        os._exit(0)


def _read_jobs(stream: BinaryIO, jobs: queue.SimpleQueue[Job[Any]]) -> None:
    """Read jobs in a thread of its own, so that a worker ends with its parent at any moment."""
    while True:
        try:
            jobs.put(_receive(stream))
        except EOFError:
            os._exit(0)


def _answer(job: Job[Any]) -> tuple[bool, Any]:
    """Return (True, answer) or (False, error)."""
    try:
        if job.needs_gpu:
            require_gpu()
        return True, job.run()
    except Exception as error:
        return False, _failure(job, error)


def _import_tensorflow() -> None:
    with _quiet_stderr(), _hidden(*UNNEEDED):
        import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # it would warn that each network is traced again
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


@contextlib.contextmanager
def _hidden(*libraries: str) -> Iterator[None]:
    """Let libraries that are not imported yet seem not to be installed."""
    hidden = [library for library in libraries if library not in sys.modules]
    for library in hidden:
        sys.modules[library] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for library in hidden:
            del sys.modules[library]


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep what is written to standard error, and show it only with an exception.

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


# Both ends


def _send(stream: IO[bytes], value: object) -> None:
    body = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(struct.pack("<Q", len(body)))
    stream.write(body)
    stream.flush()


def _receive(stream: IO[bytes]) -> Any:
    """Return the next value; `EOFError` when the other end is gone."""
    header = stream.read(8)
    if len(header) < 8:
        raise EOFError
    (length,) = struct.unpack("<Q", header)
    body = stream.read(length)
    if len(body) < length:
        raise EOFError
    return pickle.loads(body)
