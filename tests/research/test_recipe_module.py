"""A recipe that is written as a Python module is read again as it was."""

import ast
import dataclasses
import datetime as dt
import importlib.util
import subprocess
import sys

import pytest

from pipeline.models import DEFAULT, RECIPES
from pipeline.research.recipe_module import recipe_module
from pipeline.research.search_spaces import tunable

NOTES = ["A first line.", "Another."]
LONG = "A source with so many words that they do not fit into one line of the module, " * 3


def read(path, text):
    """Write the source of a module, import it and return the module."""
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("written", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_device_that_it_was_trained_on_is_left_out():
    on_gpu = dataclasses.replace(DEFAULT, device="gpu")
    assert recipe_module(on_gpu, NOTES) == recipe_module(DEFAULT, NOTES)


def test_every_recipe_that_can_be_tuned_can_be_written_and_read_again(tmp_path):
    for name in tunable():
        recipe = RECIPES.for_price(name)
        text = recipe_module(recipe, NOTES)
        assert (recipe,) == read(tmp_path / "written.py", text).RECIPES
        tree = ast.parse(text)
        assert tree.body[1].module == "__future__"
        # The first line is the recipe's summary.
        assert max(map(len, text.splitlines()[1:])) <= 100


def test_a_module_imports_as_the_recipes_of_this_program_do(tmp_path):
    tested = dt.date(2013, 1, 2), dt.date(2013, 12, 31)
    text = recipe_module(dataclasses.replace(DEFAULT, tested=tested), NOTES)
    lines = [line for line in text.splitlines() if line.startswith(("from ", "import "))]
    assert lines == [
        "from __future__ import annotations",
        "import datetime as dt",
        "from pipeline.models.default import AnchoredQuantiles",
        "from pipeline.models.optimisation import Constant, Optimiser, Pinball",
        "from pipeline.models.recipe import FineTuning, OnePass, PriceRecipe",
        "from pipeline.windows import ByHar, Newest, Split, Windowing",
    ]
    assert read(tmp_path / "written.py", text).DEFAULT.tested == tested


def test_a_module_is_formatted_as_ruff_would(tmp_path):
    recipe = dataclasses.replace(DEFAULT, summary="Short.", published={"IBM": 1.5})
    path = tmp_path / "written.py"
    path.write_text(recipe_module(recipe, NOTES), encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--line-length", "100", str(path)]
    for command in (["format", "--check"], ["check", "--select", "E,F,W,I"]):
        done = subprocess.run([*ruff, *command, *options], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_long_text_is_written_over_several_lines(tmp_path):
    recipe = dataclasses.replace(DEFAULT, source=LONG, summary='It says """quoted""" \\ here.')
    text = recipe_module(recipe, NOTES)
    [written] = read(tmp_path / "written.py", text).RECIPES
    assert (written.source, written.summary) == (LONG, recipe.summary)
    assert max(map(len, text.splitlines())) <= 100


def test_a_value_that_cannot_be_written_is_refused():
    with pytest.raises(TypeError, match="plain values and dataclasses"):
        recipe_module(dataclasses.replace(DEFAULT, network=object()), NOTES)
