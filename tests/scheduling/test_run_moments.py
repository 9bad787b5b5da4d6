"""The moment of each session's run, and the session of each moment."""

from __future__ import annotations

import datetime as dt

import pytest

from pipeline.scheduling.run_moments import SETTLE, next_session, run_moment, session_at
from pipeline.sessions import Calendar


@pytest.mark.parametrize("name", ["XNYS", "24/7", "XTKS"])
def test_a_run_moment_and_its_session_are_each_others_inverse(name):
    calendar = Calendar(name)
    sessions = calendar.sessions(dt.date(2011, 1, 1), dt.date(2013, 12, 31))
    moments = [run_moment(calendar, session) for session in sessions]
    assert [session_at(calendar, moment) for moment in moments] == sessions
    just_before = [session_at(calendar, moment - dt.timedelta(seconds=1)) for moment in moments[1:]]
    assert just_before == sessions[:-1]


def test_the_scheduler_skips_what_it_missed_except_the_newest_session():
    calendar, friday = Calendar("XNYS"), dt.date(2024, 11, 29)

    def following(
        last: dt.date | None = None, earliest: dt.date | None = None, latest: dt.date | None = None
    ) -> dt.date | None:
        return next_session(calendar, last, earliest, latest, due=friday)

    # Never run, unpaused on Sunday: Friday's session, at once.
    assert following(earliest=dt.date(2010, 1, 1)) == friday
    # Down from Tuesday's close to Sunday: Friday's session, not Wednesday's.
    assert following(last=dt.date(2024, 11, 26)) == friday
    # Friday has run: Monday's.
    assert following(last=friday) == dt.date(2024, 12, 2)
    # A DAG whose end date is Friday is over.
    assert following(last=friday, latest=friday) is None


def test_settling_does_not_reach_into_the_next_session():
    assert dt.timedelta(0) < SETTLE < dt.timedelta(hours=6)
