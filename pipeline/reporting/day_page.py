"""The day's page: one HTML file that needs nothing else, made from `templates/day_page.html`."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.measures import drift
from pipeline.models import STANDING, YARDSTICKS
from pipeline.money import difference_text, with_code
from pipeline.quality import on_one_day
from pipeline.quantiles import INTERVALS, PUBLISHED_LEVELS
from pipeline.reporting.day import (
    CHAMPIONS,
    DRIFT_WORDS,
    Day,
    drift_warnings,
    shown_in_full,
    summary_of,
)
from pipeline.reporting.risk_text import risk_cells
from pipeline.reporting.rows import (
    change_text,
    counted,
    forecast_price,
    last_price,
    or_dash,
    share_text,
    tone,
)
from pipeline.run import Run
from pipeline.tables import FORECASTS

#: Findings of one rule about one ticker that the page spells out; the store has them all.
SHOWN_FINDINGS = 3


def day_page(run: Run, day: Day, charts: Mapping[str, bytes], pictures: Mapping[str, bytes]) -> str:
    """Return the page.

    Args:
        charts: by ticker, the PNG of its forecast.
        pictures: "calibration" and "drift" as PNG, where there is something to draw.
    """
    full = shown_in_full(day)
    forecasts = day.forecasts.sort_values(list(FORECASTS.key)).to_dict("records")
    by_ticker: dict[str, list[dict[Any, Any]]] = {}
    for row in forecasts:
        by_ticker.setdefault(row["ticker"], []).append(row)
    promotions = {row["ticker"]: row for row in day.promotions.to_dict("records")}
    watched = day.drift.sort_values("ticker").to_dict("records")
    return (
        _environment()
        .get_template("day_page.html")
        .render(
            run=run,
            summary=summary_of(day),
            full=full,
            forecasts=by_ticker,
            promotions=promotions,
            events=day.events,
            calibrations=_calibrations(day.calibrations),
            watched=watched,
            drifted={row["ticker"]: list(drift.warnings_of(row["warnings"])) for row in watched},
            warnings=list(drift_warnings(day.drift)),
            waiting=sum(row["sessions"] < drift.FEWEST_SCORED_SESSIONS for row in watched),
            record=day.record.to_dict("records"),
            together=risk_cells(day.together),
            checked=len(day.checks),
            quarantined=day.quarantined.to_dict("records"),
            on_one_day=on_one_day(day.findings) if len(day.findings) else [],
            findings=_findings(day.findings),
            charts={ticker: _inline(image) for ticker, image in charts.items()},
            pictures={name: _inline(image) for name, image in pictures.items()},
        )
    )


def _calibrations(calibrations: pd.DataFrame) -> dict[str, list[dict[Any, Any]]]:
    """Return the rows per ticker, means over the horizons, and per ticker and horizon."""
    if calibrations.empty:
        return {"means": [], "by_horizon": []}
    means = calibrations.groupby("ticker").mean(numeric_only=True).reset_index()
    return {
        "means": means.to_dict("records"),
        "by_horizon": calibrations.sort_values(["ticker", "horizon"]).to_dict("records"),
    }


def _findings(findings: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one row per ticker, severity and rule, with its newest messages."""
    rows = []
    for (ticker, severity, rule), group in findings.groupby(["ticker", "severity", "rule"]):
        newest = group.sort_values(["session", "column"], ascending=[False, True])
        messages = list(newest["message"].drop_duplicates())
        shown = messages[:SHOWN_FINDINGS]
        rows.append(
            {
                "ticker": ticker,
                "severity": severity,
                "rule": rule,
                "cells": len(group),
                "messages": shown,
                "more": len(group) - len(shown),
            }
        )
    return rows


def _inline(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "price": forecast_price,
        "last_price": last_price,
        "difference": difference_text,
        "with_code": with_code,
        "change": change_text,
        "tone": tone,
        "share": share_text,
        "percent": lambda value: or_dash(value, "{:.0%}".format),
        "error": lambda value: or_dash(value, "{:.3%}".format),
        "two_decimals": lambda value: or_dash(value, "{:.2f}".format),
        "counted": counted,
        "exp": math.exp,
        "isnan": math.isnan,
    }
    environment.globals |= {
        "STANDING": STANDING,
        "YARDSTICKS": YARDSTICKS,
        "CHAMPIONS": CHAMPIONS,
        "DRIFT_WORDS": DRIFT_WORDS,
        "INTERVALS": INTERVALS,
        "PUBLISHED_LEVELS": PUBLISHED_LEVELS,
        "drift": drift,
    }
    return environment
