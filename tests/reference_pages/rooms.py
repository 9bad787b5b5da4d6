"""The rooms of the code, and the tree of its errors."""

import ast

from tests.documents import ROOT, page
from tests.reference_pages.markdown import table
from tests.test_architecture import ROOMS


def rooms_table() -> str:
    rows = [f"| {_place(room)} | {_purpose(room)} |" for room in ROOMS]
    return table("| room | what it is for |", rows)


def error_tree() -> str:
    tree = _docstring("pipeline/errors.py").partition("\n\n")[2].partition("\n\n")[0]
    return "```text\n" + "\n".join(line[4:] for line in tree.splitlines()) + "\n```"


def _place(room: str) -> str:
    return {"words": "`pipeline/*.py`", "parts": "`parts.py`"}.get(room, f"`{room}/`")


def _purpose(room: str) -> str:
    if room == "words":
        return "what every room speaks of"
    package = f"pipeline/{room}/__init__.py"
    file = package if (ROOT / package).exists() else f"pipeline/{room}.py"
    first = _docstring(file).splitlines()[0].rstrip(".")
    return first.partition(": ")[2] or first


def _docstring(file: str) -> str:
    return ast.get_docstring(ast.parse(page(file))) or ""
