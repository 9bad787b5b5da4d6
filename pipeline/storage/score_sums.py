"""SCORES added up by the database: what is read does not grow with the years of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import sqlalchemy as sa

from pipeline.measures import CRPS_WEIGHTS, FORECAST_COLUMNS
from pipeline.quantiles import PROBABILITIES
from pipeline.storage.filters import conditions_of
from pipeline.storage.schema import SQL_TABLES
from pipeline.tables import PUBLICATIONS, SCORES, SESSION_DTYPE

#: A group besides the columns of SCORES: the month of the session, as 2013-03.
MONTH = "month"


def score_sums(
    connection: sa.Connection, by: Sequence[str], filters: Mapping[str, object]
) -> pd.DataFrame:
    """Return SCORES added up; see `Store.score_sums`."""
    columns = SQL_TABLES[SCORES.name].c
    names = [*by, "backfilled"]
    groups = [_month(columns.session) if name == MONTH else columns[name] for name in names]
    sums = _sums()
    query = sa.select(*groups, *sums.values()).where(*conditions_of(SCORES, filters))
    query = query.group_by(*groups).order_by(*groups)
    rows = [tuple(row) for row in connection.execute(query)]
    table = pd.DataFrame(rows, columns=[*names, *sums]).astype(_dtypes(names, sums))
    if MONTH in by:
        months = table[MONTH]
        table[MONTH] = [f"{month // 100}-{month % 100:02d}" for month in months]
    return table


def interval_sums(
    connection: sa.Connection, by: Sequence[str], filters: Mapping[str, object]
) -> pd.DataFrame:
    """Return what was published of SCORES added up by session; see `Store.interval_sums`."""
    scores, published = (SQL_TABLES[table.name].c for table in (SCORES, PUBLICATIONS))
    same = [scores[name] == published[name] for name in PUBLICATIONS.key]
    groups = [scores[name] for name in (*by, "backfilled", "session")]
    sums = _interval_sums()
    query = (
        sa.select(*groups, *sums.values())
        .join_from(SQL_TABLES[SCORES.name], SQL_TABLES[PUBLICATIONS.name], sa.and_(*same))
        .where(*conditions_of(SCORES, filters), published.lower_95.is_not(None))
        .group_by(*groups)
        .order_by(*groups)
    )
    rows = [tuple(row) for row in connection.execute(query)]
    names = [*by, "backfilled", "session"]
    dtypes = {name: SCORES.columns[name] for name in names}
    table = pd.DataFrame(rows, columns=[*names, *sums])
    return table.astype({**dtypes, **dict.fromkeys(sums, "float64"), "forecasts": "int64"})


def _interval_sums() -> dict[str, sa.ColumnElement[Any]]:
    scores, published = (SQL_TABLES[table.name].c for table in (SCORES, PUBLICATIONS))
    last, actual = published.last_value, scores.actual

    def loss(name: str, probability: float) -> sa.ColumnElement[Any]:
        error = actual - published[name]
        return sa.case((error > 0, probability * error), else_=(probability - 1) * error)

    places = zip(FORECAST_COLUMNS, PROBABILITIES, CRPS_WEIGHTS.tolist(), strict=True)
    losses = [2 * weight * loss(name, probability) for name, probability, weight in places]
    return {
        "forecasts": sa.func.count(),
        "crps": sa.func.sum(sum(losses[1:], losses[0]) / last),
        "width_80": sa.func.sum((published.upper_80 - published.lower_80) / last),
        "inside_80": sa.func.sum(sa.cast(scores.inside_80, sa.Integer)),
        "below_95": sa.func.sum(sa.case((actual < published.lower_95, 1), else_=0)),
        "above_95": sa.func.sum(sa.case((actual > published.upper_95, 1), else_=0)),
        "forecasts_98": sa.func.count(published.lower_98),
        "below_98": sa.func.sum(sa.case((actual < published.lower_98, 1), else_=0)),
        "above_98": sa.func.sum(sa.case((actual > published.upper_98, 1), else_=0)),
    }


def _month(session: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return the year and month of a session as one number, 201303."""
    year, month = (sa.extract(part, session) for part in ("year", "month"))
    return sa.cast(year * 100 + month, sa.Integer)


def _sums() -> dict[str, sa.ColumnElement[Any]]:
    """Return what scores are added up to, by name."""
    scores = SQL_TABLES[SCORES.name].c
    last_price = scores.actual - scores.naive_error
    both_known = sa.and_(scores.pinball.is_not(None), scores.ewma_pinball.is_not(None))
    sums: dict[str, sa.ColumnElement[Any]] = {
        "forecasts": sa.func.count(),
        "first": sa.func.min(scores.session),
        "last": sa.func.max(scores.session),
    }
    for name, error in (("squared", scores.error), ("naive_squared", scores.naive_error)):
        sums[name] = sa.func.sum((error / last_price) * (error / last_price))
    sums["compared"] = sa.func.sum(sa.case((both_known, 1), else_=0))
    for name in ("pinball", "ewma_pinball"):
        sums[name] = sa.func.sum(sa.case((both_known, scores[name])))
    for name in ("inside_80", "inside_95"):
        sums[name] = sa.func.sum(sa.cast(scores[name], sa.Integer))
    beside_har = sa.and_(scores.pinball.is_not(None), scores.har_pinball.is_not(None))
    sums["compared_with_har"] = sa.func.sum(sa.case((beside_har, 1), else_=0))
    for name, loss in (("pinball_beside_har", scores.pinball), ("har_pinball", scores.har_pinball)):
        sums[name] = sa.func.sum(sa.case((beside_har, loss)))
    return sums


def _dtypes(names: Sequence[str], sums: Mapping[str, object]) -> dict[str, str]:
    groups = {name: "int64" if name == MONTH else SCORES.columns[name] for name in names}
    special = dict.fromkeys(("forecasts", "compared", "compared_with_har"), "int64")
    special |= dict.fromkeys(("first", "last"), SESSION_DTYPE)
    return {**groups, **dict.fromkeys(sums, "float64"), **special}
