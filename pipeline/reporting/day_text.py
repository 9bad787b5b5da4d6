"""The day for a terminal and for Markdown: the same figures as its page, without the pictures."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from pipeline.measures import drift
from pipeline.models import HAR, STANDING, YARDSTICKS
from pipeline.quality import on_one_day
from pipeline.quantiles import INTERVALS
from pipeline.reporting.day import (
    DRIFT_WORDS,
    Day,
    day_summary,
    drift_warnings,
    shown_in_full,
    summary_of,
)
from pipeline.reporting.risk_text import risk_text
from pipeline.reporting.rows import (
    align,
    change_text,
    counted,
    forecast_price,
    format_rows,
    last_price,
    or_dash,
    sentences,
    share_text,
    tone,
)
from pipeline.run import Run

#: Nothing is known to come.
NO_EVENTS_AHEAD: Mapping[str, str] = MappingProxyType({})
#: Columns of a line about a quarantined ticker.
TEXT_WIDTH = 100


def day_text(run: Run, day: Day) -> str:
    """Return the day's page for a terminal."""
    universe, full, summary = run.universe, shown_in_full(day), summary_of(day)
    in_full = day.forecasts["ticker"].isin(full)
    checks = day.checks
    shown = checks["ticker"].isin(full) | (checks["verdict"] == "quarantined")
    forecasts = forecast_table(
        day.forecasts[in_full],
        day.promotions[day.promotions["ticker"].isin(full)],
        checks[shown],
        day.events,
    )
    title = f"{universe.name}: {universe.target} after {run.session}, recipe {universe.recipe}"
    parts = {
        title: sentences([*summary.warnings.values(), *summary.sentences]),
        "Next session": align(*_overview_cells(day)),
        "Forecasts": forecasts,
        "Calibration: share of the replayed sessions inside the intervals, before and after": (
            _calibration_text(day.calibrations)
        ),
        f"Drift: over the last {drift.DRIFT_SESSIONS} scored sessions at most": _drift_text(
            day.drift
        ),
        "How earlier forecasts did": _record_text(day.record),
        "Quality of the prices": _quality_text(day),
    }
    if len(day.together):
        parts["All stocks together: what the same part of each may lose"] = risk_text(day.together)
    sections = [f"{name}\n{'-' * len(name)}\n{text}" for name, text in parts.items()]
    footer = (
        "Skill: 1 - loss / the rival's; below zero the rival is better. "
        "No advice to buy or sell anything."
    )
    return "\n\n".join([*sections, footer])


