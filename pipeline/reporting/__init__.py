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
from pipeline.reporting.rows import (
    FORMATS,
    align,
    counted,
    dollars,
    first_names,
    format_rows,
    or_dash,
    ratio_text,
    sentences,
)

__all__ = [
    "CHAMPIONS",
    "DRIFT_WORDS",
    "FORMATS",
    "Day",
    "Lines",
    "align",
    "charts",
    "counted",
    "day_markdown",
    "day_page",
    "day_summary",
    "day_text",
    "dollars",
    "first_names",
    "for_people",
    "forecast_table",
    "format_rows",
    "line",
    "or_dash",
    "overview",
    "ratio_text",
    "sentences",
    "shown_in_full",
    "summary_of",
]
