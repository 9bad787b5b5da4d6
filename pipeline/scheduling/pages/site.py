"""The Forecasts pages and their API: HTML for people, JSON and CSV for programs, the same rows. All of it asks for Airflow's login.

What they say comes from `pipeline/board.py`; how a number is written, from the templates' filters below. A ticker of the URL is only ever a
bound value of a query, and text that the templates escape.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import pandas as pd
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import get_user
from airflow.configuration import conf
from airflow.models.dagrun import DagRun
from airflow.models.xcom import XCOM_RETURN_KEY, XComModel
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy import select

from pipeline import assembly, board
from pipeline.errors import NothingStored, SettingsError, StockcastError
from pipeline.models.baselines import BASELINES
from pipeline.reporting import CHAMPIONS, DRIFT_WORDS, rows
from pipeline.scheduling.environment import run_page
from pipeline.scheduling.pages import PREFIX
from pipeline.scheduling.timetable import run_moment
from pipeline.settings import Settings
from pipeline.tables import PROMOTIONS, RUNS
from pipeline.universes import Universe

HERE = Path(__file__).parent
#: The scoreboard adds up all scores there are; its sums are kept for so long.
SCOREBOARD_SECONDS = 300
#: Airflow's newest runs of a DAG, among which that of a session is looked for.
RUNS_LOOKED_THROUGH = 500

Form = Annotated[Literal["json", "csv"], Query(alias="format", description="json: a list of objects; csv: with a header")]
Named = Annotated[str, Query(description="Empty: that of the newest forecasts.")]
Target = Annotated[str, Query(description="The column that is forecast. Empty: that of the newest forecasts.")]
Session = Annotated[dt.date | None, Query(description="The last session that was seen. Empty: the newest.")]


@cache
def pages() -> FastAPI:
    app = FastAPI(
        title="Stockcast forecasts",
        description="What has been published, why, and what became of it. Log in as for the rest of Airflow (`POST /auth/token`).",
        docs_url=None,  # both load their scripts from elsewhere
        redoc_url=None,
        openapi_url=None,  # below, behind the login
    )
    app.include_router(html)
    app.include_router(api, prefix="/api")
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.add_exception_handler(StockcastError, _refused)
    app.add_exception_handler(HTTPException, _to_login)
    return app


def _refused(request: Request, error: StockcastError) -> Response:
    """A pipeline's error as a page or as JSON, with what to do; nothing published is no fault of the server's."""
    status = 404 if isinstance(error, NothingStored) else 422 if isinstance(error, SettingsError) else 503
    if _is_api(request):
        return JSONResponse({"detail": str(error)}, status)
    return HTMLResponse(_environment().get_template("message.html").render(message=str(error), **_frame(request)), status)


def _to_login(request: Request, error: HTTPException) -> Response:
    if error.status_code == 401 and not _is_api(request):
        base = conf.get("api", "base_url", fallback="/").rstrip("/")
        here = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
        return RedirectResponse(f"{base}/auth/login?{urlencode({'next': here})}", 303)
    return JSONResponse({"detail": error.detail}, error.status_code)


def _is_api(request: Request) -> bool:
    return request.url.path.removeprefix(request.scope.get("root_path", "")).startswith("/api/")


@cache
def _parts() -> assembly.Parts:
    return assembly.parts(Settings.from_env())


def _every_series() -> list[board.Series]:
    return board.all_series(_parts().store)


#: Asked for once a request, however many depend on it.
EverySeries = Annotated[list[board.Series], Depends(_every_series)]


def _series(every: EverySeries, universe: Named = "", recipe: Named = "", target: Target = "") -> board.Series:
    return board.find(every, universe, recipe, target)


Series = Annotated[board.Series, Depends(_series)]


def _at(series: board.Series, session: dt.date | None) -> dt.date:
    return session or series.newest


# Pages

html = APIRouter(default_response_class=HTMLResponse, include_in_schema=False, dependencies=[Depends(get_user)])
api = APIRouter(dependencies=[Depends(get_user)])


@html.get("/")
def forecasts_page(request: Request, every: EverySeries, series: Series, session: Session = None) -> str:
    store, at = _parts().store, _at(series, session)
    table = board.overview(store, series, at)
    return _page(request, "forecasts.html", every, series, at, table=_records(table), sessions=board.sessions(store, series))


@html.get("/stocks/{ticker}")
def stock_page(
    request: Request, ticker: str, every: EverySeries, series: Series, airflow: SessionDep, session: Session = None
) -> str:
    store, at = _parts().store, _at(series, session)
    fan = board.fan(store, series, ticker, at)
    decided = board.decisions(store, series, ticker)
    checked = board.checks(store, series, at, ticker)
    if fan.empty and decided.empty and checked.empty:
        raise NothingStored(
            f"{ticker}: nothing has been published for it in {series}. Look for it in the table of another session."
        )
    return _page(
        request,
        "stock.html",
        every,
        series,
        at,
        ticker=ticker,
        fan=_records(fan),
        decisions=_records(decided),
        record=_records(board.record(store, series, ticker)),
        calibration=_records(board.calibration(store, series, ticker, at)),
        check=next(iter(_records(checked)), None),
        findings=_records(board.findings(store, series, at, ticker)),
        chart=_chart(store, series, ticker, at, fan),
        airflow_run=_airflow_run(airflow, series, ticker, at),
    )


@html.get("/scores")
def scores_page(request: Request, every: EverySeries, series: Series) -> str:
    tables = {by: _records(_scoreboard(series, by)) for by in board.GROUPS}
    return _page(request, "scores.html", every, series, series.newest, tables=tables)


@html.get("/quality")
def quality_page(request: Request, every: EverySeries, series: Series, session: Session = None) -> str:
    store, at = _parts().store, _at(series, session)
    docs = _data_docs()
    return _page(
        request,
        "quality.html",
        every,
        series,
        at,
        checks=_records(board.checks(store, series, at)),
        findings=_records(board.findings(store, series, at)),
        sessions=board.sessions(store, series),
        data_docs=sorted(str(path.relative_to(docs)) for path in (docs / series.universe / str(at)).glob("*.html")),
    )


@html.get("/data-docs/{path:path}")
def data_docs(path: str) -> Response:
    """Great Expectations' own pages, as files below their folder and nowhere else."""
    folder = _data_docs()
    file = (folder / path).resolve()
    if not file.is_relative_to(folder) or not file.is_file():
        raise HTTPException(404, "There is no such page of Data Docs on this machine; they stay where the step `check` ran.")
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".png": "image/png", ".svg": "image/svg+xml"}
    apart = {
        "Content-Security-Policy": "sandbox allow-scripts; script-src 'none'"
    }  # what others have rendered is not let near Airflow's login
    return Response(file.read_bytes(), media_type=kinds.get(file.suffix, "application/octet-stream"), headers=apart)


