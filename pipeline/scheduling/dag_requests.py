"""The request of a DAG run: its universe, as the trigger form changed it, and its session."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.errors import SettingsError
from pipeline.parts import overridden, universes_of
from pipeline.scheduling.run_moments import session_at
from pipeline.scheduling.service_state import TASK_SETTINGS
from pipeline.settings import Settings
from pipeline.universes import Universe

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: The fields of the trigger form that change the universe, and all of its fields.
UNIVERSE_FIELDS = ("tickers", "recipe", "target", "horizon")
FORM_FIELDS = ("session", *UNIVERSE_FIELDS, "publish")
_RESTART = (
    "Ask for the same; or end Airflow (`stockcast down`), and repeat this without it, or start it "
    "with these settings."
)


class RequestedRun(Protocol):
    """A DAG run, as far as its request is read from it."""

    run_type: str
    conf: Mapping[str, Any] | None
    logical_date: dt.datetime | None
    run_after: dt.datetime


def require_known_fields(dag_run: RequestedRun) -> None:
    """Require that a DAG run is asked for nothing but the fields of the trigger form.

    Airflow takes any: a misspelt "ticker" would run all tickers.

    Raises:
        SettingsError: it is; the message names the fields that there are.
    """
    unknown = [name for name in dag_run.conf or {} if name not in FORM_FIELDS]
    if unknown:
        raise SettingsError(
            f"This run is asked for {', '.join(map(repr, unknown))}, which the form does not have; "
            f"it has {', '.join(FORM_FIELDS)}. Trigger another run with these."
        )


def conf_of(
    universe: Universe, declared: Universe, publish: bool, session: dt.date | None = None
) -> dict[str, Any]:
    """Return the trigger form that asks for a universe; fields that are as declared are left out.

    Args:
        publish: whether it is published though it differs from its declaration.
        session: None: the run's logical date says it.
    """
    asked, own = form_of(universe), form_of(declared)
    changes = {name: value for name, value in asked.items() if value != own[name]}
    changes |= {"publish": True} if publish else {}
    return changes if session is None else {"session": session.isoformat(), **changes}


def request_of(form: Mapping[str, Any] | None, declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a form asks for, but for the session.

    Args:
        declared: what an empty field means, by field; see `form_of`.
    """
    filled = {name: value for name, value in (form or {}).items() if value and name != "session"}
    return {**declared, **filled}


def form_of(universe: Universe) -> dict[str, Any]:
    """Return the values of a universe by the fields of the trigger form."""
    values = {name: getattr(universe, name) for name in UNIVERSE_FIELDS}
    return {**values, "tickers": list(universe.tickers)}


def universe_of_services(settings: Settings, universe: Universe, running: Settings) -> Universe:
    """Return a universe as Airflow, which is up, has it in its DAG.

    Its tasks have the settings that it was started with. A DAG run takes the fields of its form
    along and nothing else, so nothing else may differ.

    Args:
        universe: what is asked for.
        running: the settings that Airflow was started with.

    Raises:
        SettingsError: something else differs; the message says what.
    """
    named = {own.name: own for own in universes_of(running)}
    if universe.name not in named:
        raise SettingsError(f"Airflow is up without a universe {universe.name!r}. {_RESTART}")
    own = named[universe.name]
    pairs = {name: (getattr(settings, name), getattr(running, name)) for name in TASK_SETTINGS}
    for name in ("source", "data", "query", "calendar", "retrain", "start"):
        pairs[name] = getattr(universe, name), getattr(own, name)
    for name, (asked, value) in pairs.items():
        if asked != value:
            raise SettingsError(
                f"{name} is {str(asked)!r} here, and {str(value)!r} where Airflow is up. {_RESTART}"
            )
    return own


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
    from pipeline.sessions import calendar_of

    return session_at(calendar_of(universe), dag_run.logical_date or dag_run.run_after)


def session_to_run(
    parts: Parts,
    universe: Universe,
    params: Mapping[str, Any],
    dag_run: RequestedRun,
    now: dt.datetime,
) -> dt.date:
    """Return the session of a DAG run (see `session_of`), or the last one that there is.

    Nothing adds to the history of a universe that is not scheduled: it may have ended long ago.
    Such a universe, triggered "now" without a session, means its last one. A session that is named
    stays as it is: `daily.plan` refuses one that the source does not have.
    """
    from pipeline.prices import newest_session

    session = session_of(universe, params, dag_run)
    if params.get("session") or universe.scheduled or dag_run.run_type != "manual":
        return session
    source, calendar = parts.source(universe), parts.calendar(universe)
    return min(session, newest_session(source, universe.names, calendar, now))


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"The session {text!r} is no date; year-month-day is expected, such as 2013-03-01."
        ) from None
