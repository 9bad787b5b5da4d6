"""Charts of backtests."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.reporting.charts.figures import (
    ACTUAL_COLOUR,
    BLACK,
    INK_COLOUR,
    MORE_COLOURS,
    NETWORK_COLOUR,
    REFERENCE_COLOUR,
    WITH_DOTS,
    LineLook,
    legend_below,
    new_figure,
    new_panels,
    set_labels,
    set_title,
    to_png,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Percent; a forecaster that loses more than this against ewma would press all others into one
#: line.
LOWEST_DRAWN_SKILL = -15
#: Histograms in a row.
PIT_COLUMNS = 3
#: Line styles in the order in which forecasters get them.
LINE_STYLES = ("solid", "dashed", "dotted")


def reliability_plot(title: str, reliability: pd.DataFrame) -> bytes:
    """Draw the observed less the promised share at or below each quantile; return a PNG.

    There is a line per forecaster.

    Args:
        reliability: columns recipe, quantile, observed; of `leaderboard.reliability`.
    """
    figure, axes = new_figure(8, 4.6, background="white")
    for name, style, rows in _by_forecaster(reliability):
        points = 100 * (rows["observed"] - rows["quantile"]).to_numpy()
        axes.plot(rows["quantile"].to_numpy(), points, **_dotted(style), label=name)
    axes.axhline(0, color=BLACK, linewidth=0.8)
    promised = sorted(reliability["quantile"].unique())
    axes.set_xticks(promised, [f"{100 * quantile:g}" for quantile in promised])
    set_labels(axes, "quantile, %", "observed share less promised, points")
    set_title(axes, f"Reliability: {title}. 0 is what was promised")
    legend_below(axes)
    return to_png(figure)


def sharpness_plot(title: str, board: pd.DataFrame) -> bytes:
    """Draw the mean width of the central intervals by horizon; return a PNG.

    There is a chart per interval, with a line per forecaster.

    Args:
        board: of `leaderboard.leaderboard`.
    """
    board_rows = board[board["horizon"] > 0]
    widths = [name for name in board.columns if name.startswith("width_")]
    levels = sorted(int(name.removeprefix("width_")) for name in widths)
    figure, panels = new_panels(8, 8, len(levels))
    for axes, level in zip(panels, levels, strict=True):
        for name, style, rows in _by_forecaster(board_rows):
            width = 100 * rows[f"width_{level}"].to_numpy()
            axes.plot(rows["horizon"].to_numpy(), width, **_dotted(style), label=name)
        axes.set_xticks(sorted(board_rows["horizon"].unique()))
        axes.set_ylim(bottom=0)
        set_labels(axes, y="% of the price")
        set_title(axes, f"mean width of the {level} % interval", 9)
    set_labels(panels[-1], "sessions ahead")
    figure.suptitle(f"Sharpness: {title}", fontsize=10)
    legend_below(panels[-1])
    return to_png(figure)


def pit_plot(title: str, pit: pd.DataFrame) -> bytes:
    """Draw histograms of the probability integral transform; return a PNG.

    Each bar is the observed over the expected share of actual values between two quantiles. There
    is a chart per forecaster.

    Args:
        pit: columns recipe, low, high, share, expected; of `leaderboard.pit`.
    """
    forecasters = list(_by_forecaster(pit))
    lines = -(-len(forecasters) // PIT_COLUMNS)
    figure, panels = new_panels(10, 1.2 + 1.8 * lines, len(forecasters), columns=PIT_COLUMNS)
    highest = max(2.0, 1.1 * float((pit["share"] / pit["expected"]).max()))
    for axes, (name, style, rows) in zip(panels, forecasters, strict=True):
        low, high = rows["low"].to_numpy(), rows["high"].to_numpy()
        ratio = (rows["share"] / rows["expected"]).to_numpy()
        colour = style["color"]
        axes.bar(low, ratio, width=high - low, align="edge", color=colour, edgecolor="white")
        axes.axhline(1, color=BLACK, linewidth=0.8)
        axes.set_ylim(0, highest)
        axes.set_xlim(0, 1)
        set_title(axes, name, 9)
    set_labels(panels[-1], "probability that the forecast gave to at most what came")
    figure.suptitle(f"PIT histogram: {title}. 1 everywhere is calibrated", fontsize=10)
    return to_png(figure)


def horizons_plot(title: str, board: pd.DataFrame) -> bytes:
    """Draw the skill against the EWMA random walk, and the loss, by horizon; return a PNG.

    Skill has its interval. There is a line per forecaster.

    Args:
        board: of `leaderboard.leaderboard`.
    """
    board_rows = board[board["horizon"] > 0]
    figure, (upper, lower) = new_panels(8, 7.5, 2)
    forecasters = list(_by_forecaster(board_rows))
    for place, (name, style, rows) in enumerate(forecasters):
        horizons, loss = rows["horizon"].to_numpy(), 100 * rows["pinball"].to_numpy()
        lower.plot(horizons, loss, **_dotted(style), label=name)
        # Bars must not hide each other.
        aside = horizons + 0.04 * (place - (len(forecasters) - 1) / 2)
        _draw_skill(upper, aside, rows, style, name)
    upper.axhline(0, color=BLACK, linewidth=0.8)
    is_cut = 100 * float(board_rows["skill_ewma"].min()) < LOWEST_DRAWN_SKILL
    if is_cut:
        upper.set_ylim(bottom=LOWEST_DRAWN_SKILL)
    note = f"; below {LOWEST_DRAWN_SKILL} is not drawn" if is_cut else ""
    set_title(upper, "skill against ewma, %: above 0 is better" + note, 9)
    set_title(lower, "pinball loss, % of the price", 9)
    lower.set_ylim(bottom=0)
    for axes in (upper, lower):
        axes.set_xticks(sorted(board_rows["horizon"].unique()))
    set_labels(lower, "sessions ahead")
    figure.suptitle(f"Error by horizon: {title}", fontsize=10)
    legend_below(lower)
    return to_png(figure)


def _draw_skill(
    axes: Axes, places: np.ndarray, rows: pd.DataFrame, style: LineLook, name: str
) -> None:
    """Draw a forecaster's skill against ewma with bars for its interval."""
    ends = ("", "_low", "_high")
    skill, low, high = (100 * rows[f"skill_ewma{end}"].to_numpy() for end in ends)
    bars = np.nan_to_num([skill - low, high - skill])
    axes.errorbar(places, skill, yerr=bars, **_dotted(style), capsize=3, label=name)


