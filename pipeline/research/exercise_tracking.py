"""Exercises in MLflow: a parent run per recipe, seed and examples, and a child run per exercise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.models import ExerciseRecipe
from pipeline.research.exercise_networks import csv_bytes
from pipeline.research.planned_exercise import EXERCISES_FOLDER, ExerciseRecord, PlannedExercise
from pipeline.tracking import TrackedRun

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: The files of an exercise that its run has too, where there are such.
TRACKED_FILES = (
    "model.keras",
    "predictions.csv",
    "predictions.png",
    "look_ahead.csv",
    "look_ahead.png",
    "written.txt",
)


def track_exercises(
    parts: Parts,
    recipe: ExerciseRecipe,
    records: Mapping[PlannedExercise, ExerciseRecord],
    table: pd.DataFrame,
) -> None:
    """Track the exercises of a recipe; repeating it changes nothing.

    Args:
        table: their rows.
    """
    seed = next(iter(records)).seed
    digest = " ".join(planned.digest for planned in records)
    tracker = parts.tracker(EXERCISES_FOLDER)
    tags = {"recipe": recipe.name, "mode": "honest", "source": recipe.source}
    params = {"seed": seed, "examples": digest, **recipe.parameters()}
    title = f"{recipe.name} seed {seed}"
    parent = tracker.open_parent(f"{title} {digest}", title, tags, params)
    for planned, record in records.items():
        tracker.record(parent, _run(parts, planned, record, tags))
    worst = float(table["ratio"].max())
    files = {"exercises.csv": csv_bytes(table)}
    tracker.finish(parent, {"worst_ratio_to_naive": worst}, files)


def _run(
    parts: Parts, planned: PlannedExercise, record: ExerciseRecord, tags: Mapping[str, str]
) -> TrackedRun:
    """Return the run of one exercise, made from its files alone: it is the same every time."""
    exercise = planned.exercise
    files = {name: f"{planned.folder}/{name}" for name in TRACKED_FILES}
    return TrackedRun(
        ticker=planned.name,
        title=planned.title,
        params={
            "exercise": planned.name,
            "seed": planned.seed,
            "naive_is": exercise.naive_is,
            "train_examples": len(exercise.train),
            "validation_examples": len(exercise.validation or ()),
            "test_examples": len(exercise.test),
            "weights": record.weights,
            **{f"recipe.{name}": value for name, value in planned.recipe.parameters().items()},
        },
        metrics={
            **record.figures,
            "training_seconds": record.seconds,
            "best_epoch": float(record.best_epoch),
        },
        history=record.history,
        tags={**tags, "exercise": planned.name},
        files={
            name: parts.artifacts.read(file)
            for name, file in files.items()
            if parts.artifacts.exists(file)
        },
    )
