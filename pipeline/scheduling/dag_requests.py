"""The request of a DAG run: its universe, as the trigger form changed it, and its session."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.errors import SettingsError
from pipeline.parts import overridden
from pipeline.scheduling.run_moments import session_at
from pipeline.universes import Universe

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: The fields of the trigger form that change the universe.
UNIVERSE_FIELDS = ("tickers", "recipe", "target", "horizon")


class RequestedRun(Protocol):
    """A DAG run, as far as its request is read from it."""

    run_type: str
    logical_date: dt.datetime | None
    run_after: dt.datetime


def with_params(universe: Universe, params: Mapping[str, Any]) -> Universe:
    """Return the universe with what the trigger form changed; empty fields change nothing."""
    return overridden(
        universe, **{name: params[name] for name in UNIVERSE_FIELDS if params.get(name)}
    )


def session_of(universe: Universe, params: Mapping[str, Any], dag_run: RequestedRun) -> dt.date:
    """Return the session of a DAG run.

    It is the one that the params name, or else the newest whose run was due at the logical date. A
    run that somebody triggers may have no logical date; then its `run_after` counts. `ds` and the
    data interval are not used: in UTC, an evening in New York is the next day.

    Raises:
        SettingsError: the session is no date, or a backfill names one.
    """
    if params.get("session"):
        if dag_run.run_type == "backfill":
            raise SettingsError(
                "A backfill takes its sessions from its dates: leave the session empty, or trigger "
                "a single run."
            )
        return _date(params["session"])
    from pipeline.sessions import Calendar

    return session_at(Calendar(universe.calendar), dag_run.logical_date or dag_run.run_after)


def last_possible(parts: Parts, universe: Universe, session: dt.date, now: dt.datetime) -> dt.date:
    """Return a session, or the universe's last one where its history has ended before.

    Nothing adds to the history of a universe that is not scheduled: it may have ended long ago.
    Such a universe, triggered "now", means its last session.
    """
    from pipeline.prices import newest_session

    source, calendar = parts.source(universe), parts.calendar(universe)
    return min(session, newest_session(source, list(universe.tickers), calendar, now))


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"The session {text!r} is no date; year-month-day is expected, such as 2013-03-01."
        ) from None
