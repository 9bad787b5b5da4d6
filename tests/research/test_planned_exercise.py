"""Planned exercises: what decides the folder of one, and recipes that make no examples."""

from dataclasses import replace

from pipeline.models import RECIPES
from pipeline.research.planned_exercise import (
    ExerciseRecord,
    PlannedExercise,
    planned_exercises,
)
from tests.made_exercises import planned


def test_everything_that_decides_an_exercise_decides_its_folder():
    [unit] = planned("statquest-unit")
    recipe, exercise = unit.recipe, unit.exercise
    others = [
        PlannedExercise(recipe, unit.name, replace(exercise, naive=exercise.naive + 1), 7),
        PlannedExercise(recipe, unit.name, exercise, 8),
        PlannedExercise(replace(recipe, epochs=1), unit.name, exercise, 7),
        PlannedExercise(recipe, unit.name, replace(exercise, test=exercise.train), 7),
    ]
    folders = {unit.folder, *(other.folder for other in others)}
    assert len(folders) == 5
    assert PlannedExercise(recipe, unit.name, exercise, 7).folder == unit.folder
    assert unit.folder.startswith("exercises/statquest-unit/companies-")


def test_a_network_is_known_by_what_it_learns_from_and_not_by_what_it_is_measured_on():
    [unit] = planned("statquest-unit")
    measured_on = replace(unit.exercise, test=unit.exercise.train, naive=unit.exercise.naive + 1)
    other = PlannedExercise(unit.recipe, unit.name, measured_on, 7)
    assert other.request.model_id == unit.request.model_id
    assert replace(unit, seed=8).request.model_id != unit.request.model_id


def test_a_recipe_whose_examples_cannot_be_made_does_not_stop_the_others():
    recipes = [RECIPES.for_exercise(name) for name in ("meetup-characters", "meetup-logic-gates")]
    outcomes = planned_exercises(recipes, 7, "abcde")
    assert [each.name for each in outcomes.results["meetup-logic-gates"]] == ["AND", "OR", "XOR"]
    assert "The text has 5 characters" in str(outcomes.failures["meetup-characters"])
    assert len(outcomes.results) == len(outcomes.failures) == 1


def test_a_record_comes_back_from_its_file():
    record = ExerciseRecord({"loss": [2.0, 1.0]}, 1.5, 12, 1, {"test_mse": 0.25})
    assert ExerciseRecord.decode(record.encode()) == record
