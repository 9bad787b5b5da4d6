"""Tables of Markdown, and docstrings as Markdown."""

import re
from collections.abc import Iterable

#: Sections of a Google docstring, and what the page calls them.
SECTIONS = {"Args": "Arguments", "Attributes": "Attributes", "Returns": "Returns"}
SECTIONS |= {"Raises": "Raises", "Yields": "Yields", "Example": "Example", "Examples": "Example"}


def table(head: str, rows: Iterable[str]) -> str:
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *rows])


def cell(text: str) -> str:
    """Return text that may stand in a table."""
    return " ".join(text.split()).replace("|", "\\|")


def docstring(text: str) -> str:
    """Return a docstring's paragraphs and sections as Markdown."""
    parts = re.split(r"^(\w+):\n(?=    )", text.strip(), flags=re.MULTILINE)
    blocks = [_prose(parts[0])]
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        blocks.append(f"**{SECTIONS.get(name, name)}**\n\n{_section(body)}")
    return "\n\n".join(block for block in blocks if block)


def _section(body: str) -> str:
    lines = [line.removeprefix("    ") for line in body.rstrip().split("\n")]
    entries = re.split(r"^([\w*, ]+): ", "\n".join(lines), flags=re.MULTILINE)
    if len(entries) == 1:
        return _prose("\n".join(lines))
    pairs = zip(entries[1::2], entries[2::2], strict=True)
    return "\n".join(f"- `{name}`: {' '.join(text.split())}" for name, text in pairs)


def _prose(text: str) -> str:
    """Return paragraphs, each on a line; indented ones are code."""
    blocks = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        if paragraph.startswith("    "):
            code = "\n".join(line.removeprefix("    ") for line in paragraph.split("\n"))
            blocks.append(f"```text\n{code}\n```")
        elif paragraph.strip():
            blocks.append(" ".join(paragraph.split()))
    return "\n\n".join(blocks)
