"""The pictures: what came, beside what was forecast. Tables in, PNGs out: no disk, no clock, no network.

The same tables give the same bytes. The only matplotlib import, and only where a picture is drawn.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import embedding
from pipeline.drift import HIGHEST_PSI, LOWEST_SKILL, SESSIONS, coverage_band
from pipeline.quantiles import INTERVALS
from pipeline.reporting import counted, dollars
from pipeline.tables import column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pipeline.lookahead import LookAhead

#: Sessions of history beside a forecast.
SHOWN_SESSIONS = 60
#: Sessions of a chart of what is watched: about a year.
WATCHED_SESSIONS = 252
#: Readable on white and on a dark page alike: the charts have no background of their own.
INK, ACTUAL, NETWORK, REFERENCE = "#808890", "#8492a0", "#3b82c4", "#d9822b"
#: More lines of one chart.
SERIES = ("#c4423b", "#3d9a6c", "#8a5fb4", "#b08d2f", "#c25e9b", "#4aa3a8")
#: Stocks up to which a chart of them names each.
NAMED = 24
#: Percent; a forecaster that loses more than this against ewma would press all others into one line.
LEAST_SKILL = -15
#: Histograms beside each other.
PIT_COLUMNS = 3
#: A stock whose sector is not known.
NO_SECTOR = "sector unknown"


def prediction_plot(ticker: str, predictions: pd.DataFrame) -> bytes:
    """Actual prices of the test sessions, what the network and the naive forecast said the session before, and the intervals; a PNG.

    Args:
        predictions: columns session, horizon, actual, prediction, naive, lower_80, upper_80, lower_95, upper_95; dollars. Only horizon 1
            is drawn.
    """
    shown = predictions[predictions["horizon"] == 1].sort_values("session")
    sessions, forecast, last = (shown[name].to_numpy() for name in ("session", "prediction", "naive"))
    figure, axes = _figure(9, 4, background="white")
    for level, opacity in ((95, 0.12), (80, 0.22)):
        lower, upper = (shown[f"{side}_{level}"].to_numpy() for side in ("lower", "upper"))
        axes.fill_between(sessions, lower, upper, color=NETWORK, alpha=opacity, linewidth=0, label=f"{level} %")
    axes.plot(sessions, shown["actual"].to_numpy(), color="#222222", linewidth=1.2, label="actual")
    axes.plot(sessions, last, color=REFERENCE, linewidth=0.9, linestyle="--", label="naive (the last price)")
    axes.plot(sessions, forecast, color=NETWORK, linewidth=1.2, label="network")
    ours, naive = (float(((shown["actual"] - shown[name]) ** 2).mean() ** 0.5) for name in ("prediction", "naive"))
    better = "better" if ours < naive else "worse" if ours > naive else "no better"
    axes.set_title(
        f"{ticker}: one session ahead, {len(shown)} test sessions. RMSE {ours:.4f}, naive {naive:.4f}: {better} than naive",
        fontsize=10,
        loc="left",
    )
    axes.legend(fontsize=8, frameon=False, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    return _png(figure)


def forecast_chart(history: pd.DataFrame, forecasts: pd.DataFrame) -> bytes:
    """The newest sessions of one ticker's target and the published forecasts with their intervals; a PNG without background.

    Args:
        history: HISTORY rows up to the cutoff.
        forecasts: FORECASTS rows of one run and ticker.
    """
    forecasts = forecasts.sort_values("horizon")
    target, cutoff = forecasts["target"].iloc[0], forecasts["cutoff"].iloc[0]
    past = history[history["session"] <= cutoff].sort_values("session").tail(SHOWN_SESSIONS)
    # Positions, not dates: weekends are no gaps.
    before, after = range(1 - len(past), 1), range(len(forecasts) + 1)
    last = float(forecasts["last_value"].iloc[0])
    figure, axes = _figure(5.4, 2.6)
    axes.plot(before, column(past, target).to_numpy(), color=ACTUAL, linewidth=1.4)
    for level, opacity in ((95, 0.14), (80, 0.18), (50, 0.26)):  # each lies upon the one before
        low, high = ([last, *forecasts[f"{side}_{level}"]] for side in ("lower", "upper"))
        axes.fill_between(after, low, high, color=NETWORK, alpha=opacity, linewidth=0)
    axes.plot(after, [last, *forecasts["y_hat"]], color=NETWORK, linewidth=1.6, marker="o", markersize=2.5)
    axes.axvline(0, color=INK, linewidth=0.6, linestyle=":")
    days = {**dict(zip(before, past["session"], strict=True)), **dict(enumerate(forecasts["session"], start=1))}
    marks = sorted({before[0], before[len(before) // 3], before[2 * len(before) // 3], len(forecasts)})
    axes.set_xticks(marks, [f"{days[mark]:%Y-%m-%d}" for mark in marks])
    axes.margins(x=0.02)
    return _png(figure)


def calibration_chart(calibrations: pd.DataFrame) -> bytes:
    """Coverage of the three intervals by horizon, before and after calibration: a dot per ticker, a line for their mean; a PNG without background.

    Args:
        calibrations: CALIBRATIONS rows of one run.
    """
    figure, panels = _panels(9, 2.3, len(INTERVALS), background="none", columns=len(INTERVALS))
    for axes, level in zip(panels, INTERVALS, strict=True):
        for kind, label, colour, aside in (
            ("raw_coverage", "as said", REFERENCE, -0.12),
            ("coverage", "calibrated", NETWORK, 0.12),
        ):
            shares = 100 * calibrations[f"{kind}_{level}"]
            axes.scatter(calibrations["horizon"] + aside, shares, color=colour, s=9, alpha=0.45, linewidth=0)
            mean = shares.groupby(calibrations["horizon"]).mean()
            axes.plot(mean.index + aside, mean.to_numpy(), color=colour, linewidth=1.5, label=label)
        axes.axhline(level, color=INK, linewidth=1, linestyle="--")
        axes.set_xticks(sorted(set(calibrations["horizon"]))[:: max(calibrations["horizon"].max() // 6, 1)])
        axes.set_title(f"inside the {level} % interval, in %", fontsize=8, color=INK, loc="left")
        axes.set_xlabel("sessions ahead", fontsize=8, color=INK)
    panels[0].legend(fontsize=7, frameon=False, labelcolor=INK)
    return _png(figure)


def skill_chart(promotions: pd.DataFrame) -> bytes:
    """Each stock's test skills, the best first, against the random walk with EWMA volatility and the naive forecast; a PNG.

    Args:
        promotions: PROMOTIONS rows of one run; what has no network is left out.
    """
    figure, panels = _panels(9, 2.6, 2, columns=2)
    titles = {"pinball_skill": "pinball skill against ewma, in %", "skill": "RMSE skill one session ahead against naive, in %"}
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        own = promotions[promotions[name].notna()].sort_values([name, "ticker"], ascending=[False, True])
        values = 100 * own[name].to_numpy()
        axes.bar(np.arange(len(own)), values, width=0.8, color=[NETWORK if value > 0 else REFERENCE for value in values])
        axes.axhline(0, color=INK, linewidth=0.8)
        few = len(own) <= NAMED
        axes.set_xticks(np.arange(len(own)) if few else [], own["ticker"] if few else [], fontsize=7)
        axes.set_title(f"{title}: above 0 for {(values > 0).sum()} of {len(own)}", fontsize=8, color=INK, loc="left")
        if not few:
            axes.set_xlabel("stocks, the best first", fontsize=8, color=INK)
    return _png(figure)


def drift_chart(watched: pd.DataFrame) -> bytes:
    """Coverage, pinball skill and stability index of each ticker through the sessions, between their bands; a PNG without background.

    Args:
        watched: DRIFT rows of one series up to a session.
    """
    tickers = sorted(set(watched["ticker"]))
    newest = np.sort(watched["cutoff"].unique())[-WATCHED_SESSIONS:]
    watched = watched[watched["cutoff"].isin(newest)].sort_values("cutoff")
    bands = {
        "coverage_80": [100 * bound for bound in coverage_band(80, SESSIONS)],
        "coverage_95": [100 * bound for bound in coverage_band(95, SESSIONS)],
        "pinball_skill": [100 * LOWEST_SKILL],
        "psi": [HIGHEST_PSI],
    }
    titles = ("inside 80 %, in %", "inside 95 %, in %", "pinball skill, in %", "stability index")
    figure, panels = _panels(9, 2.4, len(bands), background="none", columns=len(bands))
    for axes, (name, bounds), title in zip(panels, bands.items(), titles, strict=True):
        for bound in bounds:
            axes.axhline(bound, color=REFERENCE, linewidth=0.9, linestyle="--")
        for place, ticker in enumerate(tickers):
            own = watched[watched["ticker"] == ticker]
            colour = (NETWORK, *SERIES)[place] if len(tickers) <= len(SERIES) + 1 else ACTUAL
            values = own[name].to_numpy() * (1 if name == "psi" else 100)
            axes.plot(
                np.searchsorted(newest, own["cutoff"].to_numpy()), values, color=colour, linewidth=1.1, marker=".", markersize=2
            )
        marks = sorted({0, len(newest) - 1})
        axes.set_xticks(marks, [f"{pd.Timestamp(newest[mark]):%Y-%m-%d}" for mark in marks])
        for label, side in zip(axes.get_xticklabels(), ("left", "right"), strict=False):
            label.set_horizontalalignment(side)
        axes.set_title(title, fontsize=8, color=INK, loc="left")
    if len(tickers) <= len(SERIES) + 1:
        lines = panels[-1].lines[len(bands["psi"]) :]
        figure.legend(lines, tickers, fontsize=7, frameon=False, labelcolor=INK, ncols=len(tickers), loc="outside lower center")
    return _png(figure)


def _figure(width: float, height: float, background: str = "none") -> tuple[Figure, Axes]:
    figure, (axes,) = _panels(width, height, 1, background)
    return figure, axes


def _panels(width: float, height: float, count: int, background: str = "white", columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of its own, outside pyplot's global state, with so many charts in so many columns, row by row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, facecolor=background, layout="constrained")
    FigureCanvasAgg(figure)
    grid = (-(-count // columns), columns)
    panels = [figure.add_subplot(*grid, place, facecolor="none") for place in range(1, count + 1)]
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(INK)
        axes.tick_params(colors=INK, labelsize=8)
        axes.grid(axis="y", color=INK, alpha=0.2, linewidth=0.6)
    return figure, panels


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})  # the version of matplotlib does not belong into the bytes
    return buffer.getvalue()


def study_plot(title: str, predictions: Mapping[str, pd.DataFrame]) -> bytes:
    """Actual prices over the test sessions, and what each recipe, the default one and the naive forecast said the session before; a PNG.

    Nothing is scaled or shifted: a forecast that lags or shrinks is seen to.

    Args:
        predictions: by recipe, columns date, actual, prediction, naive, default, over the same dates.
    """
    figure, axes = _figure(10, 4.6, background="white")
    one = next(iter(predictions.values()))
    dates, actual = one["date"].to_numpy(), one["actual"].to_numpy()
    axes.plot(dates, actual, color="#222222", linewidth=1.3, label="actual")
    axes.plot(
        dates, one["naive"].to_numpy(), color=REFERENCE, linewidth=0.8, linestyle="--", label=_scored("naive", actual, one["naive"])
    )
    if one["default"].notna().all():
        axes.plot(dates, one["default"].to_numpy(), color=NETWORK, linewidth=1.1, label=_scored("default", actual, one["default"]))
    for (name, table), colour in zip(predictions.items(), itertools.cycle(SERIES)):
        forecast = table["prediction"].to_numpy()
        axes.plot(dates, forecast, color=colour, linewidth=1.1, label=_scored(name, actual, forecast))
    axes.set_title(f"{title}: one session ahead, {len(dates)} test sessions, RMSE in dollars", fontsize=10, loc="left")
    axes.legend(fontsize=8, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    return _png(figure)


def _scored(name: str, actual: np.ndarray, forecast: np.ndarray) -> str:
    return f"{name} {dollars(float(np.sqrt(np.mean((actual - np.asarray(forecast)) ** 2))))}"


def look_ahead_plot(title: str, look: LookAhead, unit: str = "dollars") -> bytes:
    """The sources' pictures of the three ways to look ahead, one below the other; a PNG."""
    starts = range(0, len(look.actual), look.length)
    errors = look.rmse()
    ways = {
        f"point by point: RMSE {dollars(errors['point_by_point'])}, naive {dollars(errors['naive'])}": [(0, look.point_by_point)],
        f"full sequence: RMSE {dollars(errors['full_sequence'])}, naive {dollars(errors['naive_full'])}": [(0, look.full_sequence)],
        f"multiple sequences of {look.length}: RMSE {dollars(errors['multiple_sequences'])}, naive {dollars(errors['naive_sequences'])}": [
            (start, look.multiple_sequences[start : start + look.length]) for start in starts
        ],
    }
    figure, panels = _panels(10, 9, len(ways))
    for axes, (told, sequences) in zip(panels, ways.items(), strict=True):
        axes.plot(look.sessions, look.actual, color=ACTUAL, linewidth=1.2)
        for start, values in sequences:
            axes.plot(look.sessions[start : start + len(values)], values, color=NETWORK, linewidth=1.2)
        axes.set_title(told, fontsize=9, loc="left")
    handles = [panels[0].lines[0], panels[0].lines[1]]
    panels[0].legend(handles, ["what came", "what was forecast"], fontsize=8, frameon=False, ncols=2, loc="lower right")
    figure.suptitle(f"{title}: {len(look.actual)} test sessions, {unit}", fontsize=10)
    return _png(figure)


