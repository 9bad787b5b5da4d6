"""Dates in price files: many ways to write them, and what is refused."""

import pytest

from pipeline.errors import MalformedPrices
from tests.prices.made_csv import HEADER, TWO_BARS, folder_of, rows_of


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2012-01-05", "2012-01-17"),
        ("2012/1/5", "2012/1/17"),
        ("20120105", "20120117"),
        ("01/05/2012", "01/17/2012"),
        ("05/01/2012", "17/01/2012"),
        ("05-01-2012", "17-01-2012"),
        ("5.1.2012", "17.1.2012"),
        ("05-Jan-2012", "17-Jan-2012"),
        ('"Jan 5, 2012"', '"January 17, 2012"'),
        ("2012-01-05 00:00:00", "2012-01-17 16:00"),
        ("2012-01-05T00:00:00.000Z", "2012-01-17T00:00:00Z"),
        ("2012-01-05 00:00:00-05:00", "2012-01-17 00:00:00-05:00"),
        ("2012-01-05 14:30:00+00:00", "2012-01-18 02:30:00+00:00"),
    ],
)
def test_dates_may_be_written_in_many_ways(tmp_path, first, second):
    text = f"{HEADER}{first},10,12,9,11,500\n{second},11,13,10,12,600\n"
    assert rows_of(folder_of(tmp_path, AAPL__csv=text)) == TWO_BARS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "2012-13-05,10,12,9,11,500\n",
            r"AAPL\.csv, line 2: date is '2012-13-05', where one such as 2006-01-03 is expected",
        ),
        (",10,12,9,11,500\n", r"AAPL\.csv, line 2: date is ''"),
        ("soon,10,12,9,11,500\n", r"AAPL\.csv, line 2: date is 'soon'"),
        (
            "01/05/2012,10,12,9,11,500\n",
            r"AAPL\.csv: '01/05/2012' could be day or month first, and no date of the file shows",
        ),
        (
            "13/05/2012,1,1,1,1,1\n05/13/2012,1,1,1,1,1\n",
            r"AAPL\.csv: dates are written both day first and month first",
        ),
    ],
)
def test_a_date_that_cannot_be_read_is_pointed_at(tmp_path, text, message):
    with pytest.raises(MalformedPrices, match=message):
        rows_of(folder_of(tmp_path, AAPL__csv=HEADER + text))
