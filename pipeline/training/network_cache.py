"""The one cache of fitted networks: whoever needs a network asks here, and it is trained once.

A network is known by what decides it: its recipe's configuration (the device with it, where that is
a GPU), what it learns from, its seed and the network that it goes on from. What it learns from is
the training part of its datasets (or its made examples), so networks are found again whichever
command asks for them: the day, backtests, searches, studies, exercises and audits.

    models/<model_id>.keras   the network, a plain Keras file
    models/<model_id>.json    how its training went
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline.errors import LookAtTheData, NothingStored, StockcastError
from pipeline.models import Examples, PriceRecipe, Recipe
from pipeline.outcomes import outcome_of_each
from pipeline.storage import Artifacts, content_digest, digest_of
from pipeline.training import embedding, tensorboard
from pipeline.training.jobs import FitExamplesJob, FitJob, Job, Trained, TrainingRecord, TuneJob
from pipeline.training.workers import Workers
from pipeline.version import code_version
from pipeline.windows import training_part


class NetworkRequest(Protocol):
    """A network that somebody needs."""

    @property
    def label(self) -> str:
        """The network's owner in messages: a ticker, `SHARED` or an exercise."""

    @property
    def title(self) -> str:
        """The network's name in TensorBoard."""

    @property
    def recipe(self) -> Recipe:
        """The recipe that it is trained by."""

    @property
    def model_id(self) -> str:
        """The network's identity: equal for equal recipes, training parts, seeds and bases."""

    @property
    def learnt_digest(self) -> str:
        """A digest of all that it learns from."""

    @property
    def base(self) -> str:
        """The model_id of the network that it goes on from; "": it begins from random weights."""

    def job(self, base: bytes | None, tensorboard: str) -> Job[Trained]:
        """Return the job that trains it; `base`: the file of the network it goes on from."""


@dataclass(frozen=True)
class LearntFrom:
    """The part of one stock's dataset that a network learns from.

    Attributes:
        digest: of the training part of its dataset.
        read: returns the bytes of the whole dataset file.
    """

    digest: str
    read: Callable[[], bytes] = field(compare=False, repr=False)

    @classmethod
    def of(cls, data: bytes, recipe: PriceRecipe) -> LearntFrom:
        """Return what a recipe's network learns from a dataset file that is in memory."""
        return cls(training_digest(data, recipe), lambda: data)

    def training_file(self, recipe: PriceRecipe) -> bytes:
        """Return the training part.

        Raises:
            LookAtTheData: the dataset file has another training part than was asked for.
        """
        part = training_file(self.read(), recipe)
        if content_digest(part) != self.digest:
            raise LookAtTheData(
                f"A dataset's training part is {content_digest(part)}, {self.digest} expected. "
                "Repeat `stockcast build_windows`."
            )
        return part


def training_file(dataset: bytes, recipe: PriceRecipe) -> bytes:
    """Return the part of a dataset file that a recipe may train on; all of it where it peeks."""
    return dataset if recipe.peeks else training_part(dataset)


def training_digest(dataset: bytes, recipe: PriceRecipe) -> str:
    """Return the digest of `training_file`."""
    return content_digest(training_file(dataset, recipe))


@dataclass(frozen=True, eq=False)
class PriceNetworkRequest:
    """A network that learns from the prices of one or more stocks.

    Attributes:
        learnt_from: by ticker.
    """

    label: str
    title: str
    recipe: PriceRecipe
    learnt_from: Mapping[str, LearntFrom]
    seed: int
    base: str = ""

    @cached_property
    def learnt_digest(self) -> str:
        return digest_of(sorted((ticker, each.digest) for ticker, each in self.learnt_from.items()))

    @cached_property
    def model_id(self) -> str:
        return digest_of([self.recipe.config_hash(), self.learnt_digest, self.seed, self.base])

    def job(self, base: bytes | None, tensorboard: str) -> FitJob:
        files = {t: each.training_file(self.recipe) for t, each in self.learnt_from.items()}
        tuning = self.recipe.fine_tuning
        kind = TuneJob if base is not None and tuning and tuning.layer else FitJob
        return kind(self.label, self.recipe, files, self.seed, base, tensorboard)


@dataclass(frozen=True, eq=False)
class ExampleNetworkRequest:
    """A network that learns from made examples; `validation` may have none."""

    label: str
    title: str
    recipe: Recipe
    train: Examples
    validation: Examples
    seed: int
    base: str = ""

    @cached_property
    def learnt_digest(self) -> str:
        arrays = [
            np.ascontiguousarray(values).tobytes()
            for part in (self.train, self.validation)
            for values in (*part.inputs.values(), part.targets)
        ]
        return digest_of([content_digest(each) for each in arrays])

    @cached_property
    def model_id(self) -> str:
        return digest_of([self.recipe.config_hash(), self.learnt_digest, self.seed])

    def job(self, base: bytes | None, tensorboard: str) -> FitExamplesJob:
        return FitExamplesJob(
            self.label, self.recipe, self.train, self.validation, self.seed, tensorboard
        )


