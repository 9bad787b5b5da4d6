"""A hook of MkDocs: the pages in the order in which each folder's index links to them."""

import re
from pathlib import Path
from typing import Any

SECTIONS = {
    "tutorial": "Tutorial",
    "how-to": "How to",
    "reference": "Reference",
    "results": "Results",
    "explanation": "Explanation",
}


def on_files(files: Any, config: Any) -> None:
    """Set the navigation; a page that no index links to comes last in its folder."""
    docs = Path(config["docs_dir"])
    sections = [{title: section(docs, folder)} for folder, title in SECTIONS.items()]
    config["nav"] = [{"Start": "index.md"}, *sections]


def section(docs: Path, folder: str) -> list[Any]:
    """Return the pages of a folder, below the headings of its index."""
    text = (docs / folder / "index.md").read_text(encoding="utf-8")
    first, *others = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    parts: list[Any] = [f"{folder}/index.md", *linked(first, folder)]
    groups = zip(others[::2], others[1::2], strict=True)
    parts += [{heading: linked(below, folder)} for heading, below in groups]
    return parts + sorted(pages(docs, folder) - set(linked(text, folder)) - {parts[0]})


def linked(text: str, folder: str) -> list[str]:
    """Return the pages of its own folder that a text links to, each once."""
    names = re.findall(r"\]\(([\w-]+\.md)\)", text)
    return [f"{folder}/{name}" for name in dict.fromkeys(names)]


def pages(docs: Path, folder: str) -> set[str]:
    return {f"{folder}/{path.name}" for path in (docs / folder).glob("*.md")}
