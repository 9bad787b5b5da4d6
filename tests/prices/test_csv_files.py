import datetime as dt
import gzip
from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import MalformedPrices, SettingsError, UnknownTicker
from pipeline.prices.csv_files import CsvSource
from pipeline.prices.source import fetch, newest_session, require_known
from pipeline.sessions import Calendar

HEADER = "Date,Open,High,Low,Close,Volume\n"
LATER = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
TWO_BARS = [["2012-01-05", 10.0, 12.0, 9.0, 11.0, 500.0], ["2012-01-17", 11.0, 13.0, 10.0, 12.0, 600.0]]


def folder_of(tmp_path: Path, **files: str) -> Path:
    """A folder with these files; `__` in a name stands for a dot."""
    for name, text in files.items():
        path = tmp_path / name.replace("__", ".")
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return tmp_path


def rows_of(folder: Path, ticker: str = "AAPL") -> list[list[object]]:
    fetched = fetch(CsvSource(folder), ticker, dt.date(1990, 1, 1), dt.date(2023, 12, 31), Calendar("XNYS"), LATER)
    return fetched.prices.drop(columns="ticker").assign(session=fetched.prices["session"].astype("str")).values.tolist()


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
    folder = folder_of(tmp_path, AAPL__csv=f"{HEADER}{first},10,12,9,11,500\n{second},11,13,10,12,600\n")
    assert rows_of(folder) == TWO_BARS


@pytest.mark.parametrize(
    "text",
    [
        "date,open,high,low,close,volume\n2012-01-05,10,12,9,11,500\n2012-01-17,11,13,10,12,600\n",
        "\ufeff Volume ,CLOSE,Adj Close, low,High,Open,Date\n600,12,1,10,13,11,2012-01-17\n500,11,1,9,12,10,2012-01-05\n",
        "<DATE>;<OPEN>;<HIGH>;<LOW>;<CLOSE>;<VOL>\r\n20120105;10;12;9;11;500\r\n20120117;11;13;10;12;600\r\n",
        "Date\tOpen\tHigh\tLow\tClose\tVolume\tDividends\n2012-01-05\t10\t12\t9\t11\t500\t0\n\n2012-01-17\t11\t13\t10\t12\t600\t0.5\n",
        "Date,Open,High,Low,Close,Volume\n2012-01-05,10,12,9,11,500,\n2012-01-17, 11 ,13, 10,1.2e1,600,\n",
        "Date,Open,High,Low,Close,Volume,Name\n2012-01-05,10,12,9,11,500,Apple Inc.\n2012-01-17,11,13,10,12,600,Apple Inc.\n",
        "Symbol,Name,Date,Open,High,Low,Close,Volume\naapl,Apple,2012-01-05,10,12,9,11,500\naapl,Apple,2012-01-17,11,13,10,12,600\n",
    ],
    ids=["small letters", "other order", "semicolons", "tabs", "trailing commas", "company name", "symbol and name"],
)
def test_columns_may_come_in_many_ways(tmp_path, text):
    assert rows_of(folder_of(tmp_path, AAPL__csv=text)) == TWO_BARS


@pytest.mark.parametrize("name", ["AAPL.csv", "aapl.CSV", "AAPL_2006-01-01_to_2018-01-01.csv", "AAPL (1).csv", "AAPL.csv.gz"])
def test_a_files_name_begins_with_its_ticker(tmp_path, name):
    folder = folder_of(tmp_path, **{name: HEADER + "2012-01-05,10,12,9,11,500\n2012-01-17,11,13,10,12,600\n"})
    assert CsvSource(folder).tickers() == ["AAPL"]
    assert rows_of(folder) == TWO_BARS


def test_long_files_and_single_files_live_side_by_side(tmp_path):
    long = "date,open,high,low,close,volume,Name\n2012-01-05,1,2,1,2,9,BRK.B\n2012-01-05,3,4,3,4,9,NA\n2012-01-17,2,3,2,3,9,BRK.B\n"
    folder = folder_of(tmp_path, all_stocks__csv__gz=long, BF__B__csv=HEADER + "2012-01-05,5,6,5,6,9\n", notes__txt="not a price")
    assert CsvSource(folder).tickers() == ["BF.B", "BRK.B", "NA"]
    assert rows_of(folder, "BRK.B") == [["2012-01-05", 1.0, 2.0, 1.0, 2.0, 9.0], ["2012-01-17", 2.0, 3.0, 2.0, 3.0, 9.0]]
    assert rows_of(folder, "NA") == [["2012-01-05", 3.0, 4.0, 3.0, 4.0, 9.0]]
    assert rows_of(folder, "BF.B") == [["2012-01-05", 5.0, 6.0, 5.0, 6.0, 9.0]]


