"""Exercises without processes: real recipes with networks that are answered by a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import windows
from pipeline.models import RECIPES
from pipeline.parts import Parts
from pipeline.research.planned_exercise import PlannedExercise, planned_exercises
from pipeline.settings import Settings
from pipeline.training import AnswerJob, Job, LookAheadJob, Trained, WriteJob
from pipeline.windows import Windows
from tests.made_studies import AnsweringWorkers

SEED = 7
#: A text that a network of characters can learn.
TEXT = "abac" * 60


def planned(*names: str, text: str = TEXT) -> list[PlannedExercise]:
    """Return the exercises of the recipes of these names."""
    recipes = [RECIPES.for_exercise(name) for name in names]
    results = planned_exercises(recipes, SEED, text).results
    return [exercise for exercises in results.values() for exercise in exercises]


class ExerciseParts(Parts):
    """Real parts in the folder `home`, with workers that answer by a function.

    `jobs` keeps what the workers were given.
    """

    def __init__(self, home: Path, answer: Callable[[Job[Any]], Any]) -> None:
        super().__init__(Settings(home=home), progress=lambda *_: None)
        self._made_workers = AnsweringWorkers(answer)
        self.jobs = self._made_workers.jobs

    @property
    def workers(self) -> AnsweringWorkers:
        return self._made_workers


def half_right(job: Job[Any]) -> Any:
    """Answer a job: every answer is 0.5, nothing ever changes, and every character is the first."""
    if isinstance(job, AnswerJob):
        return np.full((len(job.inputs["past"]), 3), 0.5, "float32")
    if isinstance(job, LookAheadJob):
        return windows.look_ahead(job.windows, _unchanged, job.length)
    if isinstance(job, WriteJob):
        return job.alphabet[0] * job.length
    history = {"loss": [1.0, 0.5], "val_loss": [1.0, 0.6], "learning_rate": [0.1, 0.1]}
    return Trained(b"a network", history, best_epoch=1, seconds=0.25, weights=12)


def _unchanged(cut: Windows) -> np.ndarray:
    return ((cut.last - cut.offset) / cut.scale)[:, None]
