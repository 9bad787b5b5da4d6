"""What people read: the terminal's tables and sentences, the day's page. Tables in, text out: no disk, no clock, no network."""

from __future__ import annotations

import base64
import json
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from pipeline import drift
from pipeline.errors import SettingsError
from pipeline.metrics import realised
from pipeline.models.baselines import BASELINES
from pipeline.quality import on_one_day
from pipeline.quantiles import INTERVALS
from pipeline.run import Run
from pipeline.tables import FORECASTS

FORMATS = ("table", "json", "csv")
TEXT_WIDTH = 110
#: Of a study's table and sentences: a recipe has many rivals.
STUDY_WIDTH = 130
#: A change that rounds to nothing has no direction.
LEVEL = 0.00005
#: What a champion is, in words.
CHAMPIONS = {
    "lstm": "the network of this training cutoff",
    "previous": "the network of the training cutoff before",
    "pooled": "the network that all stocks have trained together",
    "ewma": "the random walk with EWMA volatility",
    "naive": "the last price with the spread of all changes",
}
#: Findings of one rule about one ticker that the page spells out; the store has them all.
SHOWN_FINDINGS = 3


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


def overview(checks: pd.DataFrame, forecasts: pd.DataFrame, promotions: pd.DataFrame, watched: pd.DataFrame) -> pd.DataFrame:
    """A session's CHECKS, FORECASTS, PROMOTIONS and DRIFT as one row per ticker: what was published for the session after it, and what it is worth.

    Columns: ticker, verdict (passed or quarantined), session (the day forecast), last_value, y_hat, change (a fraction), direction (up, down
    or level), lower_80, upper_80, champion, weight, skill, pinball_skill, drift (kinds, comma-separated), reasons (why it sits out).
    """
    first = forecasts[forecasts["horizon"] == 1][["ticker", "session", "last_value", "y_hat", "lower_80", "upper_80"]]
    table = (
        checks[["ticker", "verdict", "reasons"]]
        .merge(first, on="ticker", how="outer")
        .merge(promotions[["ticker", "champion", "weight", "skill", "pinball_skill"]], on="ticker", how="left")
        .merge(watched[["ticker", "warnings"]], on="ticker", how="left")
    )
    table["change"] = table["y_hat"] / table["last_value"] - 1
    moves = table["change"].to_numpy()
    table["direction"] = np.select([np.isnan(moves), moves > LEVEL, moves < -LEVEL], ["", "up", "down"], "level")
    table["drift"] = [",".join(drift.warnings_of(told)) if isinstance(told, str) else "" for told in table["warnings"]]
    table.loc[table["verdict"] != "quarantined", "reasons"] = ""
    names = ["ticker", "verdict", "session", "last_value", "y_hat", "change", "direction", "lower_80", "upper_80"]
    return table[[*names, "champion", "weight", "skill", "pinball_skill", "drift", "reasons"]]


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
    parts = [f"{forecast['ticker']:<6} last {forecast['target']} {_price(forecast['last_value'])}", _published(promotion)]
    if math.isnan(promotion["test_rmse"]):
        return "   ".join([*parts, "no network"])
    losses = {"ewma": promotion["pinball_skill"], "naive one session ahead": promotion["skill"]}
    lost = [f"loses to {rival}" for rival, skill in losses.items() if skill < 0]
    whose = "test" if promotion["weight"] > 0 else "test of the network"
    parts.append(f"{whose}: pinball {promotion['pinball_skill']:+.2%} against ewma, RMSE {promotion['skill']:+.2%} against naive")
    return "   ".join(parts) + (f"\n       ({', '.join(lost)})" if lost else "")


def _published(promotion: Mapping) -> str:
    """Who is published, with how much of it."""
    champion, weight = promotion["champion"], promotion["weight"]
    return (
        champion if champion in BASELINES or weight == 1 else f"{champion} {weight:.0%} + {promotion['baseline']} {1 - weight:.0%}"
    )


