"""A recipe as the source of a Python module, as the files of `models/literature` define theirs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.models import CPU, Recipe

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: Columns of the widest line.
MODULE_WIDTH = 100
INDENT = " " * 4
#: A room with classes that other rooms import from its face.
FACE = "pipeline.windows"


def identifier(name: str) -> str:
    """Return a recipe's name as Python can use it."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def recipe_module(recipe: Recipe, notes: Sequence[str]) -> str:
    """Return the source of a module that defines a recipe.

    Args:
        notes: paragraphs on where it comes from, for the module's docstring.

    Raises:
        TypeError: the recipe is not made of plain values and dataclasses.
    """
    recipe = dataclasses.replace(recipe, device=CPU)  # each deployment sets its own
    constant = identifier(recipe.name).upper()
    classes = set(_classes(recipe))
    head = _docstring(recipe.summary, notes)
    dates = ["import datetime as dt", ""] if dt.date in classes else []
    lines = [
        head,
        "",
        "from __future__ import annotations",
        "",
        *dates,
        *_imports(classes - {dt.date}),
        "",
        f"{constant} = {_in_lines(recipe, '')}",
        "",
        f"RECIPES = ({constant},)",
        "",
    ]
    return "\n".join(lines)


def _docstring(summary: str, notes: Iterable[str]) -> str:
    text = "\n".join(
        textwrap.fill(note, MODULE_WIDTH, break_long_words=False, break_on_hyphens=False)
        for note in notes
    )
    escaped = f"{summary}\n\n{text}\n".replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{escaped}"""'


def _imports(classes: Iterable[type]) -> list[str]:
    """Return one import statement per module, sorted."""
    by_module: dict[str, list[str]] = {}
    for kind in classes:
        home = FACE if kind.__module__.startswith(f"{FACE}.") else kind.__module__
        by_module.setdefault(home, []).append(kind.__name__)
    statements = []
    for module, names in sorted(by_module.items()):
        line = f"from {module} import {', '.join(sorted(names))}"
        if len(line) > MODULE_WIDTH:
            rows = [f"{INDENT}{name}," for name in sorted(names)]
            line = "\n".join([f"from {module} import (", *rows, ")"])
        statements.append(line)
    return statements


def _classes(value: object) -> Iterator[type]:
    """Yield the classes that the code of a value names."""
    if isinstance(value, dt.date):
        yield dt.date
        return
    if dataclasses.is_dataclass(value):
        yield type(value)
    for _, part in _parts(value):
        yield from _classes(part)


def _parts(value: object) -> list[tuple[str, object]]:
    """Return the parts of a value, each with the code before it; none of a plain value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f"{name}=", part) for name, part in _arguments(value).items()]
    if isinstance(value, Mapping):
        return [(f"{_on_one_line(key)}: ", part) for key, part in value.items()]
    return [("", part) for part in value] if isinstance(value, tuple | list) else []


def _brackets(value: object) -> tuple[str, str]:
    if dataclasses.is_dataclass(value):
        return f"{type(value).__name__}(", ")"
    if isinstance(value, Mapping):
        return "{", "}"
    return ("(", ")") if isinstance(value, tuple) else ("[", "]")


def _arguments(value: DataclassInstance) -> dict[str, object]:
    """Return a dataclass's fields that are not at their defaults."""
    arguments = {}
    for field in dataclasses.fields(value):
        given, default = getattr(value, field.name), field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if default is dataclasses.MISSING or given != default:
            arguments[field.name] = given
    return arguments


def _on_one_line(value: object) -> str:
    """Return the code of a value on one line."""
    if isinstance(value, dt.date):
        return f"dt.date({value.year}, {value.month}, {value.day})"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if not (dataclasses.is_dataclass(value) or isinstance(value, tuple | list | Mapping)):
        raise TypeError(
            "A recipe that is written out must be made of plain values and dataclasses. "
            f"Received: {value!r}."
        )
    opening, closing = _brackets(value)
    parts = [f"{name}{_on_one_line(part)}" for name, part in _parts(value)]
    comma = "," if isinstance(value, tuple) and len(parts) == 1 else ""
    return f"{opening}{', '.join(parts)}{comma}{closing}"


def _in_lines(value: object, indent: str) -> str:
    """Return the code of a value with a line for each of its parts."""
    inner = indent + INDENT
    if isinstance(value, str):
        return "\n".join(
            ["(", *(f"{inner}{piece}" for piece in _pieces(value, inner)), f"{indent})"]
        )
    opening, closing = _brackets(value)
    rows = []
    for name, part in _parts(value):
        row = f"{inner}{name}{_on_one_line(part)},"
        rows.append(row if len(row) <= MODULE_WIDTH else f"{inner}{name}{_in_lines(part, inner)},")
    return "\n".join([opening, *rows, indent + closing])


def _pieces(text: str, indent: str) -> list[str]:
    """Return string literals that are a long text together, one a line."""
    width = MODULE_WIDTH - len(indent) - len('""')
    pieces = textwrap.wrap(
        text,
        width,
        drop_whitespace=False,
        replace_whitespace=False,
        expand_tabs=False,
        break_on_hyphens=False,
    )
    return [_on_one_line(piece) for piece in pieces]
