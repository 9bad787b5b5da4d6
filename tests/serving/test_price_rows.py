"""Price rows that cannot be used: each is refused in one line, which says what to do."""

import shutil

import numpy as np
import pytest

from pipeline.errors import LookAtTheData
from pipeline.serving import SERVED_FILE, ServedForecast
from pipeline.serving.price_rows import cells_of
from tests.daily.quick_days import QuickParts, take_steps
from tests.made_days import made_source
from tests.serving.price_rows import rows_of


@pytest.fixture(scope="module")
def asked(quick_original, tmp_path_factory):
    """What is served of OLD, and its rows, which nobody changes."""
    original, run = quick_original
    home = shutil.copytree(original, tmp_path_factory.mktemp("served") / "copy")
    with QuickParts(home, made_source(signalled=True)) as parts:
        take_steps(parts, run, "publish", "publish")
        served = ServedForecast.decoded(parts.tracked.served["OLD"]()[SERVED_FILE])
        return served, rows_of(parts, run, "OLD")


def with_cell(rows, row, column, value):
    changed = rows.astype({"volume": "float64"})
    changed.loc[changed.index[row], column] = value
    return changed


def later(rows):
    """Return rows with one of the session after."""
    rows = rows.copy()
    rows["session"] = [*rows["session"].iloc[1:], np.datetime64("2013-03-04")]
    return rows


#: What is wrong with rows, and what is said of it.
WRONG = {
    "no column": (
        lambda rows: rows.drop(columns=["open", "volume"]),
        "OLD: the rows have no column open, volume. Give them session, open, high, low, close, "
        "volume.",
    ),
    "no rows": (
        lambda rows: rows.iloc[:0],
        "OLD: no rows are given, and the forecast of 2013-03-01 needs the 202 sessions from "
        "2012-05-10 to 2013-03-01. Give older rows, too.",
    ),
    "too few": (
        lambda rows: rows.iloc[-100:],
        "OLD: 100 rows from 2012-10-04 on are given, and the forecast of 2013-03-01 needs the 202 "
        "sessions from 2012-05-10 to 2013-03-01. Give older rows, too.",
    ),
    "unsorted": (
        lambda rows: rows.iloc[::-1],
        "OLD: the row of 2013-02-28 comes after that of 2013-03-01. Give one row a session, the "
        "oldest first.",
    ),
    "twice": (
        lambda rows: rows.iloc[[*range(len(rows)), -1]],
        "OLD: the row of 2013-03-01 comes after that of 2013-03-01. Give one row a session, the "
        "oldest first.",
    ),
    "a gap": (
        lambda rows: rows.drop(rows.index[-5]),
        "OLD 2013-02-25: there is no row of this session, which the pipeline has. Give one.",
    ),
    "negative": (
        lambda rows: with_cell(rows, -3, "low", -1.0),
        "OLD 2013-02-27: low is -1. Prices are above 0, no high is below its low, and no cell is "
        "missing that the pipeline has: correct the row.",
    ),
    "missing": (
        lambda rows: with_cell(rows, -3, "volume", np.nan),
        "OLD 2013-02-27: volume is nan. Prices are above 0, no high is below its low, and no cell "
        "is missing that the pipeline has: correct the row.",
    ),
    "crossed": (
        lambda rows: with_cell(rows, -3, "high", 0.5),
        "OLD 2013-02-27: high is 0.5. Prices are above 0, no high is below its low, and no cell "
        "is missing that the pipeline has: correct the row.",
    ),
    "no number": (
        lambda rows: rows.astype({"close": object}).assign(close="a lot"),
        "OLD: a cell is no number (could not convert string to float: 'a lot'). Give numbers.",
    ),
    "no date": (
        lambda rows: rows.assign(session="Friday the 31st of June"),
        "OLD: a session cannot be read",
    ),
    "no session": (
        lambda rows: with_cell(rows, -3, "session", np.datetime64("NaT")),
        "has no session.",
    ),
    "a holiday": (
        lambda rows: with_cell(rows, -9, "session", np.datetime64("2013-02-18")),
        "OLD: the rows have 2013-02-18, which is no session of its exchange. Leave that row out.",
    ),
    "earlier": (
        lambda rows: rows.iloc[:-1],
        "OLD: the rows end at 2013-02-28, and this model is as of 2013-03-01, the last session "
        "that was published. Give the rows up to 2013-03-01.",
    ),
    "later": (
        later,
        "OLD: the rows reach 2013-03-04, and this model is as of 2013-03-01: of later sessions, "
        "rows of one stock do not give the prices of all other stocks of trained, which har looks "
        "at. Give rows up to 2013-03-01, or publish the later session (`stockcast run --universe "
        "trained`) and load the model again.",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_rows_that_cannot_be_used_are_refused_in_one_line(wrong, asked):
    (served, rows), (change, message) = asked, WRONG[wrong]
    with pytest.raises(LookAtTheData) as refused:
        cells_of(served, change(rows))
    assert message in str(refused.value)


def test_rows_stay_as_they_were(asked):
    served, rows = asked
    before = rows.copy()
    cells_of(served, rows)
    assert rows.equals(before)
