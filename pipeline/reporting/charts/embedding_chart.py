"""The chart of a pooled network's stocks, placed by what it has learnt of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.reporting.charts.figures import (
    BLACK,
    INK_COLOUR,
    legend_below,
    new_figure,
    set_title,
    to_png,
)
from pipeline.reporting.rows import counted
from pipeline.training import embedding

#: Label of stocks of no known sector.
UNKNOWN_SECTOR = "sector unknown"


def embedding_picture(
    points: np.ndarray, symbols: Sequence[str], sectors: Mapping[str, str]
) -> bytes:
    """Draw the stocks of a pooled network where their vectors place them; return a PNG.

    Args:
        points: (n, 2), of `embedding.placed`.
        sectors: by symbol, which give the colours; one that is missing is drawn grey.
    """
    figure, axes = new_figure(9, 6, background="white")
    for sector, colour in _sector_colours(symbols, sectors).items():
        members = [n for n, symbol in enumerate(symbols) if sectors.get(symbol, "") == sector]
        if members:
            x, y = points[members, 0], points[members, 1]
            label = sector or UNKNOWN_SECTOR
            axes.scatter(x, y, color=colour, s=34, label=label, zorder=2)
    size = 8 if len(symbols) <= 30 else 6
    for symbol, point in zip(symbols, points, strict=True):
        axes.annotate(
            symbol, point, xytext=(4, 4), textcoords="offset points", fontsize=size, color=BLACK
        )
    set_title(axes, _embedding_title(len(symbols)))
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    axes.set_xticks([])
    axes.set_yticks([])
    legend_below(axes, 0.02, columns=3)
    return to_png(figure)


def _sector_colours(symbols: Sequence[str], sectors: Mapping[str, str]) -> dict[str, object]:
    """Return a colour per sector of the symbols, and of "", which stands for an unknown one."""
    from matplotlib import colormaps

    known = sorted({sectors.get(symbol, "") for symbol in symbols} - {""})
    palette = colormaps["tab10" if len(known) <= 10 else "tab20"]
    colours: dict[str, object] = {
        sector: palette(number % palette.N) for number, sector in enumerate(known)
    }
    return {**colours, "": INK_COLOUR}


def _embedding_title(count: int) -> str:
    method = embedding.method(count)
    meaning = (
        "only who is near whom means something"
        if method == "t-SNE"
        else "the two directions in which they differ most"
    )
    return f"What the network has learnt of {counted(count, 'stock')}: {method}, {meaning}"
