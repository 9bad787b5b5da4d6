"""Reporting: what people read: tables, sentences, the day's page, charts, progress."""

from pipeline.reporting import charts
from pipeline.reporting.day import (
    CHAMPIONS,
    DRIFT_WORDS,
    Day,
    day_summary,
    overview,
    shown_in_full,
    summary_of,
)
from pipeline.reporting.day_page import day_page
from pipeline.reporting.day_text import day_markdown, day_text, forecast_table
from pipeline.reporting.progress import Lines, for_people, line
from pipeline.reporting.risk_text import exceedances_text, risk_text, score_lines
from pipeline.reporting.rows import (
    FORMATS,
    align,
    change_text,
    counted,
    first_names,
    forecast_price,
    format_rows,
    last_price,
    or_dash,
    ratio_text,
    sentences,
    tone,
)
from pipeline.reporting.time_left import TimeLeft

__all__ = [
    "CHAMPIONS",
    "DRIFT_WORDS",
    "FORMATS",
    "Day",
    "Lines",
    "TimeLeft",
    "align",
    "change_text",
    "charts",
    "counted",
    "day_markdown",
    "day_page",
    "day_summary",
    "day_text",
    "exceedances_text",
    "first_names",
    "for_people",
    "forecast_price",
    "forecast_table",
    "format_rows",
    "last_price",
    "line",
    "or_dash",
    "overview",
    "ratio_text",
    "risk_text",
    "score_lines",
    "sentences",
    "shown_in_full",
    "summary_of",
    "tone",
]
