"""What people read: the terminal's table, charts, the day's page. Tables in, text and bytes out: no disk, no clock, no network.

The same tables give the same bytes. The only matplotlib import, and only where a chart is drawn.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import embedding
from pipeline.errors import SettingsError
from pipeline.metrics import LEVELS, realised
from pipeline.models.baselines import NAIVE
from pipeline.run import Run
from pipeline.tables import FORECASTS, column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pipeline.lookahead import LookAhead

FORMATS = ("table", "json", "csv")
TEXT_WIDTH = 110
#: Of a study's table and sentences: a recipe has many rivals.
STUDY_WIDTH = 130
#: Sessions of history beside a forecast.
SHOWN_SESSIONS = 60
#: Findings of one rule about one ticker that the page spells out; the store has them all.
SHOWN_FINDINGS = 3
#: Readable on white and on a dark page alike: the charts have no background of their own.
INK, ACTUAL, NETWORK, REFERENCE = "#808890", "#8492a0", "#3b82c4", "#d9822b"
#: More lines of one chart.
SERIES = ("#c4423b", "#3d9a6c", "#8a5fb4", "#b08d2f", "#c25e9b", "#4aa3a8")


# Rows for people and programs


def rows(frame: pd.DataFrame, form: str) -> str:
    """A table as text: aligned columns ("table"), a list of objects ("json") or comma-separated values ("csv", ends its last line).

    Columns and rows keep their order; dates are ISO; csv and json numbers read back to the same bits; what is missing is empty in
    csv and table, null in json.
    """
    if form not in FORMATS:
        raise SettingsError(f"--format is {form!r}; one of {', '.join(FORMATS)} is expected.")
    plain = [[_plain(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    columns = list(frame.columns)
    if form == "json":
        return json.dumps([dict(zip(columns, row, strict=True)) for row in plain], indent=1, ensure_ascii=False)
    if form == "csv":
        texts = pd.DataFrame(
            [["" if value is None else str(value) for value in row] for row in plain], columns=columns, dtype=object
        )
        return texts.to_csv(index=False, lineterminator="\n")
    return _aligned(columns, [[_short(value) for value in row] for row in plain], [_is_number(frame[name]) for name in columns])


def forecast_table(forecasts: pd.DataFrame, promotions: pd.DataFrame, checks: pd.DataFrame) -> str:
    """One run's FORECASTS, PROMOTIONS and CHECKS for a terminal: a block per ticker, its figures beside the naive forecast's."""
    blocks = []
    for check in checks.sort_values("ticker").to_dict("records"):
        ticker = check["ticker"]
        published = forecasts[forecasts["ticker"] == ticker].sort_values("horizon")
        decided = promotions[promotions["ticker"] == ticker].to_dict("records")
        if check["verdict"] == "quarantined":
            blocks.append(_wrapped(f"{ticker:<6} quarantined, no forecast: {check['reasons']}"))
        elif published.empty or not decided:
            blocks.append(f"{ticker:<6} no forecast")
        else:
            blocks.append("\n".join([_headline(published.iloc[0], decided[0]), *_forecast_lines(published)]))
    if not blocks:
        return "No tickers were checked."
    return "\n\n".join([_title(checks.iloc[0]), *blocks])


def _title(check: pd.Series) -> str:
    return f"{check['universe']}: forecasts of {check['target']} after {check['cutoff'].date()} (recipe {check['recipe']})"


def _headline(forecast: pd.Series, promotion: dict) -> str:
    parts = [
        f"{forecast['ticker']:<6} last {forecast['target']} {_price(forecast['last_value'])}",
        f"champion {forecast['champion']}",
    ]
    if math.isnan(promotion["test_rmse"]):
        parts.append(f"test RMSE: naive {_price(promotion['naive_test_rmse'], 4)}, no network")
    else:
        network, naive = (_price(promotion[name], 4) for name in ("test_rmse", "naive_test_rmse"))
        parts += [f"test RMSE: lstm {network}, naive {naive}", f"skill {promotion['skill']:+.2%}"]
        parts += ["(loses to naive one session ahead)"] if promotion["skill"] < 0 else []
    return "   ".join(parts)


def _forecast_lines(published: pd.DataFrame) -> list[str]:
    cells = [
        [
            str(row["session"].date()),
            _price(row["y_hat"]),
            *(_price(row[f"{side}_{level}"]) for level in LEVELS for side in ("lower", "upper")),
        ]
        for row in published.to_dict("records")
    ]
    wide = max(len(cell) for row in cells for cell in row[1:])
    return [
        f"       {session}   {value:>{wide}}    80 %  {low:>{wide}} .. {high:>{wide}}    95 %  {lowest:>{wide}} .. {highest:>{wide}}"
        for session, value, low, high, lowest, highest in cells
    ]


def _price(value: float, decimals: int = 2) -> str:
    return f"{value:,.{decimals if abs(value) >= 1 or value == 0 else max(decimals, 4)}f}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, TEXT_WIDTH, subsequent_indent=" " * 7)


def _plain(value: object) -> object:
    """A cell as JSON has it: NaN and NaT are None, a midnight is its date, numpy's numbers are Python's."""
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.date().isoformat() if value == value.normalize() else value.isoformat()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


def _short(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _aligned(columns: list[str], cells: list[list[str]], right: list[bool]) -> str:
    widths = [max(len(text) for text in texts) for texts in zip(columns, *cells, strict=True)]
    lines = [
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width) for text, width, to_right in zip(row, widths, right, strict=True)
        )
        for row in [columns, *cells]
    ]
    return "\n".join(line.rstrip() for line in lines)


# Charts


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
    figure, axes = _figure(6.4, 2.7)
    axes.plot(before, column(past, target).to_numpy(), color=ACTUAL, linewidth=1.4)
    for level, opacity in ((95, 0.18), (80, 0.30)):
        low, high = ([last, *forecasts[f"{side}_{level}"]] for side in ("lower", "upper"))
        axes.fill_between(after, low, high, color=NETWORK, alpha=opacity, linewidth=0)
    axes.plot(after, [last, *forecasts["y_hat"]], color=NETWORK, linewidth=1.6, marker="o", markersize=2.5)
    axes.axvline(0, color=INK, linewidth=0.6, linestyle=":")
    days = {**dict(zip(before, past["session"], strict=True)), **dict(enumerate(forecasts["session"], start=1))}
    marks = sorted({before[0], before[len(before) // 3], before[2 * len(before) // 3], len(forecasts)})
    axes.set_xticks(marks, [f"{days[mark]:%Y-%m-%d}" for mark in marks])
    axes.margins(x=0.02)
    return _png(figure)


def _figure(width: float, height: float, background: str = "none") -> tuple[Figure, Axes]:
    figure, (axes,) = _panels(width, height, 1, background)
    return figure, axes


def _panels(width: float, height: float, count: int, background: str = "white") -> tuple[Figure, list[Axes]]:
    """A figure of its own, outside pyplot's global state, with so many charts below each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, facecolor=background, layout="constrained")
    FigureCanvasAgg(figure)
    panels = [figure.add_subplot(count, 1, place, facecolor="none") for place in range(1, count + 1)]
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


