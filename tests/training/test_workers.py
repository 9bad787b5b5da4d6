"""Worker processes: what is done in them and what here, and what happens when one fails or dies."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from pipeline.errors import LookAtTheData, RunError, SettingsError, TryAgain
from pipeline.leftovers import FOLDER_PREFIX, sweep_folders
from pipeline.training import Job, LookAheadJob, PredictJob, Workers, shared_workers
from pipeline.training.fit import fit
from pipeline.training.jobs import FitJob
from pipeline.training.predict import look_ahead_with, predict
from pipeline.training.workers import GPU_WORKER_ENVIRONMENT, UNNEEDED, WORKER_ENVIRONMENT
from tests.training.made_networks import small, training_files

ROOT = Path(__file__).parents[2]


# With workers in this process


class InProcess:
    """In place of a worker process: it does each job where it is."""

    def answer(self, job: Job[str], limit: float | None) -> str:
        return job.run()

    def stop(self) -> None:
        pass


class InProcessWorkers(Workers):
    """Workers without processes."""

    def _start(self) -> InProcess:
        worker = InProcess()
        self._all.add(worker)
        return worker


@dataclass(frozen=True, eq=False)
class SlowJob(Job[str]):
    label: str
    seconds: ClassVar[float] = 0.02

    def run(self) -> str:
        time.sleep(self.seconds)
        if self.label == "BAD":
            raise LookAtTheData("BAD: no good")
        return self.label


@dataclass(frozen=True, eq=False)
class QuickJob(SlowJob):
    is_quick: ClassVar[bool] = True
    seconds: ClassVar[float] = 0.001


@dataclass(frozen=True, eq=False)
class OnGpuJob(SlowJob):
    needs_gpu: ClassVar[bool] = True


def results(workers: Workers, jobs: list[Job[str]]) -> dict[str, object]:
    """Return the answer or the error of each job by its label."""
    return {job.label: future.exception() or future.result() for job, future in workers.run(jobs)}


def test_a_job_that_fails_does_not_stop_the_others():
    with InProcessWorkers(2) as workers:
        outcomes = results(workers, [SlowJob("A"), SlowJob("BAD"), SlowJob("B"), SlowJob("C")])
    assert {outcomes.pop(label) for label in "ABC"} == set("ABC")
    assert isinstance(outcomes["BAD"], LookAtTheData)


@pytest.mark.parametrize(
    ("kind", "jobs", "started"),
    [(SlowJob, 3, 2), (SlowJob, 1, 1), (QuickJob, 3, 1), (QuickJob, 150, 2)],
)
def test_quick_jobs_start_more_workers_only_where_there_are_many(kind, jobs, started):
    with InProcessWorkers(2) as workers:
        assert len(results(workers, [kind(str(number)) for number in range(jobs)])) == jobs
        assert len(workers._all) == started


def test_no_jobs_start_no_worker():
    with InProcessWorkers(2) as workers:
        assert results(workers, []) == {}
        assert not workers._all


def test_jobs_that_need_a_gpu_are_done_one_by_one_in_a_process_that_may_see_it(monkeypatch):
    started = []

    class Noted(InProcess):
        def __init__(self, environment: Mapping[str, str]) -> None:
            started.append(environment)

    monkeypatch.setattr("pipeline.training.workers._Worker", Noted)
    jobs = [SlowJob("A"), *(OnGpuJob(label) for label in "BCD"), SlowJob("E")]
    with Workers(2) as workers:
        assert results(workers, jobs) == {label: label for label in "ABCDE"}
        assert results(workers, [OnGpuJob("F")]) == {"F": "F"}
    assert started == [WORKER_ENVIRONMENT, WORKER_ENVIRONMENT, GPU_WORKER_ENVIRONMENT]
    assert WORKER_ENVIRONMENT["CUDA_VISIBLE_DEVICES"] == "-1"
    assert "CUDA_VISIBLE_DEVICES" not in GPU_WORKER_ENVIRONMENT


def test_steps_of_one_process_share_their_workers_and_never_import_tensorflow():
    assert shared_workers(2) is shared_workers(2)
    code = "import sys, pipeline.training; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# With real ones


@pytest.mark.slow
def test_a_worker_with_one_thread_makes_the_same_file_as_this_process_with_several(workers):
    job = FitJob("UP", small(), training_files(), seed=7)
    [(answered, future)] = workers.run([job])
    assert answered is job
    there, here = future.result(), fit(small(), training_files(), seed=7)
    assert there.model == here.model
    assert there.history == here.history


@pytest.mark.slow
def test_without_a_gpu_nothing_is_trained_on_the_cpu_in_its_place(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    message = (
        "STOCKCAST_DEVICE=gpu, but TensorFlow sees no GPU here (CUDA_VISIBLE_DEVICES is '-1'). "
        "Look at `nvidia-smi`, and install the CUDA libraries (pip install "
        "'tensorflow[and-cuda]'); or train on the CPU (--device cpu)."
    )
    job = FitJob("UP", replace(small(), device="gpu"), training_files(), seed=7)
    with Workers(1) as pool:
        outcome = results(pool, [job])["UP"]
        assert isinstance(outcome, SettingsError)
        assert str(outcome) == f"UP: {message}"
        with pytest.raises(SettingsError) as caught:
            pool.require_gpu()
    assert str(caught.value) == message


@pytest.mark.slow
def test_jobs_that_need_no_keras_are_done_in_this_process(trained, dataset):
    windows = (dataset.validation, dataset.test)
    forecast = PredictJob("UP", trained.model, windows, 2)
    look = LookAheadJob("UP", trained.model, dataset.test, 20)
    with Workers(2) as pool:
        answers = {job: future.result() for job, future in pool.run([look, forecast])}
        assert not pool._all
    for made, expected in zip(
        answers[forecast], predict(trained.model, windows, 2, "UP"), strict=True
    ):
        np.testing.assert_array_equal(made, expected)
    here = look_ahead_with(trained.model, dataset.test, 20, "UP")
    assert answers[look].table().equals(here.table())


@pytest.mark.slow
def test_a_worker_forecasts_with_a_network_that_numpy_does_not_know(workers, dataset, tmp_path):
    import keras

    past = keras.Input(dataset.test.past.shape[1:], name="past")
    hidden = keras.layers.Bidirectional(keras.layers.LSTM(2))(past)
    outputs = keras.layers.Dense(dataset.test.cut.outputs)(hidden)
    keras.Model(past, outputs).save(tmp_path / "model.keras")
    model = (tmp_path / "model.keras").read_bytes()
    windows = (dataset.validation, dataset.test)
    [(_, future)] = workers.run([PredictJob("UP", model, windows, 2)])
    here = predict(model, windows, 2, "UP")
    for there, expected in zip(future.result(), here, strict=True):
        assert there.shape == (60, 2)
        np.testing.assert_array_equal(there, expected)


@dataclass(frozen=True, eq=False)
class LibrariesJob(Job[tuple[set[str], float]]):
    """A job that answers what Keras has left out, and how much red is in white."""

    label: str

    def run(self) -> tuple[set[str], float]:
        left_out = set(UNNEEDED) - set(sys.modules)
        from matplotlib.colors import to_rgb

        return left_out, to_rgb("white")[0]


@pytest.mark.slow
def test_a_worker_imports_only_what_networks_need_and_anything_that_a_job_does(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with Workers(1) as pool:
        assert results(pool, [LibrariesJob("UP")]) == {"UP": ({"matplotlib", "sklearn"}, 1)}


@dataclass(frozen=True, eq=False)
class TornJob(Job[str]):
    """A job with a defect."""

    label: str

    def run(self) -> str:
        raise IndexError("a defect")


@pytest.mark.slow
def test_a_job_that_fails_names_its_label_and_keeps_its_traceback(
    workers, trained, dataset, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    test = dataset.test
    narrow = replace(test, values=test.values[:, 1:])
    outcomes = results(
        workers,
        [
            PredictJob("BAD", b"no zip", (test,), 2),
            FitJob("OOPS", small(), {"OOPS": b"no dataset"}, seed=7),
            PredictJob("GOOD", trained.model, (test,), 2),
            PredictJob("SHAPE", trained.model, (narrow,), 2),
            TornJob("TORN"),
        ],
    )
    assert isinstance(outcomes.pop("GOOD"), tuple)
    assert {label: type(error) for label, error in outcomes.items()} == {
        "BAD": LookAtTheData,
        "OOPS": LookAtTheData,
        "SHAPE": RunError,
        "TORN": RunError,
    }
    assert all(str(error).startswith(f"{label}: ") for label, error in outcomes.items())
    for label in ("SHAPE", "TORN"):
        assert "Traceback" in outcomes[label].__notes__[0]


def children(of: int) -> set[int]:
    """Return the process ids of a process's children."""
    listing = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(of)], capture_output=True, text=True, check=False
    ).stdout
    return {int(line) for line in listing.split()}


def wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_its_job_only(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    job = EasyJob("LOST")
    with Workers(1) as pool:
        before = children(os.getpid())
        pool._idle.put(pool._start())
        [victim] = {worker._process.pid for worker in pool._all} - before
        os.kill(victim, signal.SIGKILL)
        error = results(pool, [job])["LOST"]
        assert isinstance(error, TryAgain)
        assert str(error).startswith("LOST: its training process was killed by SIGKILL")
        assert results(pool, [job])["LOST"] == "LOST"
    assert not pool._all


@dataclass(frozen=True, eq=False)
class HangingJob(Job[str]):
    """A job that does not end, and leaves a file in the temporary folder."""

    label: str

    def run(self) -> str:
        Path(tempfile.mkdtemp(), "half").write_text("written")
        time.sleep(600)
        return self.label


@dataclass(frozen=True, eq=False)
class CrashingJob(Job[str]):
    label: str

    def run(self) -> str:
        os.kill(os.getpid(), signal.SIGSEGV)
        return self.label


@dataclass(frozen=True, eq=False)
class EasyJob(Job[str]):
    label: str

    def run(self) -> str:
        return self.label


@pytest.fixture
def temporary_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[Path]]:
    """The folders of this test's workers, apart from those of other tests at the same time."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return lambda: set(tmp_path.glob(f"{FOLDER_PREFIX}worker-*"))


@pytest.mark.slow
def test_a_job_that_hangs_or_crashes_ends_with_its_worker_and_the_others_go_on(
    temporary_folders, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    before = temporary_folders()
    with Workers(2, limit=3.0) as pool:
        jobs = [HangingJob("HUNG"), CrashingJob("TORN"), EasyJob("FINE"), EasyJob("ALSO")]
        outcomes = results(pool, jobs)
        assert (outcomes.pop("FINE"), outcomes.pop("ALSO")) == ("FINE", "ALSO")
        assert {label: str(error).split(".")[0] for label, error in outcomes.items()} == {
            "HUNG": "HUNG: its training took longer than 3 s, and was ended",
            "TORN": "TORN: its training process crashed with SIGSEGV",
        }
        # Repeating them would give the same, so nobody is to try again.
        assert {type(error) for error in outcomes.values()} == {RunError}
    assert temporary_folders() == before


class TaskTimeout(BaseException):
    """What Airflow raises in a task at its time limit."""


@pytest.mark.slow
@pytest.mark.parametrize("end", [TaskTimeout, LookAtTheData])
def test_a_task_that_ends_does_not_wait_for_its_jobs(end, temporary_folders, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pool, before = Workers(2), temporary_folders()
    with pytest.raises(end):
        for _ in pool.run([EasyJob("FINE"), *(HangingJob(str(each)) for each in range(4))]):
            raise end("the task's time is over")
    assert not pool._all
    assert temporary_folders() == before


#: Starts a worker, prints its process id, and waits to be killed.
PARENT = """
import time
from pipeline.training import shared_workers
workers = shared_workers(1)
workers._idle.put(workers._start())
print(*[worker._process.pid for worker in workers._all], flush=True)
time.sleep({seconds})
"""


@pytest.mark.parametrize("end", ["killed", "killed while its worker is stopped", "leaves"])
@pytest.mark.slow
def test_workers_end_with_their_parent_however_it_ends(end, temporary_folders):
    before = temporary_folders()
    script = PARENT.format(seconds=0 if end == "leaves" else 60)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT
    ) as parent:
        worker = int(parent.stdout.readline())
        command = Path(f"/proc/{worker}/cmdline")
        if end != "leaves":
            wait_until(lambda: b"SIGKILL" in _waiting_for(worker))
            if end != "killed":
                os.kill(worker, signal.SIGSTOP)
            assert not sweep_folders(), "its process is alive"
            parent.kill()
        parent.wait()
    wait_until(lambda: not command.exists() or not command.read_bytes())
    sweep_folders()
    assert temporary_folders() <= before


def _waiting_for(worker: int) -> bytes:
    """Return `SIGKILL` once the worker has asked the kernel to be killed with its parent."""
    flags = []
    for file in Path(f"/proc/{worker}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it has closed that file meanwhile
            lines = file.read_text().splitlines()
            flags += [int(line.split()[1], 8) for line in lines if line.startswith("flags:")]
    return b"SIGKILL" if any(each & os.O_ASYNC for each in flags) else b""


def _start_and_stop_workers() -> None:
    with Workers(1) as pool:
        pool._idle.put(pool._start())


@pytest.mark.slow
def test_a_daemonic_process_may_have_workers():
    """multiprocessing refuses children to daemonic processes, as Airflow's may be."""
    process = multiprocessing.get_context("spawn").Process(
        target=_start_and_stop_workers, daemon=True
    )
    process.start()
    process.join(60)
    assert process.exitcode == 0
