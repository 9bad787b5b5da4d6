"""Networks of exercises, with workers that answer by a function: nothing is trained."""

import numpy as np
import pytest

from pipeline.errors import RunError
from pipeline.research.exercise_networks import WRITTEN_CHARACTERS, make_exercises
from pipeline.research.planned_exercise import ExerciseRecord
from pipeline.training import AnswerJob, LookAheadJob, WriteJob
from pipeline.training.jobs import FitExamplesJob
from tests.made_exercises import ExerciseParts, half_right, planned


@pytest.fixture
def make_parts(tmp_path):
    return lambda answer=half_right: ExerciseParts(tmp_path, answer)


def files_of(parts, exercise):
    folder = parts.settings.home / "artifacts" / exercise.folder
    return {path.name: path.read_bytes() for path in folder.glob("*")}


def kinds_of(parts):
    return [type(job) for job in parts.jobs]


def test_an_exercise_leaves_its_network_its_answers_and_its_record(make_parts):
    parts, [unit] = make_parts(), planned("statquest-unit")
    assert make_exercises(parts, [unit]) == {}
    files = files_of(parts, unit)
    assert sorted(files) == ["about.json", "model.keras", "predictions.csv", "predictions.png"]
    assert files["model.keras"] == b"a network" == parts.networks.model(unit.request.model_id)
    record = ExerciseRecord.decode(files["about.json"])
    assert (record.seconds, record.weights, record.best_epoch) == (0.25, 12, 1)
    assert record.history["loss"] == [1.0, 0.5]
    assert sorted(record.figures) == ["test_mse", "test_mse_naive"]
    assert kinds_of(parts) == [FitExamplesJob, AnswerJob]


def test_where_there_are_sessions_the_picture_is_that_of_looking_ahead(make_parts):
    parts, [sine] = make_parts(), planned("meetup-sine-rnn")
    assert make_exercises(parts, [sine]) == {}
    files = files_of(parts, sine)
    names = ["about.json", "look_ahead.csv", "look_ahead.png", "model.keras", "predictions.csv"]
    assert sorted(files) == names
    figures = ExerciseRecord.decode(files["about.json"]).figures
    assert figures["rmse_point_by_point"] == figures["rmse_naive"]


def test_a_network_of_characters_writes_on_from_where_its_text_ends(make_parts):
    parts, [text] = make_parts(), planned("meetup-characters")
    assert make_exercises(parts, [text]) == {}
    written = files_of(parts, text)["written.txt"].decode()
    assert len(written) == 20 + WRITTEN_CHARACTERS
    assert ("abac" * 10).find(written[:20]) >= 0
    assert set(written[20:]) == {"a"}
    [job] = [job for job in parts.jobs if isinstance(job, WriteJob)]
    assert (job.length, job.seed) == (WRITTEN_CHARACTERS, 7)


@pytest.mark.parametrize("kind", [FitExamplesJob, AnswerJob, LookAheadJob])
def test_one_that_fails_leaves_no_record_and_does_not_stop_the_others(make_parts, kind):
    [sine, gate, *_] = planned("meetup-sine-rnn", "meetup-logic-gates")
    is_failing = True

    def answer(job):
        if is_failing and isinstance(job, kind) and job.label == sine.title:
            raise RunError("meetup-sine-rnn sine: out of memory.")
        return half_right(job)

    parts = make_parts(answer)
    failures = make_exercises(parts, [sine, gate])
    assert {title: str(error) for title, error in failures.items()} == {
        "meetup-sine-rnn sine": "meetup-sine-rnn sine: out of memory."
    }
    assert not parts.artifacts.exists(sine.record_file)
    assert parts.artifacts.exists(gate.record_file)
    is_failing = False
    parts.jobs.clear()
    assert make_exercises(parts, [sine]) == {}
    assert (FitExamplesJob in kinds_of(parts)) == (kind is FitExamplesJob)


def test_answers_that_are_no_numbers_have_diverged(make_parts):
    def answer(job):
        answers = half_right(job)
        return answers * np.nan if isinstance(job, AnswerJob) else answers

    parts, [unit] = make_parts(answer), planned("statquest-unit")
    [error] = make_exercises(parts, [unit]).values()
    assert str(error) == (
        "statquest-unit companies: its training has diverged. Try another seed than 7 (--seed)."
    )
    assert files_of(parts, unit) == {}
