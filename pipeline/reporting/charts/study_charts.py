"""Charts of studies and exercises."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.money import difference_text
from pipeline.reporting.charts.figures import (
    ACTUAL_COLOUR,
    BLACK,
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
    from matplotlib.figure import Figure

    from pipeline.windows import LookAhead

#: Newest sessions that are drawn again, larger: in years of them, all lines lie on one another.
CLOSE_UP = 60


def study_plot(title: str, predictions: Mapping[str, pd.DataFrame]) -> bytes:
    """Draw actual prices and forecasts of the test sessions, one session ahead; return a PNG.

    The forecasts are each recipe's, the default one's and the naive one. Nothing is scaled or
    shifted: in the panel of the newest sessions, a forecast that lags or shrinks is seen to.

    Args:
        predictions: by recipe, columns date, actual, prediction, naive, default, over the same
            dates.
    """
    return to_png(study_figure(title, predictions))


def study_figure(title: str, predictions: Mapping[str, pd.DataFrame]) -> Figure:
    """Return the figure of `study_plot`."""
    dates = next(iter(predictions.values()))["date"].to_numpy()
    whole = f"{title}: one session ahead, {len(dates)} test sessions, RMSE in the prices' currency"
    shown = {whole: len(dates)}
    if len(dates) > CLOSE_UP:
        shown[f"the newest {CLOSE_UP} of them"] = CLOSE_UP
    figure, panels = new_panels(10, 1 + 3.6 * len(shown), len(shown))
    lines = list(_study_lines(predictions))
    for axes, (name, newest) in zip(panels, shown.items(), strict=True):
        for label, prices, look in lines:
            axes.plot(dates[-newest:], prices[-newest:], **look, label=label)
        set_title(axes, name)
    legend_below(panels[-1], 0.1, columns=3)
    return figure


def _study_lines(
    predictions: Mapping[str, pd.DataFrame],
) -> Iterator[tuple[str, np.ndarray, LineLook]]:
    """Yield the name, the prices and the look of each line, those below the others first."""
    first = next(iter(predictions.values()))
    actual = first["actual"].to_numpy()

    def named(name: str, prices: np.ndarray) -> str:
        error = float(np.sqrt(np.mean((actual - prices) ** 2)))
        return f"{name} {difference_text(error)}"

    yield "actual", actual, {"color": BLACK, "linewidth": 1.3}
    if first["default"].notna().all():
        default = first["default"].to_numpy()
        yield named("default", default), default, {"color": NETWORK_COLOUR, "linewidth": 1.1}
    for (name, table), colour in zip(predictions.items(), itertools.cycle(MORE_COLOURS)):
        prices = table["prediction"].to_numpy()
        yield named(name, prices), prices, {"color": colour, "linewidth": 1.1}
    # On top, so that a forecast that only repeats the last price is seen to.
    naive = first["naive"].to_numpy()
    dashed: LineLook = {"color": REFERENCE_COLOUR, "linewidth": 1.1, "linestyle": "--"}
    yield named("naive", naive), naive, dashed


def look_ahead_plot(title: str, look: LookAhead, unit: str = "in the prices' currency") -> bytes:
    """Draw the sources' three ways to look ahead, one below the other; return a PNG."""
    figure, panels = new_panels(10, 9, 3)
    for axes, (name, sequences) in zip(panels, _ways_to_look(look).items(), strict=True):
        axes.plot(look.sessions, look.actual, color=ACTUAL_COLOUR, linewidth=1.2)
        for start, values in sequences:
            sessions = look.sessions[start : start + len(values)]
            axes.plot(sessions, values, color=NETWORK_COLOUR, linewidth=1.2)
        set_title(axes, name, 9)
    lines, labels = panels[0].lines[:2], ["what came", "what was forecast"]
    panels[0].legend(lines, labels, fontsize=8, frameon=False, ncols=2, loc="lower right")
    figure.suptitle(f"{title}: {len(look.actual)} test sessions, {unit}", fontsize=10)
    return to_png(figure)


