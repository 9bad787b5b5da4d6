"""The parts of the documentation that are made from the code, each between its marks."""

from collections.abc import Callable

from tests.documents import ROOT, page
from tests.reference_pages.commands import commands_part, make_table
from tests.reference_pages.python_api import python_part
from tests.reference_pages.recipes import recipes_part
from tests.reference_pages.rest_api import rest_part
from tests.reference_pages.rooms import error_tree, rooms_table
from tests.reference_pages.settings import settings_part
from tests.reference_pages.stored_tables import files_part, stored_part
from tests.reference_pages.study_pictures import study_picture

#: What makes a part, by its page and its name there.
PARTS: dict[tuple[str, str], Callable[[], str]] = {
    ("docs/reference/commands.md", "commands"): commands_part,
    ("docs/reference/commands.md", "make"): make_table,
    ("docs/reference/settings.md", "settings"): settings_part,
    ("docs/reference/recipes.md", "recipes"): recipes_part,
    ("docs/reference/tables.md", "stored"): stored_part,
    ("docs/reference/tables.md", "files"): files_part,
    ("docs/reference/python.md", "python"): python_part,
    ("docs/reference/rest.md", "rest"): rest_part,
    ("docs/reference/error-messages.md", "errors"): error_tree,
    ("docs/explanation/architecture.md", "rooms"): rooms_table,
}

#: What draws a picture, by its file and the page that has its figures.
PICTURES = {
    f"docs/pictures/{study}.svg": f"docs/results/{study}.md"
    for study in ("fastnu", "aungiers", "weng", "sezer")
}


def with_part(text: str, name: str, part: str) -> str:
    """Return a page's text with another part between the marks of that name."""
    begin, end = f"<!-- {name} -->", "<!-- end -->"
    before, found, after = text.partition(begin)
    assert found and end in after, f"a page should have the marks {begin} and {end}"
    return f"{before}{begin}\n\n{part}\n\n{end}{after.partition(end)[2]}"


def write() -> None:
    """Write each part into its page, and the pictures."""
    for (name, part), make in PARTS.items():
        (ROOT / name).write_text(with_part(page(name), part, make()), encoding="utf-8")
    for file, name in PICTURES.items():
        (ROOT / file).write_text(study_picture(name), encoding="utf-8")
