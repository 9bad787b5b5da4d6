"""The parts of the documentation that are made from the code.

    python -m tests.reference

writes each between its marks, `<!-- commands -->` and `<!-- end -->`; `test_docs.py` holds them.
"""

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.cli.commands import COMMANDS
from pipeline.settings import PREFIX, SETTING_GROUPS, Settings
from tests.documents import ROOT, page
from tests.test_architecture import ROOMS, modules


def settings_table() -> str:
    rows = []
    for group, names in SETTING_GROUPS.items():
        rows.append(f"| **{group}** |  |  |")
        for name in names:
            field = Settings.model_fields[name]
            default = "" if field.default in ("", None) else f"`{field.default}`"
            rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {field.description} |")
    return _table("| variable | default | what it is |", rows)


def commands_table() -> str:
    rows, panel = [], ""
    for name, command in COMMANDS.items():
        if command.hidden:
            continue
        if command.panel != panel:
            panel = command.panel
            rows.append(f"| **{panel}** |  |  |")
        rows.append(f"| `{name}` | {command.help} | {', '.join(_own_flags(name))} |")
    return _table("| command | what it does | its own flags |", rows)


def make_table() -> str:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):.*## (.*)$", makefile, re.MULTILINE)
    rows = [f"| `make {target}` | {_with_code(text)} |" for target, text in targets]
    return _table("| command | what it does |", rows)


def rooms_table() -> str:
    rows = [f"| {_place(room)} | {_purpose(room)} |" for room in ROOMS]
    return _table("| room | what it is for |", rows)


#: What makes a part, by its page and its name there.
PARTS: dict[tuple[str, str], Callable[[], str]] = {
    ("docs/reference/settings.md", "settings"): settings_table,
    ("docs/reference/commands.md", "commands"): commands_table,
    ("docs/reference/commands.md", "make"): make_table,
    ("docs/explanation/architecture.md", "rooms"): rooms_table,
}


def with_part(text: str, name: str, part: str) -> str:
    """Return a page's text with another part between the marks of that name."""
    begin, end = f"<!-- {name} -->", "<!-- end -->"
    before, found, after = text.partition(begin)
    assert found and end in after, f"a page should have the marks {begin} and {end}"
    return f"{before}{begin}\n\n{part}\n\n{end}{after.partition(end)[2]}"


def main() -> None:
    for (name, part), make in PARTS.items():
        (ROOT / name).write_text(with_part(page(name), part, make()), encoding="utf-8")


def own_parameters(name: str) -> list[Any]:
    """Return the parameters of a command that are no settings."""
    common = {*Settings.model_fields, "debug", "help"}
    return [each for each in COMMANDS[name].load(name).params if each.name not in common]


def _own_flags(name: str) -> Iterator[str]:
    # What a command cannot do without comes first.
    for parameter in sorted(own_parameters(name), key=lambda each: not each.required):
        choices = parameter.type_descriptor.choices
        value = "{" + ",".join(choices) + "}" if choices else parameter.metavar or ""
        if parameter.param_type_name == "argument":
            yield f"`{value}`"
        else:
            is_flag = parameter.type_descriptor.annotation is bool
            text = parameter.opts[0] if is_flag else f"{parameter.opts[0]} {value or 'N'}"
            yield f"`{text}`" + (" (required)" if parameter.required else "")


def _place(room: str) -> str:
    return {"words": "`pipeline/*.py`", "parts": "`parts.py`"}.get(room, f"`{room}/`")


def _purpose(room: str) -> str:
    if room == "words":
        return "what every room speaks of"
    docstring = ast.get_docstring(modules()[f"pipeline.{room}"]) or ""
    first = docstring.splitlines()[0].rstrip(".")
    return first.partition(": ")[2] or first


def _table(head: str, rows: list[str]) -> str:
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *rows])


def _with_code(text: str) -> str:
    """Return a line of the Makefile, with its examples marked as such."""
    return re.sub(r"make \w+ \[.*", lambda example: f"`{example[0]}`", text)


if __name__ == "__main__":
    main()
