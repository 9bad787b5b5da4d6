"""`stockcast exercise`: recipes that need no prices, each next to its naive forecast.

Each is trained on examples that it makes itself. What an exercise leaves lies below
`exercises/<recipe>`, named by recipe, examples and seed; what is there is read, not made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.errors import RunError, SettingsError, StockcastError
from pipeline.models import ExerciseRecipe, Recipes
from pipeline.research.exercise_networks import make_exercises
from pipeline.research.exercise_tracking import track_exercises
from pipeline.research.planned_exercise import (
    ExerciseRecord,
    PlannedExercise,
    planned_exercises,
)

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "exercise"
#: Columns of figures and their formats for people: errors span five orders of magnitude.
SHORT_FORMATS = {
    "test": ".3g",
    "naive": ".3g",
    "ratio": ".3g",
    "right": ".0%",
    "naive_right": ".0%",
    "seconds": ".1f",
}


@dataclass(frozen=True)
class ExerciseReport:
    """Exercises that are done.

    Attributes:
        rows: one per exercise that succeeded.
        failures: by title of the exercise, or by recipe where its examples could not be made.
    """

    rows: pd.DataFrame
    failures: Mapping[str, StockcastError]

    def raise_failures(self) -> None:
        """Raise the one failure, or an error that has all; nothing where there is none."""
        if len(self.failures) == 1:
            raise next(iter(self.failures.values()))
        if self.failures:
            raise RunError(" ".join(map(_named, self.failures, self.failures.values())))


def _named(title: str, error: StockcastError) -> str:
    return str(error) if title in str(error) else f"{title}: {error}"


def exercise_recipes(recipes: Recipes, names: Sequence[str]) -> list[ExerciseRecipe]:
    """Return the recipes of these names, or all that need no prices where none is named.

    Raises:
        SettingsError: there is no such recipe, or it learns from prices.
    """
    return [recipes.for_exercise(name) for name in names] or list(recipes.for_exercises)


def read_exercise_text(path: str) -> str:
    """Read a user's own text, for the recipe that learns one.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(
            f"The text {path} cannot be read ({reason}). Name a text file (--text)."
        ) from None


def train_exercises(
    parts: Parts, recipes: Sequence[ExerciseRecipe], seed: int, text: str | None = None
) -> ExerciseReport:
    """Train the exercises that are missing, and track all; one that fails does not stop the others.

    With TensorBoard, those that are there are trained again.

    Args:
        text: a user's own; None: the recipe's own.
    """
    outcomes = planned_exercises(recipes, seed, text)
    wanted = [planned for exercises in outcomes.results.values() for planned in exercises]
    failures = {**outcomes.failures, **make_exercises(parts, _missing(parts, wanted))}
    done = [planned for planned in wanted if planned.title not in failures]
    records = {planned: _record(parts, planned) for planned in done}
    rows = {planned: _row(planned, record) for planned, record in records.items()}
    for planned, row in rows.items():
        parts.progress(STEP, "", f"{planned.title}: {_headline(row)}")
    for recipe in recipes:
        own = {planned: records[planned] for planned in done if planned.recipe is recipe}
        if own:
            table = pd.DataFrame([rows[planned] for planned in own])
            track_exercises(parts, recipe, own, table)
    return ExerciseReport(pd.DataFrame(list(rows.values())), failures)


def exercise_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a report for people, with figures as short as they can be."""
    texts = {
        name: [
            "" if np.isnan(value) else format(value, form) for value in rows[name].astype("float64")
        ]
        for name, form in SHORT_FORMATS.items()
    }
    return rows.assign(**texts)


def _missing(parts: Parts, exercises: Sequence[PlannedExercise]) -> list[PlannedExercise]:
    again = bool(parts.settings.tensorboard)
    return [
        planned for planned in exercises if again or not parts.artifacts.exists(planned.record_file)
    ]


def _record(parts: Parts, planned: PlannedExercise) -> ExerciseRecord:
    return ExerciseRecord.decode(parts.artifacts.read(planned.record_file))


def _row(planned: PlannedExercise, record: ExerciseRecord) -> dict[str, object]:
    exercise, figures = planned.exercise, record.figures
    measure = "bits" if exercise.alphabet else "mse"
    test, naive = figures[f"test_{measure}"], figures[f"test_{measure}_naive"]
    return {
        "recipe": planned.recipe.name,
        "exercise": planned.name,
        "measure": "bits per character" if exercise.alphabet else "MSE",
        "test": test,
        "naive": naive,
        "ratio": test / naive,
        "right": figures.get("test_right", np.nan),
        "naive_right": figures.get("test_right_naive", np.nan),
        "naive_is": exercise.naive_is,
        "weights": record.weights,
        "seconds": round(record.seconds, 1),
    }


def _headline(row: Mapping[str, object]) -> str:
    return (
        f"{row['measure']} {row['test']:.3g}, naive {row['naive']:.3g}; "
        f"{row['weights']} weights, {row['seconds']:.1f} s"
    )
