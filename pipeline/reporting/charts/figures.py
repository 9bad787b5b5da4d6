"""Figures, which all charts are drawn on.

This is the only import of matplotlib, and only where a picture is drawn.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colour of axes and labels. It can be read on white and on a dark page alike: the charts have no
#: background of their own.
INK_COLOUR = "#808890"
#: Colour of zero lines and of what stands out, on white.
BLACK = "#222222"
ACTUAL_COLOUR, NETWORK_COLOUR, REFERENCE_COLOUR = "#8492a0", "#3b82c4", "#d9822b"
#: Colours of more lines in one chart.
MORE_COLOURS = ("#c4423b", "#3d9a6c", "#8a5fb4", "#b08d2f", "#c25e9b", "#4aa3a8")


class LineLook(TypedDict, total=False):
    """The look of a line, as matplotlib names it."""

    color: str
    linestyle: str
    linewidth: float
    marker: str
    markersize: float


#: Size of the numbers and dates at the axes, in points, and the width of a digit of that size.
LABEL_SIZE, DIGIT_WIDTH = 8, 5.1
#: Points of an inch.
POINTS = 72
#: A line with a dot at each value.
WITH_DOTS: LineLook = {"linewidth": 1.3, "marker": "o", "markersize": 4}


def new_figure(
    width: float, height: float, background: str = "none", is_fitted: bool = True
) -> tuple[Figure, Axes]:
    """Return a figure with one chart; see `new_panels`."""
    figure, (axes,) = new_panels(width, height, 1, background, is_fitted=is_fitted)
    return figure, axes


def new_panels(
    width: float,
    height: float,
    count: int,
    background: str = "white",
    columns: int = 1,
    is_fitted: bool = True,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with several charts, row by row; it is outside pyplot's global state.

    Args:
        width, height: inches.
        count: charts.
        columns: charts in a row.
        is_fitted: whether matplotlib measures all texts to find the margins, a third of the time
            that a chart takes. Otherwise call `set_margins`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, facecolor=background)
    if is_fitted:
        figure.set_layout_engine("constrained")
    FigureCanvasAgg(figure)
    grid = (-(-count // columns), columns)
    panels = [figure.add_subplot(*grid, place, facecolor="none") for place in range(1, count + 1)]
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(INK_COLOUR)
        axes.tick_params(colors=INK_COLOUR, labelsize=LABEL_SIZE)
        axes.grid(axis="y", color=INK_COLOUR, alpha=0.2, linewidth=0.6)
    return figure, panels


def set_margins(
    figure: Figure, left: float, bottom: float, right: float, top: float, between: float = 0
) -> None:
    """Leave so many points free around the charts of a figure, one row, and between them."""
    width, height = POINTS * figure.get_size_inches()
    columns = len(figure.axes)
    chart = (width - left - right - (columns - 1) * between) / columns
    figure.subplots_adjust(
        left / width, bottom / height, 1 - right / width, 1 - top / height, between / chart
    )


def number_width(axes: Axes) -> float:
    """Return about how many points the longest number at a chart's y axis takes."""
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)  # nothing above the axis
    numbers = axes.yaxis.get_major_formatter().format_ticks(axes.get_yticks().tolist())
    return DIGIT_WIDTH * max(map(len, numbers))


def to_png(figure: Figure) -> bytes:
    """Return the figure as a PNG."""
    buffer = io.BytesIO()
    # The version of matplotlib does not belong into the bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def set_title(axes: Axes, title: str, size: int = 10) -> None:
    """Write a chart's title above its left edge."""
    axes.set_title(title, fontsize=size, loc="left")


def set_labels(axes: Axes, x: str = "", y: str = "") -> None:
    """Name the axes; "": no name."""
    if x:
        axes.set_xlabel(x, fontsize=8, color=INK_COLOUR)
    if y:
        axes.set_ylabel(y, fontsize=8, color=INK_COLOUR)


def legend_below(
    axes: Axes,
    distance: float = 0.16,
    columns: int = 5,
    lines_of: Axes | None = None,
    marker_scale: float = 1.0,
) -> None:
    """Put a legend below a chart.

    Args:
        distance: from the chart, as a share of its height.
        columns: names in a row.
        lines_of: another chart, whose lines are named; None: this one.
        marker_scale: size of the legend's markers, as a share of the chart's.
    """
    handles, labels = (lines_of or axes).get_legend_handles_labels()
    axes.legend(
        handles,
        labels,
        fontsize=8,
        frameon=False,
        ncols=columns,
        markerscale=marker_scale,
        loc="upper center",
        bbox_to_anchor=(0.5, -distance),
    )
