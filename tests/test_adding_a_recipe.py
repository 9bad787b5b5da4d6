"""The README's steps for adding a recipe, followed on a copy of the project that does not have it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def without(tmp_path: Path) -> Path:
    """A copy of the project without the recipe that the README adds."""
    for folder in ("pipeline", "expectations"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pipeline" / "models" / "castilla.py").unlink()
    listing = tmp_path / "pipeline" / "models" / "__init__.py"
    listing.write_text(listing.read_text(encoding="utf-8").replace('    "castilla",\n', ""), encoding="utf-8")
    return tmp_path


def stockcast(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    home = project / "home"
    places = ["--home", home, "--store-url", f"sqlite:///{project}/store.db", "--tracking-uri", f"sqlite:///{project}/mlflow.db"]
    environment = {**os.environ, "PYTHONPATH": str(project)}
    command = [sys.executable, "-m", "pipeline", *arguments, *map(str, places)]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_one_file_and_one_line_make_a_recipe_that_is_listed_trained_and_measured(without):
    missing = stockcast(without, "recipes", "--recipe", "castilla")
    assert (missing.returncode, "There is no recipe 'castilla'" in missing.stderr) == (2, True)

    section = re.search(r"^### How to add a recipe$(.*?)^### ", (ROOT / "README.md").read_text(encoding="utf-8"), re.S | re.M)[1]
    file, line = re.findall(r"^```python\n(.*?)^```", section, re.S | re.M)
    (without / "pipeline" / "models" / "castilla.py").write_text(file, encoding="utf-8")
    listing = without / "pipeline" / "models" / "__init__.py"
    listing.write_text(listing.read_text(encoding="utf-8").replace("FILES = (\n", f"FILES = (\n{line}"), encoding="utf-8")

    told = stockcast(without, "recipes", "--recipe", "castilla").stdout
    assert "LSTM(50)" in told and "castilla.faithful" in told
    run = stockcast(without, "run", "--recipe", "castilla", "--tickers", "IBM", "--horizon", "1")
    assert run.returncode == 0, run.stderr
    assert re.search(r"evaluate +IBM +test RMSE [\d.]+, naive [\d.]+, default recipe [\d.]+", run.stdout)


ANOTHER = '''
"""P. Castilla's network on a week of closes."""

from dataclasses import replace

from pipeline.models.castilla import CASTILLA
from pipeline.spec import Windowing

RECIPES = (replace(CASTILLA, name="castilla-week", summary="Sees five closes.", window=Windowing(5)),)
'''


@pytest.mark.slow
def test_one_more_recipe_keeps_the_projects_tests_green(tmp_path):
    for folder in ("pipeline", "expectations", "tests", "benchmarks", "docker"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("README.md", "Makefile", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "pipeline" / "models" / "another.py").write_text(ANOTHER, encoding="utf-8")
    listing = tmp_path / "pipeline" / "models" / "__init__.py"
    listing.write_text(listing.read_text(encoding="utf-8").replace("FILES = (\n", 'FILES = (\n    "another",\n'), encoding="utf-8")
    # What needs TensorFlow is left to the project's own run of these tests.
    chosen = ["tests/models/test_recipes.py", "tests/test_docs.py", "-m", "not slow", "-k", "not network and not moving"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-vv", *chosen]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "[castilla-week]" in done.stdout and "[castilla-week.faithful]" in done.stdout


def test_the_readme_shows_the_recipe_as_it_is():
    assert f"```python\n{(ROOT / 'pipeline/models/castilla.py').read_text(encoding='utf-8')}```" in (ROOT / "README.md").read_text(
        encoding="utf-8"
    )
