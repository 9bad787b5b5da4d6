"""`exercise` on the command line: a mistake is one line, and what succeeded is printed."""

import shlex

import pandas as pd
import pytest

from pipeline.models import RECIPES
from pipeline.research import ExerciseReport, exercise_recipes


@pytest.fixture
def call(tmp_path, capsys, monkeypatch):
    """Return a function that runs a command line; it returns code, output and errors."""
    from pipeline.cli import main

    monkeypatch.setenv("STOCKCAST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STOCKCAST_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("STOCKCAST_STORE_URL", f"sqlite:///{tmp_path}/store.db")
    (tmp_path / "short.txt").write_text("abcde")

    def run(line):
        code = main(shlex.split(line.format(tmp=tmp_path)))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("--recipe default", 2, "`stockcast run --recipe default`"),
        ("--recipe nope", 2, "There is no recipe 'nope'"),
        ("--text {tmp}/nothing.txt", 2, "cannot be read (No such file or directory)"),
        (
            "--recipe meetup-characters --text {tmp}/short.txt",
            1,
            "The text has 5 characters; at least 210",
        ),
    ],
)
def test_a_mistake_is_one_line(call, line, code, message):
    exit_code, _, errors = call(f"exercise {line}")
    assert (exit_code, errors.count("\n")) == (code, 1)
    assert message in errors


def test_without_names_all_exercises_are_meant_whatever_the_daily_recipe_is(call, monkeypatch):
    monkeypatch.setenv("STOCKCAST_RECIPE", "default")
    trained = []

    def train_exercises(parts, recipes, seed, text=None):
        trained.extend(recipes)
        return ExerciseReport(pd.DataFrame(), {})

    monkeypatch.setattr("pipeline.research.train_exercises", train_exercises)
    assert call("exercise")[0] == 0
    assert trained == exercise_recipes(RECIPES, [])


@pytest.mark.slow
def test_the_command_prints_rows_for_programs(call):
    code, output, _ = call("exercise --recipe statquest-unit --seed 3 --format csv")
    assert code == 0
    [header, row] = output.splitlines()
    assert header == (
        "recipe,exercise,measure,test,naive,ratio,right,naive_right,naive_is,weights,seconds"
    )
    assert row.startswith("statquest-unit,companies,MSE,")


@pytest.mark.slow
def test_what_succeeded_is_printed_also_where_another_fails(call):
    names = "statquest-unit,meetup-characters"
    code, output, errors = call(f"exercise --recipe {names} --text {{tmp}}/short.txt --format csv")
    assert code == 1
    assert [row.split(",")[0] for row in output.splitlines()] == ["recipe", "statquest-unit"]
    assert "The text has 5 characters" in errors
