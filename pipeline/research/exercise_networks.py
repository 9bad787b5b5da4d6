"""The networks of exercises: trained, measured next to the naive forecast, and kept as files.

Networks come from the one cache. The files of an exercise are copies and results:

    model.keras         the network
    predictions.csv     its answers to the test examples, and as a picture (.png)
    look_ahead.csv      where there are sessions to look ahead over, the three ways (and .png)
    written.txt         where it forecasts characters, a text that it has written
    about.json          how its training went, and its errors
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.errors import RunError, StockcastError
from pipeline.outcomes import Outcomes
from pipeline.reporting import charts
from pipeline.research.exercise_figures import answer_picture, answer_table, error_figures, spelt
from pipeline.research.planned_exercise import ExerciseRecord, PlannedExercise
from pipeline.training import AnswerJob, LookAheadJob, WriteJob, answers_by_label
from pipeline.windows import SEQUENCE_LENGTH, LookAhead

if TYPE_CHECKING:
    from pipeline.parts import Parts


#: Characters that a network writes on its own.
WRITTEN_CHARACTERS = 500


def make_exercises(parts: Parts, exercises: Sequence[PlannedExercise]) -> dict[str, StockcastError]:
    """Train and measure the networks of exercises, and write their files.

    Returns:
        What failed, by title.
    """
    failures = _train(parts, exercises)
    answers = _answer(parts, [planned for planned in exercises if planned.title not in failures])
    answered = [planned for planned in exercises if planned.title in answers.results]
    looks = _look_ahead(parts, answered)
    texts = _write(parts, answered)
    failures |= {**answers.failures, **looks.failures, **texts.failures}
    for planned in answered:
        if planned.title not in failures:
            look, text = looks.results.get(planned.title), texts.results.get(planned.title, "")
            _save(parts, planned, answers.results[planned.title], look, text)
    return {
        planned.title: failures[planned.title] for planned in exercises if planned.title in failures
    }


def csv_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as the CSV file that an exercise keeps."""
    return table.to_csv(index=False, date_format="%Y-%m-%d", lineterminator="\n").encode()


def _train(parts: Parts, exercises: Sequence[PlannedExercise]) -> dict[str, StockcastError]:
    """Train what is missing; return what failed, by title."""
    failures = parts.networks.fit([planned.request for planned in exercises]).failures
    return {
        planned.title: failures[planned.request.model_id]
        for planned in exercises
        if planned.request.model_id in failures
    }


def _answer(parts: Parts, exercises: Sequence[PlannedExercise]) -> Outcomes[np.ndarray]:
    """Answer the test examples, (n, outputs) by title; answers must be numbers."""
    answers = answers_by_label(
        parts.workers,
        [
            AnswerJob(planned.title, _model(parts, planned), planned.exercise.test.inputs)
            for planned in exercises
        ],
    )
    diverged: dict[str, StockcastError] = {
        planned.title: RunError(
            f"{planned.title}: its training has diverged. "
            f"Try another seed than {planned.seed} (--seed)."
        )
        for planned in exercises
        if planned.title in answers.results
        and not np.isfinite(answers.results[planned.title]).all()
    }
    finite = {title: given for title, given in answers.results.items() if title not in diverged}
    return Outcomes(finite, {**answers.failures, **diverged})


def _look_ahead(parts: Parts, exercises: Sequence[PlannedExercise]) -> Outcomes[LookAhead]:
    """Look ahead in three ways with the networks that have sessions to look ahead over."""
    jobs = [
        LookAheadJob(
            planned.title, _model(parts, planned), planned.exercise.windows, SEQUENCE_LENGTH
        )
        for planned in exercises
        if planned.exercise.windows is not None
    ]
    return answers_by_label(parts.workers, jobs)


def _write(parts: Parts, exercises: Sequence[PlannedExercise]) -> Outcomes[str]:
    """Write on with the networks of characters, from where the training part of the text ends."""
    jobs = [
        WriteJob(
            planned.title,
            _model(parts, planned),
            planned.exercise.alphabet,
            planned.exercise.test.inputs["past"][0],
            WRITTEN_CHARACTERS,
            planned.seed,
        )
        for planned in exercises
        if planned.exercise.alphabet
    ]
    written = answers_by_label(parts.workers, jobs)
    starts = {job.label: spelt(job.start, job.alphabet) for job in jobs}
    texts = {title: starts[title] + text for title, text in written.results.items()}
    return Outcomes(texts, written.failures)


def _model(parts: Parts, planned: PlannedExercise) -> bytes:
    return parts.networks.model(planned.request.model_id)


def _save(
    parts: Parts, planned: PlannedExercise, answers: np.ndarray, look: LookAhead | None, text: str
) -> None:
    """Write the files of an exercise, its record last: where that is, all the others are."""
    training = parts.networks.training(planned.request.model_id)
    figures = error_figures(planned, answers)
    files = {
        "model.keras": _model(parts, planned),
        "predictions.csv": csv_bytes(answer_table(planned, answers)),
    }
    if look is None:
        losses = training.history["loss"]
        files["predictions.png"] = answer_picture(planned, answers, losses, figures)
    else:
        title = f"{planned.title}, seed {planned.seed}"
        figures |= {f"rmse_{way}": error for way, error in look.rmse().items()}
        files["look_ahead.csv"] = csv_bytes(look.table())
        files["look_ahead.png"] = charts.look_ahead_plot(title, look, "between -1 and 1")
    if text:
        files["written.txt"] = text.encode()
    for name, content in files.items():
        parts.artifacts.write(f"{planned.folder}/{name}", content)
    record = ExerciseRecord(
        training.history, training.seconds, training.weights, training.best_epoch, figures
    )
    parts.artifacts.write(planned.record_file, record.encode())