def day_markdown(day: Day) -> str:
    """Return the day's summary and its table of tickers in Markdown.

    Of a large universe the table has those that the page shows in full.
    """
    columns, cells, _ = _overview_cells(day)
    full = {*shown_in_full(day), *day.quarantined["ticker"]}
    rows = [row for row in cells if row[0] in full]
    rest = len(cells) - len(rows)
    more = f"\n\n{rest} more are in `summary.csv`." if rest else ""
    lines = [columns, ["---"] * len(columns), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"**{summary_of(day)}**\n\n{table}{more}"


def forecast_table(
    forecasts: pd.DataFrame,
    promotions: pd.DataFrame,
    checks: pd.DataFrame,
    events: Mapping[str, str] = NO_EVENTS_AHEAD,
) -> str:
    """Return one run's FORECASTS, PROMOTIONS and CHECKS, a block per ticker.

    Args:
        events: by ticker what is known to come on the sessions forecast, in words.
    """
    blocks = []
    for check in checks.sort_values("ticker").to_dict("records"):
        ticker = check["ticker"]
        published = forecasts[forecasts["ticker"] == ticker].sort_values("horizon")
        decided = promotions[promotions["ticker"] == ticker].to_dict("records")
        if check["verdict"] == "quarantined":
            line = f"{ticker:<6} quarantined, no forecast: {check['reasons']}"
            blocks.append(textwrap.fill(line, TEXT_WIDTH, subsequent_indent=" " * 7))
        elif published.empty or not decided:
            blocks.append(f"{ticker:<6} no forecast")
        else:
            headline = _headline(published.to_dict("records")[0], decided[0])
            known = [f"       {events[ticker]}"] if ticker in events else []
            blocks.append("\n".join([headline, *known, *_forecast_lines(published)]))
    if not blocks:
        return "No tickers were checked."
    return "\n\n".join([_title(checks.to_dict("records")[0]), *blocks])


def _title(check: Mapping[Any, Any]) -> str:
    after = f"{check['target']} after {check['cutoff'].date()} (recipe {check['recipe']})"
    return f"{check['universe']}: forecasts of {after}"


def _headline(forecast: Mapping[Any, Any], promotion: Mapping[Any, Any]) -> str:
    last = f"last {forecast['target']} {last_price(forecast)}"
    parts = [f"{forecast['ticker']:<6} {last}", published_text(promotion)]
    if math.isnan(promotion["test_rmse"]):
        return "   ".join([*parts, "no network"])
    pinball, skill = promotion["pinball_skill"], promotion["skill"]
    over_har = promotion["pinball_skill_over_har"]
    is_beside_har = promotion["champion"] != HAR and not math.isnan(over_har)
    rivals = {"ewma": pinball, **({"har": over_har} if is_beside_har else {})}
    against = ", ".join(f"{change_text(value)} against {name}" for name, value in rivals.items())
    rivals["naive one session ahead"] = skill
    lost = [f"loses to {rival}" for rival, value in rivals.items() if tone(value) == "bad"]
    tested = "test of the network" if promotion["champion"] in YARDSTICKS else "test"
    parts.append(f"{tested}: pinball {against}, RMSE {change_text(skill)} against naive")
    return "   ".join(parts) + (f"\n       ({', '.join(lost)})" if lost else "")


def published_text(promotion: Mapping[Any, Any]) -> str:
    """Return who is published for a ticker, with its share."""
    champion, weight = promotion["champion"], promotion["weight"]
    if champion in STANDING or weight == 1:
        return str(champion)
    return f"{champion} {weight:.0%} + {promotion['baseline']} {1 - weight:.0%}"


def _forecast_lines(published: pd.DataFrame) -> list[str]:
    cells = [
        [
            str(row["session"].date()),
            forecast_price(row, "y_hat"),
            *(
                forecast_price(row, f"{side}_{level}")
                for level in INTERVALS
                for side in ("lower", "upper")
            ),
        ]
        for row in published.to_dict("records")
    ]
    width = max(len(cell) for row in cells for cell in row[1:])
    lines = []
    for session, value, *bounds in cells:
        pairs = zip(INTERVALS, bounds[::2], bounds[1::2], strict=True)
        intervals = "".join(
            f"    {level}%  {low:>{width}} .. {high:>{width}}" for level, low, high in pairs
        )
        lines.append(f"       {session}   {value:>{width}}{intervals}")
    return lines


def _overview_cells(day: Day) -> tuple[list[str], list[list[str]], list[bool]]:
    """Return names, cells and which columns are numbers: a line per ticker."""
    columns = ["ticker", "last", "next session", "change", "80% interval", "published"]
    columns += ["pinball skill", "over har", "RMSE skill", "drift"]
    promotions = {row["ticker"]: row for row in day.promotions.to_dict("records")}
    cells = []
    for row in day_summary(day).sort_values("ticker").to_dict("records"):
        ticker = row["ticker"]
        if ticker not in promotions or math.isnan(row["y_hat"]):
            cells.append([ticker, *[""] * 4, row["verdict"], *[""] * 4])
            continue
        kinds = [DRIFT_WORDS.get(kind, kind) for kind in row["drift"].split(",") if kind]
        cells.append(
            [
                ticker,
                last_price(row),
                forecast_price(row, "y_hat"),
                change_text(row["change"]),
                f"{forecast_price(row, 'lower_80')} .. {forecast_price(row, 'upper_80')}",
                published_text(promotions[ticker]),
                change_text(row["pinball_skill"]),
                change_text(row["pinball_skill_over_har"]),
                change_text(row["skill"]),
                ", ".join(kinds),
            ]
        )
    words = ("ticker", "published", "drift")
    return columns, cells, [name not in words for name in columns]


def _calibration_text(calibrations: pd.DataFrame) -> str:
    if calibrations.empty:
        return "Nothing has been calibrated."
    columns = ["ticker", "sessions", *(f"{level}%" for level in INTERVALS)]
    means = calibrations.groupby("ticker").mean(numeric_only=True).reset_index()
    cells = []
    for row in means.to_dict("records"):
        shares = [
            f"{share_text(row[f'raw_coverage_{level}'])} -> {share_text(row[f'coverage_{level}'])}"
            for level in INTERVALS
        ]
        cells.append([str(row["ticker"]), f"{row['sessions']:.0f}", *shares])
    return align(columns, cells, [False, *[True] * (len(columns) - 1)])


def _drift_text(watched: pd.DataFrame) -> str:
    if watched.empty:
        return "Nothing has been watched."
    columns = ["ticker", "scored sessions", "inside 80%", "inside 95%", "pinball skill"]
    columns += ["stability index"]
    cells = [
        [
            row["ticker"],
            f"{row['sessions']}{' backfilled' if row['backfilled'] else ''}",
            *(or_dash(row[f"coverage_{level}"], "{:.0%}".format) for level in (80, 95)),
            change_text(row["pinball_skill"]),
            or_dash(row["psi"], "{:.2f}".format),
        ]
        for row in watched.sort_values("ticker").to_dict("records")
    ]
    warnings = [
        f"WARNING {ticker}, {DRIFT_WORDS.get(kind, kind)}: {warning}."
        for ticker, kind, warning in drift_warnings(watched)
    ]
    table = align(columns, cells, [False, *[True] * (len(columns) - 1)])
    return "\n".join([table, *([sentences(warnings)] if warnings else [])])


def _record_text(record: pd.DataFrame) -> str:
    if record.empty:
        return "No earlier forecast has reached its session yet."
    return format_rows(record.drop(columns=["universe", "recipe", "target"]), "table")


def _quality_text(day: Day) -> str:
    total, quarantined, findings = len(day.checks), day.quarantined, day.findings
    passed = total - len(quarantined)
    lines = [f"{passed} of {counted(total, 'ticker')} passed the quality gate."]
    lines += [
        f"{row['ticker']} quarantined: {row['reasons']}" for row in quarantined.to_dict("records")
    ]
    lines += on_one_day(findings) if len(findings) else ["No rule has found anything."]
    counts = findings.groupby(["ticker", "severity", "rule"]).size().reset_index(name="cells")
    tables = [format_rows(counts, "table")] if len(counts) else []
    return "\n".join([sentences(lines), *tables])
