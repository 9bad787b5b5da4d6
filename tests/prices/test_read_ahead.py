"""Files read ahead: what each session of a backfill fetches is what it fetches by itself."""

import datetime as dt
import os

import pandas as pd
import pytest

from pipeline.errors import MalformedPrices, UnknownTicker
from pipeline.prices import CsvSource, FilesReadAhead
from pipeline.prices.source import fetch
from pipeline.sessions import Calendar

CALENDAR = Calendar("XNYS")
FIRST, UNTIL = dt.date(2020, 3, 2), dt.date(2020, 3, 31)
NOW = dt.datetime(2020, 4, 1, tzinfo=dt.UTC)
SESSIONS = CALENDAR.sessions(dt.date(2020, 3, 16), UNTIL)


class CountingSource(CsvSource):
    """A source that notes until when it is asked."""

    def __init__(self, folder):
        super().__init__(folder)
        self.asked = []

    def fetch_raw(self, ticker, first, last, now):
        self.asked.append(last)
        return super().fetch_raw(ticker, first, last, now)


def rows_of(days):
    lines = [f"{day},{n}1,{n}3,{n}0,{n}2,1000,0,0" for n, day in enumerate(days, start=10)]
    return ["Date,Open,High,Low,Close,Volume,Dividends,Stock Splits", *lines]


def written(folder, rows, seconds=0):
    file = folder / "IBM.csv"
    file.write_text("\n".join(rows) + "\n")
    os.utime(file, (1_600_000_000 + seconds,) * 2)
    return CountingSource(folder)


@pytest.fixture
def rows():
    """A month's rows, with a gap, a day off, an empty bar, a dividend and a split."""
    rows = rows_of(day for day in CALENDAR.sessions(FIRST, UNTIL) if day.day != 11)
    rows.insert(5, "2020-03-07,,,,,,0,0")
    rows[9] = f"{rows[9].split(',')[0]},,,,,,0,0"
    rows[14] = rows[14].removesuffix("0,0") + "0.5,0"
    rows[18] = rows[18].removesuffix("0,0") + "0,2"
    return rows


def assert_same(ours, theirs):
    pd.testing.assert_frame_equal(ours.prices, theirs.prices)
    pd.testing.assert_frame_equal(ours.actions, theirs.actions)
    about = [(x.unused, x.currency, x.calendar, x.left_out) for x in (ours, theirs)]
    assert about[0] == about[1]


def test_every_session_fetches_what_it_would_by_itself_and_the_file_is_read_once(rows, tmp_path):
    source, ahead = written(tmp_path, rows), FilesReadAhead(UNTIL)
    before_any_row = dt.date(2020, 2, 28)
    for last in (before_any_row, *SESSIONS):
        for first in (dt.date(2020, 2, 3), last - dt.timedelta(days=7), last):
            ours = ahead.fetch(source, "IBM", first, last, CALENDAR, NOW)
            source.asked.clear()
            assert_same(ours, fetch(source, "IBM", first, last, CALENDAR, NOW))
    assert source.asked == [UNTIL]
    assert len(ours.prices) == 1
    source.asked.clear()
    ahead.fetch(source, "IBM", FIRST, SESSIONS[0], CALENDAR, NOW)
    assert source.asked == []


def test_a_file_that_has_changed_is_read_again(rows, tmp_path):
    source, ahead = written(tmp_path, rows), FilesReadAhead(UNTIL)
    asked = "IBM", FIRST, SESSIONS[0], CALENDAR, NOW
    before = ahead.fetch(source, *asked)
    written(tmp_path, [rows[0], rows[1].replace(",1000,", ",2000,"), *rows[2:]], seconds=1)
    ours = ahead.fetch(source, *asked)
    assert_same(ours, fetch(source, *asked))
    volumes = [fetched.prices["volume"].iloc[0] for fetched in (before, ours)]
    assert volumes[1] == 2 * volumes[0]


@pytest.mark.parametrize(
    "later", ["2020-03-30,1,x,0,1,5,0,0", "2020-03-30,9,9,9,9,9,0,0"], ids=["text", "two bars"]
)
def test_a_later_row_that_cannot_be_used_is_the_fault_of_later_sessions_alone(
    later, rows, tmp_path
):
    source, ahead = written(tmp_path, [*rows, later]), FilesReadAhead(UNTIL)
    for last in SESSIONS[:5]:
        asked = source, "IBM", FIRST, last, CALENDAR, NOW
        assert_same(ahead.fetch(*asked), fetch(*asked))
    with pytest.raises(MalformedPrices):
        ahead.fetch(source, "IBM", FIRST, UNTIL, CALENDAR, NOW)


def test_what_is_left_out_is_told_of_the_sessions_that_have_it(rows, tmp_path):
    source, ahead = written(tmp_path, [*rows, rows[-2]]), FilesReadAhead(UNTIL)
    fetched = [ahead.fetch(source, "IBM", FIRST, last, CALENDAR, NOW) for last in SESSIONS[-3:]]
    assert [each.left_out for each in fetched] == [
        (),
        ("1 row that repeats the bar of 2020-03-30",),
        ("1 row that repeats the bar of 2020-03-30",),
    ]


def test_what_there_is_no_room_for_is_read_for_each_session(rows, tmp_path):
    source, ahead = written(tmp_path, rows), FilesReadAhead(UNTIL, most_bars=3)
    for last in SESSIONS[:2]:
        ahead.fetch(source, "IBM", FIRST, last, CALENDAR, NOW)
    assert source.asked == [UNTIL, *SESSIONS[:2]]


def test_a_ticker_without_a_file_is_unknown(rows, tmp_path):
    source, ahead = written(tmp_path, rows), FilesReadAhead(UNTIL)
    with pytest.raises(UnknownTicker):
        ahead.fetch(source, "KO", FIRST, UNTIL, CALENDAR, NOW)
    (tmp_path / "IBM.csv").unlink()
    with pytest.raises(FileNotFoundError):
        ahead.fetch(source, "IBM", FIRST, UNTIL, CALENDAR, NOW)