def test_cells_without_a_value_are_missing_not_zero(tmp_path):
    folder = folder_of(tmp_path, AAPL__csv=HEADER + "2012-01-05,,NaN,null,11,N/A\n")
    row = fetch(CsvSource(folder), "AAPL", dt.date(2012, 1, 1), dt.date(2012, 2, 1), Calendar("XNYS"), LATER).prices.iloc[0]
    assert row.drop(["ticker", "session"]).isna().to_dict() == {
        "open": True,
        "high": True,
        "low": True,
        "close": False,
        "volume": True,
    }


def test_a_csv_folder_has_no_corporate_actions(tmp_path):
    folder = folder_of(tmp_path, AAPL__csv="Date,Open,High,Low,Close,Volume,Dividends,Stock Splits\n2012-01-05,1,1,1,1,1,0.5,2\n")
    assert fetch(CsvSource(folder), "AAPL", dt.date(2012, 1, 1), dt.date(2012, 2, 1), Calendar("XNYS"), LATER).actions.empty


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "2012-01-05,10,12,9,abc,500\n",
            r"AAPL\.csv, line 2: close is 'abc', where a number such as 1234.5 or nothing is expected",
        ),
        ("2012-01-04,1,1,1,1,1\n\n2012-01-05,10,12,9,$11,500\n", r"AAPL\.csv, line 4: close is '\$11'"),
        ('2012-01-05,10,12,9,11,"1,000"\n', r"AAPL\.csv, line 2: volume is '1,000'"),
        ("2012-01-05,10,12,9,11,1,000\n", r"AAPL\.csv, line 2: more cells than the first line has columns"),
        ("2012-01-05,10,12,9,11,500\n2012-01-06,10,12,9,11,1,000,000\n", r"AAPL\.csv, line 3: more cells than"),
        ("2012-01-05,10,12,9,inf,500\n", r"AAPL\.csv, line 2: close is 'inf'"),
        ("2012-13-05,10,12,9,11,500\n", r"AAPL\.csv, line 2: date is '2012-13-05', where one such as 2006-01-03 is expected"),
        (",10,12,9,11,500\n", r"AAPL\.csv, line 2: date is ''"),
        ("soon,10,12,9,11,500\n", r"AAPL\.csv, line 2: date is 'soon'"),
        ("01/05/2012,10,12,9,11,500\n", r"AAPL\.csv: '01/05/2012' could be day or month first, and no date of the file tells"),
        ("13/05/2012,1,1,1,1,1\n05/13/2012,1,1,1,1,1\n", r"AAPL\.csv: dates are written both day first and month first"),
        ("2012-01-05,1,1,1,1,1\n2012-01-05,1,1,1,1,1\n", "AAPL from csv: 2 bars for 2012-01-05, identical ones"),
    ],
)
def test_what_cannot_be_read_is_pointed_at(tmp_path, text, message):
    with pytest.raises(MalformedPrices, match=message):
        rows_of(folder_of(tmp_path, AAPL__csv=HEADER + text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Day,Open,High,Lo,Close,Volume\n",
            "no column low in the first line; expected Date, Open, High, Low, Close, Volume, found Day, Open, High, Lo",
        ),
        ("", "found nothing"),
        ("Date,Open,High,Low,Close,close,Volume\n", "two columns for close, 'Close' and 'close'; one is expected"),
        ("Ticker," + HEADER + "../x,2012-01-05,1,1,1,1,1\n", "line 2: ticker is '../x', where one such as BRK.B is expected"),
    ],
)
def test_a_broken_header_names_what_was_found_and_expected(tmp_path, text, message):
    with pytest.raises(MalformedPrices, match=message):
        CsvSource(folder_of(tmp_path, AAPL__csv=text)).tickers()


def test_a_broken_gzip_file_is_named(tmp_path):
    (tmp_path / "AAPL.csv.gz").write_text("not gzip")
    with pytest.raises(MalformedPrices, match=r"AAPL\.csv\.gz: cannot be read"):
        CsvSource(tmp_path).tickers()


