"""The estimate of a backfill: sessions that train last as such, the others as the others."""

import pytest

from pipeline.reporting.time_left import TimeLeft, duration_text


def test_each_kind_of_session_lasts_as_long_as_those_of_its_kind():
    left = TimeLeft([True, False, False, True, False, False])
    assert left.seconds() is None
    assert left.text() == "session 1 of 6"
    left.add(300)
    assert left.seconds() == 5 * 300, "nothing is known of the others yet"
    for seconds in (20, 40):
        left.add(seconds)
    assert left.seconds() == 300 + 2 * 30
    assert left.text() == "session 4 of 6, about 6 min left"
    for seconds in (100, 30, 30):
        left.add(seconds)
    assert left.seconds() == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "less than a minute"),
        (29, "less than a minute"),
        (61, "about 1 min"),
        (3_590, "about 1 h 0 min"),
        (8_000, "about 2 h 13 min"),
    ],
)
def test_a_duration_is_said_to_the_minute(seconds, text):
    assert duration_text(seconds) == text
