"""The one cache of fitted networks: each is trained once, whoever asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import LookAtTheData, NothingStored, SettingsError
from pipeline.models import Examples, Stack
from pipeline.models.optimisation import HalvedOnPlateau, MeanSquaredError, Optimiser
from pipeline.storage import Artifacts
from pipeline.training import (
    ExampleNetworkRequest,
    Job,
    LearntFrom,
    Networks,
    PriceNetworkRequest,
    TrainingRecord,
    Workers,
    training_digest,
)
from pipeline.training.jobs import FitExamplesJob, FitJob, Trained
from pipeline.version import code_version
from pipeline.windows import encode, training_part
from tests.training.made_networks import dataset_file, made_history, small, spec_of

RECIPE = small()
HISTORY = {"loss": [2.0, 1.0], "val_loss": [2.0, 1.5], "learning_rate": [0.1, 0.1]}


class StandIn:
    """In place of workers: it counts the jobs and answers them without TensorFlow.

    Attributes:
        jobs: all that it was given.
        has_gpu: whether it finds a GPU.
    """

    has_gpu = False

    def __init__(self, failing: Sequence[str] = ()) -> None:
        self.jobs: list[Job[Trained]] = []
        self._failing = failing

    def run(self, jobs: Sequence[Job[Trained]]) -> Iterator[tuple[Job[Trained], Future[Trained]]]:
        for job in jobs:
            self.jobs.append(job)
            future: Future[Trained] = Future()
            if job.label in self._failing:
                future.set_exception(LookAtTheData(f"{job.label}: too little history."))
            else:
                model = f"network {len(self.jobs)}".encode()
                future.set_result(Trained(model, HISTORY, best_epoch=1, seconds=0.5, weights=7))
            yield job, future

    def require_gpu(self) -> str:
        if not self.has_gpu:
            raise SettingsError("There is no GPU here.")
        return "a GPU"


class CountingWorkers(Workers):
    """Real workers that count the jobs they are given."""

    def __init__(self) -> None:
        super().__init__(1)
        self.jobs: list[Job[Trained]] = []

    def run(self, jobs: Sequence[Job[Trained]]) -> Iterator[tuple[Job[Trained], Future[Trained]]]:
        self.jobs += jobs
        yield from super().run(jobs)


@pytest.fixture(scope="module")
def file() -> bytes:
    return dataset_file()


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(str(tmp_path))


@pytest.fixture
def workers() -> StandIn:
    return StandIn()


@pytest.fixture
def networks(artifacts: Artifacts, workers: StandIn) -> Networks:
    return Networks(artifacts, workers)


def request(file: bytes, ticker: str = "UP", **changes: object) -> PriceNetworkRequest:
    """Return the request for a ticker's network, with `changes`."""
    recipe = changes.pop("recipe", RECIPE)
    learnt_from = {ticker: LearntFrom.of(file, recipe)}
    return replace(PriceNetworkRequest(ticker, ticker, recipe, learnt_from, seed=7), **changes)


def test_a_network_that_is_there_is_not_trained_again(networks, workers, file):
    reports = []

    def report(request, record, is_new):
        reports.append((request.label, record.epochs, is_new))

    wanted = request(file)
    assert not networks.has(wanted.model_id)
    assert networks.fit([wanted], report).failures == {}
    assert networks.has(wanted.model_id)
    assert networks.fit([request(file)], report).failures == {}
    assert [job.label for job in workers.jobs] == ["UP"]
    assert reports == [("UP", 1, True), ("UP", 1, False)]
    assert networks.model(wanted.model_id) == b"network 1"
    assert networks.training(wanted.model_id) == TrainingRecord(
        HISTORY, best_epoch=1, seconds=0.5, weights=7, code_version=code_version()
    )


def test_a_job_has_all_that_the_network_learns_from_and_nothing_later(networks, workers, file):
    networks.fit([request(file)])
    [job] = workers.jobs
    assert isinstance(job, FitJob)
    assert (job.recipe, job.seed, job.base, job.tensorboard) == (RECIPE, 7, None, "")
    assert job.training_files == {"UP": training_part(file)} != {"UP": file}


