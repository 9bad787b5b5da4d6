"""The series and the session that a request asks for, from its query."""

from __future__ import annotations

import datetime as dt
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Query

from pipeline.daily import page_tables
from pipeline.parts import Parts
from pipeline.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.storage import Store

#: The scoreboard adds up all scores; its sums are kept for this long.
SCOREBOARD_SECONDS = 300

NameQuery = Annotated[str, Query(description="Empty: that of the newest forecasts.")]
TargetQuery = Annotated[
    str, Query(description="The column that is forecast. Empty: that of the newest forecasts.")
]
SessionQuery = Annotated[
    dt.date | None, Query(description="The last session that was seen. Empty: the newest.")
]


@cache
def parts_of_pages() -> Parts:
    """Return this process's parts."""
    return Parts(Settings())


PartsOfPages = Annotated[Parts, Depends(parts_of_pages)]


def _every_series(parts: PartsOfPages) -> list[page_tables.Series]:
    return page_tables.all_series(parts.store)


#: Read once a request, however many depend on it.
EverySeries = Annotated[list[page_tables.Series], Depends(_every_series)]


def _series(
    every: EverySeries, universe: NameQuery = "", recipe: NameQuery = "", target: TargetQuery = ""
) -> page_tables.Series:
    return page_tables.find(every, universe, recipe, target)


RequestedSeries = Annotated[page_tables.Series, Depends(_series)]


def _session(series: RequestedSeries, session: SessionQuery = None) -> dt.date:
    return session or series.newest


RequestedSession = Annotated[dt.date, Depends(_session)]


def scoreboard(store: Store, series: page_tables.Series, by: str) -> pd.DataFrame:
    """Return `page_tables.scoreboard`, at most `SCOREBOARD_SECONDS` old."""
    period = int(dt.datetime.now(dt.UTC).timestamp()) // SCOREBOARD_SECONDS
    return _scoreboard_of_period(store, series, by, period)


@lru_cache(maxsize=32)
def _scoreboard_of_period(
    store: Store, series: page_tables.Series, by: str, period: int
) -> pd.DataFrame:
    return page_tables.scoreboard(store, series, by)
