"""The pages of the documentation, as its tests read them."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Pages of the site, as paths below the checkout.
SITE = tuple(sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")))
#: Every page whose examples and links are held.
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", *SITE)


def page(name: str) -> str:
    """Return the text of a page."""
    return (ROOT / name).read_text(encoding="utf-8")


def documentation() -> str:
    """Return the README and all pages of the site, one behind the other."""
    return "\n".join(map(page, ("README.md", *SITE)))
