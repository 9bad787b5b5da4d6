"""Exercises: recipes that need no prices. Each is trained on examples that it makes itself, and measured beside its naive forecast.

What an exercise leaves lies below `exercises/<recipe>`, named by recipe, examples and seed; what is there is read, not made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import characters, charts
from pipeline.errors import RunError, SettingsError, StockcastError
from pipeline.lookahead import SEQUENCE_LENGTH, LookAhead
from pipeline.models import RECIPES, find_recipe
from pipeline.models.optimisation import CrossEntropy
from pipeline.models.recipe import Exercise, Recipe
from pipeline.tracking import StockRun
from pipeline.training import ExerciseJob, LookAheadJob, Trained, WriteJob

if TYPE_CHECKING:
    from pipeline.assembly import Parts

#: Folder of the files, name of the experiment in MLflow, and of the step.
FOLDER, STEP = "exercises", "exercise"
#: Characters that a network writes on its own.
WRITTEN = 500
#: Numbers of an input that a table shows, the newest.
SHOWN = 4


@dataclass(frozen=True)
class Practice:
    """One exercise of a recipe with a seed, and where its files are."""

    recipe: Recipe
    name: str
    exercise: Exercise
    seed: int

    @property
    def title(self) -> str:
        return f"{self.recipe.name} {self.name}"

    @cached_property
    def digest(self) -> str:
        """What its examples are, and what it is measured against."""
        parts = (self.exercise.train, self.exercise.validation, self.exercise.test)
        arrays = [array for part in parts if part for array in (*part.inputs.values(), part.targets)]
        arrays.append(self.exercise.naive)
        return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()[:16]

    @cached_property
    def folder(self) -> str:
        about = [self.recipe.name, self.recipe.config_hash(), self.name, self.digest, self.exercise.alphabet, self.seed]
        return f"{FOLDER}/{self.recipe.name}/{self.name}-{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]}"

    @property
    def about(self) -> str:
        return f"{self.folder}/about.json"


def chosen(names: Sequence[str]) -> list[Recipe]:
    """The recipes of these names, or all that need no prices; `SettingsError` for one that does."""
    recipes = [find_recipe(name) for name in names] or [recipe for recipe in RECIPES if recipe.exercises]
    for recipe in recipes:
        if not recipe.exercises:
            raise SettingsError(f"{recipe.name} learns from prices: `stockcast run --recipe {recipe.name}` trains it.")
    return recipes


def read_text(path: str) -> str:
    """A user's own text, for the recipe that learns one."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"The text {path} cannot be read ({reason}). Name a text file.") from None


def train(parts: Parts, recipes: Sequence[Recipe], seed: int, text: str | None = None) -> pd.DataFrame:
    """The rows of `trained`; where something failed, that is raised after all others are done."""
    rows, failures = trained(parts, recipes, seed, text)
    require_none(failures)
    return rows


def require_none(failures: Mapping[str, StockcastError]) -> None:
    """Raises what failed; more than one as one line."""
    if len(failures) == 1:
        raise next(iter(failures.values()))
    if failures:
        raise RunError(" ".join(f"{title}: {error}" for title, error in failures.items()))


def trained(
    parts: Parts, recipes: Sequence[Recipe], seed: int, text: str | None = None
) -> tuple[pd.DataFrame, dict[str, StockcastError]]:
    """Trains what is not there yet and tracks it. A row per exercise, and by title what failed: it does not keep the others."""
    practices, unmade = _practices(recipes, seed, text)
    missing = [practice for practice in practices if parts.settings.tensorboard or not parts.artifacts.exists(practice.about)]
    failures = unmade | (_train(parts, missing) if missing else {})
    done = [practice for practice in practices if practice.title not in failures]
    for practice in done:
        parts.progress(STEP, "", f"{practice.title}: {_headline(_row(parts, practice))}")
    for recipe in recipes:
        if own := [practice for practice in done if practice.recipe is recipe]:
            _track(parts, recipe, own)
    return pd.DataFrame([_row(parts, practice) for practice in done]), failures


def _practices(recipes: Sequence[Recipe], seed: int, text: str | None) -> tuple[list[Practice], dict[str, StockcastError]]:
    """Every exercise of the recipes, and by recipe why its examples could not be made."""
    practices, unmade = [], {}
    for recipe in recipes:
        try:
            practices += [Practice(recipe, name, exercise, seed) for name, exercise in recipe.exercises(seed, text).items()]
        except StockcastError as error:
            unmade[recipe.name] = error
    return practices, unmade


