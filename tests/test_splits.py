"""Which sessions are held out, counted on fingers; parts against sets of the sessions that their windows know."""

import datetime as dt

import numpy as np
import pytest

from pipeline.splits import LONGEST, Fraction, LastYear, Newest, Since, Split, fewest_windows


def weekdays(first: str, last: str) -> np.ndarray:
    days = np.arange(np.datetime64(first), np.datetime64(last) + 1)
    return days[np.is_busday(days)]


@pytest.mark.parametrize(("part", "start"), [(Newest(3), 7), (Newest(10), 0), (Newest(20), 0), (Newest(0), 10)])
def test_the_newest_sessions_are_counted_from_the_end(part, start):
    assert part.start(np.arange(10).astype("datetime64[D]")) == start


@pytest.mark.parametrize(
    ("count", "share", "before"),
    [(100, 0.1, 90), (16832, 0.1, 15148), (5035, 0.5, 2517), (4648, 0.15, 3950), (7, 0.25, 5), (10, 0.9, 1), (0, 0.1, 0)],
)
def test_what_comes_before_a_share_is_rounded_down(count, share, before):
    assert Fraction(share).start(np.arange(count).astype("datetime64[D]")) == before


@pytest.mark.parametrize(
    ("last", "first_of_test"),
    [
        ("2017-12-29", "2017-01-02"),
        ("2018-01-01", "2017-01-02"),
        ("2013-03-01", "2012-01-02"),
        ("2017-07-03", "2017-01-02"),
        ("2017-06-30", "2016-01-01"),
    ],
)
def test_the_last_year_is_the_one_that_was_current_half_a_year_ago(last, first_of_test):
    sessions = weekdays("2005-01-03", last)
    assert sessions[LastYear().start(sessions)] == np.datetime64(first_of_test)


def test_the_last_year_is_never_less_than_half_a_year_nor_more_than_one_and_a_half():
    days = np.arange(np.datetime64("2010-01-01"), np.datetime64("2021-01-01"))
    lengths = [end - LastYear().start(days[:end]) for end in range(800, len(days))]
    assert (min(lengths), max(lengths)) == (183, 548)


def test_a_part_since_a_date_begins_with_its_first_session():
    sessions = weekdays("2016-12-01", "2017-02-28")
    starts = [
        Since(dt.date(2017, 1, 1)).start(sessions),
        Since(dt.date(2000, 1, 1)).start(sessions),
        Since(dt.date(2018, 1, 1)).start(sessions),
    ]
    assert starts == [22, 0, len(sessions)]
    assert sessions[22] == np.datetime64("2017-01-02")


@pytest.mark.parametrize("part", [Newest(5), Fraction(0.1), LastYear(), Since(dt.date(2017, 1, 1))])
def test_no_sessions_have_no_part(part):
    assert part.start(np.array([], "datetime64[D]")) == 0


SPLITS = [
    Split(Newest(252), Newest(252)),
    Split(Fraction(0.1), Newest(100)),
    Split(Fraction(0.1), Fraction(0.05)),
    Split(LastYear(), Newest(252)),
    Split(Since(dt.date(2016, 7, 1)), LastYear()),
    Split(LastYear()),
    Split(Fraction(0.5)),
]


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("reach", [1, 5])
def test_no_session_is_known_to_two_parts_and_no_window_is_wasted(split, reach):
    sessions = weekdays("2012-01-02", "2017-12-29")
    train_end, validation, validation_end, test = split.starts(sessions, reach)

    def known(windows):
        return {number + ahead for number in windows for ahead in range(reach)}

    train, middle, held_out = known(range(train_end)), known(range(validation, validation_end)), known(range(test, len(sessions)))
    assert not (train & middle or train & held_out or middle & held_out)
    after_train = middle or held_out
    assert max(train) + 1 == min(after_train)  # not one session between the parts
    assert max(middle, default=max(train)) + 1 == min(held_out)
    assert (len(middle) > 0) == (split.validation is not None)


def test_train_through_2016_and_test_2017():
    sessions = weekdays("2006-01-03", "2017-12-29")
    train_end, validation, validation_end, test = Split(LastYear()).starts(sessions, 1)
    assert (sessions[train_end - 1], sessions[test]) == (np.datetime64("2016-12-30"), np.datetime64("2017-01-02"))
    assert validation == validation_end == train_end


def test_validation_is_taken_from_what_comes_before_the_test():
    sessions = np.arange(100).astype("datetime64[D]")
    assert Split(Newest(10), Newest(20)).starts(sessions, 1) == (70, 70, 90, 90)
    assert Split(Newest(10), Newest(20)).starts(sessions, 5) == (62, 66, 86, 90)
    assert Split(Newest(10), Fraction(0.5)).starts(sessions, 1) == (45, 45, 90, 90)
    assert Split(Fraction(0.1)).starts(sessions, 5) == (86, 86, 86, 90)


def test_a_history_shorter_than_what_is_held_out_has_no_train():
    sessions = np.arange(30).astype("datetime64[D]")
    assert Split(Newest(20), Newest(20)).starts(sessions, 5) == (0, 0, 6, 10)


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("reach", [1, 5])
@pytest.mark.parametrize("last", [dt.date(2017, 12, 29), dt.date(2017, 6, 1)])
def test_the_fewest_windows_are_the_first_count_that_is_enough(split, reach, last):
    sessions = weekdays("2005-01-03", str(last))
    counts = (count for count in range(1, len(sessions)) if split.starts(sessions[-count:], reach)[0] >= split.min_train_windows)
    assert fewest_windows(split, reach, last) == next(counts)


def test_where_everything_is_held_out_no_history_is_enough():
    assert fewest_windows(Split(Since(dt.date(1900, 1, 1))), 1, dt.date(2017, 12, 29)) == LONGEST
