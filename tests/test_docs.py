"""The documentation keeps up: every command, recipe, universe and file that it should mention."""

import datetime as dt
import re
from pathlib import Path

import pytest

from pipeline.cli.commands import COMMANDS, find_command
from pipeline.models import DEFAULT, RECIPES
from pipeline.universes import Universe, load_universes
from tests.documents import PAGES, ROOT, SITE, documentation, page
from tests.reference_pages.commands import own_parameters
from tests.reference_pages.parts import PARTS, PICTURES, with_part
from tests.reference_pages.recipes import shown_recipes
from tests.reference_pages.study_pictures import study_picture

#: Airflow is imported for its description.
SLOW_PARTS = ("rest",)
WITH_SPEED = [
    pytest.param(*each, marks=pytest.mark.slow if each[1] in SLOW_PARTS else ()) for each in PARTS
]


@pytest.mark.parametrize(("name", "part"), WITH_SPEED)
def test_a_page_has_the_parts_that_the_code_makes(name, part):
    fresh = with_part(page(name), part, PARTS[name, part]())
    assert page(name) == fresh, f"`python -m tests.reference_pages` writes {part} of {name} anew"


def test_every_flag_and_command_has_a_help_text():
    silent = [
        f"{name} {parameter.name}"
        for name, command in COMMANDS.items()
        for parameter in own_parameters(name)
        if not (command.help.endswith(".") and parameter.help)
    ]
    assert silent == []


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files_and_headings_that_are_there(name):
    folder = (ROOT / name).parent
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page(name))):
        target, _, anchor = link.partition("#")
        file = folder / target if target else ROOT / name
        if "://" not in link and not (file.is_file() and (not anchor or anchor in anchors(file))):
            broken.append(link)
    assert broken == []


def prose(text: str) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(file: Path) -> list[str]:
    """Return what links call the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", prose(file.read_text(encoding="utf-8")), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]


def test_the_index_of_guides_links_to_each():
    guides = {Path(name).name for name in SITE if name.startswith("docs/how-to/")} - {"index.md"}
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", page("docs/how-to/index.md")))
    assert linked == guides


def test_the_readme_is_read_in_a_minute_and_leads_to_the_pages():
    lines = page("README.md").splitlines()
    assert len(lines) <= 120
    linked = re.findall(r"\]\((docs/[^)#]+)\)", "\n".join(lines))
    kinds = {Path(name).parent for name in SITE} - {Path("docs")}
    assert {Path(name).parent for name in linked} >= kinds


def test_what_the_readme_shows_stands_in_the_pages_word_for_word():
    shown = page("README.md").partition("```text\n")[2].partition("```")[0]
    assert shown and shown in page("docs/tutorial/first-forecast.md")
    figures = re.findall(r"\d\.\d{3}|\d+\.\d%", page("README.md").partition("How good")[2])
    assert figures
    assert [each for each in figures if each not in page("docs/explanation/accuracy.md")] == []


@pytest.mark.parametrize(("file", "name"), PICTURES.items())
def test_a_picture_of_a_study_shows_the_figures_of_its_page(file, name):
    assert page(file) == study_picture(name), "`python -m tests.reference_pages` draws it anew"
    assert f"](../pictures/{Path(file).name})" in page(name)


def test_the_drawing_of_the_day_is_the_one_of_the_pages_in_airflow():
    drawn = ROOT / "pipeline/scheduling/pages/static/day.svg"
    assert (ROOT / "docs/pictures/day.svg").read_bytes() == drawn.read_bytes()


def test_every_universe_is_named():
    assert [name for name in load_universes() if name not in documentation()] == []


def test_the_table_of_recipes_shows_all_of_the_shipped_files_and_no_others():
    table = re.search(
        r"^\| recipe \| source \|.*\n((?:\|.*\n)+)", page("docs/reference/recipes.md"), re.MULTILINE
    )[1]
    named = {
        name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    }
    assert named == {recipe.name for recipe in shown_recipes()}
    assert named <= {recipe.name for recipe in RECIPES}


@pytest.mark.parametrize("name", [*SITE, "README.md", "benchmarks/README.md"])
def test_files_that_a_page_names_are_there(name):
    folders = "pipeline|dags|expectations|tests|docker|benchmarks"
    named = set(re.findall(rf"`((?:{folders})/[\w./-]+)`", page(name)))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("name", [*SITE, "README.md", "benchmarks/README.md"])
def test_no_placeholder_is_left(name):
    assert re.findall(r"@@\w*|TODO|FIXME|XXX", page(name)) == []


def test_the_guide_knows_how_much_history_a_network_needs():
    universe = Universe("any", "sample", ("IBM",))
    spec = DEFAULT.spec("IBM", dt.date(2013, 3, 1), "close", universe.horizon)
    assert f"Enough are {spec.needed_sessions} sessions" in page(
        "docs/how-to/add-a-ticker.md"
    ).replace("\n", " ")


def test_commands_in_the_pages_parse():
    lines = re.findall(r"^stockcast (.*?)(?:  +#.*)?$", documentation(), re.MULTILINE)
    lines += re.findall(r"\| `stockcast ([^`]*)`", documentation())
    assert lines
    for line in lines:
        name, *arguments = line.split()
        assert find_command(name).make_context(name, arguments).params
