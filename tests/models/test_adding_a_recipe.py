"""The guide's steps for adding a recipe, followed on a copy of the project that lacks it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT, page
from tests.made_prices import LAST, random_walk

GUIDE = page("docs/how-to/add-a-recipe.md")
RECIPE, LISTING = "pipeline/models/literature/castilla.py", "pipeline/models/registry.py"
#: Recipes in a file of its own, made from a shipped one.
ANOTHER = '''
"""P. Castilla's network on a week of closes."""

from dataclasses import replace

from pipeline.models.literature.castilla import CASTILLA
from pipeline.windows import Windowing

WEEK = replace(CASTILLA, name="castilla-week", summary="Sees five closes.", window=Windowing(5))
RECIPES = (WEEK,)
'''


def copied(folders: list[str], target: Path) -> None:
    """Copy folders with what is compiled of them, which spares the copy's processes seconds."""
    for folder in folders:
        shutil.copytree(ROOT / folder, target / folder)


def replace_in(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def without(tmp_path: Path, mlflow_database: Path) -> Path:
    """A copy of the project without the recipe that the guide adds."""
    copied(["pipeline", "expectations"], tmp_path)
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    (tmp_path / RECIPE).unlink()
    replace_in(tmp_path / LISTING, '    "literature.castilla",\n', "")
    return tmp_path


def stockcast(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = [
        *("--home", f"{project}/home"),
        *("--store-url", f"sqlite:///{project}/store.db"),
        *("--tracking-uri", f"sqlite:///{project}/mlflow.db"),
    ]
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments, *places],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_one_file_and_one_line_make_a_recipe_that_is_listed_trained_and_measured(without):
    missing = stockcast(without, "recipes", "--recipe", "castilla")
    assert (missing.returncode, "There is no recipe 'castilla'" in missing.stderr) == (2, True)

    file, line = re.findall(r"^```python\n(.*?)^```", GUIDE, re.S | re.M)
    (without / RECIPE).write_text(file, encoding="utf-8")
    replace_in(without / LISTING, "FILES = (\n", f"FILES = (\n{line}")

    listed = stockcast(without, "recipes", "--recipe", "castilla").stdout
    assert "LSTM(50)" in listed and "castilla.faithful" in listed
    # On a short history: the shipped one would be trained on for a minute.
    (without / "prices").mkdir()
    random_walk(3, 900).to_csv(without / "prices" / "IBM.csv", index=False)
    files = ("--source", "csv", "--data", f"{without}/prices", "--session", str(LAST))
    asked = ("--recipe", "castilla", "--tickers", "IBM", "--horizon", "1")
    run = stockcast(without, "run", *asked, *files)
    assert run.returncode == 0, run.stderr
    measured = r"evaluate +IBM +test RMSE [\d.]+, naive [\d.]+, default recipe [\d.]+"
    assert re.search(measured, run.stdout)


@pytest.mark.slow
def test_one_more_recipe_keeps_the_projects_tests_green(tmp_path):
    copied(["pipeline", "expectations", "tests", "benchmarks", "docker", "docs"], tmp_path)
    for file in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "pipeline/models/literature/another.py").write_text(ANOTHER, encoding="utf-8")
    replace_in(tmp_path / LISTING, "FILES = (\n", 'FILES = (\n    "literature.another",\n')
    tests = ["tests/models/test_recipes.py", "tests/models/test_registry.py"]
    tests += ["tests/models/test_literature.py", "tests/test_docs.py"]
    # What trains is left to the project's own run of these tests.
    chosen = [*tests, "-m", "not slow"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-vv", *chosen],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "[castilla-week]" in done.stdout and "[castilla-week.faithful]" in done.stdout


def test_the_guide_shows_the_recipe_as_it_is():
    recipe = (ROOT / RECIPE).read_text(encoding="utf-8")
    assert f"```python\n{recipe}```" in GUIDE