def _train(parts: Parts, practices: list[Practice]) -> dict[str, StockcastError]:
    """By title, why one failed. The file about a training comes last: where it is, all the others are."""
    failures: dict[str, StockcastError] = {}
    trained: dict[str, tuple[Practice, Trained, dict]] = {}
    jobs = {_job(parts, practice): practice for practice in practices}
    for job, outcome in parts.workers.exercise_all(list(jobs)):
        practice = jobs[job]
        if isinstance(outcome, StockcastError):
            failures[practice.title] = outcome
        elif not np.isfinite(outcome[1]).all():
            failures[practice.title] = RunError(
                f"{practice.title}: its training has diverged. Try another seed than {practice.seed}."
            )
        else:
            network, said = outcome
            parts.artifacts.write(f"{practice.folder}/model.keras", network.model)
            parts.artifacts.write(f"{practice.folder}/predictions.csv", _csv(predictions(practice, said)))
            figures = measured(practice, said)
            if practice.exercise.windows is None:  # the others' picture is that of looking ahead
                parts.artifacts.write(f"{practice.folder}/predictions.png", _picture(practice, network, said, figures))
            trained[practice.title] = practice, network, figures
    failures |= _look_ahead(parts, trained) | _write(parts, trained)
    for title, (practice, network, figures) in trained.items():
        if title not in failures:
            about = {
                "history": network.history,
                "seconds": network.seconds,
                "weights": network.weights,
                "best_epoch": network.best_epoch,
                "figures": figures,
            }
            parts.artifacts.write(practice.about, json.dumps(about, sort_keys=True).encode())
    return failures


def _job(parts: Parts, practice: Practice) -> ExerciseJob:
    folder = parts.settings.tensorboard
    if folder:
        folder = str(Path(folder, practice.recipe.name, f"{practice.name} seed {practice.seed}"))
    return ExerciseJob(practice.title, practice.recipe, practice.exercise, practice.seed, folder)


def _picture(practice: Practice, network: Trained, said: np.ndarray, figures: dict[str, float]) -> bytes:
    title = f"{practice.title}, seed {practice.seed}"
    if practice.exercise.alphabet:
        return charts.bits_plot(title, network.history["loss"], figures["test_bits"], figures["test_bits_naive"])
    return charts.answers_plot(title, predictions(practice, said))


def _look_ahead(parts: Parts, trained: dict[str, tuple[Practice, Trained, dict]]) -> dict[str, StockcastError]:
    """The three ways ahead, as a table and a picture, of those that have sessions to look ahead over."""
    failures: dict[str, StockcastError] = {}
    jobs = {
        LookAheadJob(title, network.model, practice.exercise.windows, SEQUENCE_LENGTH): (practice, figures)
        for title, (practice, network, figures) in trained.items()
        if practice.exercise.windows is not None
    }
    for job, outcome in parts.workers.look_ahead_all(list(jobs)) if jobs else ():
        practice, figures = jobs[job]
        if not isinstance(outcome, LookAhead):
            failures[practice.title] = outcome
            continue
        figures |= {f"rmse_{way}": error for way, error in outcome.rmse().items()}
        picture = charts.look_ahead_plot(f"{practice.title}, seed {practice.seed}", outcome, "between -1 and 1")
        parts.artifacts.write(f"{practice.folder}/look_ahead.csv", _csv(outcome.table()))
        parts.artifacts.write(f"{practice.folder}/look_ahead.png", picture)
    return failures


def _write(parts: Parts, trained: dict[str, tuple[Practice, Trained, dict]]) -> dict[str, StockcastError]:
    """What the networks that forecast characters write, from where the training part of the text ends."""
    failures: dict[str, StockcastError] = {}
    jobs = {}
    for title, (practice, network, _) in trained.items():
        if alphabet := practice.exercise.alphabet:
            start = practice.exercise.test.inputs["past"][0]
            jobs[WriteJob(title, network.model, alphabet, start, WRITTEN, practice.seed)] = practice
    for job, outcome in parts.workers.write_all(list(jobs)) if jobs else ():
        practice = jobs[job]
        if isinstance(outcome, StockcastError):
            failures[practice.title] = outcome
            continue
        text = _spelt(job.start, job.alphabet) + outcome
        parts.artifacts.write(f"{practice.folder}/written.txt", text.encode())
    return failures


def measured(practice: Practice, said: np.ndarray) -> dict[str, float]:
    """Test errors of the network and, as `..._naive`, of the naive forecast: MSE, or bits per character; of answers, the share right."""
    exercise, loss = practice.exercise, practice.recipe.loss
    figures = {}
    for suffix, answers in (("", said), ("_naive", exercise.naive)):
        actual = exercise.test.targets
        if exercise.alphabet:
            figures[f"test_bits{suffix}"] = characters.bits(answers, actual)
            figures[f"test_right{suffix}"] = float((answers.argmax(axis=1) == actual[:, 0]).mean())
            continue
        figures[f"test_mse{suffix}"] = float(np.mean((answers.astype("float64") - actual) ** 2))
        if isinstance(loss, CrossEntropy):
            figures[f"test_right{suffix}"] = float(((answers > 0.5) == (actual > 0.5)).mean())
    return figures


