"""The documentation keeps up: every command, recipe, universe and file it should mention, and no file that is not there."""

import argparse
import dataclasses
import datetime as dt
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.models import DEFAULT, find_recipe
from pipeline.scheduling import __main__ as scheduling
from pipeline.settings import PREFIX, Settings
from pipeline.universes import Universe, load_universes
from tests.test_architecture import RINGS

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


# Tables that the code makes. A test that fails prints the one that the README should have.


def settings_table() -> str:
    rows = []
    for field in dataclasses.fields(Settings):
        default = "" if field.default in ("", None) else f"`{field.default}`"
        rows.append(f"| `{PREFIX}{field.name.upper()}` | {default} | {field.metadata['help']} |")
    return _table("| variable | default | what it is |", rows)


def stockcast_table() -> str:
    common = {field.name for field in dataclasses.fields(Settings)} | {"help", "debug"}
    return _table("| command | what it does | its own flags |", _command_rows(cli.parser(), common))


def scheduling_table() -> str:
    return _table("| command | what it does | its flags |", _command_rows(scheduling._parser(), {"help"}))


def make_table() -> str:
    told = re.findall(r"^([a-z-]+):.*## (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return _table("| command | what it does |", [f"| `make {target}` | {_with_code(about)} |" for target, about in told])


#: What a ring is for, and what it may import besides the rings before it.
ABOUT_RINGS = {
    1: ("words: what everybody speaks", "numpy, pandas, a calendar"),
    2: ("thought: everything that decides; no clock, no network, no disk", ""),
    3: ("parts: what touches the world; the recipes", "one outside library each"),
    4: ("the whole: the day, told in order, and the command line", ""),
    5: ("schedule: the border to Airflow", "Airflow"),
}


def rings_table() -> str:
    rows = []
    for ring, (about, imports) in ABOUT_RINGS.items():
        modules = [f"`{name}`" for name in RINGS[ring] if not name.startswith("__")]
        rows.append(f"| {ring} | {about} | {', '.join(modules)} | {imports} |")
    return _table("| ring | what it is for | modules of `pipeline/` | also imports |", rows)


TABLES = {
    "settings": settings_table,
    "stockcast": stockcast_table,
    "scheduling": scheduling_table,
    "make": make_table,
    "rings": rings_table,
}


def _table(head: str, rows: list[str]) -> str:
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *rows])


def _command_rows(parser: argparse.ArgumentParser, common: set[str]) -> list[str]:
    return [
        f"| `{name}` | {told[0].upper()}{told[1:]} | {', '.join(_flags(command, common))} |"
        for name, told, command in _commands(parser)
    ]


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Name, one line, and parser of every command."""
    [subparsers] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for choice in subparsers._choices_actions:
        name = choice.dest.split(" ")[0]
        yield name, choice.help, subparsers.choices[name]


def _flags(command: argparse.ArgumentParser, common: set[str]) -> Iterator[str]:
    # What a command cannot do without comes first.
    for action in sorted(command._actions, key=lambda action: not action.required):
        if action.dest in common:
            continue
        value = action.metavar or ("{" + ",".join(action.choices) + "}" if action.choices else "")
        if action.nargs == argparse.REMAINDER:
            yield "`...`"
        elif action.option_strings:
            yield f"`{action.option_strings[-1]}{' ' if value else ''}{value}`" + (" (required)" if action.required else "")
        else:
            yield f"`{value}`"


def _with_code(told: str) -> str:
    """A line of the Makefile, with its examples marked as such."""
    return re.sub(r"make \w+ \[.*", lambda example: f"`{example[0]}`", told)


@pytest.mark.parametrize("name", TABLES)
def test_the_readme_has_the_table_that_the_code_makes(name):
    table = TABLES[name]()
    assert table in README, f"README.md should have this table:\n\n{table}\n"


def test_every_flag_and_command_says_what_it_is():
    silent = [
        f"{parser.prog} {name} {action.dest}"
        for parser in (cli.parser(), scheduling._parser())
        for name, told, command in _commands(parser)
        for action in command._actions
        if not (told and action.help)
    ]
    assert silent == []


def test_links_lead_to_headings_and_the_contents_to_every_how_to():
    linked = re.findall(r"\]\(#([\w-]+)\)", README)
    assert [link for link in linked if link not in map(_anchor, _headings())] == []
    contents = README.partition("**Contents**")[2].partition("\n## ")[0]
    wanted = [title for title in _headings() if title.startswith("How to ")]
    assert wanted and [title for title in wanted if f"(#{_anchor(title)})" not in contents] == []


def _anchor(title: str) -> str:
    """What a page of Markdown calls a heading in its links."""
    return re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")


def _headings() -> list[str]:
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^##+ (.*)$", prose, re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "benchmarks/README.md"])
def test_files_that_a_page_links_to_or_shows_are_there(page):
    linked = re.findall(r"\]\(([^)#\s]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    local = [link for link in linked if "://" not in link]
    assert [link for link in local if not ((ROOT / page).parent / link).is_file()] == []
    assert page != "README.md" or sum(link.startswith("benchmarks/pictures/") for link in local) >= 6


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


def test_the_readme_knows_how_much_history_a_network_needs():
    spec = DEFAULT.spec("IBM", dt.date(2013, 3, 1), "close", Universe("any", "sample", ("IBM",)).horizon)
    assert f"Enough are {spec.needed_sessions} sessions" in README.replace("\n", " ")


def test_commands_in_the_readme_parse():
    lines = re.findall(r"^stockcast (.*?)(?:  +#.*)?$", README, re.MULTILINE) + re.findall(r"\| `stockcast ([^`]*)`", README)
    assert lines
    for line in lines:
        cli.parser().parse_args(line.split())
