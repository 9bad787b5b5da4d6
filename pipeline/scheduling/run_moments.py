"""The moment at which a session's run starts, and the session that a moment means."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.sessions import Calendar

#: A source's daily bar is final some minutes after the close: Yahoo's US quotes lag by up to 20.
SETTLE = dt.timedelta(minutes=30)


def run_moment(calendar: Calendar, session: dt.date) -> dt.datetime:
    """Return when a session's run starts, in UTC; that is the logical date of its DAG run."""
    return (calendar.close_of(session) + SETTLE).astimezone(dt.UTC)


def session_at(calendar: Calendar, moment: dt.datetime) -> dt.date:
    """Return the newest session whose run was due at a moment; the inverse of `run_moment`."""
    return calendar.last_complete_session(moment - SETTLE)


def next_session(
    calendar: Calendar,
    last: dt.date | None,
    earliest: dt.date | None,
    latest: dt.date | None,
    due: dt.date | None,
) -> dt.date | None:
    """Return the first session within bounds; None where there is none.

    Args:
        last: the session is after this one.
        earliest: the session is not before this day.
        latest: the session is not after this day.
        due: the session is not before this one.
    """
    bounds = [bound for bound in (last and last + dt.timedelta(days=1), earliest, due) if bound]
    if not bounds:
        return None
    session = calendar.first_session_from(max(bounds))
    if session < max(bounds) or (latest and session > latest):
        return None
    return session
