"""Splits, counted by hand, and against sets of the sessions that the parts' windows know."""

import datetime as dt

import numpy as np
import pytest

from pipeline.windows.train_test_splits import (
    LONGEST_HISTORY,
    Fraction,
    LastYear,
    Newest,
    Numbered,
    RowFraction,
    Since,
    Split,
    fewest_windows,
)


def weekdays(first: str, last: str) -> np.ndarray:
    """Return the weekdays from `first` to `last`, datetime64[D]."""
    days = np.arange(np.datetime64(first), np.datetime64(last) + 1)
    return days[np.is_busday(days)]


@pytest.mark.parametrize(
    ("part", "start"), [(Newest(3), 7), (Newest(10), 0), (Newest(20), 0), (Newest(0), 10)]
)
def test_the_newest_sessions_are_counted_from_the_end(part, start):
    assert part.start(np.arange(10).astype("datetime64[D]")) == start


@pytest.mark.parametrize(
    ("count", "share", "before"),
    [
        (100, 0.1, 90),
        (16832, 0.1, 15148),
        (5035, 0.5, 2517),
        (4648, 0.15, 3950),
        (7, 0.25, 5),
        (10, 0.9, 1),
        (0, 0.1, 0),
    ],
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
    starts = [Since(dt.date(year, 1, 1)).start(sessions) for year in (2017, 2000, 2018)]
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
EMBARGOED = [Split(Newest(252), Newest(252), embargo=5), Split(LastYear(), embargo=20)]
#: Rows are cut before windows are.
ROWS = [
    Split(RowFraction(0.5)),
    Split(RowFraction(0.15, spare=1)),
    Split(RowFraction(0.5), Newest(30), min_train_windows=20),
]


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("reach", [1, 5])
def test_no_session_is_known_to_two_parts_and_no_window_is_wasted(split, reach):
    sessions = weekdays("2012-01-02", "2017-12-29")
    train_end, validation, validation_end, test = split.starts(sessions, reach, 20)

    def known(windows):
        return {number + ahead for number in windows for ahead in range(reach)}

    train, middle = known(range(train_end)), known(range(validation, validation_end))
    held_out = known(range(test, len(sessions)))
    assert not (train & middle or train & held_out or middle & held_out)
    after_train = middle or held_out
    assert max(train) + 1 == min(after_train)  # not one session between the parts
    assert max(middle, default=max(train)) + 1 == min(held_out)
    assert (len(middle) > 0) == (split.validation is not None)


@pytest.mark.parametrize("split", ROWS, ids=str)
@pytest.mark.parametrize("reach", [1, 5])
def test_where_rows_are_cut_first_no_row_is_seen_by_train_and_test(split, reach):
    context, sessions = 20, weekdays("2016-01-01", "2017-12-29")
    train_end, _, validation_end, test = split.starts(sessions, reach, context)
    rows = len(sessions) + context
    boundary = int(rows * (1 - split.test.share))

    def seen(windows):  # window k spans rows k .. k + context - 1, and its targets follow
        return {number + row for number in windows for row in range(context + reach)}

    learnt, tested = seen(range(validation_end)), seen(range(test, len(sessions)))
    spare = split.test.spare
    assert (max(learnt) + 1, min(tested)) == (boundary - spare, boundary + spare)
    assert train_end <= validation_end


@pytest.mark.parametrize("share", [0.15, 0.5])
def test_rows_too_few_for_a_test_window_are_no_train_either(share):
    for count in range(60):
        train_end, _, _, test = Split(RowFraction(share)).starts(
            np.arange(count).astype("datetime64[D]"), 1, 20
        )
        assert test < count or (train_end, test) == (0, count)


def test_train_through_2016_and_test_2017():
    sessions = weekdays("2006-01-03", "2017-12-29")
    train_end, validation, validation_end, test = Split(LastYear()).starts(sessions, 1, 20)
    assert (sessions[train_end - 1], sessions[test]) == (
        np.datetime64("2016-12-30"),
        np.datetime64("2017-01-02"),
    )
    assert validation == validation_end == train_end


def test_validation_is_taken_from_what_comes_before_the_test():
    sessions = np.arange(100).astype("datetime64[D]")
    assert Split(Newest(10), Newest(20)).starts(sessions, 1, 20) == (70, 70, 90, 90)
    assert Split(Newest(10), Newest(20)).starts(sessions, 5, 20) == (62, 66, 86, 90)
    assert Split(Newest(10), Fraction(0.5)).starts(sessions, 1, 20) == (45, 45, 90, 90)
    assert Split(Fraction(0.1)).starts(sessions, 5, 20) == (86, 86, 86, 90)


def test_an_embargo_lies_between_the_parts_beyond_the_sessions_that_windows_share():
    sessions = np.arange(100).astype("datetime64[D]")
    assert Split(Newest(10), Newest(20), embargo=3).starts(sessions, 1, 20) == (64, 67, 87, 90)
    assert Split(Newest(10), Newest(20), embargo=3).starts(sessions, 5, 20) == (56, 63, 83, 90)
    assert Split(Newest(10), embargo=3).starts(sessions, 1, 20) == (87, 87, 87, 90)
    # Rows 0..59 are before, windows span 20.
    assert Split(RowFraction(0.5), embargo=3).starts(sessions, 1, 20)[2:] == (37, 60)


@pytest.mark.parametrize("embargo", [0, 1, 7])
@pytest.mark.parametrize("reach", [1, 5])
def test_the_sessions_of_the_embargo_are_known_to_no_part(embargo, reach):
    sessions = weekdays("2012-01-02", "2017-12-29")
    split = Split(Newest(252), Newest(252), embargo=embargo)
    train_end, validation, validation_end, test = split.starts(sessions, reach, 20)
    last_of_train, last_of_validation = train_end - 1 + reach - 1, validation_end - 1 + reach - 1
    assert (validation - last_of_train - 1, test - last_of_validation - 1) == (embargo, embargo)


def test_a_history_shorter_than_what_is_held_out_has_no_train():
    sessions = np.arange(30).astype("datetime64[D]")
    assert Split(Newest(20), Newest(20)).starts(sessions, 5, 20) == (0, 0, 6, 10)


@pytest.mark.parametrize("split", [*SPLITS, *ROWS, *EMBARGOED], ids=repr)
@pytest.mark.parametrize("reach", [1, 5])
@pytest.mark.parametrize("last", [dt.date(2017, 12, 29), dt.date(2017, 6, 1)])
def test_the_fewest_windows_are_the_first_count_that_is_enough(split, reach, last):
    sessions = weekdays("2005-01-03", str(last))
    counts = (
        count
        for count in range(1, len(sessions))
        if split.starts(sessions[-count:], reach, 20)[0] >= split.min_train_windows
    )
    assert fewest_windows(split, reach, 20, last) == next(counts)


def test_where_everything_is_held_out_no_history_is_enough():
    everything = Split(Since(dt.date(1900, 1, 1)))
    assert fewest_windows(everything, 1, 20, dt.date(2017, 12, 29)) == LONGEST_HISTORY


def test_numbered_windows_stay_and_leave_nothing_to_test():
    split = Split(Numbered(55, 56, 66), Newest(10), min_train_windows=1)
    for count in (66, 100):
        assert split.starts(np.arange(count).astype("datetime64[D]"), 2, 4) == (55, 56, 66, count)
    assert (split.validates, split.tests) == (True, False)
    assert str(split.test) == "the first 55 windows train, 10 validate"