# The day's page


def day_page(
    run: Run,
    forecasts: pd.DataFrame,
    promotions: pd.DataFrame,
    findings: pd.DataFrame,
    checks: pd.DataFrame,
    scores: pd.DataFrame,
    charts: Mapping[str, bytes],
) -> str:
    """The day's page as one HTML file that needs nothing else.

    Args:
        forecasts, promotions, findings, checks: rows of this run.
        scores: SCORES rows of earlier forecasts, as far as they should be summed up.
        charts: ticker -> PNG.
    """
    forecasts = FORECASTS.conform(forecasts)
    universe = run.universe
    title = f"{universe.name} · {run.session}"
    parts = [
        f"<h1>{escape(universe.name)} <small>forecasts of {escape(universe.target)} after {run.session}</small></h1>",
        f"<p class=lead>{_day_in_words(forecasts, promotions, checks)}</p>",
        _overview(forecasts, promotions),
        "<h2>Forecasts</h2>",
        *(_card(ticker, rows, promotions, charts.get(ticker)) for ticker, rows in forecasts.groupby("ticker")),
        "<h2>Quality of the prices</h2>",
        _quality(checks, findings),
        "<h2>How earlier forecasts did</h2>",
        _record(scores),
        f"<footer>Recipe {escape(universe.recipe)}, network trained up to {run.training_cutoff}, prices as known at "
        f"{run.known_at:%Y-%m-%d %H:%M} UTC. RMSE: in dollars, one session ahead, on test sessions that training did not see. "
        "Skill: 1 − RMSE ÷ RMSE of the naive forecast, which says that the price stays where it is; below zero, the network is the "
        "worse of the two. No advice to buy or sell anything.</footer>",
    ]
    body = "\n".join(parts)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{escape(title)}</title><style>{STYLE}</style></head>
