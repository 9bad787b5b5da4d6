"""Events as revisions: append only, with since when and until when each was known to be coming."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from pipeline.storage.event_revisions import EventRevisions
from pipeline.tables import EVENT_READINGS, EVENT_REVISIONS, EVENTS, KNOWN_EVENTS
from tests.storage.made_rows import EVENING, HOUR, MONDAY, TUESDAY, WEDNESDAY

DAY = dt.timedelta(days=1)
LATER = WEDNESDAY + 7 * DAY


@pytest.fixture
def events(store) -> EventRevisions:
    """No events, on each kind of database."""
    return store.events


def rows(*events):
    """Return EVENTS of (session, kind, value, announced_at) of IBM."""
    frame = pd.DataFrame(events, columns=list(EVENTS.columns)[1:]).assign(ticker="IBM")
    frame["session"] = pd.to_datetime(frame["session"])
    return EVENTS.conform(frame)


def save_at(moment, events, reported, session=WEDNESDAY, first=None):
    events.clock = lambda: moment
    return events.save("yahoo", ["IBM"], reported, session, first)


def known(events, known_at=None):
    """Return session, kind, value, known_from and known_until of what is known, as texts."""
    table = events.known("yahoo", ["IBM"], known_at)
    assert list(table.columns) == list(KNOWN_EVENTS.columns)
    return [tuple(map(str, row)) for row in table.drop(columns="ticker").itertuples(index=False)]


def test_an_event_is_known_from_when_it_was_stored_or_announced(events, store):
    announced = pd.Timestamp("2020-08-03 12:00")
    reported = rows((LATER, "report", 1.0, pd.NaT), (LATER, "dividend", 0.5, announced))
    assert save_at(EVENING, events, reported) == 2
    assert save_at(EVENING + HOUR, events, reported) == 0, "nothing new"
    assert len(store.load(EVENT_REVISIONS)) == 2
    day = "2020-09-02 00:00:00"
    assert known(events) == [
        (day, "dividend", "0.5", "2020-08-03 12:00:00", "NaT"),
        (day, "report", "1.0", "2020-08-26 22:00:00", "NaT"),
    ]
    assert known(events, EVENING - HOUR) == []


def test_one_that_is_moved_was_known_until_then_and_reads_of_before_stay_the_same(events):
    save_at(EVENING, events, rows((LATER, "report", 1.0, pd.NaT)))
    before = known(events)
    assert save_at(EVENING + DAY, events, rows((LATER + DAY, "report", 1.0, pd.NaT))) == 2
    assert known(events) == [
        (
            "2020-09-02 00:00:00",
            "report",
            "1.0",
            "2020-08-26 22:00:00",
            "2020-08-27 22:00:00",
        ),
        ("2020-09-03 00:00:00", "report", "1.0", "2020-08-27 22:00:00", "NaT"),
    ]
    assert known(events, EVENING) == before


def test_what_is_past_is_not_taken_back_by_who_gives_only_what_is_ahead(events, store):
    past, ahead = (MONDAY, "report", 1.0, pd.NaT), (LATER, "dividend", 0.5, pd.NaT)
    save_at(EVENING, events, rows(past, ahead))
    assert save_at(EVENING + HOUR, events, EVENTS.empty(), first=TUESDAY) == 1
    assert [row[1] for row in known(events) if row[-1] == "NaT"] == ["report"]


def test_a_corrected_announcement_holds_from_when_it_was_announced(events):
    announced = pd.Timestamp("2020-08-03")
    save_at(EVENING, events, rows((LATER, "dividend", 0.5, announced)))
    save_at(EVENING + HOUR, events, rows((LATER, "dividend", 0.6, announced)))
    assert [row[2:4] for row in known(events)] == [("0.6", "2020-08-03 00:00:00")]
    assert [row[2:4] for row in known(events, EVENING)] == [("0.5", "2020-08-03 00:00:00")]


def test_revisions_are_dated_in_their_order_and_readings_are_kept(events, store):
    save_at(EVENING, events, rows((LATER, "report", 1.0, pd.NaT)))
    save_at(EVENING - DAY, events, EVENTS.empty(), session=TUESDAY)
    moments = store.load(EVENT_REVISIONS)["known_at"]
    assert moments.tolist() == [pd.Timestamp("2020-08-26 22:00"), pd.Timestamp(moments[1])]
    assert moments[1] - moments[0] == pd.Timedelta(microseconds=1)
    assert store.load(EVENT_READINGS)["session"].dt.date.tolist() == [TUESDAY]
