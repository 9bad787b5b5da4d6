"""Exercises: their rows, files and runs in MLflow, twice the same; and what is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import LookAtTheData, RunError, SettingsError
from pipeline.models import RECIPES
from pipeline.parts import Parts
from pipeline.research.exercise_networks import WRITTEN_CHARACTERS
from pipeline.research.exercises import (
    ExerciseReport,
    exercise_recipes,
    exercise_table,
    read_exercise_text,
    train_exercises,
)
from pipeline.settings import Settings


@pytest.fixture
def parts(tmp_path, mlflow_database):
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    settings = Settings(
        home=tmp_path,
        tracking_uri=f"sqlite:///{tmp_path}/mlflow.db",
        store_url=f"sqlite:///{tmp_path}/s.db",
        workers=1,
    )
    with Parts(settings, progress=lambda *_: None) as opened:
        yield opened


def files(parts) -> dict[str, bytes]:
    root = parts.settings.home / "artifacts"
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def runs(parts) -> list:
    from mlflow import MlflowClient

    client = MlflowClient(parts.settings.tracking_uri)
    experiment = client.get_experiment_by_name("exercises")
    return client.search_runs([experiment.experiment_id], order_by=["attributes.run_id ASC"])


@pytest.mark.slow
def test_exercises_leave_rows_files_and_runs_and_repeating_changes_nothing(parts):
    names = ["statquest-unit", "meetup-sine-rnn", "meetup-characters"]
    recipes = exercise_recipes(parts.recipes, names)
    text = "abac" * 60
    report = train_exercises(parts, recipes, 7, text)
    assert report.failures == {}
    rows = report.rows
    assert rows[["recipe", "exercise", "measure", "weights"]].to_numpy().tolist() == [
        ["statquest-unit", "companies", "MSE", 12],
        ["meetup-sine-rnn", "sine", "MSE", 28],
        ["meetup-characters", "text", "bits per character", 4 * 64 * (3 + 64 + 1) + 65 * 3],
    ]
    assert (rows["ratio"] < 1).all()
    left = {
        name.split("/")[-1]
        for name in files(parts)
        if name.startswith("exercises/meetup-sine-rnn/")
    }
    assert left == {
        "about.json",
        "look_ahead.csv",
        "look_ahead.png",
        "model.keras",
        "predictions.csv",
    }
    for recipe in ("statquest-unit", "meetup-characters"):
        [picture] = [
            data
            for name, data in files(parts).items()
            if name.startswith(f"exercises/{recipe}/") and name.endswith(".png")
        ]
        assert picture.startswith(b"\x89PNG")
    [written] = [
        data
        for name, data in files(parts).items()
        if name.startswith("exercises/meetup-characters/") and "written" in name
    ]
    assert len(written.decode()) == 20 + WRITTEN_CHARACTERS

    tracked = runs(parts)
    parents = {
        run.info.run_id: run.data.tags["recipe"]
        for run in tracked
        if "mlflow.parentRunId" not in run.data.tags
    }
    children = [run for run in tracked if "mlflow.parentRunId" in run.data.tags]
    assert sorted(parents.values()) == sorted(names)
    assert len(children) == 3
    for child in children:
        assert parents[child.data.tags["mlflow.parentRunId"]] == child.data.tags["recipe"]
        assert child.data.tags["mode"] == "honest"
        assert child.data.tags["source"]
        assert child.data.params["recipe.network"]
        assert {"loss", "learning_rate", "training_seconds"} <= child.data.metrics.keys()

    before = files(parts)
    again = train_exercises(parts, recipes, 7, text)
    pd.testing.assert_frame_equal(again.rows, rows)
    assert files(parts) == before
    assert [run.to_dictionary() for run in runs(parts)] == [run.to_dictionary() for run in tracked]


def test_all_that_need_no_prices_are_meant_where_none_is_named():
    recipes = exercise_recipes(RECIPES, [])
    assert {recipe.name for recipe in recipes} >= {
        "statquest-unit",
        "aungiers-sine",
        "meetup-logic-gates",
        "meetup-sine-rnn",
        "meetup-characters",
    }
    prices = {recipe.name for recipe in RECIPES.for_prices}
    assert [recipe.name for recipe in recipes if recipe.name in prices] == []


def test_a_recipe_of_prices_is_sent_to_the_command_that_trains_it():
    with pytest.raises(
        SettingsError,
        match="default learns from prices: `stockcast run --recipe default` trains it",
    ):
        exercise_recipes(RECIPES, ["statquest-unit", "default"])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nothing.txt", "No such file or directory"),
        ("", "Is a directory"),
        ("picture.png", "it is not UTF-8"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused(tmp_path, name, reason):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(SettingsError, match=rf"cannot be read \({reason}\)"):
        read_exercise_text(str(tmp_path / name))


def test_what_failed_is_raised_as_it_is_or_together():
    ExerciseReport(pd.DataFrame(), {}).raise_failures()
    short = LookAtTheData("The text has 5 characters.")
    with pytest.raises(LookAtTheData, match=r"^The text has 5 characters\.$"):
        ExerciseReport(pd.DataFrame(), {"meetup-characters": short}).raise_failures()
    both = {"meetup-characters": short, "gates AND": RunError("gates AND: it has diverged.")}
    message = r"^meetup-characters: The text has 5 characters\. gates AND: it has diverged\.$"
    with pytest.raises(RunError, match=message):
        ExerciseReport(pd.DataFrame(), both).raise_failures()


def test_figures_for_people_are_short():
    figures = {"test": 6.06e-6, "naive": 0.5, "ratio": 1.212e-5, "seconds": 2.34}
    row = {"recipe": "unit", **figures, "right": 0.75, "naive_right": np.nan}
    table = exercise_table(pd.DataFrame([row]))
    assert table.iloc[0].to_dict() == {
        "recipe": "unit",
        "test": "6.06e-06",
        "naive": "0.5",
        "ratio": "1.21e-05",
        "seconds": "2.3",
        "right": "75%",
        "naive_right": "",
    }