def test_a_network_of_a_gpu_is_another_and_without_one_none_is_trained(networks, workers, file):
    on_gpu = request(file, recipe=replace(RECIPE, device="gpu"))
    assert on_gpu.model_id != request(file).model_id
    with pytest.raises(SettingsError, match="no GPU here"):
        networks.fit([request(file, "ONE"), on_gpu])
    assert workers.jobs == []
    workers.has_gpu = True
    assert networks.fit([on_gpu]).failures == {}
    assert [(job.label, job.needs_gpu) for job in workers.jobs] == [("UP", True)]


def test_names_do_not_count(networks, workers, file):
    another = replace(RECIPE, name="another", summary="Another.", source="Another")
    requests = [
        request(file),
        request(file, label="all", title="another title"),
        request(file, recipe=another),
    ]
    assert len({each.model_id for each in requests}) == 1
    networks.fit(requests[:2])
    networks.fit(requests)
    assert len(workers.jobs) == 1


def test_days_that_training_does_not_see_do_not_count_unless_the_recipe_peeks(file):
    history = made_history()
    later = history.copy()
    later.loc[450:, "close"] *= 1.1  # within the test
    other = encode(later, spec_of(later))
    assert training_digest(file, RECIPE) == training_digest(other, RECIPE)
    assert request(file).model_id == request(other).model_id
    watching = Optimiser("Adam", HalvedOnPlateau(0.01, least=0.001, watches="test"))
    peeking = small(optimiser=watching)
    assert peeking.peeks
    assert training_digest(file, peeking) != training_digest(other, peeking)
    [given] = request(file, recipe=peeking).job(None, "").training_files.values()
    assert given == file


def test_another_seed_base_training_part_or_configuration_makes_another(networks, workers, file):
    base = request(file, recipe=RECIPE.pool)
    networks.fit([base])
    requests = [
        request(file),
        request(file, seed=8),
        request(file, base=base.model_id),
        request(dataset_file(pull=0.0)),
        request(file, recipe=small(epochs=3)),
    ]
    assert len({base.model_id, *(each.model_id for each in requests)}) == 6
    networks.fit(requests)
    assert len(workers.jobs) == 6
    models = {networks.model(each.model_id) for each in requests}
    assert len(models) == 5


def test_a_network_goes_on_from_its_bases_file(networks, workers, file):
    base = request(file, recipe=RECIPE.pool)
    networks.fit([base])
    networks.fit([request(file, base=base.model_id)])
    assert workers.jobs[-1].base == networks.model(base.model_id) == b"network 1"


def test_a_missing_base_is_an_error_that_names_pretrain(networks, workers, file):
    with pytest.raises(
        NothingStored, match=r"UP: the pooled network 0123 .* Run `stockcast pretrain`"
    ):
        networks.fit([request(file, base="0123")]).raise_first()
    assert workers.jobs == []


def test_a_training_part_that_does_not_match_its_digest_is_refused(networks, workers, file):
    other = LearntFrom("another digest", lambda: file)
    wanted = request(file, learnt_from={"UP": other})
    with pytest.raises(LookAtTheData, match="another digest expected"):
        networks.fit([wanted]).raise_first()
    assert workers.jobs == []
    assert not networks.has(wanted.model_id)


def test_a_dataset_is_read_only_where_its_network_is_missing(networks, file):
    networks.fit([request(file)])

    def read() -> bytes:
        raise AssertionError("nothing is to be trained")

    known = LearntFrom(training_digest(file, RECIPE), read)
    assert networks.fit([request(file, learnt_from={"UP": known})]).failures == {}


def test_one_that_fails_does_not_stop_the_others(artifacts, file):
    workers = StandIn(failing=["BAD"])
    networks, reports = Networks(artifacts, workers), []
    requests = [request(file, ticker) for ticker in ("AAA", "BAD", "CCC")]
    fitted = networks.fit(requests, lambda request, *_: reports.append(request.label))
    ids = {each.label: each.model_id for each in requests}
    assert {label: networks.has(model_id) for label, model_id in ids.items()} == {
        "AAA": True,
        "BAD": False,
        "CCC": True,
    }
    assert list(fitted.failures) == [ids["BAD"]]
    assert reports == ["AAA", "CCC"]
    with pytest.raises(LookAtTheData, match="BAD: too little history"):
        fitted.raise_first()
    networks.fit(requests)  # only the one that failed is tried again
    assert [job.label for job in workers.jobs] == ["AAA", "BAD", "CCC", "BAD"]


