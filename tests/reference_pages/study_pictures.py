"""A picture of a study's table: published, trained here and naive, each a multiple of naive's."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.documents import page

#: What a bar is of, and its colour, which colour-blind people tell apart.
BARS = {"published": "#d55e00", "trained here": "#0072b2", "default recipe": "#009e73"}
LEFT, WIDTH, ROW, GAP = 190, 560, 17, 14
#: Cells of a line, and the place of the one that is empty where there is one seed.
CELLS, BY_SEED = 14, 5
#: Colours that follow the reader's; a picture stands on a ground of its own.
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.naive{stroke:#555;stroke-dasharray:4 3}"
    ".ground{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#ddd}.ground{fill:#1e2129}"
    ".naive{stroke:#aaa}}"
)


@dataclass(frozen=True)
class StudyRow:
    """A line of the table that `stockcast reproduce` prints.

    Attributes:
        ratios: RMSE over the naive forecast's, by what it is of; without what was not published.
    """

    ticker: str
    recipe: str
    ratios: dict[str, float]


def study_rows(name: str) -> Iterator[StudyRow]:
    """Yield the lines of the table on a page."""
    table = page(name).partition("```text\nticker  recipe ")[2].partition("```")[0]
    for line in table.splitlines()[1:]:
        cells = re.split(r"\s{2,}", line)
        if len(cells) < CELLS:
            cells.insert(BY_SEED, "")
        ticker, recipe, _, published, _, _, ours, _, _, _, _, default, *_ = cells
        shown = zip(BARS, (published, ours, default), strict=True)
        yield StudyRow(ticker, recipe, {kind: float(x) for kind, x in shown if x != "–"})


def study_picture(name: str) -> str:
    """Return the table of a page as a drawing (SVG)."""
    rows = list(study_rows(name))
    scale = (WIDTH - 60) / max(max(row.ratios.values()) for row in rows)
    height = 58 + sum(len(row.ratios) * ROW + GAP for row in rows)
    shown = [kind for kind in BARS if any(kind in row.ratios for row in rows)]
    parts = [*_legend(shown), *_naive_line(LEFT + scale, height)]
    top = 44
    for row in rows:
        parts.append(
            _text(
                LEFT - 10, top + len(row.ratios) * ROW / 2 + 3, f"{row.ticker} {row.recipe}", "end"
            )
        )
        for kind, ratio in row.ratios.items():
            parts.append(
                f'<rect x="{LEFT}" y="{top}" width="{ratio * scale:.1f}" height="{ROW - 3}" '
                f'fill="{BARS[kind]}"/>'
            )
            # Right of the naive forecast's line, which would go through it.
            parts.append(_text(LEFT + max(ratio, 1) * scale + 5, top + ROW - 5, f"{ratio:#.3g}"))
            top += ROW
        top += GAP
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH} {height}" role="img">'
        f"\n<style>{STYLE}</style>\n"
        f'<rect class="ground" width="100%" height="100%" rx="6"/>\n{body}\n</svg>\n'
    )


def _legend(kinds: Iterable[str]) -> Iterator[str]:
    left = LEFT
    for kind in kinds:
        yield f'<rect x="{left}" y="12" width="12" height="12" fill="{BARS[kind]}"/>'
        yield _text(left + 17, 23, kind)
        left += 130
    yield _text(left, 23, "- - naive: 1")


def _naive_line(x: float, height: int) -> Iterator[str]:
    yield f'<line class="naive" x1="{x:.1f}" x2="{x:.1f}" y1="36" y2="{height - 12}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
