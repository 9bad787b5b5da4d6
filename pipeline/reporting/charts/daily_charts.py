"""Charts of the day: prices and forecasts, calibration, skill and drift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.measures import DRIFT_SESSIONS, HIGHEST_PSI, LOWEST_SKILL, coverage_band
from pipeline.money import currency_words, difference_text
from pipeline.quantiles import INTERVALS
from pipeline.reporting.charts.figures import (
    ACTUAL_COLOUR,
    BLACK,
    INK_COLOUR,
    MORE_COLOURS,
    NETWORK_COLOUR,
    REFERENCE_COLOUR,
    LineLook,
    legend_below,
    new_figure,
    new_panels,
    number_width,
    set_labels,
    set_margins,
    set_title,
    to_png,
)
from pipeline.tables import column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

#: Sessions of history next to a forecast.
HISTORY_SESSIONS = 60
#: Sessions of a drift chart: about a year.
DRIFT_CHART_SESSIONS = 252
#: Stocks up to which a chart of them names each.
MOST_NAMED_STOCKS = 24
#: Colours of tickers in a drift chart; where there are more tickers, all have the same.
TICKER_COLOURS = (NETWORK_COLOUR, *MORE_COLOURS)


def prediction_plot(ticker: str, predictions: pd.DataFrame, currency: str) -> bytes:
    """Draw actual prices and forecasts of the test sessions, one session ahead; return a PNG.

    The forecasts are the network's with its intervals, and the naive one.

    Args:
        predictions: columns session, horizon, actual, prediction, naive, lower_80, upper_80,
            lower_95, upper_95. Only horizon 1 is drawn.
        currency: of the prices, a code of `money`; "": not known.
    """
    shown = predictions[predictions["horizon"] == 1].sort_values("session")
    values = {name: shown[name].to_numpy() for name in ("actual", "prediction", "naive")}
    sessions = shown["session"].to_numpy()
    figure, axes = new_figure(9, 4, background="white")
    for level, opacity in ((95, 0.12), (80, 0.22)):
        low, high = (shown[f"{side}_{level}"].to_numpy() for side in ("lower", "upper"))
        _shade(axes, sessions, low, high, opacity, f"{level} %")
    axes.plot(sessions, values["actual"], color=BLACK, linewidth=1.2, label="actual")
    dashed: LineLook = {"color": REFERENCE_COLOUR, "linewidth": 0.9, "linestyle": "--"}
    axes.plot(sessions, values["naive"], **dashed, label="naive (the last price)")
    axes.plot(sessions, values["prediction"], color=NETWORK_COLOUR, linewidth=1.2, label="network")
    set_title(axes, _prediction_title(ticker, shown))
    set_labels(axes, y=currency_words(currency))
    legend_below(axes, 0.1)
    return to_png(figure)


def _shade(
    axes: Axes,
    x: Sequence[int] | np.ndarray,
    low: Sequence[float] | np.ndarray,
    high: Sequence[float] | np.ndarray,
    opacity: float,
    label: str | None = None,
) -> None:
    """Fill the space between the bounds of an interval."""
    axes.fill_between(x, low, high, color=NETWORK_COLOUR, alpha=opacity, linewidth=0, label=label)


def _prediction_title(ticker: str, shown: pd.DataFrame) -> str:
    network, naive = (
        float(((shown["actual"] - shown[name]) ** 2).mean() ** 0.5)
        for name in ("prediction", "naive")
    )
    verdict = "better" if network < naive else "worse" if network > naive else "no better"
    return (
        f"{ticker}: one session ahead, {len(shown)} test sessions. "
        f"RMSE {difference_text(network)}, naive {difference_text(naive)}: {verdict} than naive"
    )


def forecast_chart(history: pd.DataFrame, forecasts: pd.DataFrame) -> bytes:
    """Draw the newest sessions of a ticker's target, and its forecasts with their intervals.

    Args:
        history: HISTORY rows up to the cutoff.
        forecasts: FORECASTS rows of one run and ticker, with their currency where one is known.

    Returns:
        A PNG without background.
    """
    forecasts = forecasts.sort_values("horizon")
    target, cutoff = forecasts["target"].iloc[0], forecasts["cutoff"].iloc[0]
    past = history[history["session"] <= cutoff].sort_values("session").tail(HISTORY_SESSIONS)
    # Positions, not dates: weekends are no gaps.
    before, after = range(1 - len(past), 1), range(len(forecasts) + 1)
    last = float(forecasts["last_value"].iloc[0])
    figure, axes = new_figure(5.4, 2.6, is_fitted=False)
    axes.plot(before, column(past, target).to_numpy(), color=ACTUAL_COLOUR, linewidth=1.4)
    for level, opacity in ((95, 0.14), (80, 0.18), (50, 0.26)):  # each lies upon the one before
        low, high = ([last, *forecasts[f"{side}_{level}"]] for side in ("lower", "upper"))
        _shade(axes, after, low, high, opacity)
    medians = [last, *forecasts["y_hat"]]
    axes.plot(after, medians, color=NETWORK_COLOUR, linewidth=1.6, marker="o", markersize=2.5)
    axes.axvline(0, color=INK_COLOUR, linewidth=0.6, linestyle=":")
    sessions = {
        **dict(zip(before, past["session"], strict=True)),
        **dict(enumerate(forecasts["session"], start=1)),
    }
    thirds = (before[0], before[len(before) // 3], before[2 * len(before) // 3])
    marks = sorted({*thirds, len(forecasts)})
    axes.set_xticks(marks, [f"{sessions[mark]:%Y-%m-%d}" for mark in marks])
    axes.margins(x=0.02)
    unit = currency_words(forecasts["currency"].iloc[0]) if "currency" in forecasts else ""
    set_labels(axes, y=unit)
    # A date reaches beyond the edges of the chart, into its margins.
    left = max(number_width(axes) + 11, 20) + (14 if unit else 0)
    set_margins(figure, left, bottom=19, right=21, top=4)
    return to_png(figure)


def calibration_chart(calibrations: pd.DataFrame) -> bytes:
    """Draw the coverage of the three intervals by horizon, before and after calibration.

    There is a dot per ticker, and a line for their mean.

    Args:
        calibrations: CALIBRATIONS rows of one run.

    Returns:
        A PNG without background.
    """
    columns = len(INTERVALS)
    figure, panels = new_panels(
        9, 2.3, columns, background="none", columns=columns, is_fitted=False
    )
    horizons = calibrations["horizon"]
    for axes, level in zip(panels, INTERVALS, strict=True):
        for kind, label, colour, aside in (
            ("raw_coverage", "as said", REFERENCE_COLOUR, -0.12),
            ("coverage", "calibrated", NETWORK_COLOUR, 0.12),
        ):
            shares = 100 * calibrations[f"{kind}_{level}"]
            axes.scatter(horizons + aside, shares, color=colour, s=9, alpha=0.45, linewidth=0)
            mean = shares.groupby(horizons).mean()
            axes.plot(mean.index + aside, mean.to_numpy(), color=colour, linewidth=1.5, label=label)
        axes.axhline(level, color=INK_COLOUR, linewidth=1, linestyle="--")
        axes.set_xticks(sorted(set(horizons))[:: max(horizons.max() // 6, 1)])
        _set_small_title(axes, f"inside the {level} % interval, in %")
        set_labels(axes, "sessions ahead")
    panels[0].legend(fontsize=7, frameon=False, labelcolor=INK_COLOUR)
    set_margins(figure, left=26, bottom=31, right=3, top=17, between=28)
    return to_png(figure)


def _set_small_title(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=8, color=INK_COLOUR, loc="left")


def skill_chart(promotions: pd.DataFrame) -> bytes:
    """Draw each stock's test skills, the best first; return a PNG.

    They are against the random walk with EWMA volatility and against the naive forecast.

    Args:
        promotions: PROMOTIONS rows of one run; what has no network is left out.
    """
    figure, panels = new_panels(9, 2.6, 2, columns=2)
    titles = {
        "pinball_skill": "pinball skill against ewma, in %",
        "skill": "RMSE skill one session ahead against naive, in %",
    }
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        measured = promotions[promotions[name].notna()]
        measured = measured.sort_values([name, "ticker"], ascending=[False, True])
        _draw_skills(axes, title, list(measured["ticker"]), 100 * measured[name].to_numpy())
    return to_png(figure)


def _draw_skills(axes: Axes, title: str, tickers: Sequence[str], values: np.ndarray) -> None:
    """Draw a bar per stock; `values` in percent, in descending order."""
    places = np.arange(len(values))
    colours = [NETWORK_COLOUR if value > 0 else REFERENCE_COLOUR for value in values]
    axes.bar(places, values, width=0.8, color=colours)
    axes.axhline(0, color=INK_COLOUR, linewidth=0.8)
    if len(values) <= MOST_NAMED_STOCKS:
        axes.set_xticks(places, tickers, fontsize=7)
    else:
        axes.set_xticks([])
    _set_small_title(axes, f"{title}: above 0 for {(values > 0).sum()} of {len(values)}")
    if len(values) > MOST_NAMED_STOCKS:
        set_labels(axes, "stocks, the best first")


def drift_chart(watched: pd.DataFrame) -> bytes:
    """Draw coverage, pinball skill and stability index of each ticker through the sessions.

    Args:
        watched: DRIFT rows of one series up to a session.

    Returns:
        A PNG without background.
    """
    tickers = sorted(set(watched["ticker"]))
    newest = np.sort(watched["cutoff"].unique())[-DRIFT_CHART_SESSIONS:]
    watched = watched[watched["cutoff"].isin(newest)].sort_values("cutoff")
    bands = {
        "coverage_80": [100 * bound for bound in coverage_band(80, DRIFT_SESSIONS)],
        "coverage_95": [100 * bound for bound in coverage_band(95, DRIFT_SESSIONS)],
        "pinball_skill": [100 * LOWEST_SKILL],
        "psi": [HIGHEST_PSI],
    }
    titles = ("inside 80 %, in %", "inside 95 %, in %", "pinball skill, in %", "stability index")
    columns = len(bands)
    figure, panels = new_panels(
        9, 2.4, columns, background="none", columns=columns, is_fitted=False
    )
    few = len(tickers) <= len(TICKER_COLOURS)
    lines = _lines_by_ticker(watched, tickers) if few else [_one_line(watched)]
    colours = TICKER_COLOURS if few else (ACTUAL_COLOUR,)
    for axes, (name, bounds), title in zip(panels, bands.items(), titles, strict=True):
        for bound in bounds:
            axes.axhline(bound, color=REFERENCE_COLOUR, linewidth=0.9, linestyle="--")
        for rows, colour in zip(lines, colours, strict=False):
            places = np.searchsorted(newest, rows["cutoff"].to_numpy())
            values = rows[name].to_numpy() * (1 if name == "psi" else 100)
            axes.plot(places, values, color=colour, linewidth=1.1, marker=".", markersize=2)
        _mark_first_and_last(axes, newest)
        _set_small_title(axes, title)
    if few:
        _name_tickers(figure, panels[-1].lines[len(bands["psi"]) :], tickers)
    set_margins(figure, left=28, bottom=37 if few else 19, right=6, top=17, between=34)
    return to_png(figure)


def _lines_by_ticker(watched: pd.DataFrame, tickers: Sequence[str]) -> list[pd.DataFrame]:
    return [watched[watched["ticker"] == ticker] for ticker in tickers]


def _one_line(watched: pd.DataFrame) -> pd.DataFrame:
    """Return all rows as one line with a gap after each ticker.

    A chart of hundreds of lines takes many times as long to draw.

    Args:
        watched: in the order of the cutoffs.
    """
    rows = watched.sort_values("ticker", kind="stable").reset_index(drop=True)
    ends = rows.drop_duplicates("ticker", keep="last")
    gaps = ends.assign(**dict.fromkeys(rows.select_dtypes("number").columns, np.nan))
    return pd.concat([rows, gaps]).sort_index(kind="stable")


def _name_tickers(figure: Figure, lines: Sequence[Line2D], tickers: Sequence[str]) -> None:
    figure.legend(
        lines,
        tickers,
        fontsize=7,
        frameon=False,
        labelcolor=INK_COLOUR,
        ncols=len(tickers),
        loc="lower center",
    )


def _mark_first_and_last(axes: Axes, sessions: np.ndarray) -> None:
    """Write the first and the last session below a chart, inside its edges."""
    marks = sorted({0, len(sessions) - 1})
    axes.set_xticks(marks, [f"{pd.Timestamp(sessions[mark]):%Y-%m-%d}" for mark in marks])
    labels = axes.get_xticklabels()
    labels[0].set_horizontalalignment("left")
    if len(labels) > 1:
        labels[1].set_horizontalalignment("right")