def _data_docs() -> Path:
    return (_parts().settings.home / "data_docs").resolve()


# API


@api.get("/series", summary="What there are forecasts of")
def series_rows(every: EverySeries, form: Form = "json") -> Response:
    found = [{**series.key, "newest": series.newest} for series in every]
    return _rows(pd.DataFrame(found, columns=["universe", "recipe", "target", "newest"]), form)


@api.get("/forecasts", summary="A session's table: one row per ticker")
def forecast_rows(series: Series, session: Session = None, form: Form = "json") -> Response:
    return _rows(board.overview(_parts().store, series, _at(series, session)), form)


@api.get("/stocks/{ticker}/forecasts", summary="What is forecast for the sessions after one, with all intervals")
def fan_rows(ticker: str, series: Series, session: Session = None, form: Form = "json") -> Response:
    return _rows(board.fan(_parts().store, series, ticker, _at(series, session)), form)


@api.get("/stocks/{ticker}/history", summary="The target's newest 250 sessions, in the dollars of the session asked for")
def history_rows(ticker: str, series: Series, session: Session = None, form: Form = "json") -> Response:
    return _rows(board.history(_parts().store, series, ticker, _at(series, session)), form)


@api.get("/stocks/{ticker}/earlier", summary="What was forecast so many sessions ahead, beside what came")
def earlier_rows(
    ticker: str, series: Series, session: Session = None, horizon: Annotated[int, Query(ge=1)] = 1, form: Form = "json"
) -> Response:
    return _rows(board.earlier(_parts().store, series, ticker, _at(series, session), horizon), form)


@api.get("/stocks/{ticker}/promotions", summary="Whose forecasts were published, and why; the newest first")
def decision_rows(ticker: str, series: Series, form: Form = "json") -> Response:
    return _rows(board.decisions(_parts().store, series, ticker), form)


@api.get("/scores", summary="Skill and coverage of all scored forecasts, by recipe, ticker, horizon or month")
def score_rows(series: Series, by: Literal["recipe", "ticker", "horizon", "month"] = "ticker", form: Form = "json") -> Response:
    return _rows(_scoreboard(series, by), form)


@api.get("/quality", summary="The gate's verdict on every ticker of a session")
def quality_rows(series: Series, session: Session = None, form: Form = "json") -> Response:
    return _rows(board.checks(_parts().store, series, _at(series, session)), form)


@api.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> dict[str, Any]:
    return pages().openapi() | {"servers": [{"url": request.scope.get("root_path", "") or PREFIX}]}


def _rows(frame: pd.DataFrame, form: str) -> Response:
    kind = "application/json" if form == "json" else "text/csv; charset=utf-8"
    return PlainTextResponse(rows(frame, form), media_type=kind)


# What templates are given


def _page(request: Request, template: str, every: list[board.Series], series: board.Series, session: dt.date, **values: Any) -> str:
    frame = _frame(request) | {"series": series, "all_series": every, "session": session, "here": template.removesuffix(".html")}
    return _environment().get_template(template).render(**frame, **values)


