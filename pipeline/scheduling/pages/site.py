"""The Forecasts pages and their API as one application, behind Airflow's login.

HTML is for people, JSON and CSV are for programs, with the same rows. The rows come from
`page_tables`; how a number is written, from the templates' filters. A ticker of the URL is only
ever a bound value of a query, and text that the templates escape.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from pipeline.errors import NothingStored, SettingsError, StockcastError
from pipeline.scheduling.environment import airflow_path
from pipeline.scheduling.pages.api_routes import api
from pipeline.scheduling.pages.html_routes import html
from pipeline.scheduling.pages.rendering import message_page

STATIC_FILES = Path(__file__).parent / "static"
#: What every answer tells the browser, unless a route says otherwise: scripts, styles and frames
#: are this site's own, types are as declared, nothing is kept.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@cache
def site() -> FastAPI:
    """Return this process's application."""
    return new_site()


def new_site() -> FastAPI:
    """Return an application of its own."""
    app = FastAPI(
        title="Stockcast forecasts",
        description="What has been published, why, and how it compares with the prices since. Log "
        "in as for the rest of Airflow (`POST /auth/token`).",
        docs_url=None,  # both load their scripts from elsewhere
        redoc_url=None,
        openapi_url=None,  # in `api_routes`, behind the login
    )
    app.include_router(html)
    app.include_router(api, prefix="/api")
    app.mount("/static", StaticFiles(directory=STATIC_FILES))
    app.exception_handler(StockcastError)(_refused)
    app.exception_handler(HTTPException)(_to_login)
    app.middleware("http")(_with_headers)
    return app


async def _with_headers(
    request: Request, answer_to: Callable[[Request], Awaitable[Response]]
) -> Response:
    answer = await answer_to(request)
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


def _refused(request: Request, error: StockcastError) -> Response:
    """Answer with an error of the pipeline and what to do, as a page or as JSON.

    It is no fault of the server that nothing has been published.
    """
    status = 503
    if isinstance(error, NothingStored):
        status = 404
    elif isinstance(error, SettingsError):
        status = 422
    if _is_api(request):
        return JSONResponse({"detail": str(error)}, status)
    return HTMLResponse(message_page(request, str(error)), status)


def _to_login(request: Request, error: HTTPException) -> Response:
    """Lead somebody who wants a page and has not logged in to Airflow's login."""
    if error.status_code == 401 and not _is_api(request):
        query = f"?{request.url.query}" if request.url.query else ""
        target = urlencode({"next": f"{request.url.path}{query}"})
        return RedirectResponse(f"{airflow_path('/api/v2/auth/login')}?{target}", 303)
    return JSONResponse({"detail": error.detail}, error.status_code)


def _is_api(request: Request) -> bool:
    path: str = request.url.path
    return path.removeprefix(request.scope.get("root_path", "")).startswith("/api/")
