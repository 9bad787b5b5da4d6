"""The first cell that moved is named with both values."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.inspection.comparing import ComparedOutput, compare, difference

CUTOFF = dt.date(2012, 7, 2)


def table_of(*forecasts):
    return pd.DataFrame({"ticker": ["A", "B"], "horizon": [1, 1], "y_hat": forecasts})


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        (np.array([[1.0, np.nan]]), np.array([[1.0, np.nan]]), ""),
        (np.array([[1.0, 2.0]]), np.array([[1.0, 2.5]]), "[0, 1]: 2.0 -> 2.5"),
        (np.array([[1.0, 2.0]]), np.array([[1.0, np.nan]]), "[0, 1]: 2.0 -> nan"),
        (np.zeros(3), np.zeros(2), ": 3 rows -> 2"),
        (np.array(0.5), np.array(0.25), ": 0.5 -> 0.25"),
        (b"one", b"one", ""),
        (b"one", b"two", ": file 7692c3ad3540 -> 3fc4ccfe7458"),
        (table_of(1.0, np.nan), table_of(1.0, np.nan), ""),
        (table_of(1.0, 2.0), table_of(1.0, 3.0), "[B, 1].y_hat: 2.0 -> 3.0"),
        (table_of(1.0, 2.0), table_of(1.0, 2.0)[:1], ": 2 rows -> 1"),
    ],
)
def test_the_first_cell_that_moved_is_named_with_both_values(before, after, moved):
    assert difference(before, after) == moved


def test_outputs_of_two_kinds_are_a_defect():
    with pytest.raises(TypeError, match="bytes with ndarray"):
        difference(b"one", np.zeros(1))


def test_each_group_is_a_line_with_its_first_move():
    before = {"files": {"AAA": b"one", "BBB": b"one"}, "numbers": {"AAA": np.zeros((2, 3))}}
    after = {"files": {"AAA": b"two", "CCC": b"one"}, "numbers": {"AAA": np.zeros((2, 3))}}
    moved = "AAA: file 7692c3ad3540 -> 3fc4ccfe7458 (and 2 more of 2)"
    assert list(compare("split", CUTOFF, before, after)) == [
        ComparedOutput("split", CUTOFF, "files", 2, moved),
        ComparedOutput("split", CUTOFF, "numbers", 6, ""),
    ]


def test_an_output_that_is_there_once_has_moved():
    [line] = compare("session", CUTOFF, {"files": {}}, {"files": {"AAA": b"one"}})
    assert line.moved == "AAA is there after only"
