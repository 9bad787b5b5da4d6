"""A planned exercise: its recipe, its examples, its seed, and the names of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.errors import StockcastError
from pipeline.models import Examples, Exercise, ExerciseRecipe
from pipeline.outcomes import Outcomes
from pipeline.storage import content_digest, digest_of
from pipeline.training import ExampleNetworkRequest

#: Folder of the files, and name of the experiment in MLflow.
EXERCISES_FOLDER = "exercises"


@dataclass(frozen=True)
class ExerciseRecord:
    """The record of an exercise's training and errors: the last file that it writes.

    Attributes:
        history, best_epoch, seconds, weights: see `training.TrainingRecord`.
        figures: errors by name.
    """

    history: Mapping[str, list[float]]
    seconds: float
    weights: int
    best_epoch: int
    figures: Mapping[str, float]

    def encode(self) -> bytes:
        """Encode the record as JSON."""
        return json.dumps(vars(self), sort_keys=True).encode()

    @classmethod
    def decode(cls, data: bytes) -> ExerciseRecord:
        """Decode what `encode` wrote."""
        return cls(**json.loads(data))


@dataclass(frozen=True, eq=False)
class PlannedExercise:
    """One exercise of a recipe with a seed.

    Attributes:
        name: the recipe's name for the exercise.
    """

    recipe: ExerciseRecipe
    name: str
    exercise: Exercise
    seed: int

    @property
    def title(self) -> str:
        """Its name in messages and in MLflow."""
        return f"{self.recipe.name} {self.name}"

    @cached_property
    def request(self) -> ExampleNetworkRequest:
        """The request that its network is trained by."""
        train = self.exercise.train
        empty = {name: values[:0] for name, values in train.inputs.items()}
        return ExampleNetworkRequest(
            label=self.title,
            title=f"{self.name} seed {self.seed}",
            recipe=self.recipe,
            train=train,
            validation=self.exercise.validation or Examples(empty, train.targets[:0]),
            seed=self.seed,
        )

    @cached_property
    def digest(self) -> str:
        """The hash of its examples and of the naive answers."""
        exercise = self.exercise
        parts = [part for part in (exercise.train, exercise.validation, exercise.test) if part]
        arrays = [array for part in parts for array in (*part.inputs.values(), part.targets)]
        arrays.append(exercise.naive)
        return content_digest(
            b"".join(np.ascontiguousarray(array).tobytes() for array in arrays), 16
        )

    @cached_property
    def folder(self) -> str:
        """The folder of its files, among the artifacts."""
        values = [
            self.recipe.name,
            self.recipe.config_hash(),
            self.name,
            self.digest,
            self.exercise.alphabet,
            self.seed,
        ]
        return f"{EXERCISES_FOLDER}/{self.recipe.name}/{self.name}-{digest_of(values)}"

    @property
    def record_file(self) -> str:
        """The artifact with its `ExerciseRecord`: where it is, all the others are."""
        return f"{self.folder}/about.json"


def planned_exercises(
    recipes: Sequence[ExerciseRecipe], seed: int, text: str | None
) -> Outcomes[list[PlannedExercise]]:
    """Return the exercises of each recipe by its name.

    A recipe fails where its examples cannot be made.

    Args:
        text: a user's own, for the recipe that learns one; None: the recipe's own.
    """
    planned: dict[str, list[PlannedExercise]] = {}
    failures: dict[str, StockcastError] = {}
    for recipe in recipes:
        try:
            made = recipe.exercises(seed, text)
        except StockcastError as error:
            failures[recipe.name] = error
            continue
        planned[recipe.name] = [
            PlannedExercise(recipe, name, exercise, seed) for name, exercise in made.items()
        ]
    return Outcomes(planned, failures)
