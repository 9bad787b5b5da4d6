"""Queries of revisions: the newest of each fact, as of a moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from pipeline.storage.filters import conditions_of
from pipeline.storage.frames import utc_moment
from pipeline.storage.schema import SQL_TABLES
from pipeline.tables import Table


def known_by(
    column: sa.ColumnElement[dt.datetime], known_at: dt.datetime | None
) -> sa.ColumnElement[bool]:
    """Return the condition that a revision was known at a moment; None: all that is known."""
    return sa.true() if known_at is None else column <= utc_moment(known_at)


def newest_revisions(
    revisions: Table,
    facts: Table,
    source_id: str,
    tickers: str | Sequence[str],
    known_at: dt.datetime | None,
    cutoff: dt.date | None = None,
    first: dt.date | None = None,
    columns: Table | None = None,
) -> sa.Select[Any]:
    """Return the query of each fact's newest revision not after `known_at`.

    Args:
        cutoff, first: the last and the first session that is looked at; None: no bound.
        columns: the table whose columns are wanted; None: those of `facts`.
    """
    wanted = list((columns or facts).columns)
    stored = SQL_TABLES[revisions.name].c
    conditions = [
        *conditions_of(revisions, {"source_id": source_id, "ticker": tickers}),
        known_by(stored.known_at, known_at),
    ]
    if cutoff is not None:
        conditions.append(stored.session <= cutoff)
    if first is not None:
        conditions.append(stored.session >= first)
    fact = [stored[name] for name in facts.key]
    age = sa.func.row_number().over(partition_by=fact, order_by=stored.known_at.desc())
    ranked = (
        sa.select(*(stored[name] for name in wanted), age.label("age"))
        .where(*conditions)
        .subquery()
    )
    return sa.select(*(ranked.c[name] for name in wanted)).where(ranked.c.age == 1)
