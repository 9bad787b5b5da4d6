"""The API of the Forecasts pages for programs, as JSON and CSV: the rows that the pages show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pandas as pd
from airflow.api_fastapi.core_api.security import get_user
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import PlainTextResponse, Response

from pipeline.daily import page_tables
from pipeline.reporting import format_rows
from pipeline.scheduling.pages.rendering import address_of_root
from pipeline.scheduling.pages.requested import (
    EverySeries,
    PartsOfPages,
    RequestedSeries,
    RequestedSession,
    RequestedTicker,
    scoreboard,
)

api = APIRouter(dependencies=[Depends(get_user)])

Form = Annotated[
    Literal["json", "csv"],
    Query(alias="format", description="json: a list of objects; csv: with a header"),
]
#: The greatest limit and offset, more than any table has.
MOST_ROWS = 1_000_000_000
#: The header of an answer of some of a table's rows that says how many it has.
TOTAL_HEADER = "X-Total-Count"
SERIES_COLUMNS = ["universe", "recipe", "target", "newest"]


@dataclass(frozen=True)
class RowRange:
    """The rows of a table that a program has asked for.

    Attributes:
        limit: how many at most; None: all.
        offset: how many are left out before them.
    """

    limit: int | None
    offset: int


def _rows(
    limit: Annotated[
        int | None, Query(ge=1, le=MOST_ROWS, description="Rows at most. Left out: all there are.")
    ] = None,
    offset: Annotated[
        int,
        Query(
            ge=0,
            le=MOST_ROWS,
            description=f"Rows left out before them; `{TOTAL_HEADER}` says how many there are.",
        ),
    ] = 0,
) -> RowRange:
    return RowRange(limit, offset)


RequestedRows = Annotated[RowRange, Depends(_rows)]


@api.get("/series", summary="The series that have forecasts")
def series_rows(every: EverySeries, form: Form = "json") -> Response:
    """Answer with all series, and the newest session of each."""
    rows = [{**series.key, "newest": series.newest} for series in every]
    return _answer(pd.DataFrame(rows, columns=SERIES_COLUMNS), form)


@api.get("/forecasts", summary="A session's table: one row per ticker")
def forecast_rows(
    parts: PartsOfPages,
    series: RequestedSeries,
    session: RequestedSession,
    rows: RequestedRows,
    form: Form = "json",
) -> Response:
    """Answer with one row per ticker."""
    return _answer_some(page_tables.overview(parts.store, series, session), rows, form)


@api.get(
    "/published",
    summary="All forecasts of a session, with all intervals: one row per ticker and session ahead",
)
def published_rows(
    parts: PartsOfPages,
    series: RequestedSeries,
    session: RequestedSession,
    rows: RequestedRows,
    form: Form = "json",
) -> Response:
    """Answer with what the Python client reads."""
    return _answer_some(page_tables.published(parts.store, series, session), rows, form)


@api.get(
    "/stocks/{ticker}/forecasts",
    summary="A ticker's forecasts of the sessions after one, with all intervals",
)
def fan_rows(
    ticker: RequestedTicker,
    parts: PartsOfPages,
    series: RequestedSeries,
    session: RequestedSession,
    form: Form = "json",
) -> Response:
    """Answer with one row per session ahead."""
    return _answer(page_tables.fan(parts.store, series, ticker, session), form)


@api.get(
    "/stocks/{ticker}/publications",
    summary="Every publication of these forecasts: when, by which run, from what was known when",
)
def publication_rows(
    ticker: RequestedTicker,
    parts: PartsOfPages,
    series: RequestedSeries,
    session: RequestedSession,
    form: Form = "json",
) -> Response:
    """Answer with one row per session ahead and publication."""
    return _answer(page_tables.publications(parts.store, series, ticker, session), form)


@api.get(
    "/stocks/{ticker}/history",
    summary="The target's newest 250 sessions, as traded at the session asked for",
)
def history_rows(
    ticker: RequestedTicker,
    parts: PartsOfPages,
    series: RequestedSeries,
    session: RequestedSession,
    form: Form = "json",
) -> Response:
    """Answer with one row per session."""
    return _answer(page_tables.history(parts.store, series, ticker, session), form)


@api.get(
    "/stocks/{ticker}/earlier",
    summary="A ticker's forecasts at one horizon, next to the actual values",
)
def earlier_rows(
    ticker: RequestedTicker,
    parts: PartsOfPages,
    series: RequestedSeries,
    session: RequestedSession,
    horizon: Annotated[int, Query(ge=1, description="Sessions ahead.")] = 1,
    form: Form = "json",
) -> Response:
    """Answer with one row per session that was forecast."""
    return _answer(page_tables.earlier(parts.store, series, ticker, session, horizon), form)


@api.get(
    "/stocks/{ticker}/promotions",
    summary="Whose forecasts were published, and why; the newest first",
)
def decision_rows(
    ticker: RequestedTicker, parts: PartsOfPages, series: RequestedSeries, form: Form = "json"
) -> Response:
    """Answer with one row per decision."""
    return _answer(page_tables.decisions(parts.store, series, ticker), form)


@api.get(
    "/scores",
    summary="Skill and coverage of all scored forecasts, by recipe, ticker, horizon or month",
)
def score_rows(
    parts: PartsOfPages,
    series: RequestedSeries,
    rows: RequestedRows,
    by: Annotated[
        Literal["recipe", "ticker", "horizon", "month"], Query(description="What a row is of.")
    ] = "ticker",
    form: Form = "json",
) -> Response:
    """Answer with one row per group."""
    return _answer_some(scoreboard(parts, series, by), rows, form)


@api.get("/quality", summary="The gate's verdict on every ticker of a session")
def quality_rows(
    parts: PartsOfPages,
    series: RequestedSeries,
    session: RequestedSession,
    rows: RequestedRows,
    form: Form = "json",
) -> Response:
    """Answer with one row per ticker."""
    return _answer_some(page_tables.checks(parts.store, series, session), rows, form)


@api.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> dict[str, Any]:
    """Answer with the description of this API."""
    description: dict[str, Any] = request.app.openapi()
    return description | {"servers": [{"url": address_of_root(request)}]}


def _answer_some(table: pd.DataFrame, rows: RowRange, form: str) -> Response:
    """Answer with some rows of a table, and say in a header how many it has."""
    last = None if rows.limit is None else rows.offset + rows.limit
    answer = _answer(table.iloc[rows.offset : last], form)
    answer.headers[TOTAL_HEADER] = str(len(table))
    return answer


def _answer(table: pd.DataFrame, form: str) -> Response:
    kind = "application/json" if form == "json" else "text/csv; charset=utf-8"
    return PlainTextResponse(format_rows(table, form), media_type=kind)