def test_the_adjusted_close_has_one_value_for_a_date(tmp_path):
    """Which of two is right nobody has to know for a range without them."""
    text = "Date,Open,High,Low,Close,Adj Close,Volume\n" + "".join(
        f"2012-01-{day},10,12,9,11,{adjusted},500\n" for day, adjusted in (("05", 5), ("05", 6), ("17", 7))
    )
    source = CsvSource(folder_of(tmp_path, AAPL__csv=text))
    assert source.adjusted_close("AAPL").to_dict() == {pd.Timestamp("2012-01-05"): 5.0, pd.Timestamp("2012-01-17"): 7.0}
    later = fetch(source, "AAPL", dt.date(2012, 1, 6), dt.date(2012, 2, 1), Calendar("XNYS"), LATER).prices
    assert list(later["session"].map(source.adjusted_close("AAPL"))) == [7.0]


def test_a_bad_cell_of_one_ticker_does_not_stop_the_others(tmp_path):
    long = "Ticker," + HEADER + "AAPL,2012-01-05,10,12,9,11,500\nIBM,2012-01-05,10,12,9,oops,500\nAAPL,2012-01-17,11,13,10,12,600\n"
    folder = folder_of(tmp_path, all__csv=long)
    assert rows_of(folder) == TWO_BARS
    with pytest.raises(MalformedPrices, match=r"all\.csv, line 3: close is 'oops'"):
        rows_of(folder, "IBM")


def test_a_folder_without_price_files_is_a_setting_to_fix(tmp_path):
    with pytest.raises(SettingsError, match="is no folder; the csv source needs one"):
        CsvSource(tmp_path / "nowhere").tickers()
    with pytest.raises(SettingsError, match=r"has no \.csv or \.csv\.gz files"):
        CsvSource(tmp_path).tickers()


def test_a_ticker_in_two_files_is_refused(tmp_path):
    folder = folder_of(tmp_path, AAPL__csv=HEADER, AAPL_2012__csv=HEADER)
    with pytest.raises(SettingsError, match=r"AAPL is in AAPL\.csv and in AAPL_2012\.csv"):
        CsvSource(folder).tickers()


def test_a_name_that_is_no_ticker_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="the name does not begin with a ticker and there is no ticker column"):
        CsvSource(folder_of(tmp_path, **{"-.csv": HEADER})).tickers()


def test_an_unknown_ticker_is_answered_with_what_is_there(tmp_path):
    folder = folder_of(tmp_path, AAPL__csv=HEADER, IBM__csv=HEADER)
    with pytest.raises(UnknownTicker, match=r"NOPE is not among the tickers of the csv .*: AAPL, IBM"):
        rows_of(folder, "NOPE")
    with pytest.raises(UnknownTicker, match="NOPE is not among the tickers of the csv source: AAPL, IBM"):
        require_known(CsvSource(folder), ["AAPL", "NOPE"])


def test_a_long_list_of_tickers_is_cut_short(tmp_path):
    long = pd.DataFrame(
        {
            "ticker": [f"T{number}" for number in range(100, 130)],
            "date": "2012-01-05",
            **dict.fromkeys(["open", "high", "low", "close", "volume"], 1),
        }
    )
    with pytest.raises(UnknownTicker, match="T111 and 18 more"):
        rows_of(folder_of(tmp_path, all__csv=long.to_csv(index=False)), "NOPE")


def test_a_file_that_changes_is_read_anew(tmp_path):
    folder = folder_of(tmp_path, AAPL__csv=HEADER + "2012-01-05,10,12,9,11,500\n")
    assert len(rows_of(folder)) == 1
    folder_of(tmp_path, AAPL__csv=HEADER + "2012-01-05,10,12,9,11,500\n2012-01-17,11,13,10,12,600\n")
    assert rows_of(folder) == TWO_BARS


def test_the_newest_session_is_the_last_bar_of_any_ticker(tmp_path):
    folder = folder_of(
        tmp_path, AAPL__csv=HEADER + "2012-01-05,10,12,9,11,500\n", IBM__csv=HEADER + "2012-01-21,1,1,1,1,1\n", NEW__csv=HEADER
    )
    newest = [newest_session(CsvSource(folder), tickers, Calendar("XNYS"), LATER) for tickers in (["AAPL"], ["AAPL", "IBM", "NEW"])]
    assert newest == [dt.date(2012, 1, 5), dt.date(2012, 1, 20)]  # the 21st was a Saturday
    with pytest.raises(MalformedPrices, match="The csv source has no bar of NEW; at least one is expected"):
        newest_session(CsvSource(folder), ["NEW"], Calendar("XNYS"), LATER)