def test_a_network_without_its_file_is_trained_again_although_its_record_is_there(
    networks, workers, artifacts, file
):
    wanted = request(file)
    record = TrainingRecord(HISTORY, best_epoch=1, seconds=0.5)
    artifacts.write_derived(f"models/{wanted.model_id}.json", record.encode())
    assert not networks.has(wanted.model_id)
    networks.fit([wanted])
    assert len(workers.jobs) == 1


@pytest.mark.parametrize("name", ["models/{}.keras", "models/{}.json"])
def test_a_network_with_a_damaged_file_is_trained_again(networks, workers, artifacts, file, name):
    wanted = request(file)
    networks.fit([wanted])
    name = name.format(wanted.model_id)
    whole = artifacts.read(name)
    artifacts.write(name, whole[:-10])
    assert not networks.has(wanted.model_id)
    networks.fit([wanted])
    assert len(workers.jobs) == 2 and networks.model(wanted.model_id) == b"network 2"


def test_with_tensorboard_it_is_trained_again_into_a_folder_of_its_own(artifacts, workers, file):
    wanted = request(file, title="UP at 2013-03-01")
    Networks(artifacts, workers).fit([wanted])
    watched = Networks(artifacts, workers, tensorboard="/board")
    reports = []
    watched.fit([wanted], lambda request, record, is_new: reports.append(is_new))
    assert [job.tensorboard for job in workers.jobs] == [
        "",
        f"/board/default/UP at 2013-03-01 {wanted.model_id}",
    ]
    assert reports == [True]


# Made examples


def examples(count: int, value: float = 1.0) -> Examples:
    return Examples(
        {"past": np.full((count, 3, 1), value, "float32")}, np.full((count, 1), value, "float32")
    )


def test_networks_of_made_examples_are_told_apart_by_recipe_seed_and_examples(networks, workers):
    recipe = small(network=Stack((2,)), loss=MeanSquaredError())
    known = ExampleNetworkRequest("sine", "sine", recipe, examples(5), examples(2), seed=7)
    same = replace(known, label="wave", title="wave", recipe=replace(recipe, name="another"))
    others = [
        replace(known, recipe=replace(recipe, epochs=3)),
        replace(known, seed=8),
        replace(known, train=examples(5, 2.0)),
        replace(known, validation=examples(3)),
    ]
    assert same.model_id == known.model_id
    assert len({known.model_id, *(other.model_id for other in others)}) == 5
    networks.fit([known, same])
    [job] = workers.jobs
    assert isinstance(job, FitExamplesJob)
    assert (job.label, job.recipe, job.seed) == ("sine", recipe, 7)
    assert (job.train, job.validation) == (known.train, known.validation)


# With real networks


@pytest.mark.slow
def test_real_networks_are_pooled_tuned_and_found_again(artifacts, file, tmp_path):
    from pipeline.training.keras_files import load_model

    recipe = small(network=replace(RECIPE.network, units=2), epochs=1)
    files = {"UP": file, "WALK": dataset_file("WALK", pull=0.0)}
    learnt_from = {ticker: LearntFrom.of(data, recipe.pool) for ticker, data in files.items()}
    pool = PriceNetworkRequest("all", "all", recipe.pool, learnt_from, seed=7)
    own = request(file, recipe=recipe, base=pool.model_id)
    with CountingWorkers() as workers:
        networks = Networks(artifacts, workers)
        for wanted in (pool, own, pool, own):
            networks.fit([wanted]).raise_first()
        assert [job.label for job in workers.jobs] == ["all", "UP"]
        pooled, tuned = networks.model(pool.model_id), networks.model(own.model_id)
        assert networks.training(pool.model_id).epochs == 1
        # Trained again for TensorBoard, to the same bytes.
        watched = Networks(artifacts, workers, tensorboard=str(tmp_path / "board"))
        watched.fit([pool], sectors={"UP": "Energy"}).raise_first()
        assert [job.label for job in workers.jobs] == ["all", "UP", "all"]
    assert watched.model(pool.model_id) == pooled
    assert load_model(tuned).count_params() == load_model(pooled).count_params()
    folder = tmp_path / "board" / "default.pool" / f"all {pool.model_id}" / "train"
    labels = (folder / "symbol_metadata.tsv").read_text(encoding="utf-8")
    assert labels == "symbol\tsector\nunknown\t\nUP\tEnergy\nWALK\t\n"
    assert list(folder.glob("events.out.tfevents.*"))