def _ways_to_look(look: LookAhead) -> dict[str, list[tuple[int, np.ndarray]]]:
    """Return the sequences of each way, by its title: the first session's number, and values."""
    errors = {name: difference_text(error) for name, error in look.rmse().items()}
    starts = range(0, len(look.actual), look.length)
    sequences = [(start, look.multiple_sequences[start : start + look.length]) for start in starts]

    def titled(name: str, network: str, naive: str) -> str:
        return f"{name}: RMSE {errors[network]}, naive {errors[naive]}"

    several = f"multiple sequences of {look.length}"
    return {
        titled("point by point", "point_by_point", "naive"): [(0, look.point_by_point)],
        titled("full sequence", "full_sequence", "naive_full"): [(0, look.full_sequence)],
        titled(several, "multiple_sequences", "naive_sequences"): sequences,
    }


def answers_plot(title: str, predictions: pd.DataFrame) -> bytes:
    """Draw the answers to a few examples: the right one, the network's, naive's; return a PNG.

    Args:
        predictions: columns input (in words), actual, prediction, naive.
    """
    figure, axes = new_figure(7.5, 4, background="white")
    places = np.arange(len(predictions))
    looks = {
        "actual": ("actual", BLACK, "_", 900),
        "naive": ("naive", REFERENCE_COLOUR, "x", 50),
        "prediction": ("network", NETWORK_COLOUR, "o", 50),
    }
    for name, (label, colour, marker, size) in looks.items():
        values = predictions[name].to_numpy()
        axes.scatter(places, values, color=colour, marker=marker, s=size, label=label)
    axes.set_xticks(places, predictions["input"].tolist())
    axes.margins(0.2)
    set_labels(axes, "input")
    set_title(axes, f"{title}: what is right, and what was said")
    legend_below(axes, 0.14, columns=3, marker_scale=0.5)
    return to_png(figure)


def bits_plot(title: str, losses: Sequence[float], tested: float, naive: float) -> bytes:
    """Draw the bits per character of a network by epoch; return a PNG.

    Lines show those of the test part and of the naive forecast.

    Args:
        losses: in nats, the untrained network's first.
        tested, naive: in bits.
    """
    figure, axes = new_figure(7.5, 4, background="white")
    bits = np.asarray(losses) / np.log(2)
    dots: LineLook = {"linewidth": 1.3, "marker": "o", "markersize": 3}
    axes.plot(np.arange(len(bits)), bits, color=ACTUAL_COLOUR, **dots, label="network, train part")
    test_label = f"network, test part, at the end: {tested:.2f}"
    axes.axhline(tested, color=NETWORK_COLOUR, linewidth=1.2, label=test_label)
    naive_label = f"naive, test part: {naive:.2f}"
    axes.axhline(naive, color=REFERENCE_COLOUR, linewidth=1, linestyle="--", label=naive_label)
    set_labels(axes, "epoch")
    set_title(axes, f"{title}: bits per character")
    legend_below(axes, 0.14, columns=3)
    return to_png(figure)


def ablation_plot(title: str, summary: pd.DataFrame) -> bytes:
    """Draw the `summary` of `ablation_table`; return a PNG.

    There is a line per number of units over the layers, with bars for the range.
    """
    figure, axes = new_figure(7.5, 4.2, background="white")
    widths = sorted(summary["units"].unique())
    for place, (units, colour) in enumerate(
        zip(widths, itertools.cycle((NETWORK_COLOUR, *MORE_COLOURS)))
    ):
        rows = summary[summary["units"] == units].sort_values("layers")
        mean = rows["mean"].to_numpy()
        bars = [mean - rows["least"].to_numpy(), rows["greatest"].to_numpy() - mean]
        # Bars must not hide each other.
        aside = rows["layers"].to_numpy() + 0.03 * (place - (len(widths) - 1) / 2)
        axes.errorbar(
            aside,
            mean,
            yerr=bars,
            color=colour,
            **WITH_DOTS,
            capsize=3,
            label=f"{units} units",
        )
    axes.axhline(1, color=REFERENCE_COLOUR, linewidth=1, linestyle="--", label="naive")
    axes.set_xticks(sorted(summary["layers"].unique()))
    set_labels(axes, "layers")
    set_title(axes, title)
    legend_below(axes, 0.12, columns=4)
    return to_png(figure)