def answers_plot(title: str, predictions: pd.DataFrame) -> bytes:
    """The answer to each of a few examples beside the network's and the naive forecast's; a PNG.

    Args:
        predictions: columns input (in words), actual, prediction, naive.
    """
    figure, axes = _figure(7.5, 4, background="white")
    places = np.arange(len(predictions))
    looks = {"actual": ("#222222", "_", 900), "naive": (REFERENCE, "x", 50), "prediction": (NETWORK, "o", 50)}
    for name, (colour, marker, size) in looks.items():
        label = "network" if name == "prediction" else name
        axes.scatter(places, predictions[name].to_numpy(), color=colour, marker=marker, s=size, label=label)
    axes.set_xticks(places, predictions["input"].tolist())
    axes.margins(0.2)
    axes.set_xlabel("input", fontsize=8, color=INK)
    axes.set_title(f"{title}: what is right, and what was said", fontsize=10, loc="left")
    axes.legend(fontsize=8, frameon=False, ncols=3, markerscale=0.5, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return _png(figure)


def bits_plot(title: str, losses: Sequence[float], tested: float, naive: float) -> bytes:
    """How a network of characters learns: bits per character by epoch, beside the test part's and the naive forecast's; a PNG.

    Args:
        losses: in nats, the untrained network's first.
        tested, naive: in bits.
    """
    figure, axes = _figure(7.5, 4, background="white")
    bits = np.asarray(losses) / np.log(2)
    axes.plot(np.arange(len(bits)), bits, color=ACTUAL, linewidth=1.3, marker="o", markersize=3, label="network, train part")
    axes.axhline(tested, color=NETWORK, linewidth=1.2, label=f"network, test part, at the end: {tested:.2f}")
    axes.axhline(naive, color=REFERENCE, linewidth=1, linestyle="--", label=f"naive, test part: {naive:.2f}")
    axes.set_xlabel("epoch", fontsize=8, color=INK)
    axes.set_title(f"{title}: bits per character", fontsize=10, loc="left")
    axes.legend(fontsize=8, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return _png(figure)


def ablation_plot(title: str, summary: pd.DataFrame) -> bytes:
    """`summary` of `ablation_table` as a picture: a line per number of units over the layers, bars for the range; a PNG."""
    figure, axes = _figure(7.5, 4.2, background="white")
    widths = sorted(summary["units"].unique())
    for place, (units, colour) in enumerate(zip(widths, itertools.cycle((NETWORK, *SERIES)))):
        own = summary[summary["units"] == units].sort_values("layers")
        mean = own["mean"].to_numpy()
        bars = [mean - own["least"].to_numpy(), own["greatest"].to_numpy() - mean]
        beside = own["layers"].to_numpy() + 0.03 * (place - (len(widths) - 1) / 2)  # bars must not hide each other
        axes.errorbar(
            beside, mean, yerr=bars, color=colour, linewidth=1.3, marker="o", markersize=4, capsize=3, label=f"{units} units"
        )
    axes.axhline(1, color=REFERENCE, linewidth=1, linestyle="--", label="naive")
    axes.set_xticks(sorted(summary["layers"].unique()))
    axes.set_xlabel("layers", fontsize=8, color=INK)
    axes.set_title(title, fontsize=10, loc="left")
    axes.legend(fontsize=8, frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return _png(figure)


def embedding_picture(points: np.ndarray, symbols: Sequence[str], sectors: Mapping[str, str]) -> bytes:
    """The stocks of a pooled network where their vectors place them, coloured by sector; a PNG.

    Args:
        points: (n, 2), of `embedding.placed`.
        sectors: by symbol; one that is missing is drawn grey.
    """
    from matplotlib import colormaps

    figure, axes = _figure(9, 6, background="white")
    known = sorted({sectors.get(symbol, "") for symbol in symbols} - {""})
    palette = colormaps["tab10" if len(known) <= 10 else "tab20"].colors
    colours = {sector: palette[number % len(palette)] for number, sector in enumerate(known)} | {"": INK}
    for sector, colour in colours.items():
        own = [number for number, symbol in enumerate(symbols) if sectors.get(symbol, "") == sector]
        if own:
            axes.scatter(points[own, 0], points[own, 1], color=colour, s=34, label=sector or NO_SECTOR, zorder=2)
    size = 8 if len(symbols) <= 30 else 6
    for symbol, point in zip(symbols, points, strict=True):
        axes.annotate(symbol, point, xytext=(4, 4), textcoords="offset points", fontsize=size, color="#222222")
    how = embedding.method(len(symbols))
    meaning = "only who is near whom means something" if how == "t-SNE" else "the two directions in which they differ most"
    axes.set_title(f"What the network has learnt of {counted(len(symbols), 'stock')}: {how}, {meaning}", fontsize=10, loc="left")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(fontsize=8, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.02))
    return _png(figure)


def reliability_plot(title: str, reliability: pd.DataFrame) -> bytes:
    """How far the observed share at or below each quantile is from what the quantile promised, a line per forecaster; a PNG.

    Args:
        reliability: columns recipe, quantile, observed; of `leaderboard.reliability`.
    """
    figure, axes = _figure(8, 4.6, background="white")
    for name, style in _forecaster_styles(reliability["recipe"]).items():
        own = reliability[reliability["recipe"] == name]
        off = 100 * (own["observed"] - own["quantile"]).to_numpy()
        axes.plot(own["quantile"].to_numpy(), off, **style, linewidth=1.3, marker="o", markersize=4, label=name)
    axes.axhline(0, color="#222222", linewidth=0.8)
    promised = sorted(reliability["quantile"].unique())
    axes.set_xticks(promised, [f"{100 * quantile:g}" for quantile in promised])
    axes.set_xlabel("quantile, %", fontsize=8, color=INK)
    axes.set_ylabel("observed share less promised, points", fontsize=8, color=INK)
    axes.set_title(f"Reliability: {title}. 0 is what was promised", fontsize=10, loc="left")
    _legend_below(axes)
    return _png(figure)


def sharpness_plot(title: str, board: pd.DataFrame) -> bytes:
    """Mean width of the central intervals by horizon, one chart per interval and a line per forecaster; a PNG.

    Args:
        board: of `leaderboard.leaderboard`.
    """
    rows = board[board["horizon"] > 0]
    levels = sorted(int(name.removeprefix("width_")) for name in board.columns if name.startswith("width_"))
    figure, panels = _panels(8, 8, len(levels))
    for axes, level in zip(panels, levels, strict=True):
        for name, style in _forecaster_styles(rows["recipe"]).items():
            own = rows[rows["recipe"] == name]
            width = 100 * own[f"width_{level}"].to_numpy()
            axes.plot(own["horizon"].to_numpy(), width, **style, linewidth=1.3, marker="o", markersize=4, label=name)
        axes.set_xticks(sorted(rows["horizon"].unique()))
        axes.set_ylim(bottom=0)
        axes.set_ylabel("% of the price", fontsize=8, color=INK)
        axes.set_title(f"mean width of the {level} % interval", fontsize=9, loc="left")
    panels[-1].set_xlabel("sessions ahead", fontsize=8, color=INK)
    figure.suptitle(f"Sharpness: {title}", fontsize=10)
    _legend_below(panels[-1])
    return _png(figure)


def pit_plot(title: str, pit: pd.DataFrame) -> bytes:
    """Probability integral transform: how often what came lay between two quantiles, over how often it should; a chart per forecaster; a PNG.

    Args:
        pit: columns recipe, low, high, share, expected; of `leaderboard.pit`.
    """
    styles = _forecaster_styles(pit["recipe"])
    rows = -(-len(styles) // PIT_COLUMNS)
    figure, panels = _panels(10, 1.2 + 1.8 * rows, len(styles), columns=PIT_COLUMNS)
    highest = max(2.0, 1.1 * float((pit["share"] / pit["expected"]).max()))
    for axes, (name, style) in zip(panels, styles.items(), strict=True):
        own = pit[pit["recipe"] == name]
        low, high = own["low"].to_numpy(), own["high"].to_numpy()
        axes.bar(
            low,
            (own["share"] / own["expected"]).to_numpy(),
            width=high - low,
            align="edge",
            color=style["color"],
            edgecolor="white",
        )
        axes.axhline(1, color="#222222", linewidth=0.8)
        axes.set_ylim(0, highest)
        axes.set_xlim(0, 1)
        axes.set_title(name, fontsize=9, loc="left")
    panels[-1].set_xlabel("probability that the forecast gave to at most what came", fontsize=8, color=INK)
    figure.suptitle(f"PIT histogram: {title}. 1 everywhere is calibrated", fontsize=10)
    return _png(figure)


def horizons_plot(title: str, board: pd.DataFrame) -> bytes:
    """Skill against the EWMA random walk by horizon with its interval, above the loss itself; a line per forecaster; a PNG.

    Args:
        board: of `leaderboard.leaderboard`.
    """
    rows = board[board["horizon"] > 0]
    figure, (upper, lower) = _panels(8, 7.5, 2)
    styles = _forecaster_styles(rows["recipe"])
    for place, (name, style) in enumerate(styles.items()):
        own = rows[rows["recipe"] == name]
        horizons = own["horizon"].to_numpy()
        lower.plot(horizons, 100 * own["pinball"].to_numpy(), **style, linewidth=1.3, marker="o", markersize=4, label=name)
        skill, low, high = (100 * own[f"skill_ewma{end}"].to_numpy() for end in ("", "_low", "_high"))
        beside = horizons + 0.04 * (place - (len(styles) - 1) / 2)  # bars must not hide each other
        bars = np.nan_to_num([skill - low, high - skill])
        upper.errorbar(beside, skill, yerr=bars, **style, linewidth=1.3, marker="o", markersize=4, capsize=3, label=name)
    upper.axhline(0, color="#222222", linewidth=0.8)
    cut = 100 * float(rows["skill_ewma"].min()) < LEAST_SKILL
    if cut:
        upper.set_ylim(bottom=LEAST_SKILL)
    upper.set_title(
        "skill against ewma, %: above 0 is better" + (f"; below {LEAST_SKILL} is not drawn" if cut else ""), fontsize=9, loc="left"
    )
    lower.set_title("pinball loss, % of the price", fontsize=9, loc="left")
    lower.set_ylim(bottom=0)
    for axes in (upper, lower):
        axes.set_xticks(sorted(rows["horizon"].unique()))
    lower.set_xlabel("sessions ahead", fontsize=8, color=INK)
    figure.suptitle(f"Error by horizon: {title}", fontsize=10)
    _legend_below(lower)
    return _png(figure)


def through_time_plot(title: str, series: pd.DataFrame, moving: int) -> bytes:
    """Loss relative to the EWMA random walk's, means of the last so many cutoffs, a line per forecaster; below it, the loss of ewma; a PNG.

    Args:
        series: columns recipe, cutoff, ewma_loss, ratio; of `leaderboard.through_time`.
        moving: cutoffs of a mean.
    """
    figure, (upper, lower) = _panels(10, 6.5, 2)
    for name, style in _forecaster_styles(series["recipe"]).items():
        own = series[series["recipe"] == name]
        alone = {"marker": "o", "markersize": 4} if own["ratio"].count() == 1 else {}  # a line of one point cannot be seen
        upper.plot(own["cutoff"].to_numpy(), own["ratio"].to_numpy(), **style, **alone, linewidth=1.3, label=name)
    one = series.drop_duplicates("cutoff")
    lower.plot(one["cutoff"].to_numpy(), 100 * one["ewma_loss"].to_numpy(), color=ACTUAL, linewidth=1)
    lower.set_ylim(bottom=0)
    upper.set_xlim(lower.get_xlim())
    highest = 1 - LEAST_SKILL / 100
    cut = float(series["ratio"].max()) > highest
    if cut:
        upper.set_ylim(top=highest)
    upper.set_title(
        f"loss over ewma's, means of the last {moving} cutoffs: below 1 is better"
        + (f"; above {highest:g} is not drawn" if cut else ""),
        fontsize=9,
        loc="left",
    )
    lower.set_title("what ewma lost at each cutoff, % of the price", fontsize=9, loc="left")
    figure.suptitle(f"Through time: {title}", fontsize=10)
    handles, labels = upper.get_legend_handles_labels()
    lower.legend(handles, labels, fontsize=8, frameon=False, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return _png(figure)


def _forecaster_styles(names: pd.Series) -> dict[str, dict[str, str]]:
    """Each forecaster once, in order, with its colour and line; the opponents have the same in every picture."""
    fixed = {"ewma": REFERENCE, "naive": INK}
    others = itertools.cycle(itertools.product(("solid", "dashed", "dotted"), (NETWORK, *SERIES)))
    styles = {}
    for name in dict.fromkeys(names):
        line, colour = ("solid", fixed[name]) if name in fixed else next(others)
        styles[name] = {"color": colour, "linestyle": line}
    return styles


def _legend_below(axes: Axes) -> None:
    axes.legend(fontsize=8, frameon=False, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.16))
