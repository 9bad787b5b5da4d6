"""The rooms of the code, and the tree of its errors."""

import ast

from tests.reference_pages.markdown import table
from tests.test_architecture import ROOMS, modules


def rooms_table() -> str:
    rows = [f"| {_place(room)} | {_purpose(room)} |" for room in ROOMS]
    return table("| room | what it is for |", rows)


def error_tree() -> str:
    text = ast.get_docstring(modules()["pipeline.errors"]) or ""
    tree = text.partition("\n\n")[2].partition("\n\n")[0]
    return "```text\n" + "\n".join(line[4:] for line in tree.splitlines()) + "\n```"


def _place(room: str) -> str:
    return {"words": "`pipeline/*.py`", "parts": "`parts.py`"}.get(room, f"`{room}/`")


def _purpose(room: str) -> str:
    if room == "words":
        return "what every room speaks of"
    docstring = ast.get_docstring(modules()[f"pipeline.{room}"]) or ""
    first = docstring.splitlines()[0].rstrip(".")
    return first.partition(": ")[2] or first
