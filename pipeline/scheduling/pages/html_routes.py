"""The Forecasts pages for people, as HTML."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import get_user
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pipeline.daily import page_tables
from pipeline.errors import NothingStored
from pipeline.parts import Parts
from pipeline.scheduling.pages.links import airflow_address, mlflow_address
from pipeline.scheduling.pages.listing import WHOLE_ROWS, RequestedListing, listed
from pipeline.scheduling.pages.rendering import chart_values, page, records, state_texts
from pipeline.scheduling.pages.requested import (
    EverySeries,
    MayRead,
    PartsOfPages,
    RequestedSeries,
    RequestedSession,
    RequestedTicker,
    intervals_of_all,
    scoreboard,
)

html = APIRouter(
    default_response_class=HTMLResponse, include_in_schema=False, dependencies=[Depends(get_user)]
)
#: Media types of the files of Data Docs.
DATA_DOCS_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
#: Pages that others have rendered have no access to Airflow's login.
SANDBOX = {
    "Content-Security-Policy": "sandbox allow-scripts; script-src 'none'; frame-ancestors 'self'"
}


@html.get("/")
def forecasts_page(
    request: Request,
    parts: PartsOfPages,
    every: EverySeries,
    series: RequestedSeries,
    session: RequestedSession,
    asked: RequestedListing,
) -> str:
    """Show a session's table: one row per ticker."""
    table = page_tables.overview(parts.store, series, session)
    published = table[table["y_hat"].notna()]
    width = table["upper_80"] - table["lower_80"]
    table = table.assign(width_80=width, state=state_texts(table))
    return page(
        request,
        "forecasts",
        every,
        series,
        session,
        listed=listed(table, asked, ["ticker", "direction", "champion", "state"]),
        published=len(published),
        ahead=None if published.empty else published["session"].iloc[0].date(),
        out=int((table["verdict"] == "quarantined").sum()),
        drifted=int((published["drift"] != "").sum()),
        sessions=page_tables.sessions(parts.store, series),
    )


@html.get("/stocks/{ticker}")
def stock_page(
    request: Request,
    ticker: RequestedTicker,
    parts: PartsOfPages,
    every: EverySeries,
    series: RequestedSeries,
    airflow: SessionDep,
    session: RequestedSession,
) -> str:
    """Show a ticker: its forecasts, their record, why they were published, its prices' quality."""
    store = parts.store
    fan = page_tables.fan(store, series, ticker, session)
    decisions = page_tables.decisions(store, series, ticker)
    checks = page_tables.checks(store, series, session, ticker)
    if fan.empty and decisions.empty and checks.empty:
        raise NothingStored(
            f"{ticker}: nothing has been published for it in {series}. Look for it in the table of "
            "another session."
        )
    return page(
        request,
        "stock",
        every,
        series,
        session,
        ticker=ticker,
        fan=records(fan),
        events=page_tables.events(store, series, session, ticker),
        publications=records(page_tables.publication_log(store, series, ticker, session)),
        decisions=records(decisions),
        record=records(page_tables.record(store, series, ticker)),
        intervals=records(page_tables.intervals(store, series, ticker)),
        calibration=records(page_tables.calibration(store, series, ticker, session)),
        check=next(iter(records(checks)), None),
        findings=records(page_tables.findings(store, series, session, ticker)),
        chart=chart_values(store, series, ticker, session, fan),
        airflow_run=airflow_address(parts, airflow, series, ticker, session),
    )


@html.get("/stocks/{ticker}/mlflow")
def mlflow_page(
    ticker: RequestedTicker,
    parts: PartsOfPages,
    series: RequestedSeries,
    session: RequestedSession,
) -> Response:
    """Lead on to the ticker's run in MLflow, which is imported and asked only now."""
    return RedirectResponse(mlflow_address(parts, series, ticker, session), 303)


@html.get("/scores")
def scores_page(
    request: Request,
    parts: PartsOfPages,
    every: EverySeries,
    series: RequestedSeries,
    asked: RequestedListing,
) -> str:
    """Show the scoreboard: all published forecasts next to the baselines."""
    tables = {by: scoreboard(parts, series, by) for by in page_tables.GROUPINGS}
    by_ticker = tables.pop("ticker")
    return page(
        request,
        "scores",
        every,
        series,
        series.newest,
        tables={by: records(table) for by, table in tables.items()},
        listed=listed(by_ticker, asked, ["ticker"]),
        intervals=records(intervals_of_all(parts, series)),
        days=page_tables.INTERVAL_DAYS,
    )


@html.get("/quality")
def quality_page(
    request: Request,
    parts: PartsOfPages,
    every: EverySeries,
    series: RequestedSeries,
    session: RequestedSession,
    asked: RequestedListing,
) -> str:
    """Show what the gate has found in a session's prices."""
    store, docs = parts.store, _data_docs(parts)
    checks = page_tables.checks(store, series, session)
    out = checks[checks["verdict"] == "quarantined"]
    findings = page_tables.findings(store, series, session)
    documented = _documented_session(docs / series.universe, session)
    pages = (docs / series.universe / str(documented)).glob("*.html")
    return page(
        request,
        "quality",
        every,
        series,
        session,
        checked=len(checks),
        quarantined=len(out),
        out=records(out.head(WHOLE_ROWS)),
        listed=listed(findings, asked, ["ticker", "session", "severity", "rule", "message"]),
        sessions=page_tables.sessions(store, series),
        documented=documented,
        data_docs=sorted(str(path.relative_to(docs)) for path in pages),
    )


@html.get("/data-docs/{path:path}")
def data_docs(path: str, parts: PartsOfPages, may_read: MayRead) -> Response:
    """Serve Great Expectations' own pages: files below their folder and nowhere else."""
    folder = _data_docs(parts)
    file = None if "\0" in path else (folder / path).resolve()
    known = file is not None and file.is_relative_to(folder) and file.is_file()
    # The first folder is the universe's.
    if file is None or not known or not may_read(file.relative_to(folder).parts[0]):
        raise HTTPException(
            404,
            "There is no such page of Data Docs on this machine; they stay where the step `check` "
            "ran.",
        )
    kind = DATA_DOCS_TYPES.get(file.suffix, "application/octet-stream")
    return Response(file.read_bytes(), media_type=kind, headers=SANDBOX)


def _documented_session(folder: Path, session: dt.date) -> str:
    """Return the newest session until then that has Data Docs, else the first after; "": none.

    Args:
        folder: a universe's, with a folder for each session.
    """
    names = sorted(path.name for path in folder.glob("*-*-*") if path.is_dir())
    until = [name for name in names if name <= session.isoformat()]
    return until[-1] if until else next(iter(names), "")


def _data_docs(parts: Parts) -> Path:
    return (parts.settings.home / "data_docs").resolve()
