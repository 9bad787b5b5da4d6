"""Jobs, and their answers.

A job that needs Keras travels to a worker process as a pickle and is run there; TensorFlow is
imported in its `run` alone. The others are run where they are asked for.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from pipeline.errors import LookAtTheData
from pipeline.models import GPU, Examples, PriceRecipe, Recipe
from pipeline.training.numpy_networks import is_served_by_numpy
from pipeline.windows import LookAhead, Windows

#: In place of a ticker, for a network that all stocks share.
SHARED = "all"
#: The symbol of a stock that a pooled network was not trained on. Some of its training examples go
#: by this name.
UNKNOWN_SYMBOL = ""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Trained:
    """A fitted network.

    Attributes:
        model: a plain `.keras` file, the same bytes for the same recipe, examples and seed.
        history: "loss", "val_loss" and "learning_rate" per epoch; entry 0 is the network before its
            first epoch.
        best_epoch: the epoch of the model's weights: the entry of `history` with the lowest
            val_loss, or the last where the recipe does not choose.
        seconds: from the examples to the file.
        weights: how many numbers were learnt.
    """

    model: bytes
    history: dict[str, list[float]]
    best_epoch: int
    seconds: float
    weights: int

    @property
    def epochs(self) -> int:
        """The number of epochs that were trained."""
        return len(self.history["loss"]) - 1


@dataclass(frozen=True)
class TrainingRecord:
    """The course of a training: the JSON file next to a model.

    Attributes:
        code_version: of the program that trained it.
        history, best_epoch, seconds, weights: see `Trained`.
    """

    history: dict[str, list[float]]
    best_epoch: int
    seconds: float
    weights: int = 0
    code_version: str = ""

    @property
    def epochs(self) -> int:
        """The number of epochs that were trained."""
        return len(self.history["loss"]) - 1

    def encode(self) -> bytes:
        """Encode the record as JSON."""
        return json.dumps(vars(self), sort_keys=True).encode()

    @classmethod
    def decode(cls, data: bytes) -> TrainingRecord:
        """Decode what `encode` wrote."""
        return cls(**json.loads(data))


def divergence(loss: float, epoch: int, epochs: int) -> LookAtTheData:
    """Return the error of a training whose best loss is no number."""
    return LookAtTheData(
        f"The training diverged: after epoch {epoch} of {epochs} its loss is {loss}. Look at the "
        "prices, or name another recipe (--recipe)."
    )


class Job(ABC, Generic[Answer]):
    """Work that one worker does at once.

    Attributes:
        label: the job's owner in messages: a ticker, or an exercise.
    """

    label: str
    #: Whether it takes less than a hundredth of what importing TensorFlow takes.
    is_quick: ClassVar[bool] = False

    @property
    def needs_keras(self) -> bool:
        """True where it must be run in a worker process, where TensorFlow is imported."""
        return True

    @property
    def needs_gpu(self) -> bool:
        """True where that process must have a GPU."""
        return False

    @abstractmethod
    def run(self) -> Answer:
        """Do the work."""

    @classmethod
    def run_together(cls, jobs: Sequence[Any]) -> list[Any]:
        """Do the work of jobs of this class that do not need Keras.

        Returns:
            The answer of each, or its error.
        """
        answers: list[Any] = []
        for job in jobs:
            try:
                answers.append(job.run())
            except Exception as error:
                answers.append(error)
        return answers


class _NetworkJob(Job[Answer]):
    """A job that asks one network, which needs Keras where numpy does not serve the network.

    Attributes:
        model: a `.keras` file.
    """

    model: bytes

    @property
    def needs_keras(self) -> bool:
        return not is_served_by_numpy(self.model)


@dataclass(frozen=True, eq=False)
class FitJob(Job[Trained]):
    """Train one network on the training files of its stocks.

    Attributes:
        training_files: by ticker, what `windows.training_part` gave.
        base: the `.keras` file of the pooled network that it goes on from; None: random weights.
        tensorboard: folder for event files; "": none are written.
    """

    label: str
    recipe: PriceRecipe
    training_files: Mapping[str, bytes]
    seed: int
    base: bytes | None = None
    tensorboard: str = ""

    @property
    def needs_gpu(self) -> bool:
        return self.recipe.device == GPU

    def run(self) -> Trained:
        from pipeline.training.fit import fit

        return fit(self.recipe, self.training_files, self.seed, self.tensorboard, self.base)


class TuneJob(FitJob):
    """Tune the last layer of the pooled network on one stock's training file; see `last_layer`.

    It is done in numpy, whatever the pooled network was trained on, and needs Keras for event files
    alone.
    """

    @property
    def pooled(self) -> bytes:
        """The `.keras` file of the pooled network."""
        if self.base is None:
            raise ValueError("A job that goes on from no network.")
        return self.base

    @property
    def needs_keras(self) -> bool:
        return bool(self.tensorboard) or not is_served_by_numpy(self.pooled)

    @property
    def needs_gpu(self) -> bool:
        return False

    def run(self) -> Trained:
        from pipeline.training import tensorboard
        from pipeline.training.last_layer import tune_together

        [trained] = tune_together([self])
        if isinstance(trained, Exception):
            raise trained
        if self.tensorboard:
            tensorboard.save_tuning(self.tensorboard, self.pooled, trained)
        return trained

    @classmethod
    def run_together(cls, jobs: Sequence[TuneJob]) -> list[Any]:
        from pipeline.training.last_layer import tune_together

        return list(tune_together(jobs))


@dataclass(frozen=True, eq=False)
class FitExamplesJob(Job[Trained]):
    """Train one network on made examples.

    Attributes:
        validation: measured after every epoch; it may have no examples.
    """

    label: str
    recipe: Recipe
    train: Examples
    validation: Examples
    seed: int
    tensorboard: str = ""

    @property
    def needs_gpu(self) -> bool:
        return self.recipe.device == GPU

    def run(self) -> Trained:
        from pipeline.training.fit import fit_examples

        return fit_examples(
            self.recipe, self.train, self.validation, seed=self.seed, tensorboard=self.tensorboard
        )


@dataclass(frozen=True, eq=False)
class GpuJob(Job[str]):
    """Name the GPU that networks are trained on; see `gpu.require_gpu`."""

    label: str = GPU

    @property
    def needs_gpu(self) -> bool:
        return True

    def run(self) -> str:
        from pipeline.training.gpu import require_gpu

        return require_gpu()


@dataclass(frozen=True, eq=False)
class PredictJob(_NetworkJob[tuple[np.ndarray, ...]]):
    """Forecast windows; see `predict.predict`.

    Attributes:
        label: the ticker, which is also the network's input "symbol" where it has one.
        model: a `.keras` file.
    """

    label: str
    model: bytes
    windows: tuple[Windows, ...]
    horizon: int
    is_quick: ClassVar[bool] = True

    def run(self) -> tuple[np.ndarray, ...]:
        from pipeline.training.predict import predict

        return predict(self.model, self.windows, self.horizon, self.label)

    @classmethod
    def run_together(cls, jobs: Sequence[PredictJob]) -> list[Any]:
        from pipeline.training.predict import predict_together

        return list(predict_together(jobs))


@dataclass(frozen=True, eq=False)
class AnswerJob(_NetworkJob[np.ndarray]):
    """Answer made examples: (n, outputs), float32.

    Attributes:
        model: a `.keras` file.
        inputs: by name, each (n, ...).
    """

    label: str
    model: bytes
    inputs: Mapping[str, np.ndarray]

    def run(self) -> np.ndarray:
        from pipeline.training.predict import answering

        return answering(self.model)(self.inputs)


@dataclass(frozen=True, eq=False)
class LookAheadJob(_NetworkJob[LookAhead]):
    """Look ahead over windows in three ways; `model`: a `.keras` file."""

    label: str
    model: bytes
    windows: Windows
    length: int

    def run(self) -> LookAhead:
        from pipeline.training.predict import look_ahead_with

        return look_ahead_with(self.model, self.windows, self.length, self.label)


@dataclass(frozen=True, eq=False)
class WriteJob(_NetworkJob[str]):
    """Write `length` characters that go on after `start`; see `characters.write_on`.

    Attributes:
        model: a `.keras` file.
        start: one-hot (steps, characters).
    """

    label: str
    model: bytes
    alphabet: str
    start: np.ndarray
    length: int
    seed: int

    def run(self) -> str:
        from pipeline.models import characters
        from pipeline.training.predict import answering

        answer = answering(self.model)
        return characters.write_on(
            lambda window: answer({"past": window}),
            self.alphabet,
            self.start,
            self.length,
            self.seed,
        )