def predictions(practice: Practice, said: np.ndarray) -> pd.DataFrame:
    """Test examples as people read them: input, actual, prediction, naive; of characters the likeliest, and the actual one's probability."""
    exercise = practice.exercise
    actual, past = exercise.test.targets[:, 0], exercise.test.inputs["past"]
    if not (alphabet := exercise.alphabet):
        told = {"actual": actual, "prediction": said[:, 0], "naive": exercise.naive[:, 0]}
        return pd.DataFrame({"input": [_numbers(example) for example in past], **told})
    likeliest = {"prediction": said.argmax(axis=1), "naive": exercise.naive.argmax(axis=1)}
    return pd.DataFrame(
        {
            "input": [_spelt(example, alphabet) for example in past],
            "actual": [alphabet[number] for number in actual],
            **{name: [alphabet[number] for number in numbers] for name, numbers in likeliest.items()},
            "probability": said[np.arange(len(actual)), actual],
        }
    )


def _numbers(example: np.ndarray) -> str:
    values = example.reshape(-1)
    return " ".join([*["..."] * (len(values) > SHOWN), *(f"{value:g}" for value in values[-SHOWN:])])


def _spelt(one_hot: np.ndarray, alphabet: str) -> str:
    return "".join(alphabet[number] for number in one_hot.argmax(axis=1))


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, date_format="%Y-%m-%d", lineterminator="\n").encode()


def _about(parts: Parts, practice: Practice) -> dict:
    return json.loads(parts.artifacts.read(practice.about))


def _row(parts: Parts, practice: Practice) -> dict[str, object]:
    about = _about(parts, practice)
    figures = about["figures"]
    measure = "bits" if practice.exercise.alphabet else "mse"
    test, naive = figures[f"test_{measure}"], figures[f"test_{measure}_naive"]
    return {
        "recipe": practice.recipe.name,
        "exercise": practice.name,
        "measure": "bits per character" if practice.exercise.alphabet else "MSE",
        "test": test,
        "naive": naive,
        "ratio": test / naive,
        "right": figures.get("test_right", np.nan),
        "naive_right": figures.get("test_right_naive", np.nan),
        "naive_is": practice.exercise.naive_is,
        "weights": about["weights"],
        "seconds": round(about["seconds"], 1),
    }


def for_people(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `train` with figures as short as they can be: errors span five orders of magnitude."""
    digits = {"test": ".3g", "naive": ".3g", "ratio": ".3g", "right": ".0%", "naive_right": ".0%", "seconds": ".1f"}
    told = {
        name: ["" if np.isnan(value) else format(value, form) for value in rows[name].astype("float64")]
        for name, form in digits.items()
    }
    return rows.assign(**told)


def _headline(row: dict[str, object]) -> str:
    return f"{row['measure']} {row['test']:.3g}, naive {row['naive']:.3g}; {row['weights']} weights, {row['seconds']:.1f} s"


def _track(parts: Parts, recipe: Recipe, practices: list[Practice]) -> None:
    """A parent run per recipe, seed and examples, and a child per exercise; repeating it changes nothing."""
    seed, digest = practices[0].seed, " ".join(practice.digest for practice in practices)
    tracker = parts.tracker(FOLDER)
    tags = {"recipe": recipe.name, "mode": recipe.mode, "source": recipe.source}
    params = {"seed": seed, "examples": digest, **recipe.parameters()}
    parent = tracker.open_parent(f"{recipe.name} seed {seed} {digest}", f"{recipe.name} seed {seed}", tags, params)
    runs = [_run(parts, practice, tags) for practice in practices]
    for run in runs:
        tracker.record(parent, run)
    ratios = [_row(parts, practice)["ratio"] for practice in practices]
    summary = pd.DataFrame([_row(parts, practice) for practice in practices])
    tracker.close_session(parent, {"worst_ratio_to_naive": max(ratios)}, {"exercises.csv": _csv(summary)})


def _run(parts: Parts, practice: Practice, tags: dict[str, str]) -> StockRun:
    """From the artifacts alone, so it is the same however often it is asked for."""
    about, exercise = _about(parts, practice), practice.exercise
    params = {
        "exercise": practice.name,
        "seed": practice.seed,
        "naive_is": exercise.naive_is,
        "train_examples": len(exercise.train),
        "validation_examples": len(exercise.validation or ()),
        "test_examples": len(exercise.test),
        "weights": about["weights"],
        **{f"recipe.{name}": value for name, value in practice.recipe.parameters().items()},
    }
    names = ("model.keras", "predictions.csv", "predictions.png", "look_ahead.csv", "look_ahead.png", "written.txt")
    files = {name: f"{practice.folder}/{name}" for name in names}
    return StockRun(
        ticker=practice.name,
        title=practice.title,
        params=params,
        metrics={**about["figures"], "training_seconds": about["seconds"], "best_epoch": float(about["best_epoch"])},
        history=about["history"],
        tags={**tags, "exercise": practice.name},
        files={name: parts.artifacts.read(file) for name, file in files.items() if parts.artifacts.exists(file)},
    )