<body><main>
{body}
</main></body></html>
"""


def _day_in_words(forecasts: pd.DataFrame, promotions: pd.DataFrame, checks: pd.DataFrame) -> str:
    measured = promotions[promotions["test_rmse"].notna()]
    networks, better = (promotions["champion"] != NAIVE).sum(), (measured["skill"] > 0).sum()
    quarantined = (checks["verdict"] == "quarantined").sum()
    said = [
        f"{_count(forecasts['ticker'].nunique(), 'ticker')} forecast: {networks} by a network, "
        f"{len(promotions) - networks} by the naive forecast.",
        f"On test sessions the network of {better} out of {_count(len(measured), 'ticker')} beats the naive forecast."
        if len(measured)
        else "",
        f"<b class=bad>{_count(quarantined, 'ticker')} quarantined.</b>" if quarantined else "",
    ]
    return " ".join(filter(None, said))


def _overview(forecasts: pd.DataFrame, promotions: pd.DataFrame) -> str:
    first = forecasts[forecasts["horizon"] == 1].set_index("ticker")
    body = []
    for row in promotions.sort_values("ticker").to_dict("records"):
        ticker = row["ticker"]
        if ticker not in first.index:
            continue
        forecast = first.loc[ticker]
        change = forecast["y_hat"] / forecast["last_value"] - 1
        body.append(
            [
                f'<a href="#{escape(ticker)}">{escape(ticker)}</a>',
                _price(forecast["last_value"]),
                _price(forecast["y_hat"]),
                f"{change:+.2%}",
                _interval(forecast, 80),
                _badge(row["champion"]),
                _or_dash(row["test_rmse"], lambda value: _price(value, 4)),
                _price(row["naive_test_rmse"], 4),
                _skill(row["skill"]),
            ]
        )
    head = ["Ticker", "Last", "Next session", "Change", "80 % interval", "Published", "Test RMSE", "… of naive", "Skill"]
    return _table(head, body, words={0, 5})


def _card(ticker: str, rows: pd.DataFrame, promotions: pd.DataFrame, chart: bytes | None) -> str:
    rows = rows.sort_values("horizon")
    promotion = next(iter(promotions[promotions["ticker"] == ticker].to_dict("records")), None)
    table = _table(
        ["Session", "Forecast", "80 %", "95 %"],
        [[str(r["session"].date()), _price(r["y_hat"]), _interval(r, 80), _interval(r, 95)] for r in rows.to_dict("records")],
        words={0},
    )
    image = f'<img alt="{escape(ticker)}: recent prices and forecasts" src="{_inline(chart)}">' if chart else ""
    why = "".join(f"<li>{escape(reason)}</li>" for reason in (promotion["reasons"].split("; ") if promotion else ()))
    last = f"last {rows['target'].iloc[0]} {_price(rows['last_value'].iloc[0])}"
    return (
        f'<section class=card id="{escape(ticker)}"><h3>{escape(ticker)} {_badge(rows["champion"].iloc[0])} '
        f"<small>{escape(last)}</small></h3>"
        f"<p>{_verdict(promotion)}</p><div class=two><div>{image}</div><div>{table}</div></div><ul class=why>{why}</ul></section>"
    )


def _verdict(promotion: dict | None) -> str:
    """In words, whether the network is worth its while."""
    if promotion is None:
        return ""
    naive = f"{_price(promotion['naive_test_rmse'], 4)}"
    if math.isnan(promotion["test_rmse"]):
        return f"There is no network for this ticker. Test RMSE of the naive forecast: {naive}."
    ours, skill = _price(promotion["test_rmse"], 4), promotion["skill"]
    outcome = "beats" if skill > 0 else "loses to" if skill < 0 else "equals"
    return (
        f"The network <b class={'good' if skill > 0 else 'bad'}>{outcome}</b> the naive forecast on {promotion['test_sessions']} test "
        f"sessions: RMSE {ours} against {naive}, skill {skill:+.2%}."
    )


def _quality(checks: pd.DataFrame, findings: pd.DataFrame) -> str:
    quarantined = checks[checks["verdict"] == "quarantined"].sort_values("ticker")
    parts = [f"<p>{len(checks) - len(quarantined)} of {_count(len(checks), 'ticker')} passed the quality gate.</p>"]
    if len(quarantined):
        body = [[escape(row["ticker"]), escape(row["reasons"])] for row in quarantined.to_dict("records")]
        parts.append(_table(["Quarantined", "Why it sits this session out"], body, words={0, 1}))
    if findings.empty:
        return "\n".join([*parts, "<p>No rule has found anything.</p>"])
    body = []
    for (ticker, severity, rule), group in findings.groupby(["ticker", "severity", "rule"]):
        newest = group.sort_values(["session", "column"], ascending=[False, True])["message"].drop_duplicates()
        told = "<br>".join(escape(message) for message in newest.head(SHOWN_FINDINGS))
        more = len(group) - min(len(newest), SHOWN_FINDINGS)
        told += f"<br><span class=dim>and {more} more</span>" if more > 0 else ""
        body.append([escape(ticker), _badge(severity), escape(rule), str(len(group)), told])
    return "\n".join([*parts, _table(["Ticker", "Severity", "Rule", "Cells", "Newest findings"], body, words={0, 1, 2, 4})])


def _record(scores: pd.DataFrame) -> str:
    if scores.empty:
        return "<p>No earlier forecast has met its session yet.</p>"
    body = [
        [
            escape(row["ticker"]),
            str(row["horizon"]),
            str(row["forecasts"]),
            _price(row["rmse"], 4),
            _price(row["naive_rmse"], 4),
            _skill(row["skill"]),
            f"{row['inside_80']:.0%}",
            f"{row['inside_95']:.0%}",
        ]
        for row in realised(scores).to_dict("records")
    ]
    head = ["Ticker", "Sessions ahead", "Forecasts", "RMSE", "… of naive", "Skill", "Inside 80 %", "Inside 95 %"]
    return _table(head, body, words={0})


def _table(head: list[str], body: list[list[str]], words: set[int]) -> str:
    """An HTML table of ready cells; `words` are the columns that are not numbers."""
    kinds = [" class=w" if index in words else "" for index in range(len(head))]
    lines = ["".join(f"<th{kind}>{name}</th>" for name, kind in zip(head, kinds, strict=True))]
    lines += ["".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) for row in body]
    top, *rest = (f"<tr>{line}</tr>" for line in lines)
    return f"<div class=scroll><table><thead>{top}</thead><tbody>{''.join(rest)}</tbody></table></div>"


def _interval(row: Mapping, level: int) -> str:
    return f"{_price(row[f'lower_{level}'])} – {_price(row[f'upper_{level}'])}"


def _badge(word: str) -> str:
    return f'<span class="badge {escape(word)}">{escape(word)}</span>'


def _skill(value: float) -> str:
    return _or_dash(value, lambda number: f"<b class={'good' if number > 0 else 'bad'}>{number:+.2%}</b>")


def _or_dash(value: float, text: object) -> str:
    return "–" if math.isnan(value) else text(value)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _inline(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


STYLE = """
:root{--ink:#1c2530;--dim:#68737f;--page:#f5f6f8;--card:#fff;--line:#e1e5ea;--good:#16794c;--bad:#b4321f;--net:#2b6cb0;--nai:#b7641a}
@media (prefers-color-scheme:dark){:root{--ink:#e4e8ee;--dim:#97a2b0;--page:#14181d;--card:#1d232b;--line:#323b47;--good:#4fc48a;
--bad:#f08573;--net:#6fb1f0;--nai:#eaa45f}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,"Segoe UI",sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 20px 40px}h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:36px 0 10px}
h3{font-size:17px;margin:0 0 4px}small{color:var(--dim);font-weight:400;font-size:.72em;margin-left:6px}.lead{margin:0 0 18px}
a{color:inherit}.dim,footer{color:var(--dim)}footer{font-size:13px;margin-top:36px;border-top:1px solid var(--line);padding-top:12px}
.scroll{overflow-x:auto;margin-bottom:12px;background:var(--card);border:1px solid var(--line);border-radius:8px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}
th,td{padding:6px 12px;text-align:right;white-space:nowrap;border-top:1px solid var(--line);vertical-align:top}thead th{border-top:0}
th{color:var(--dim);font-weight:600;font-size:12.5px}.w{text-align:left}td.w:last-child{white-space:normal;min-width:260px}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:14px 16px;margin:0 0 14px;break-inside:avoid}
.card p{margin:0 0 8px}.card .scroll{margin:0;border:0;border-radius:0}.card th,.card td{padding:5px 8px}
.card td.w:last-child{min-width:0}.two{display:grid;grid-template-columns:minmax(0,1fr) auto;gap:16px;align-items:center}
img{max-width:100%;display:block}.why{margin:8px 0 0;padding-left:18px;color:var(--dim);font-size:13px}
.good{color:var(--good)}.bad{color:var(--bad);white-space:nowrap}
.badge{display:inline-block;padding:0 8px;border-radius:9px;font-size:12px;font-weight:600;
border:1px solid currentColor;color:var(--dim)}.badge.lstm,.badge.previous{color:var(--net)}.badge.naive,.badge.mask{color:var(--nai)}
.badge.quarantine{color:var(--bad)}@media (max-width:760px){.two{grid-template-columns:1fr}}
@media print{body{background:#fff;font-size:12px}main{max-width:none;padding:0}}
"""


# Studies


def study_table(results: pd.DataFrame, recipes: Sequence[str]) -> str:
    """RMSE by ticker and recipe for a terminal, each beside its multiple of the naive forecast's.

    Args:
        results: one row per ticker, recipe and seed; columns ticker, recipe, published_rmse, published_sessions (whether that is of the same
            sessions), rmse, naive_rmse, linear_rmse, default_rmse, sessions, left_out.
        recipes: those to show, in order.
    """
    head = [
        "ticker",
        "recipe",
        "published",
        "x",
        "ours",
        "by seed",
        "x",
        "naive",
        "linear",
        "x",
        "default",
        "x",
        "tested",
        "left out",
    ]
    body = []
    for group in _groups(results, recipes):
        one, naive = group.iloc[0], group["naive_rmse"].iloc[0]
        ours = group["rmse"]
        span = f"{_dollars(ours.min())} .. {_dollars(ours.max())}" if len(group) > 1 else ""
        published, own, line, default = (
            (_dollars(value), _times(value / naive))
            for value in (one["published_rmse"], ours.mean(), one["linear_rmse"], group["default_rmse"].mean())
        )
        counts = [str(one["sessions"]), str(one["left_out"])]
        body.append([one["ticker"], one["recipe"], *published, own[0], span, own[1], _dollars(naive), *line, *default, *counts])
    return _aligned(head, body, [False, False, *[True] * (len(head) - 2)])


def normalised_table(results: pd.DataFrame, recipes: Sequence[str]) -> str:
    """Mean squared errors on normalised windows and the spread of the forecast changes, by ticker and recipe; means over the seeds."""
    head = ["ticker", "recipe", "test MSE", "naive test MSE", "naive train MSE", "direction right", "spread of changes"]
    body = []
    for group in _groups(results, recipes):
        mean = group.mean(numeric_only=True)
        errors = [mean[name] for name in ("normalised_mse", "naive_normalised_mse", "naive_normalised_mse_train")]
        right = _or_dash(mean["directional_accuracy"], "{:.1%}".format)
        spread = _or_dash(mean["spread"], "{:.2f}".format)
        body.append([group["ticker"].iloc[0], group["recipe"].iloc[0], *(f"{error:.3e}" for error in errors), right, spread])
    return _aligned(head, body, [False, False, *[True] * (len(head) - 2)])


def study_verdicts(results: pd.DataFrame, recipes: Sequence[str]) -> list[str]:
    """Sentences that say who wins: on every ticker, and against the naive forecast over all."""
    return [*_rankings(results, recipes), *_against_naive(results, recipes), *_against_published(results, recipes)]


def _rankings(results: pd.DataFrame, recipes: Sequence[str]) -> list[str]:
    told = []
    for ticker, group in results.groupby("ticker", sort=False):
        errors = {**_means(group, recipes), **_rivals(group)}
        ranked = sorted((error, name) for name, error in errors.items() if not math.isnan(error))
        told.append(f"{ticker}, best first: " + ", ".join(f"{name} {_dollars(error)}" for error, name in ranked) + ".")
    return told


def _against_naive(results: pd.DataFrame, recipes: Sequence[str]) -> list[str]:
    per_ticker = [
        ({**_means(group, recipes), **_rivals(group)}, group["naive_rmse"].iloc[0]) for _, group in results.groupby("ticker")
    ]
    told = []
    for name in (*recipes, "default", "linear"):
        ratios = [errors[name] / naive for errors, naive in per_ticker if not math.isnan(errors.get(name, math.nan))]
        if ratios:
            won = sum(ratio < 1 for ratio in ratios)
            told.append(
                f"{name} beats the naive forecast on {won} of {_count(len(ratios), 'ticker')}: {_times(sum(ratios) / len(ratios))} times its "
                f"RMSE{' on average' if len(ratios) > 1 else ''}."
            )
    return told


def _against_published(results: pd.DataFrame, recipes: Sequence[str]) -> list[str]:
    told = []
    for recipe in recipes:
        own = results[(results["recipe"] == recipe) & results["published_rmse"].notna()]
        if not own.empty and not own["published_sessions"].all():
            told.append(
                f"The published RMSE of {recipe} is of other sessions: it tells how large an error its source had, no more."
            )
            continue
        parts = []
        for ticker, group in own[own["default_rmse"].notna()].groupby("ticker", sort=False):
            change = group["default_rmse"].mean() / group["published_rmse"].iloc[0] - 1
            parts.append(f"{100 * abs(change):.0f} % {'below' if change < 0 else 'above'} it on {ticker}")
        if parts:
            told.append(f"Beside the published RMSE of {recipe}, the default recipe's is {', '.join(parts)}.")
    return told


def _rivals(group: pd.DataFrame) -> dict[str, float]:
    one = group.iloc[0]
    return {"naive": one["naive_rmse"], "linear": one["linear_rmse"], "default": group["default_rmse"].mean()}


def _means(group: pd.DataFrame, recipes: Sequence[str]) -> dict[str, float]:
    means = group.groupby("recipe")["rmse"].mean()
    return {recipe: float(means[recipe]) for recipe in recipes if recipe in means}


def _groups(results: pd.DataFrame, recipes: Sequence[str]) -> Iterator[pd.DataFrame]:
    """The rows of each ticker and recipe, in their order."""
    for _, rows_of in results.groupby("ticker", sort=False):
        for recipe in recipes:
            if (rows_of["recipe"] == recipe).any():
                yield rows_of[rows_of["recipe"] == recipe]


def sentences(told: Sequence[str]) -> str:
    """One sentence a line, long ones folded."""
    return "\n".join(textwrap.fill(line, STUDY_WIDTH, subsequent_indent="  ", break_on_hyphens=False) for line in told)


def _dollars(value: float) -> str:
    return _or_dash(value, lambda number: f"{number:,.{4 if abs(number) < 100 else 2}f}")


def _times(ratio: float) -> str:
    return _or_dash(ratio, "{:.3f}".format)


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
    return f"{name} {_dollars(float(np.sqrt(np.mean((actual - np.asarray(forecast)) ** 2))))}"


def look_ahead_plot(title: str, look: LookAhead, unit: str = "dollars") -> bytes:
    """The sources' pictures of the three ways to look ahead, one below the other; a PNG. Grey: what came; blue: what was forecast."""
    starts = range(0, len(look.actual), look.length)
    errors = look.rmse()
    ways = {
        f"point by point: RMSE {_dollars(errors['point_by_point'])}, naive {_dollars(errors['naive'])}": [(0, look.point_by_point)],
        f"full sequence: RMSE {_dollars(errors['full_sequence'])}, naive {_dollars(errors['naive_full'])}": [
            (0, look.full_sequence)
        ],
        f"multiple sequences of {look.length}: RMSE {_dollars(errors['multiple_sequences'])}, naive {_dollars(errors['naive_sequences'])}": [
            (start, look.multiple_sequences[start : start + look.length]) for start in starts
        ],
    }
    figure, panels = _panels(10, 9, len(ways))
    for axes, (told, sequences) in zip(panels, ways.items(), strict=True):
        axes.plot(look.sessions, look.actual, color=ACTUAL, linewidth=1.2)
        for start, values in sequences:
            axes.plot(look.sessions[start : start + len(values)], values, color=NETWORK, linewidth=1.2)
        axes.set_title(told, fontsize=9, loc="left")
    figure.suptitle(f"{title}: {len(look.actual)} test sessions, {unit}", fontsize=10)
    return _png(figure)


def ablation_table(summary: pd.DataFrame) -> str:
    """Multiples of the naive forecast's RMSE, mean and range: a line per number of layers, a column per number of units.

    Args:
        summary: columns layers, units, mean, least, greatest.
    """
    widths = sorted(summary["units"].unique())
    cells = {(row["layers"], row["units"]): row for row in summary.to_dict("records")}

    def told(layers: int, units: int) -> str:
        row = cells.get((layers, units))
        if row is None:
            return "–"
        span = "" if row["least"] == row["greatest"] else f"  ({row['least']:.3f} .. {row['greatest']:.3f})"
        return f"{row['mean']:.3f}{span}"

    body = [[str(layers), *(told(layers, units) for units in widths)] for layers in sorted(summary["layers"].unique())]
    return _aligned(["layers", *(_count(units, "unit") for units in widths)], body, [True] * (len(widths) + 1))


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


# The symbol embedding

#: A stock whose sector is not known.
NO_SECTOR = "sector unknown"


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
    axes.set_title(f"What the network has learnt of {_count(len(symbols), 'stock')}: {how}, {meaning}", fontsize=10, loc="left")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(fontsize=8, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.02))
    return _png(figure)
