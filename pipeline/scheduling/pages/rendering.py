"""Pages from templates: their filters, their links, and the values that they are given."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import pandas as pd
from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.daily import page_tables
from pipeline.models import STANDING
from pipeline.money import price_decimals
from pipeline.quantiles import PUBLISHED_LEVELS
from pipeline.reporting import (
    CHAMPIONS,
    DRIFT_WORDS,
    change_text,
    forecast_price,
    last_price,
    tone,
)
from pipeline.scheduling.pages import PAGES_PREFIX
from pipeline.storage import Store
from pipeline.tables import MOMENT_DTYPE


def page(
    request: Request,
    template: str,
    every: list[page_tables.Series],
    series: page_tables.Series,
    session: dt.date,
    **values: Any,
) -> str:
    """Return a page about a series and a session as HTML.

    Args:
        template: its name without ".html".
        every: all series, which the page offers.
        values: what else the template takes.
    """
    about = {"series": series, "all_series": every, "session": session, "here": template}
    return _rendered(template, **_frame(request), **about, **values)


def message_page(request: Request, message: str) -> str:
    """Return a page with nothing but a message, as HTML."""
    return _rendered("message", message=message, **_frame(request))


def address_of_root(request: Request) -> str:
    """Return the path below which the pages are."""
    return request.scope.get("root_path", "") or PAGES_PREFIX


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows for a template: sessions as dates, moments as text, None for what is missing."""
    for name in map(str, table.select_dtypes("datetime")):
        column = table[name]
        is_moment = column.dtype == MOMENT_DTYPE
        shown = column.dt.strftime("%Y-%m-%d %H:%M UTC") if is_moment else column.dt.date
        table = table.assign(**{name: shown.astype(object)})
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def state_texts(table: pd.DataFrame) -> list[str]:
    """Return in words the state of each row of `page_tables.overview`, as the page shows it."""
    rows = zip(table["verdict"], table["drift"], table["y_hat"], strict=True)
    return [_state_text(*row) for row in rows]


def _state_text(verdict: str, drift: str, median: float) -> str:
    if verdict == "quarantined":
        return verdict
    if drift:
        return " ".join(DRIFT_WORDS.get(kind, kind) for kind in drift.split(","))
    return "" if math.isnan(median) else "in band"


def chart_values(
    store: Store, series: page_tables.Series, ticker: str, session: dt.date, fan: pd.DataFrame
) -> dict[str, Any]:
    """Return what the script draws: seconds since 1970, and columns next to them, for uPlot."""
    bounds = [f"{side}_{level}" for level in PUBLISHED_LEVELS for side in ("lower", "upper")]
    earlier = page_tables.past_forecasts(store, series, ticker, session)
    earlier = earlier[earlier["session"].dt.date <= session]  # the newest begins the fan
    wide = ["lower_80", "upper_80", "lower_95", "upper_95"]
    history = page_tables.history(store, series, ticker, session)
    currency, last = ("", 0.0) if fan.empty else fan[["currency", "last_value"]].iloc[0]
    return {
        "currency": currency,
        "decimals": price_decimals(last, currency),
        "history": _columns(history, ["value"]),
        "fan": _columns(fan, ["y_hat", *bounds]),
        "earlier": _columns(earlier, ["y_hat", *wide, "actual"]),
    }


def _columns(table: pd.DataFrame, names: list[str]) -> list[list[Any]]:
    seconds = [int(moment.timestamp()) for moment in table["session"].dt.tz_localize("UTC")]
    values = ([None if pd.isna(value) else float(value) for value in table[name]] for name in names)
    return [seconds, *values]


def _rendered(template: str, **values: Any) -> str:
    text: str = _environment().get_template(f"{template}.html").render(**values)
    return text


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline.scheduling.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "price": forecast_price,
        "last_price": last_price,
        "percent": _or_dash(lambda value: f"{value:.1%}"),
        "probability": _or_dash(lambda value: f"{value:.3f}"),
        "error": _or_dash(lambda value: f"{value:.3%}"),
        "change": _or_dash(change_text),
        "tone": lambda value: "" if value is None else tone(value),
        "weight": _or_dash(lambda value: f"{value:.0%}"),
        "segment": lambda text: quote(text, safe=""),
    }
    words = {"CHAMPIONS": CHAMPIONS, "STANDING": STANDING, "DRIFT_WORDS": DRIFT_WORDS}
    environment.globals |= words
    return environment


def _or_dash(text: Callable[[float], str]) -> Callable[[float | None], str]:
    return lambda value: "–" if value is None or math.isnan(value) else text(value)


def _frame(request: Request) -> dict[str, Any]:
    """Return what every page needs: its root, and the function that makes links below it."""
    root = address_of_root(request)

    def link(path: str, series: page_tables.Series | None = None, **query: object) -> str:
        chosen = {name: str(value) for name, value in query.items() if value}
        words = urlencode({**(series.key if series else {}), **chosen})
        return f"{root}/{path}" + (f"?{words}" if words else "")

    return {"root": root, "link": link}
