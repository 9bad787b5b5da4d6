"""The documentation keeps up: every command, recipe, universe and file it should mention, and no file that is not there."""

import argparse
import re
from importlib import import_module
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.models import find_recipe
from pipeline.universes import load_universes

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


#: Files of `pipeline/models` whose recipes the README's table must show. A recipe of your own needs no row.
SHOWN = (
    "default",
    "weng",
    "sezer",
    "fastnu",
    "yadav",
    "castilla",
    "ganegedara",
    "walia",
    "aungiers",
    "statquest",
    "aungiers_sine",
    "meetup",
)


def commands():
    [subparsers] = [action for action in cli.parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return [choice.dest for choice in subparsers._choices_actions]


def test_the_readme_names_every_command():
    missing = [
        name for name in (command.split(" ")[0] for command in commands()) if not re.search(rf"`(?:stockcast )?{name}\b", README)
    ]
    assert missing == []


def test_the_readme_names_every_universe():
    assert [name for name in load_universes() if name not in README] == []


def test_the_readmes_table_of_recipes_shows_all_of_the_shipped_files_and_none_that_is_not_there():
    table = re.search(r"^\| recipe \| source \|.*\n((?:\|.*\n)+)", README, re.MULTILINE)[1]
    named = {name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    assert [name for name in named if find_recipe(name).name != name] == []
    files = [import_module(f"pipeline.models.{file}") for file in SHOWN]
    shipped = {recipe.name for file in files for recipe in getattr(file, "RECIPES", (getattr(file, "DEFAULT", None),))}
    assert shipped - named == set()


@pytest.mark.parametrize("page", ["README.md", "benchmarks/README.md"])
def test_files_that_a_page_names_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:pipeline|dags|expectations|tests|docker|benchmarks)/[\w./-]+)`", text))
    below_pipeline = {f"pipeline/{name}" for name in re.findall(r"`((?:prices|models|scheduling)/\w+\.py)`", text)}
    assert [name for name in sorted(named | below_pipeline) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", ["README.md", "benchmarks/README.md"])
def test_no_placeholder_is_left(page):
    assert re.findall(r"@@\w*|TODO|FIXME|XXX", (ROOT / page).read_text(encoding="utf-8")) == []


def test_commands_in_the_readme_parse():
    lines = re.findall(r"^stockcast (.*?)(?:  +#.*)?$", README, re.MULTILINE) + re.findall(r"\| `stockcast ([^`]*)`", README)
    assert lines
    for line in lines:
        cli.parser().parse_args(line.split())
