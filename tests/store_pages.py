"""The pages about building on the store, as their tests read them."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
BUILD, VIEWS_PAGE = DOCS / "how-to/build-on-the-store.md", DOCS / "reference/views.md"


def block_of(page: Path, language: str, words: str) -> str:
    """Return the block of a page that has these words."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    [found] = [block for block in blocks if words in block]
    return found