def through_time_plot(title: str, series: pd.DataFrame, moving: int) -> bytes:
    """Draw the loss over the EWMA random walk's through time, and ewma's own; return a PNG.

    There is a line of moving means per forecaster.

    Args:
        series: columns recipe, cutoff, ewma_loss, ratio; of `leaderboard.through_time`.
        moving: cutoffs of a mean.
    """
    figure, (upper, lower) = new_panels(10, 6.5, 2)
    for name, style, rows in _by_forecaster(series):
        # A line of one point cannot be seen.
        marker = "o" if rows["ratio"].count() == 1 else ""
        cutoffs, ratio = rows["cutoff"].to_numpy(), rows["ratio"].to_numpy()
        upper.plot(cutoffs, ratio, **style, marker=marker, markersize=4, linewidth=1.3, label=name)
    once = series.drop_duplicates("cutoff")
    cutoffs, loss = once["cutoff"].to_numpy(), 100 * once["ewma_loss"].to_numpy()
    lower.plot(cutoffs, loss, color=ACTUAL_COLOUR, linewidth=1)
    lower.set_ylim(bottom=0)
    upper.set_xlim(lower.get_xlim())
    highest = 1 - LOWEST_DRAWN_SKILL / 100
    is_cut = float(series["ratio"].max()) > highest
    if is_cut:
        upper.set_ylim(top=highest)
    note = f"; above {highest:g} is not drawn" if is_cut else ""
    means = f"means of the last {moving} cutoffs"
    set_title(upper, f"loss over ewma's, {means}: below 1 is better{note}", 9)
    set_title(lower, "what ewma lost at each cutoff, % of the price", 9)
    figure.suptitle(f"Through time: {title}", fontsize=10)
    legend_below(lower, 0.14, lines_of=upper)
    return to_png(figure)


def _by_forecaster(table: pd.DataFrame) -> Iterator[tuple[str, LineLook, pd.DataFrame]]:
    """Yield name, line style and rows of each forecaster of a table, in order."""
    for name, style in _forecaster_styles(table["recipe"]).items():
        yield name, style, table[table["recipe"] == name]


def _dotted(style: LineLook) -> LineLook:
    return {**style, **WITH_DOTS}


def _forecaster_styles(names: Iterable[str]) -> Mapping[str, LineLook]:
    """Return the line style of each forecaster; the opponents have the same in every picture."""
    fixed = {"ewma": REFERENCE_COLOUR, "naive": INK_COLOUR}
    others = itertools.cycle(itertools.product(LINE_STYLES, (NETWORK_COLOUR, *MORE_COLOURS)))
    styles: dict[str, LineLook] = {}
    for name in dict.fromkeys(names):
        line, colour = ("solid", fixed[name]) if name in fixed else next(others)
        styles[name] = {"color": colour, "linestyle": line}
    return styles
