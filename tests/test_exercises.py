"""The command that trains exercises: its rows, files and runs in MLflow, twice the same; and what it refuses."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pandas as pd
import pytest

from pipeline import assembly, charts, cli, exercises
from pipeline.errors import SettingsError
from pipeline.models import find_recipe
from pipeline.settings import Settings


@pytest.fixture
def parts(tmp_path, mlflow_database):
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    settings = Settings(
        home=tmp_path, tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", store_url=f"sqlite:///{tmp_path}/s.db", workers=1
    )
    with assembly.parts(settings, progress=lambda *_: None) as opened:
        yield opened


def files(parts) -> dict[str, bytes]:
    root = parts.settings.home / "artifacts"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def runs(parts) -> list:
    from mlflow import MlflowClient

    client = MlflowClient(parts.settings.tracking_uri)
    experiment = client.get_experiment_by_name("exercises")
    return client.search_runs([experiment.experiment_id], order_by=["attributes.run_id ASC"])


@pytest.mark.slow
def test_exercises_leave_rows_files_and_runs_and_repeating_changes_nothing(parts):
    chosen = exercises.chosen(["statquest-unit", "meetup-sine-rnn", "meetup-characters"])
    text = "abac" * 60
    rows = exercises.train(parts, chosen, 7, text)
    assert rows[["recipe", "exercise", "measure", "weights"]].to_numpy().tolist() == [
        ["statquest-unit", "companies", "MSE", 12],
        ["meetup-sine-rnn", "sine", "MSE", 28],
        ["meetup-characters", "text", "bits per character", 4 * 64 * (3 + 64 + 1) + 65 * 3],
    ]
    assert (rows["ratio"] < 1).all()
    names = {name.split("/")[-1] for name in files(parts) if name.startswith("exercises/meetup-sine-rnn/")}
    assert names == {"about.json", "look_ahead.csv", "look_ahead.png", "model.keras", "predictions.csv"}
    for recipe in ("statquest-unit", "meetup-characters"):
        [picture] = [
            data for name, data in files(parts).items() if name.startswith(f"exercises/{recipe}/") and name.endswith(".png")
        ]
        assert picture.startswith(b"\x89PNG")
    [written] = [
        data for name, data in files(parts).items() if name.startswith("exercises/meetup-characters/") and "written" in name
    ]
    assert len(written.decode()) == 20 + exercises.WRITTEN

    tracked = runs(parts)
    parents = {run.info.run_id: run.data.tags["recipe"] for run in tracked if "mlflow.parentRunId" not in run.data.tags}
    children = [run for run in tracked if "mlflow.parentRunId" in run.data.tags]
    assert sorted(parents.values()) == ["meetup-characters", "meetup-sine-rnn", "statquest-unit"]
    assert len(children) == 3
    for child in children:
        assert parents[child.data.tags["mlflow.parentRunId"]] == child.data.tags["recipe"]
        assert child.data.tags["mode"] == "honest"
        assert child.data.tags["source"]
        assert child.data.params["recipe.network"]
        assert {"loss", "learning_rate", "training_seconds"} <= child.data.metrics.keys()

    before = files(parts)
    again = exercises.train(parts, chosen, 7, text)
    pd.testing.assert_frame_equal(again, rows)
    assert files(parts) == before
    assert [run.to_dictionary() for run in runs(parts)] == [run.to_dictionary() for run in tracked]


def test_the_pictures_repeat_and_show_what_they_are_given():
    table = pd.DataFrame({"input": ["0 0", "0 1"], "actual": [0.0, 1.0], "prediction": [0.1, 0.8], "naive": [0.5, 0.5]})
    answers = charts.answers_plot("XOR", table)
    assert answers == charts.answers_plot("XOR", table) != charts.answers_plot("XOR", table.assign(prediction=0.4))
    learning = charts.bits_plot("text", [2.0, 1.0], 1.5, 2.5)
    assert learning == charts.bits_plot("text", [2.0, 1.0], 1.5, 2.5) != charts.bits_plot("text", [2.0, 0.5], 1.5, 2.5)


def test_all_that_need_no_prices_are_chosen_where_none_is_named():
    every = exercises.chosen([])
    assert {recipe.name for recipe in every} >= {
        "statquest-unit",
        "aungiers-sine",
        "meetup-logic-gates",
        "meetup-sine-rnn",
        "meetup-characters",
    }
    assert [recipe.name for recipe in every if recipe.targets] == []


def test_what_an_exercise_is_measured_against_decides_its_folder():
    recipe = find_recipe("statquest-unit")
    [(name, exercise)] = recipe.exercises(7, None).items()
    other = replace(exercise, naive=exercise.naive + 1)
    one, two = (exercises.Practice(recipe, name, given, 7) for given in (exercise, other))
    assert one.folder != two.folder


def test_a_recipe_of_prices_is_sent_to_the_command_that_trains_it():
    with pytest.raises(SettingsError, match="default learns from prices: `stockcast run --recipe default` trains it"):
        exercises.chosen(["statquest-unit", "default"])


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("--recipe default", 2, "`stockcast run --recipe default`"),
        ("--recipe nope", 2, "There is no recipe 'nope'"),
        ("--text {tmp}/nothing.txt", 2, "cannot be read (No such file or directory)"),
        ("--text {tmp}", 2, "cannot be read (Is a directory)"),
        ("--text {tmp}/picture.png", 2, "cannot be read (it is not UTF-8)"),
        ("--recipe meetup-characters --text {tmp}/short.txt", 1, "The text has 5 characters; at least 210"),
    ],
)
def test_a_mistake_is_one_line(line, code, told, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STOCKCAST_HOME", str(tmp_path / "home"))
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    (tmp_path / "short.txt").write_text("abcde")
    assert cli.main(["exercise", *line.format(tmp=tmp_path).split()]) == code
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_the_command_prints_rows_for_programs(parts, capsys, monkeypatch):
    for name in ("home", "tracking_uri", "store_url"):
        monkeypatch.setenv(f"STOCKCAST_{name.upper()}", str(getattr(parts.settings, name)))
    assert cli.main(["exercise", "--recipe", "statquest-unit", "--seed", "3", "--format", "csv"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "recipe,exercise,measure,test,naive,ratio,right,naive_right,naive_is,weights,seconds"
    assert printed[1].startswith("statquest-unit,companies,MSE,")


@pytest.mark.slow
def test_what_succeeded_is_printed_also_where_another_fails_and_the_environments_recipe_is_not_meant(
    parts, tmp_path, capsys, monkeypatch
):
    for name in ("home", "tracking_uri", "store_url"):
        monkeypatch.setenv(f"STOCKCAST_{name.upper()}", str(getattr(parts.settings, name)))
    (tmp_path / "short.txt").write_text("abcde")
    line = ["exercise", "--recipe", "statquest-unit,meetup-characters", "--text", str(tmp_path / "short.txt"), "--format", "csv"]
    assert cli.main(line) == 1
    printed = capsys.readouterr()
    assert [row.split(",")[0] for row in printed.out.splitlines()] == ["recipe", "statquest-unit"]
    assert "The text has 5 characters" in printed.err

    monkeypatch.setenv("STOCKCAST_RECIPE", "default")
    trained = []
    monkeypatch.setattr(exercises, "trained", lambda parts, recipes, seed, text: (trained.extend(recipes), (pd.DataFrame(), {}))[1])
    assert cli.main(["exercise"]) == 0
    assert trained == exercises.chosen([])