def _forecast_lines(published: pd.DataFrame) -> list[str]:
    cells = [
        [
            str(row["session"].date()),
            _price(row["y_hat"]),
            *(_price(row[f"{side}_{level}"]) for level in INTERVALS for side in ("lower", "upper")),
        ]
        for row in published.to_dict("records")
    ]
    wide = max(len(cell) for row in cells for cell in row[1:])
    return [
        f"       {session}   {value:>{wide}}"
        + "".join(
            f"    {level} %  {low:>{wide}} .. {high:>{wide}}"
            for level, low, high in zip(INTERVALS, bounds[::2], bounds[1::2], strict=True)
        )
        for session, value, *bounds in cells
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


# The day's page


@dataclass(frozen=True, eq=False)
class Day:
    """The tables that a day's page is made of: rows of its run; `scores` are those of all earlier forecasts whose session has come."""

    forecasts: pd.DataFrame
    promotions: pd.DataFrame
    calibrations: pd.DataFrame
    findings: pd.DataFrame
    checks: pd.DataFrame
    scores: pd.DataFrame
    drift: pd.DataFrame


#: Tickers that a page shows in full.
SHOWN = 24


def shown(day: Day) -> list[str]:
    """The tickers that the day's page shows in full: all, or of a large universe those that drifted and those that are expected to move most."""
    first = day.forecasts[day.forecasts["horizon"] == 1].set_index("ticker")
    moves = (first["y_hat"] / first["last_value"] - 1).abs().sort_values(ascending=False, kind="stable")
    drifted = [ticker for ticker in day.drift[day.drift["warnings"] != ""]["ticker"] if ticker in first.index]
    return sorted(dict.fromkeys([*drifted, *moves.index][: max(SHOWN, len(drifted))]) if len(first) > SHOWN else first.index)


def day_text(run: Run, day: Day) -> str:
    """The day's page for a terminal: the same figures, without the pictures."""
    full = shown(day)
    in_full = {
        name: frame[frame["ticker"].isin(full)] for name, frame in (("forecasts", day.forecasts), ("promotions", day.promotions))
    }
    quarantined = day.checks["verdict"] == "quarantined"
    parts = {
        f"{run.universe.name}: {run.universe.target} after {run.session}, recipe {run.universe.recipe}": sentences(
            [*verdict(day).warnings.values(), *verdict(day).said]
        ),
        "Next session": _aligned(*_overview_cells(day)),
        "Forecasts": forecast_table(**in_full, checks=day.checks[day.checks["ticker"].isin(full) | quarantined]),
        "Calibration: share of the replayed sessions inside the intervals, as said and as calibrated": _calibration_text(
            day.calibrations
        ),
        f"Drift: over the last {drift.SESSIONS} scored sessions at most": _drift_text(day.drift),
        "How earlier forecasts did": _record_text(day.scores),
        "Quality of the prices": _quality_text(day.checks, day.findings),
    }
    told = [f"{title}\n{'-' * len(title)}\n{text}" for title, text in parts.items()]
    return "\n\n".join([*told, "Skill: 1 - loss / the rival's; below zero the rival is better. No advice to buy or sell anything."])


def day_markdown(day: Day) -> str:
    """The day's verdict and its table of tickers, in Markdown; of a large universe, those that the page shows in full."""
    told = verdict(day)
    columns, cells, _ = _overview_cells(day)
    full = {*shown(day), *day.checks.loc[day.checks["verdict"] == "quarantined", "ticker"]}
    rows_ = [row for row in cells if row[0] in full]
    left_out = f"\n\n{len(cells) - len(rows_)} more are in `summary.csv`." if len(rows_) < len(cells) else ""
    lines = [columns, ["---"] * len(columns), *rows_]
    return f"**{told}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + left_out


def day_summary(day: Day) -> pd.DataFrame:
    return overview(day.checks, day.forecasts, day.promotions, day.drift)


def _overview_cells(day: Day) -> tuple[list[str], list[list[str]], list[bool]]:
    """Heads, cells and which columns are numbers: a line per ticker."""
    columns = ["ticker", "last", "next session", "change", "80 % interval", "published", "pinball skill", "RMSE skill", "drift"]
    cells = []
    promotions = {row["ticker"]: row for row in day.promotions.to_dict("records")}
    for row in day_summary(day).sort_values("ticker").to_dict("records"):
        if row["ticker"] not in promotions or math.isnan(row["y_hat"]):
            cells.append([row["ticker"], *[""] * 4, row["verdict"], *[""] * 3])
            continue
        kinds = [DRIFT_WORDS.get(kind, kind) for kind in row["drift"].split(",") if kind]
        cells.append(
            [
                row["ticker"],
                _price(row["last_value"]),
                _price(row["y_hat"]),
                f"{row['change']:+.2%}",
                f"{_price(row['lower_80'])} .. {_price(row['upper_80'])}",
                _published(promotions[row["ticker"]]),
                _or_dash(row["pinball_skill"], "{:+.2%}".format),
                _or_dash(row["skill"], "{:+.2%}".format),
                ", ".join(kinds),
            ]
        )
    return columns, cells, [name not in ("ticker", "published", "drift") for name in columns]


def _calibration_text(calibrations: pd.DataFrame) -> str:
    if calibrations.empty:
        return "Nothing has been calibrated."
    head = ["ticker", "sessions", *(f"{level} %" for level in INTERVALS)]
    body = [
        [
            row["ticker"],
            f"{row['sessions']:.0f}",
            *(f"{_share(row[f'raw_coverage_{level}'])} -> {_share(row[f'coverage_{level}'])}" for level in INTERVALS),
        ]
        for row in calibrations.groupby("ticker").mean(numeric_only=True).reset_index().to_dict("records")
    ]
    return _aligned(head, body, [False, *[True] * (len(head) - 1)])


def _drift_text(watched: pd.DataFrame) -> str:
    if watched.empty:
        return "Nothing has been watched."
    body = [
        [
            row["ticker"],
            str(row["sessions"]),
            *(_or_dash(row[f"coverage_{level}"], "{:.0%}".format) for level in (80, 95)),
            _or_dash(row["pinball_skill"], "{:+.2%}".format),
            _or_dash(row["psi"], "{:.2f}".format),
        ]
        for row in watched.sort_values("ticker").to_dict("records")
    ]
    head = ["ticker", "scored sessions", "inside 80 %", "inside 95 %", "pinball skill", "stability index"]
    told = [f"WARNING {ticker}, {DRIFT_WORDS.get(kind, kind)}: {warning}." for ticker, kind, warning in _drifted(watched)]
    return "\n".join([_aligned(head, body, [False, *[True] * (len(head) - 1)]), *([sentences(told)] if told else [])])


def _drifted(watched: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Ticker, kind and warning of all that has left its band."""
    for row in watched.sort_values("ticker").to_dict("records"):
        for kind, warning in drift.warnings_of(row["warnings"]).items():
            yield row["ticker"], kind, warning


def _record_text(scores: pd.DataFrame) -> str:
    if scores.empty:
        return "No earlier forecast has met its session yet."
    return rows(realised(scores).drop(columns=["universe", "recipe", "target"]), "table")


def _quality_text(checks: pd.DataFrame, findings: pd.DataFrame) -> str:
    quarantined = checks[checks["verdict"] == "quarantined"].sort_values("ticker")
    told = [f"{len(checks) - len(quarantined)} of {counted(len(checks), 'ticker')} passed the quality gate."]
    told += [f"{row['ticker']} quarantined: {row['reasons']}" for row in quarantined.to_dict("records")]
    told += on_one_day(findings) if len(findings) else ["No rule has found anything."]
    counts = findings.groupby(["ticker", "severity", "rule"]).size().reset_index(name="cells")
    return "\n".join([sentences(told), *([rows(counts, "table")] if len(counts) else [])])


def day_page(run: Run, day: Day, charts: Mapping[str, bytes], pictures: Mapping[str, bytes]) -> str:
    """The day's page as one HTML file that needs nothing else.

    Args:
        charts: ticker -> PNG of its forecast.
        pictures: "calibration" and "drift" -> PNG, where there is something to draw.
    """
    forecasts, full = FORECASTS.conform(day.forecasts), shown(day)
    universe = run.universe
    title = f"{universe.name} · {run.session}"
    parts = [
        f"<h1>{escape(universe.name)} <small>forecasts of {escape(universe.target)} after {run.session}</small></h1>",
        f"<p class=lead>{_lead(verdict(day))}</p>",
        _overview(day, full),
        "<h2>Forecasts</h2>",
        "<p class=dim>The line is the median, what comes is as likely above as below it; the shades are the central intervals of 50, 80 and "
        "95 %.</p>",
        _left_out(len(full), forecasts["ticker"].nunique()),
        *(
            _card(ticker, rows, day.promotions, charts.get(ticker))
            for ticker, rows in forecasts.groupby("ticker")
            if ticker in full
        ),
        "<h2>Calibration</h2>",
        _calibration(day.calibrations, pictures.get("calibration", b"")),
        "<h2>Drift</h2>",
        _drift(day.drift, pictures.get("drift", b"")),
        "<h2>How earlier forecasts did</h2>",
        _record(day.scores),
        '<h2 id="quality">Quality of the prices</h2>',
        _quality(day.checks, day.findings),
        f"<footer>Recipe {escape(universe.recipe)}, network trained up to {run.training_cutoff}, prices as known at "
        f"{run.known_at:%Y-%m-%d %H:%M} UTC. Test figures are of sessions that training did not see. Pinball skill: 1 − pinball loss of all "
        "seven quantiles and all horizons ÷ that of the random walk with EWMA volatility, which says how wide the next days are and is hard to "
        "beat. RMSE skill: 1 − RMSE of the median one session ahead ÷ RMSE of the naive forecast, which says that the price stays where it "
        "is. Below zero, what is published is the worse of the two. No advice to buy or sell anything.</footer>",
    ]
    body = "\n".join(parts)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{escape(title)}</title><style>{STYLE}</style></head>
<body><main>
{body}
</main></body></html>
"""


@dataclass(frozen=True)
class Verdict:
    """A day in sentences; `warnings` are what somebody should look at, by the part of the page that tells more."""

    said: tuple[str, ...]
    warnings: Mapping[str, str]

    def __str__(self) -> str:
        return " ".join([*self.warnings.values(), *self.said])


def verdict(day: Day) -> Verdict:
    promotions = day.promotions
    measured = promotions[promotions["test_rmse"].notna()]
    networks = (~promotions["champion"].isin(list(BASELINES))).sum()
    quarantined, drifted = (day.checks["verdict"] == "quarantined").sum(), (day.drift["warnings"] != "").sum()
    said = [
        f"{counted(day.forecasts['ticker'].nunique(), 'ticker')} forecast: {networks} with the help of a network, "
        f"{len(promotions) - networks} by a baseline alone."
    ]
    if len(measured):
        said.append(
            f"On test sessions networks beat the EWMA random walk's distribution for {(measured['pinball_skill'] > 0).sum()} out of "
            f"{counted(len(measured), 'ticker')}, and the naive forecast's RMSE for {(measured['skill'] > 0).sum()}."
        )
    counts = {"drift": (drifted, "drifted"), "quality": (quarantined, "quarantined")}
    warnings = {part: f"{counted(number, 'ticker')} {what}." for part, (number, what) in counts.items() if number}
    return Verdict(tuple(said), warnings)


def _lead(told: Verdict) -> str:
    warnings = (f'<b class=bad><a href="#{part}">{warning}</a></b>' for part, warning in told.warnings.items())
    return " ".join([*told.said, *warnings])


def _left_out(full: int, tickers: int) -> str:
    if full == tickers:
        return ""
    return (
        f"<p class=dim>In full: the {full} that drifted or are expected to move most. The other {tickers - full} are in the table above; "
        "<code>stockcast explain SESSION TICKER</code> tells all about one.</p>"
    )


def _overview(day: Day, full: list[str]) -> str:
    first = day.forecasts[day.forecasts["horizon"] == 1].set_index("ticker")
    drifted = day.drift.set_index("ticker")["warnings"]
    body = []
    for row in day.promotions.sort_values("ticker").to_dict("records"):
        ticker = row["ticker"]
        if ticker not in first.index:
            continue
        forecast = first.loc[ticker]
        change = forecast["y_hat"] / forecast["last_value"] - 1
        body.append(
            [
                f'<a href="#{escape(ticker)}">{escape(ticker)}</a>' if ticker in full else escape(ticker),
                _price(forecast["last_value"]),
                _price(forecast["y_hat"]),
                f"{change:+.2%}",
                _interval(forecast, 80),
                _champion(row),
                _skill(row["pinball_skill"]),
                _skill(row["skill"]),
                _drift_badges(drifted.get(ticker)),
            ]
        )
    head = ["Ticker", "Last", "Next session", "Change", "80 % interval", "Published", "Pinball skill", "RMSE skill", "Drift"]
    return _table(head, body, words={0, 5, 8})


def _champion(promotion: Mapping) -> str:
    """A badge, and how much of the champion there is in what is published."""
    champion, weight = promotion["champion"], promotion["weight"]
    share = "" if champion in BASELINES else f" <span class=dim>{weight:.0%}</span>"
    return _badge(champion, CHAMPIONS.get(champion, "")) + share


def _card(ticker: str, rows: pd.DataFrame, promotions: pd.DataFrame, chart: bytes | None) -> str:
    rows = rows.sort_values("horizon")
    promotion = next(iter(promotions[promotions["ticker"] == ticker].to_dict("records")), None)
    table = _table(
        ["Session", "Median", *(f"{level} %" for level in INTERVALS)],
        [
            [str(row["session"].date()), _price(row["y_hat"]), *(_interval(row, level) for level in INTERVALS)]
            for row in rows.to_dict("records")
        ],
        words={0},
    )
    image = f'<img alt="{escape(ticker)}: recent prices and forecasts" src="{_inline(chart)}">' if chart else ""
    why = "".join(f"<li>{escape(reason)}</li>" for reason in (promotion["reasons"].split("; ") if promotion else ()))
    last = f"last {rows['target'].iloc[0]} {_price(rows['last_value'].iloc[0])}"
    badge = _champion(promotion) if promotion else _badge(rows["champion"].iloc[0])
    return (
        f'<section class=card id="{escape(ticker)}"><h3>{escape(ticker)} {badge} '
        f"<small>{escape(last)}</small></h3>"
        f"<p>{_verdict(promotion)}</p><div class=two><div>{image}</div><div>{table}</div></div>"
        f"<details><summary>Why</summary><ul class=why>{why}</ul></details></section>"
    )


def _verdict(promotion: dict | None) -> str:
    """In words: what is published, and whether the network is worth its while."""
    if promotion is None:
        return ""
    champion, weight = promotion["champion"], promotion["weight"]
    told = f"Published is {CHAMPIONS.get(champion, escape(champion))}"
    if champion not in BASELINES:
        told = f"Published are {weight:.0%} of {CHAMPIONS.get(champion, escape(champion))} and {1 - weight:.0%} of {CHAMPIONS[promotion['baseline']]}"
    if math.isnan(promotion["test_rmse"]):
        return f"{told}; there is no network for this ticker. Test RMSE of the naive forecast: {_price(promotion['naive_test_rmse'], 4)}."
    whose = "It" if champion not in BASELINES else "The network, which is not published,"
    losses = f"pinball loss {promotion['test_pinball']:.3%} of the price against {promotion['ewma_test_pinball']:.3%}"
    errors = f"RMSE {_price(promotion['test_rmse'], 4)} against {_price(promotion['naive_test_rmse'], 4)}"
    return (
        f"{told}. {whose} {_outcome(promotion['pinball_skill'])} the EWMA random walk on {promotion['test_sessions']} test sessions: {losses}, "
        f"skill {promotion['pinball_skill']:+.2%}. One session ahead, its median {_outcome(promotion['skill'])} the naive forecast: {errors}, "
        f"skill {promotion['skill']:+.2%}."
    )


def _outcome(skill: float) -> str:
    word = "beats" if skill > 0 else "loses to" if skill < 0 else "equals"
    return f"<b class={'good' if skill > 0 else 'bad'}>{word}</b>"


def _calibration(calibrations: pd.DataFrame, picture: bytes) -> str:
    """How often each interval held what came in the sessions replayed, before and after calibration: per ticker, and per horizon."""
    if calibrations.empty:
        return "<p>Nothing has been calibrated.</p>"
    head = [name for level in INTERVALS for name in (f"Inside {level} %", "width")]

    def cells(row: Mapping) -> list[str]:
        return [
            text
            for level in INTERVALS
            for text in (
                f"{_share(row[f'raw_coverage_{level}'])} → {_share(row[f'coverage_{level}'])}",
                f"× {math.exp(row[f'growth_{level}']):.2f}",
            )
        ]

    means = calibrations.groupby("ticker").mean(numeric_only=True).reset_index().to_dict("records")
    summary = [[escape(row["ticker"]), f"{row['sessions']:.0f}", *cells(row)] for row in means]
    each = [
        [escape(row["ticker"]), str(row["horizon"]), str(row["sessions"]), *cells(row)]
        for row in calibrations.sort_values(["ticker", "horizon"]).to_dict("records")
    ]
    return "\n".join(
        [
            "<p>Shares of what came that lay inside the intervals, over the sessions before this one: as they were said, and as calibration would "
            "have made them day by day. Width: what calibration now multiplies the interval's by.</p>",
            _picture(picture, "Coverage by horizon, before and after calibration"),
            _table(["Ticker", "Sessions", *head], summary, words={0}),
            "<details><summary>By horizon</summary>",
            _table(["Ticker", "Sessions ahead", "Sessions", *head], each, words={0}),
            "</details>",
        ]
    )


def _share(value: float) -> str:
    return _or_dash(value, "{:.1%}".format)


def _drift(watched: pd.DataFrame, picture: bytes) -> str:
    """What has left its band; DRIFT rows of this run."""
    if watched.empty:
        return '<p id="drift">Nothing has been watched.</p>'
    few = watched["sessions"] < drift.FEWEST
    body = [
        [
            escape(row["ticker"]),
            str(row["sessions"]),
            *(_or_dash(row[f"coverage_{level}"], "{:.0%}".format) for level in (80, 95)),
            _or_dash(row["pinball_skill"], "{:+.2%}".format),
            _or_dash(row["psi"], "{:.2f}".format),
            _drift_badges(row["warnings"]),
        ]
        for row in watched.sort_values("ticker").to_dict("records")
    ]
    told = [
        f"<li><b>{escape(ticker)}</b>, {DRIFT_WORDS.get(kind, escape(kind))}: {_with_code(warning)}.</li>"
        for ticker, kind, warning in _drifted(watched)
    ]
    waiting = f" {counted(few.sum(), 'ticker')} with fewer than {drift.FEWEST} scored sessions cannot be judged by coverage and skill yet."
    head = ["Ticker", "Scored sessions", "Inside 80 %", "Inside 95 %", "Pinball skill", "Stability index", "State"]
    return "\n".join(
        [
            f'<p id="drift">Over the last {drift.SESSIONS} scored sessions at most, all horizons together. Stability index: how unlike the inputs '
            f"of the last year are to those that the network learnt from; above {drift.HIGHEST_PSI:g} they have changed. Dashed: the bands."
            f"{waiting if few.any() else ''}</p>",
            _table(head, body, words={0, 6}),
            f"<ul class=warned>{''.join(told)}</ul>" if told else "",
            _picture(picture, "Coverage, pinball skill and stability index through time"),
        ]
    )


def _with_code(text: str) -> str:
    """Escaped, with what stands between backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


#: What has left its band, in words.
DRIFT_WORDS = {
    "coverage_80": "80 % interval",
    "coverage_95": "95 % interval",
    "pinball_skill": "pinball skill",
    "psi": "inputs",
}


def _drift_badges(warnings: str | None) -> str:
    if warnings is None:
        return "–"
    kinds = drift.warnings_of(warnings)
    if not kinds:
        return '<span class="badge fine">in band</span>'
    return " ".join(f'<span class="badge quarantine">{DRIFT_WORDS.get(kind, escape(kind))}</span>' for kind in kinds)


def _picture(image: bytes, told: str) -> str:
    return f'<div class="scroll wide"><img alt="{escape(told)}" src="{_inline(image)}"></div>' if image else ""


def _quality(checks: pd.DataFrame, findings: pd.DataFrame) -> str:
    quarantined = checks[checks["verdict"] == "quarantined"].sort_values("ticker")
    parts = [f"<p>{len(checks) - len(quarantined)} of {counted(len(checks), 'ticker')} passed the quality gate.</p>"]
    if len(quarantined):
        body = [[escape(row["ticker"]), escape(row["reasons"])] for row in quarantined.to_dict("records")]
        parts.append(_table(["Quarantined", "Why it sits this session out"], body, words={0, 1}))
    if findings.empty:
        return "\n".join([*parts, "<p>No rule has found anything.</p>"])
    parts += [f"<p>{escape(told)}</p>" for told in on_one_day(findings)]
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
            _skill(row["pinball_skill"]),
            f"{row['inside_80']:.0%}",
            f"{row['inside_95']:.0%}",
        ]
        for row in realised(scores).to_dict("records")
    ]
    head = [
        "Ticker",
        "Sessions ahead",
        "Forecasts",
        "RMSE",
        "… of naive",
        "RMSE skill",
        "Pinball skill",
        "Inside 80 %",
        "Inside 95 %",
    ]
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


def _badge(word: str, told: str = "") -> str:
    title = f' title="{escape(told)}"' if told else ""
    return f'<span class="badge {escape(word)}"{title}>{escape(word)}</span>'


def _skill(value: float) -> str:
    return _or_dash(value, lambda number: f"<b class={'good' if number > 0 else 'bad'}>{number:+.2%}</b>")


def _or_dash(value: float, text: object) -> str:
    return "–" if math.isnan(value) else text(value)


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _inline(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


STYLE = """
:root{--ink:#1c2530;--dim:#68737f;--page:#f5f6f8;--card:#fff;--line:#e1e5ea;--good:#16794c;--bad:#b4321f;--net:#2b6cb0;--nai:#b7641a}
@media (prefers-color-scheme:dark){:root{--ink:#e4e8ee;--dim:#97a2b0;--page:#14181d;--card:#1d232b;--line:#323b47;--good:#4fc48a;
--bad:#f08573;--net:#6fb1f0;--nai:#eaa45f}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,"Segoe UI",sans-serif}
main{max-width:1160px;margin:0 auto;padding:28px 20px 40px}h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:36px 0 10px}
h3{font-size:17px;margin:0 0 4px}small{color:var(--dim);font-weight:400;font-size:.72em;margin-left:6px}.lead{margin:0 0 18px}
a{color:inherit}.dim,footer{color:var(--dim)}footer{font-size:13px;margin-top:36px;border-top:1px solid var(--line);padding-top:12px}
.scroll{overflow-x:auto;margin-bottom:12px;background:var(--card);border:1px solid var(--line);border-radius:8px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}
th,td{padding:6px 12px;text-align:right;white-space:nowrap;border-top:1px solid var(--line);vertical-align:top}thead th{border-top:0}
th{color:var(--dim);font-weight:600;font-size:12.5px}.w{text-align:left}td.w:last-child{white-space:normal;min-width:260px}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:14px 16px;margin:0 0 14px;break-inside:avoid}
.card p{margin:0 0 8px}.card .scroll{margin:0;border:0;border-radius:0}.card th,.card td{padding:5px 8px}
.card td.w:last-child{min-width:0}.two{display:grid;grid-template-columns:minmax(0,1fr) auto;gap:16px;align-items:center}
img{max-width:100%;display:block}.wide{padding:10px 12px}
summary{cursor:pointer;color:var(--dim);font-size:13px}
details .scroll{margin-top:8px}.warned{margin:4px 0 12px;padding-left:18px;font-size:14px}
.why{margin:8px 0 0;padding-left:18px;color:var(--dim);font-size:13px}
.good{color:var(--good)}.bad{color:var(--bad);white-space:nowrap}
.badge{display:inline-block;padding:0 8px;border-radius:9px;font-size:12px;font-weight:600;
border:1px solid currentColor;color:var(--dim)}.badge.lstm,.badge.previous,.badge.pooled{color:var(--net)}.badge.fine{color:var(--good)}.badge.naive,
.badge.ewma,.badge.mask{color:var(--nai)}
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
        span = f"{dollars(ours.min())} .. {dollars(ours.max())}" if len(group) > 1 else ""
        published, own, line, default = (
            (dollars(value), times(value / naive))
            for value in (one["published_rmse"], ours.mean(), one["linear_rmse"], group["default_rmse"].mean())
        )
        counts = [str(one["sessions"]), str(one["left_out"])]
        body.append([one["ticker"], one["recipe"], *published, own[0], span, own[1], dollars(naive), *line, *default, *counts])
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
        told.append(f"{ticker}, best first: " + ", ".join(f"{name} {dollars(error)}" for error, name in ranked) + ".")
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
                f"{name} beats the naive forecast on {won} of {counted(len(ratios), 'ticker')}: {times(sum(ratios) / len(ratios))} times its "
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


def dollars(value: float) -> str:
    return _or_dash(value, lambda number: f"{number:,.{4 if abs(number) < 100 else 2}f}")


def times(ratio: float) -> str:
    return _or_dash(ratio, "{:.3f}".format)


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
    return _aligned(["layers", *(counted(units, "unit") for units in widths)], body, [True] * (len(widths) + 1))
