"""Tables as text in each format, numbers to the last bit; an unknown format is refused."""

import json

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import SettingsError
from pipeline.reporting import FORMATS, format_rows, rows
from pipeline.tables import SCORES

FRAME = pd.DataFrame(
    {
        "ticker": ["AAPL", "FB, Inc"],
        "session": [pd.Timestamp("2013-03-01"), pd.NaT],
        "known_at": [pd.Timestamp("2013-03-02 01:00"), pd.NaT],
        "y_hat": [0.1 + 0.2, np.nan],
        "horizon": [1, 10],
        "inside": [True, False],
    }
)


def test_rows_as_csv():
    assert format_rows(FRAME, "csv") == (
        "ticker,session,known_at,y_hat,horizon,inside\n"
        "AAPL,2013-03-01,2013-03-02T01:00:00,0.30000000000000004,1,True\n"
        '"FB, Inc",,,,10,False\n'
    )


def test_rows_as_json():
    assert json.loads(format_rows(FRAME, "json")) == [
        {
            "ticker": "AAPL",
            "session": "2013-03-01",
            "known_at": "2013-03-02T01:00:00",
            "y_hat": 0.1 + 0.2,
            "horizon": 1,
            "inside": True,
        },
        {
            "ticker": "FB, Inc",
            "session": None,
            "known_at": None,
            "y_hat": None,
            "horizon": 10,
            "inside": False,
        },
    ]


def test_rows_as_a_table():
    assert format_rows(FRAME, "table").splitlines() == [
        "ticker   session     known_at              y_hat  horizon  inside",
        "AAPL     2013-03-01  2013-03-02T01:00:00  0.3000        1  True",
        "FB, Inc                                                10  False",
    ]


def test_csv_numbers_read_back_to_the_same_bits():
    values = np.random.default_rng(0).normal(size=200) * 10.0 ** np.arange(-100, 100)
    text = format_rows(pd.DataFrame({"value": values}), "csv")
    assert [float(line) for line in text.split()[1:]] == values.tolist()


@pytest.mark.parametrize("form", FORMATS)
def test_an_empty_table_has_its_columns(form):
    text = format_rows(SCORES.empty(), form)
    if form == "json":
        assert json.loads(text) == []
    else:
        assert text.replace("  ", ",").strip() == ",".join(SCORES.columns)


def test_an_unknown_format_is_refused():
    with pytest.raises(SettingsError, match="--format is 'xml'; table, json, csv are possible"):
        format_rows(SCORES.empty(), "xml")


@pytest.mark.parametrize("width", [None, 100])
def test_what_fits_is_aligned_as_where_something_is_folded(width):
    columns = ["ticker", "", "数"]
    cells = [["AAPL", "", "1.5"], ["株式会社", "é – ß", "-10.25"], ["a b", "x", "🙂"]]
    for right in ([False, False, True], [True, True, False]):
        assert rows.align(columns, cells, right, width) == rows._folded(
            columns, cells, right, width
        )
    assert rows.align(columns, [], [True] * 3) == rows._folded(columns, [], [True] * 3, None)
