"""Files of events: what they say, and what is wrong with them in one line each."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.errors import SettingsError
from pipeline.prices import read_event_file
from pipeline.tables import EVENTS

TICKERS = ("IBM", "BRK-B")


def read(folder, text):
    path = folder / "events.csv"
    path.write_text(text)
    return read_event_file(path, TICKERS)


def test_each_row_is_an_event_with_the_moment_since_when_it_was_known(tmp_path):
    file = read(
        tmp_path,
        "# what I know\nticker,date,kind,amount,known_at,days_before\n"
        "ibm,2013-01-23,Report,,2013-01-03,\n"
        "IBM,2013-02-06,dividend,0.85,2013-01-29 16:30-05:00\n"
        "\nBRK-B,2013-03-01,report,,,14\nIBM,2013-04-18,report\n"
        "IBM,2013-04-18,report,,,\n",
    )
    missing = pd.NaT
    expected = pd.DataFrame(
        [
            ("BRK-B", "2013-03-01", "report", 1.0, "2013-02-16"),
            ("IBM", "2013-01-23", "report", 1.0, "2013-01-04"),
            ("IBM", "2013-02-06", "dividend", 0.85, "2013-01-29 21:30"),
            ("IBM", "2013-04-18", "report", 1.0, missing),
        ],
        columns=list(EVENTS.columns),
    )
    for name in ("session", "announced_at"):
        expected[name] = pd.to_datetime(expected[name], format="mixed")
    pd.testing.assert_frame_equal(file.events, EVENTS.conform(expected))
    assert (file.wrong, file.left_out) == ({}, ())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("IBM,2013-01-23,earnings", "IBM has the kind 'earnings'; report or dividend is expected"),
        ("IBM,23.01.2013,report", "date is '23.01.2013'; year-month-day is expected"),
        ("IBM,2013-02-30,report", "date is '2013-02-30'; year-month-day is expected"),
        ("IBM,2013-01-23,dividend", "the dividend of IBM has the amount ''; money a share"),
        ("IBM,2013-01-23,dividend,-1", "the dividend of IBM has the amount '-1'; money a share"),
        ("IBM,2013-01-23,dividend,nan", "the dividend of IBM has the amount 'nan'; money a share"),
        ("IBM,2013-01-23,report,,soon", "known_at is 'soon'; a date such as 2013-01-03"),
        ("IBM,2013-01-23,report,,,-3", "days_before is '-3'; a number of days such as 14"),
        ("IBM,2013-01-22,report,,2013-01-03", "IBM has another report of 2013-01-22 above it"),
    ],
)
def test_a_wrong_row_takes_its_own_ticker_out_and_no_other(tmp_path, row, message):
    header = "ticker,date,kind,amount,known_at,days_before"
    file = read(tmp_path, f"{header}\nIBM,2013-01-22,report\nBRK-B,2013-01-22,report\n{row}\n")
    assert file.events["ticker"].tolist() == ["BRK-B"]
    [(ticker, error)] = file.wrong.items()
    assert ticker == "IBM"
    assert str(error).startswith(f"{tmp_path / 'events.csv'}, line 4: ")
    assert message in str(error)


def test_rows_of_other_tickers_are_left_out_with_a_line(tmp_path):
    file = read(tmp_path, "ticker,date,kind\nAAPL,2013-01-23,report\nAAPL,x,y\n??,x,y\n")
    path = tmp_path / "events.csv"
    assert file.events.empty
    assert file.left_out == (
        f"{path}: 'AAPL' is no ticker of the universe, 2 of its rows left out",
        f"{path}: '??' is no ticker of the universe, 1 of its rows left out",
    )


@pytest.mark.parametrize(
    "header", ["ticker,date", "ticker,date,kind,when", "date,date,kind,ticker"]
)
def test_a_file_without_its_columns_is_an_error(tmp_path, header):
    named = header.replace(",", ", ")
    with pytest.raises(SettingsError, match=f"has the columns {named}; ticker"):
        read(tmp_path, f"{header}\n")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match=r"cannot be read \(No such file or directory\)"):
        read_event_file(tmp_path / "none.csv", TICKERS)
    (tmp_path / "utf16.csv").write_bytes("ticker,date,kind".encode("utf-16"))
    with pytest.raises(SettingsError, match=r"cannot be read \(it is no UTF-8\)"):
        read_event_file(tmp_path / "utf16.csv", TICKERS)