@dataclass(frozen=True)
class Fitted:
    """The result of `Networks.fit`.

    Attributes:
        failures: by model_id, why a network could not be trained.
    """

    failures: Mapping[str, StockcastError]

    def raise_first(self) -> None:
        """Raise the first failure, if there is one."""
        for error in self.failures.values():
            raise error


#: (request, how its training went, whether it was trained now)
Report = Callable[[NetworkRequest, TrainingRecord, bool], None]


class Networks:
    """Fitted networks among the artifacts, and the workers that fit those that are missing.

    Args:
        tensorboard: folder for event files; "": none. With one, a network that is there is trained
            again, to the same bytes.
    """

    def __init__(self, artifacts: Artifacts, workers: Workers, tensorboard: str = "") -> None:
        self._artifacts = artifacts
        self._workers = workers
        self._tensorboard = tensorboard

    @staticmethod
    def file_of(model_id: str) -> str:
        """Return the artifact that is a network."""
        return f"models/{model_id}.keras"

    def has(self, model_id: str) -> bool:
        """Return whether a network has been trained, and its files are whole."""
        return all(map(self._artifacts.has_derived, self.files_of(model_id)))

    def model(self, model_id: str) -> bytes:
        """Return a network's `.keras` file; `NothingStored` where it has not been trained."""
        return self._artifacts.read_derived(self.file_of(model_id))

    def training(self, model_id: str) -> TrainingRecord:
        """Return how a network's training went."""
        return TrainingRecord.decode(self._artifacts.read_derived(self.files_of(model_id)[0]))

    @classmethod
    def files_of(cls, model_id: str) -> tuple[str, str]:
        """Return the artifacts of a network: how its training went, and the network."""
        return f"models/{model_id}.json", cls.file_of(model_id)

    def fit(
        self,
        requests: Sequence[NetworkRequest],
        report: Report | None = None,
        sectors: Mapping[str, str] | None = None,
    ) -> Fitted:
        """Train the networks that are missing; one that fails does not stop the others.

        Args:
            report: called for each network that there is, as they become available. Of requests
                for one network that is missing, the first is reported.
            sectors: by ticker, for TensorBoard's projector.

        Returns:
            Its failures are of networks that another goes on from and that are not there, of
            datasets with another training part than was asked for, and of trainings.

        Raises:
            SettingsError: one is to be trained on a GPU, and there is none.
        """
        report = report or (lambda *_: None)
        failures: dict[str, StockcastError] = {}
        missing: dict[str, NetworkRequest] = {}
        for request in requests:
            if self.has(request.model_id) and not self._tensorboard:
                for file in self.files_of(request.model_id):
                    self._artifacts.renew(file)  # later steps forecast with it
                report(request, self.training(request.model_id), False)
            else:
                missing.setdefault(request.model_id, request)
        prepared = outcome_of_each(missing, lambda model_id: self._job(missing[model_id]))
        failures |= prepared.failures
        jobs = {job: missing[model_id] for model_id, job in prepared.results.items()}
        if any(job.needs_gpu for job in jobs):
            self._workers.require_gpu()
        for job, future in self._workers.run(list(jobs)):
            request = jobs[job]
            try:
                trained = future.result()
            except StockcastError as error:
                failures[request.model_id] = error
                continue
            report(request, self._save(request, trained, sectors or {}), True)
        return Fitted(failures)

    def _job(self, request: NetworkRequest) -> Job[Trained]:
        base = None
        if request.base:
            try:
                base = self.model(request.base)
            except NothingStored:
                raise NothingStored(
                    f"{request.label}: the pooled network {request.base} that it goes on from has "
                    "not been trained. Run `stockcast pretrain` for this session first."
                ) from None
        return request.job(base, self._tensorboard_folder(request))

    def _tensorboard_folder(self, request: NetworkRequest) -> str:
        if not self._tensorboard:
            return ""
        name = f"{request.title} {request.model_id}"
        return str(Path(self._tensorboard, request.recipe.name, name))

    def _save(
        self, request: NetworkRequest, trained: Trained, sectors: Mapping[str, str]
    ) -> TrainingRecord:
        record = TrainingRecord(
            trained.history, trained.best_epoch, trained.seconds, trained.weights, code_version()
        )
        record_file, model_file = self.files_of(request.model_id)
        self._artifacts.write_derived(record_file, record.encode())
        # Last: where the model file is, its record is too.
        self._artifacts.write_derived(model_file, trained.model)
        folder = self._tensorboard_folder(request)
        if folder and isinstance(request.recipe, PriceRecipe) and request.recipe.pooled:
            tensorboard.save_projector(folder, *embedding.vectors(trained.model), sectors)
        return record
