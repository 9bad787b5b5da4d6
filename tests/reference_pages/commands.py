"""Commands of `stockcast` and `make` with their flags."""

import re
from collections.abc import Iterator
from typing import Any

from pipeline.cli.commands import COMMANDS
from pipeline.settings import Settings
from tests.documents import ROOT
from tests.reference_pages.markdown import cell, table


def commands_part() -> str:
    blocks, panel = [], ""
    for name, command in COMMANDS.items():
        if command.hidden:
            continue
        if command.panel != panel:
            panel = command.panel
            blocks.append(f"## {panel}")
        blocks.append(f"### {name}\n\n{command.help}")
        if rows := list(_flag_rows(name)):
            blocks.append(table("| flag | default | what it does |", rows))
    return "\n\n".join(blocks)


def make_table() -> str:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):.*## (.*)$", makefile, re.MULTILINE)
    rows = [f"| `make {target}` | {_with_code(text)} |" for target, text in targets]
    return table("| command | what it does |", rows)


def own_parameters(name: str) -> list[Any]:
    """Return the parameters of a command that are no settings."""
    common = {*Settings.model_fields, "debug", "help"}
    return [each for each in COMMANDS[name].load(name).params if each.name not in common]


def _flag_rows(name: str) -> Iterator[str]:
    # What a command cannot do without comes first.
    for parameter in sorted(own_parameters(name), key=lambda each: not each.required):
        choices = parameter.type_descriptor.choices
        value = "{" + ",".join(choices) + "}" if choices else parameter.metavar or ""
        default = "" if parameter.default in (None, False) else f"`{parameter.default}`"
        if parameter.param_type_name == "argument":
            flag = value
        else:
            is_flag = parameter.type_descriptor.annotation is bool
            flag = parameter.opts[0] if is_flag else f"{parameter.opts[0]} {value or 'N'}"
        required = "required" if parameter.required else default
        yield f"| `{flag}` | {required} | {cell(parameter.help)} |"


def _with_code(text: str) -> str:
    """Return a line of the Makefile, with its examples marked as such."""
    return re.sub(r"make \w+ \[.*", lambda example: f"`{example[0]}`", text)
