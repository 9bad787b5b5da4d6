"""The documentation keeps up: every command, recipe, universe and file that it should mention."""

import datetime as dt
import re
from importlib import import_module

import pytest

from pipeline.cli.commands import COMMANDS, find_command
from pipeline.models import DEFAULT, RECIPES
from pipeline.universes import Universe, load_universes
from tests.readme_tables import ROOT, TABLES, own_parameters

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ["README.md", "benchmarks/README.md"]
#: The files whose recipes the README's table must show. A recipe of your own needs no row.
SHOWN_FILES = [
    *(f"literature.{source}" for source in ("weng", "sezer", "fastnu", "yadav", "castilla")),
    *(f"literature.{source}" for source in ("ganegedara", "walia", "aungiers")),
    *(f"toys.{source}" for source in ("statquest", "aungiers_sine", "meetup")),
]


@pytest.mark.parametrize("name", TABLES)
def test_the_readme_has_the_table_that_the_code_makes(name):
    table = TABLES[name]()
    assert table in README, f"README.md should have this table:\n\n{table}\n"


def test_every_flag_and_command_has_a_help_text():
    silent = [
        f"{name} {parameter.name}"
        for name, command in COMMANDS.items()
        for parameter in own_parameters(name)
        if not (command.help.endswith(".") and parameter.help)
    ]
    assert silent == []


def test_links_lead_to_headings_and_the_contents_to_every_how_to():
    linked = re.findall(r"\]\(#([\w-]+)\)", README)
    assert [link for link in linked if link not in map(_anchor, _headings())] == []
    contents = README.partition("**Contents**")[2].partition("\n## ")[0]
    wanted = [title for title in _headings() if title.startswith("How to ")]
    assert wanted and [title for title in wanted if f"(#{_anchor(title)})" not in contents] == []


def _anchor(title: str) -> str:
    """Return what a page of Markdown calls a heading in its links."""
    return re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")


def _headings() -> list[str]:
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^##+ (.*)$", prose, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_links_to_or_shows_are_there(page):
    linked = re.findall(r"\]\(([^)#\s]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    local = [link for link in linked if "://" not in link]
    assert [link for link in local if not ((ROOT / page).parent / link).is_file()] == []
    pictures = sum(link.startswith("benchmarks/pictures/") for link in local)
    assert page != "README.md" or pictures >= 6


def test_the_readme_names_every_universe():
    assert [name for name in load_universes() if name not in README] == []


def test_the_readmes_table_of_recipes_shows_all_of_the_shipped_files_and_no_others():
    table = re.search(r"^\| recipe \| source \|.*\n((?:\|.*\n)+)", README, re.MULTILINE)[1]
    named = {
        name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    }
    assert named <= {recipe.name for recipe in RECIPES}
    files = [import_module(f"pipeline.models.{file}") for file in SHOWN_FILES]
    shipped = {recipe.name for file in files for recipe in file.RECIPES}
    assert shipped | {DEFAULT.name} == named


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    folders = "pipeline|dags|expectations|tests|docker|benchmarks"
    named = set(re.findall(rf"`((?:{folders})/[\w./-]+)`", text))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_no_placeholder_is_left(page):
    assert re.findall(r"@@\w*|TODO|FIXME|XXX", (ROOT / page).read_text(encoding="utf-8")) == []


def test_the_readme_knows_how_much_history_a_network_needs():
    universe = Universe("any", "sample", ("IBM",))
    spec = DEFAULT.spec("IBM", dt.date(2013, 3, 1), "close", universe.horizon)
    assert f"Enough are {spec.needed_sessions} sessions" in README.replace("\n", " ")


def test_commands_in_the_readme_parse():
    lines = re.findall(r"^stockcast (.*?)(?:  +#.*)?$", README, re.MULTILINE)
    lines += re.findall(r"\| `stockcast ([^`]*)`", README)
    assert lines
    for line in lines:
        name, *arguments = line.split()
        assert find_command(name).make_context(name, arguments).params
