"""Moments that revisions are dated with: of the clock, and always after the newest stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from pipeline.storage.frames import utc_moment

#: Two revisions are at least this far apart.
_APART = dt.timedelta(microseconds=1)


def now() -> dt.datetime:
    """Return the moment, UTC."""
    return dt.datetime.now(dt.UTC)


def next_moment(clock: Callable[[], dt.datetime], newest: dt.datetime | None) -> dt.datetime:
    """Return the clock's moment (UTC, no zone), or the one after the newest where that is later.

    Args:
        newest: of the revisions that are stored; None: there are none.
    """
    moment = utc_moment(clock())
    return moment if newest is None else max(moment, newest + _APART)