def _frame(request: Request) -> dict[str, Any]:
    root = request.scope.get("root_path", "") or PREFIX

    def link(path: str, series: board.Series | None = None, **query: object) -> str:
        asked = {**(series.key if series else {}), **{name: str(value) for name, value in query.items() if value}}
        return f"{root}/{path}" + (f"?{urlencode(asked)}" if asked else "")

    return {"root": root, "link": link}


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("pipeline.scheduling.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "price": _or_dash(lambda value: f"{value:,.{2 if abs(value) >= 1 else 4}f}"),
        "percent": _or_dash(lambda value: f"{value:.1%}"),
        "change": _or_dash(lambda value: f"{value:+.2%}"),
        "weight": _or_dash(lambda value: f"{value:.0%}"),
        "segment": lambda text: quote(text, safe=""),
    }
    made.globals |= {"CHAMPIONS": CHAMPIONS, "BASELINES": BASELINES, "DRIFT_WORDS": DRIFT_WORDS}
    return made


def _or_dash(text: Callable[[float], str]) -> Callable[[float | None], str]:
    return lambda value: "–" if value is None or math.isnan(value) else text(value)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for a template: dates without a time, None for what is missing."""
    for name in frame.select_dtypes("datetime"):
        frame = frame.assign(**{name: frame[name].dt.date.astype(object)})
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _chart(store: Any, series: board.Series, ticker: str, session: dt.date, fan: pd.DataFrame) -> dict[str, Any]:
    """What the script draws: seconds since 1970 and columns beside them, as uPlot takes them."""

    def columns(frame: pd.DataFrame, names: list[str]) -> list[list]:
        seconds = [int(moment.timestamp()) for moment in frame["session"].dt.tz_localize("UTC")]
        return [seconds, *([None if pd.isna(value) else float(value) for value in frame[name]] for name in names)]

    bounds = [f"{side}_{level}" for level in (50, 80, 95) for side in ("lower", "upper")]
    earlier = board.earlier(store, series, ticker, session)
    earlier = earlier[earlier["session"].dt.date <= session]  # the newest begins the fan
    return {
        "history": columns(board.history(store, series, ticker, session), ["value"]),
        "fan": columns(fan, ["y_hat", *bounds]),
        "earlier": columns(earlier, ["y_hat", "lower_80", "upper_80", "lower_95", "upper_95", "actual"]),
    }


def _scoreboard(series: board.Series, by: str) -> pd.DataFrame:
    return _summed(series, by, int(dt.datetime.now(dt.UTC).timestamp()) // SCOREBOARD_SECONDS)


@lru_cache(maxsize=32)
def _summed(series: board.Series, by: str, _: int) -> pd.DataFrame:
    return board.scoreboard(_parts().store, series, by)


# Links


@html.get("/stocks/{ticker}/mlflow")
def mlflow_page(ticker: str, series: Series, session: Session = None) -> Response:
    """On to the ticker's run in MLflow. MLflow is imported and asked only once somebody wants to go there."""
    parts, at = _parts(), _at(series, session)
    universe = _universe(series, ticker, at)
    if universe is None or parts.store.load(PROMOTIONS, **series.key, ticker=ticker, cutoff=at).empty:
        raise NothingStored(f"{ticker}: nothing has been published for it at {at} in {series}.")
    # Without a network of its own it was measured at the session; else where this session's networks were trained, whichever is published.
    trained, _ = parts.calendar(universe).training_cutoffs(at, universe.retrain)
    tracker = parts.tracker(series.universe)
    measured = (tracker.where(f"{when} {series.recipe} {series.target} {ticker}") for when in (at, trained))
    found = next((where for where in measured if where is not None), None)
    if found is None:
        raise NothingStored(f"{ticker}: MLflow has no run of it any more. Repeat evaluate of {at}, which fills it again.")
    return RedirectResponse(f"{assembly.mlflow_url(parts.settings)}/{found}", 303)


def _universe(series: board.Series, ticker: str, session: dt.date) -> Universe | None:
    """As it was asked for when the session was published."""
    kept = _parts().store.load(RUNS, **series.key, ticker=ticker, cutoff=session)
    return None if kept.empty else Universe.from_json(json.loads(kept["request"].iloc[0]))


def _airflow_run(airflow: Any, series: board.Series, ticker: str, session: dt.date) -> str | None:
    """Where Airflow shows the newest run of a session, at the ticker's own task where it has one; None: it was not Airflow's."""
    universe = _universe(series, ticker, session)
    if universe is None:
        return None
    dag = f"daily_forecast_{series.universe}"
    moment = run_moment(_parts().calendar(universe), session)
    runs = airflow.scalars(select(DagRun).where(DagRun.dag_id == dag).order_by(DagRun.queued_at.desc()).limit(RUNS_LOOKED_THROUGH))
    run = next((run for run in runs if run.logical_date == moment or (run.conf or {}).get("session") == str(session)), None)
    if run is None:
        return None
    # `check` returns the tickers of each mapped task (an XCom backend of somebody's own may keep them elsewhere).
    kept = airflow.scalars(XComModel.get_many(run_id=run.run_id, dag_ids=dag, task_ids="check", key=XCOM_RETURN_KEY)).first()
    shards = XComModel.deserialize_value(kept) if kept else None
    own = next((index for index, tickers in enumerate(shards) if ticker in tickers), None) if isinstance(shards, list) else None
    where = run_page(dag, run.run_id)
    return where if own is None else f"{where}/tasks/evaluate/mapped/{own}"
