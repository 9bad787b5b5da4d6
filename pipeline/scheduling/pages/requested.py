"""The request of a page: a series and a session from its query, a ticker from its path.

A reader sees the series of those universes whose DAGs Airflow lets them see.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, Query

from pipeline.daily import page_tables
from pipeline.errors import NothingStored
from pipeline.parts import Parts
from pipeline.scheduling.daily_names import daily_dag_id
from pipeline.scheduling.environment import settings_of_airflow
from pipeline.universes import TICKER_PATTERN

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.storage import Artifacts, Store

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
    return Parts(settings_of_airflow())


PartsOfPages = Annotated[Parts, Depends(parts_of_pages)]


def readable_universes(user: GetUserDep) -> Callable[[str], bool]:
    """Return whether this request's user may see the DAG of a universe."""
    manager = get_auth_manager()
    return lambda universe: manager.is_authorized_dag(
        method="GET", user=user, details=DagDetails(id=daily_dag_id(universe))
    )


MayRead = Annotated[Callable[[str], bool], Depends(readable_universes)]


def _every_series(parts: PartsOfPages, may_read: MayRead) -> list[page_tables.Series]:
    return [each for each in page_tables.all_series(parts.store) if may_read(each.universe)]


#: Read once a request, however many depend on it.
EverySeries = Annotated[list[page_tables.Series], Depends(_every_series)]


def _series(
    every: EverySeries, universe: NameQuery = "", recipe: NameQuery = "", target: TargetQuery = ""
) -> page_tables.Series:
    return page_tables.find(every, universe, recipe, target)


RequestedSeries = Annotated[page_tables.Series, Depends(_series)]


def _ticker(ticker: str) -> str:
    if not TICKER_PATTERN.fullmatch(ticker):
        raise NothingStored(f"{ticker!r} is no ticker. Look for it in the table of a session.")
    return ticker


#: The ticker of a path; what cannot be one is not found.
RequestedTicker = Annotated[str, Depends(_ticker)]


def _session(series: RequestedSeries, session: SessionQuery = None) -> dt.date:
    return session or series.newest


RequestedSession = Annotated[dt.date, Depends(_session)]


def scoreboard(parts: Parts, series: page_tables.Series, by: str) -> pd.DataFrame:
    """Return `page_tables.scoreboard`, at most `SCOREBOARD_SECONDS` old."""
    return _scoreboard_of_period(parts.store, parts.artifacts, series, by, _period())


def intervals_of_all(parts: Parts, series: page_tables.Series) -> pd.DataFrame:
    """Return `page_tables.intervals_of_all`, at most `SCOREBOARD_SECONDS` old."""
    return _intervals_of_period(parts.store, parts.artifacts, series, _period())


def _period() -> int:
    return int(dt.datetime.now(dt.UTC).timestamp()) // SCOREBOARD_SECONDS


@lru_cache(maxsize=32)
def _scoreboard_of_period(
    store: Store, artifacts: Artifacts, series: page_tables.Series, by: str, period: int
) -> pd.DataFrame:
    return page_tables.scoreboard(store, artifacts, series, by)


@lru_cache(maxsize=32)
def _intervals_of_period(
    store: Store, artifacts: Artifacts, series: page_tables.Series, period: int
) -> pd.DataFrame:
    return page_tables.intervals_of_all(store, artifacts, series)
