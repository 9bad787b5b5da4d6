"""The csv source: the tickers of a folder, and its errors."""

import datetime as dt
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import pandas as pd
import pytest

from pipeline.errors import (
    LookAtTheData,
    MalformedPrices,
    SettingsError,
    SourceUnavailable,
    UnknownTicker,
)
from pipeline.parts import universe_of
from pipeline.prices.calendar_fit import require_own_days
from pipeline.prices.csv_files import CsvSource
from pipeline.prices.formats import files_at
from pipeline.prices.source import fetch, newest_session, require_known
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from tests.prices.made_csv import (
    HEADER,
    LATER,
    TWO_BARS,
    TWO_LINES,
    fetch_all,
    folder_of,
    rows_of,
)


@pytest.mark.parametrize(
    "name",
    ["AAPL.csv", "aapl.CSV", "AAPL_2006-01-01_to_2018-01-01.csv", "AAPL (1).csv", "AAPL.csv.gz"],
)
def test_a_files_name_begins_with_its_ticker(tmp_path, name):
    folder = folder_of(tmp_path, **{name: HEADER + TWO_LINES})
    assert CsvSource(folder).tickers() == ["AAPL"]
    assert rows_of(folder) == TWO_BARS


def test_long_files_and_single_files_live_side_by_side(tmp_path):
    long = (
        "date,open,high,low,close,volume,Name\n"
        "2012-01-05,1,2,1,2,9,BRK.B\n2012-01-05,3,4,3,4,9,NA\n2012-01-17,2,3,2,3,9,BRK.B\n"
    )
    folder = folder_of(
        tmp_path,
        all_stocks__csv__gz=long,
        BF__B__csv=HEADER + "2012-01-05,5,6,5,6,9\n",
        notes__txt="not a price",
    )
    assert CsvSource(folder).tickers() == ["BF.B", "BRK.B", "NA"]
    assert rows_of(folder, "BRK.B") == [
        ["2012-01-05", 1.0, 2.0, 1.0, 2.0, 9.0],
        ["2012-01-17", 2.0, 3.0, 2.0, 3.0, 9.0],
    ]
    assert rows_of(folder, "NA") == [["2012-01-05", 3.0, 4.0, 3.0, 4.0, 9.0]]
    assert rows_of(folder, "BF.B") == [["2012-01-05", 5.0, 6.0, 5.0, 6.0, 9.0]]


def test_the_adjusted_close_has_one_value_for_a_date(tmp_path):
    """Nobody has to know which of two is right for a range without them."""
    rows = (("05", 5), ("05", 6), ("17", 7))
    lines = [f"2012-01-{day},10,12,9,11,{adjusted},500\n" for day, adjusted in rows]
    text = "".join(["Date,Open,High,Low,Close,Adj Close,Volume\n", *lines])
    source = CsvSource(folder_of(tmp_path, AAPL__csv=text))
    assert source.adjusted_close("AAPL").to_dict() == {
        pd.Timestamp("2012-01-05"): 5.0,
        pd.Timestamp("2012-01-17"): 7.0,
    }
    first, last = dt.date(2012, 1, 6), dt.date(2012, 2, 1)
    later = fetch(source, "AAPL", first, last, Calendar("XNYS"), LATER).prices
    assert list(later["session"].map(source.adjusted_close("AAPL"))) == [7.0]
    with pytest.raises(MalformedPrices, match=r"adj_close is 5 \(line 2\) and 6 \(line 3\); one"):
        rows_of(tmp_path)


def test_a_file_without_adjusted_closes_says_what_to_ask_for(tmp_path):
    source = CsvSource(folder_of(tmp_path, AAPL__csv=HEADER + TWO_LINES))
    with pytest.raises(LookAtTheData, match=r"AAPL\.csv has no column Adj Close.*--target close"):
        source.adjusted_close("AAPL")


def test_a_broken_file_does_not_hide_the_others(tmp_path):
    folder = folder_of(tmp_path, AAPL__csv=HEADER + TWO_LINES, IBM__csv="Date,Open\n")
    assert CsvSource(folder).tickers() == ["AAPL", "IBM"]
    assert rows_of(folder) == TWO_BARS
    with pytest.raises(MalformedPrices, match=r"IBM\.csv: no column high, low, close in"):
        rows_of(folder, "IBM")


def test_a_quote_that_is_never_closed_in_the_first_line_is_refused_in_one_line(tmp_path):
    folder = folder_of(tmp_path, IBM__csv='date,"' + HEADER + TWO_LINES)
    with pytest.raises(MalformedPrices, match=r"IBM\.csv: cannot be read as CSV \(.*\)\. Mend or "):
        CsvSource(folder).tickers()


def test_a_folder_without_price_files_is_a_setting_to_fix(tmp_path):
    with pytest.raises(SettingsError, match="is no folder; the csv source needs one"):
        CsvSource(tmp_path / "nowhere").tickers()
    with pytest.raises(SettingsError, match=r"has no \.csv, \.txt, .* or \.zip files of prices"):
        CsvSource(tmp_path).tickers()


def test_a_folder_with_something_else_names_it(tmp_path):
    folder_of(tmp_path, IBM__json="[]", notes__md="")
    with pytest.raises(SettingsError, match=r"of prices, but IBM\.json, notes\.md; put one per"):
        CsvSource(tmp_path).tickers()
    (tmp_path / "nyse").mkdir()
    folder_of(tmp_path / "nyse", IBM__csv=HEADER + TWO_LINES)
    with pytest.raises(SettingsError, match="files of prices, but nyse/; put one per ticker there"):
        CsvSource(tmp_path).tickers()


def test_an_open_workbooks_own_file_is_no_price_file(tmp_path):
    folder = folder_of(tmp_path, AAPL__csv=HEADER + TWO_LINES)
    (folder / "~$AAPL.xlsx").write_bytes(b"\x05owner")
    assert [file.name for file in files_at(str(folder))] == ["AAPL.csv"]


def test_a_ticker_in_two_files_is_refused_and_no_other(tmp_path):
    folder = folder_of(
        tmp_path, AAPL__csv=HEADER, AAPL_2012__csv=HEADER, IBM__csv=HEADER + TWO_LINES
    )
    assert CsvSource(folder).tickers() == ["AAPL", "IBM"]
    with pytest.raises(MalformedPrices, match=r"AAPL is in AAPL\.csv and in AAPL_2012\.csv"):
        rows_of(folder, "AAPL")
    assert rows_of(folder, "IBM") == TWO_BARS


LATER_LINE = "2012-01-18,12,14,11,13,700\n"


@pytest.mark.parametrize(
    "copy", ["AAPL (1).csv", "AAPL(2).csv", "aapl - Copy.csv", "AAPL_1698765432100.csv", "AAPL.txt"]
)
def test_the_newest_download_of_a_file_counts(tmp_path, copy):
    folder = folder_of(tmp_path, **{"AAPL.csv": HEADER + TWO_LINES})
    folder_of(tmp_path, **{copy: HEADER + TWO_LINES + LATER_LINE})
    assert CsvSource(folder).tickers() == ["AAPL"]
    fetched = fetch_all(folder)
    assert fetched.prices["close"].tolist() == [11.0, 12.0, 13.0]
    assert fetched.left_out == (f"AAPL.csv, of which {copy} has every session",)
    folder_of(tmp_path, **{"AAPL.csv": HEADER + TWO_LINES.replace(",11,500", ",5.5,500")})
    assert fetch_all(folder).prices["close"].tolist() == [11.0, 12.0, 13.0]


def test_the_same_file_twice_is_one(tmp_path):
    folder = folder_of(
        tmp_path,
        **{f"AAPL{end}.csv": HEADER + TWO_LINES for end in ("", " (1)")},
        **{"AAPL (2).csv": HEADER},
    )
    assert rows_of(folder) == TWO_BARS
    assert fetch_all(folder).left_out == (
        "AAPL (1).csv, of which AAPL.csv has every session",
        "AAPL (2).csv, of which AAPL.csv has every session",
    )


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            HEADER + LATER_LINE,
            r"AAPL is in AAPL \(1\)\.csv \(2012-01-18 to 2012-01-18\) and in AAPL\.csv "
            r"\(2012-01-05 to 2012-01-17\), and the first lacks 2012-01-05; .* Remove one of them",
        ),
        (
            HEADER + TWO_LINES.replace(",11,500", ",5.5,500"),
            r"whose bars differ: on 2012-01-05 close is 11 and 5\.5\. Nothing says which is",
        ),
    ],
)
def test_copies_of_which_none_is_surely_newer_are_refused(tmp_path, other, message):
    folder = folder_of(tmp_path, **{"AAPL.csv": HEADER + TWO_LINES, "AAPL (1).csv": other})
    with pytest.raises(MalformedPrices, match=message):
        rows_of(folder)


@pytest.mark.parametrize(
    "name", ["HistoricalData_1691234567890.csv", "download.csv", "Quote (1).csv", "table.csv.gz"]
)
def test_a_name_that_any_download_may_have_is_no_ticker_unless_it_is_asked_for(tmp_path, name):
    folder = folder_of(tmp_path, **{name: HEADER + TWO_LINES})
    source = CsvSource(folder)
    message = r"is a name that any download may have, .* Name it after its ticker, such as IBM\.csv"
    with pytest.raises(SettingsError, match=message):
        source.named_tickers()
    [ticker] = source.tickers()
    assert rows_of(folder, ticker) == TWO_BARS
    assert [len(each) for each in source.remarks([ticker])] == [0, 0]
    folder_of(tmp_path, IBM__csv=HEADER + TWO_LINES)
    source = CsvSource(folder)
    assert source.named_tickers() == ["IBM"]
    files, rows = source.remarks(["IBM"])
    assert (len(files), rows) == (1, []) and f"/{name}: " in files[0]


def test_a_generic_name_is_no_hindrance_where_the_rows_name_their_ticker(tmp_path):
    lines = "".join(f"AAPL,{line}\n" for line in TWO_LINES.splitlines())
    folder = folder_of(tmp_path, download__csv=f"Ticker,{HEADER}{lines}", DATA__csv=HEADER)
    assert CsvSource(folder).named_tickers() == ["AAPL", "DATA"]


def test_rows_whose_ticker_cannot_be_read_are_left_out_and_named(tmp_path):
    lines = [f"AAPL,{line}\n" for line in TWO_LINES.splitlines()]
    wrong = ["../x,2012-01-06,1,1,1,1,1\n", ",2012-01-09,1,1,1,1,1\n"]
    text = "".join([f"Ticker,{HEADER}", lines[0], *wrong, lines[1]])
    folder = folder_of(tmp_path, all__csv=text)
    assert CsvSource(folder).tickers() == ["AAPL"]
    assert rows_of(folder) == TWO_BARS
    files, [sentence] = CsvSource(folder).remarks(["AAPL"])
    assert files == []
    assert sentence.endswith(
        "all.csv, line 3: ticker is '../x', where one such as BRK.B is expected; 2 such rows are "
        "left out."
    )


def test_a_broken_row_of_a_file_that_may_name_its_tickers_does_not_hide_the_others(tmp_path):
    head, row = "Date,Open,High,Low,Close,Volume,Name\n", "2012-01-05,10,12,9,11,1,000,IBM\n"
    folder = folder_of(tmp_path, AAPL__csv=HEADER + TWO_LINES, IBM__csv=head + row)
    assert CsvSource(folder).tickers() == ["AAPL", "IBM"]
    assert rows_of(folder) == TWO_BARS
    with pytest.raises(MalformedPrices, match=r"IBM\.csv, line 2: more cells than the first line"):
        rows_of(folder, "IBM")


def test_a_name_that_is_no_ticker_is_refused(tmp_path):
    message = "the name does not begin with a ticker and there is no ticker column"
    with pytest.raises(SettingsError, match=message):
        CsvSource(folder_of(tmp_path, **{"-.csv": HEADER})).tickers()


def test_an_unknown_ticker_is_answered_with_those_that_there_are(tmp_path):
    folder = folder_of(tmp_path, AAPL__csv=HEADER, IBM__csv=HEADER)
    message = "NOPE is not among the tickers of the csv .*: AAPL, IBM"
    with pytest.raises(UnknownTicker, match=message):
        rows_of(folder, "NOPE")
    message = "NOPE is not among the tickers of the csv source: AAPL, IBM"
    with pytest.raises(UnknownTicker, match=message):
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


def test_the_newest_session_is_the_last_bar_of_any_ticker(tmp_path):
    folder = folder_of(
        tmp_path,
        AAPL__csv=HEADER + "2012-01-05,10,12,9,11,500\n",
        IBM__csv=HEADER + "2012-01-21,1,1,1,1,1\n",
        NEW__csv=HEADER,
    )
    newest = [
        newest_session(CsvSource(folder), tickers, Calendar("XNYS"), LATER)
        for tickers in (["AAPL"], ["AAPL", "IBM", "NEW"])
    ]
    assert newest == [dt.date(2012, 1, 5), dt.date(2012, 1, 20)]  # the 21st was a Saturday


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Look at its files"),
        ("2030-01-05,1,1,1,1,1\n", "AAPL has 1 bar of 2030-01-05: look at the dates"),
        (
            "1950-01-05,1,1,1,1,1\n1950-01-06,1,1,1,1,1\n",
            "AAPL has 2 bars from 1950-01-05 to 1950-01-06: look at the dates",
        ),
    ],
)
def test_a_source_without_any_bar_until_now_says_which_it_has(tmp_path, text, words):
    folder = folder_of(tmp_path, AAPL__csv=HEADER + text)
    message = (
        "The csv source has no bar of AAPL from 1990-01-02 to 2023-12-29, the sessions of XNYS "
        f"until now; at least one is expected. {words}"
    )
    with pytest.raises(MalformedPrices, match=message):
        newest_session(CsvSource(folder), ["AAPL"], Calendar("XNYS"), LATER)


def test_a_folder_may_be_a_file_or_a_url(tmp_path):
    folder = folder_of(tmp_path, AAPL__csv=HEADER + TWO_LINES, IBM__csv=HEADER)
    assert CsvSource(folder / "AAPL.csv").tickers() == ["AAPL"]
    assert rows_of(folder / "AAPL.csv") == TWO_BARS
    fsspec.filesystem("memory").pipe("/prices/AAPL.csv", (HEADER + TWO_LINES).encode())
    for place in ("memory://prices", "memory://prices/AAPL.csv", f"file://{folder}/AAPL.csv"):
        assert CsvSource(place).tickers() == ["AAPL"]
        assert rows_of(place) == TWO_BARS
    with pytest.raises(SettingsError, match=r"memory://nowhere does not exist; the csv source"):
        CsvSource("memory://nowhere").tickers()
    with pytest.raises(SettingsError, match=r"nothing://x cannot be read \(Protocol not known"):
        CsvSource("nothing://x").tickers()


def test_a_url_without_an_answer_is_to_be_tried_again_and_shows_no_login():
    with pytest.raises(SourceUnavailable, match=r"^http://127\.0\.0\.1:1/.*: no answer") as error:
        CsvSource("http://me:secret@127.0.0.1:1/AAPL.csv").tickers()
    assert "secret" not in str(error.value)


def test_files_of_a_server_are_read(tmp_path):
    folder_of(tmp_path, AAPL__csv=HEADER + TWO_LINES)
    handler = partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        assert rows_of(f"{root}/AAPL.csv") == TWO_BARS
        assert CsvSource(f"{root}/").tickers() == ["AAPL"]
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


def test_an_archive_of_several_files_has_all_their_tickers(tmp_path):
    with zipfile.ZipFile(tmp_path / "stocks.zip", "w") as archive:
        for ticker in ("AAPL", "IBM"):
            archive.writestr(f"stocks/{ticker}.csv", HEADER + TWO_LINES)
    assert CsvSource(tmp_path).tickers() == ["AAPL", "IBM"]
    assert rows_of(tmp_path, "IBM") == TWO_BARS


def test_a_workbook_with_several_filled_sheets_is_refused(tmp_path):
    from openpyxl import Workbook  # here, where collecting does not wait for it

    book = Workbook()
    for name, cells in {"AAPL": ["Date", "Close"], "IBM": ["Date", "Close"], "Empty": []}.items():
        book.create_sheet(name).append(cells)
    book.save(tmp_path / "AAPL.xlsx")
    with pytest.raises(MalformedPrices, match=r"AAPL\.xlsx: .*2 sheets have cells, AAPL, IBM"):
        rows_of(tmp_path)


def test_an_old_workbook_is_named_and_text_of_that_name_is_read(tmp_path):
    (tmp_path / "AAPL.xls").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(512))
    with pytest.raises(MalformedPrices, match=r"AAPL\.xls: .*Excel 97 to 2003: save it as"):
        rows_of(tmp_path)
    (tmp_path / "AAPL.xls").write_text(HEADER + TWO_LINES)
    assert rows_of(tmp_path) == TWO_BARS


def test_a_workbook_that_is_damaged_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "AAPL.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(MalformedPrices, match=r"AAPL\.xlsx: cannot be read"):
        rows_of(tmp_path)


def test_files_of_a_day_make_one_history(tmp_path):
    """NSE's bhavcopy is a file of all tickers for each day."""
    head = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP\n"
    folder = folder_of(
        tmp_path,
        cm05JAN2012bhav__csv=f"{head}AAPL,EQ,10,12,9,11,1,1,500,1,05-JAN-2012\n",
        cm17JAN2012bhav__csv=f"{head}AAPL,EQ,11,13,10,12,1,1,600,1,17-JAN-2012\n"
        "IBM,EQ,1,2,1,2,1,1,9,1,17-JAN-2012\n",
    )
    assert CsvSource(folder).tickers() == ["AAPL", "IBM"]
    assert rows_of(folder) == TWO_BARS
    assert rows_of(folder, "IBM") == [["2012-01-17", 1.0, 2.0, 1.0, 2.0, 9.0]]
    folder_of(tmp_path, copy__csv=f"{head}AAPL,EQ,11,13,10,12,1,1,600,1,17-JAN-2012\n")
    assert rows_of(folder) == TWO_BARS
    assert fetch_all(folder).left_out == ("1 row that repeats the bar of 2012-01-17",)
    folder_of(tmp_path, other__csv=f"{head}AAPL,EQ,11,13,10,12.5,1,1,600,1,17-JAN-2012\n")
    message = r"close is 12 \(cm17JAN2012bhav\.csv, line 2\) and 12\.5 \(other\.csv, line 2\); one"
    with pytest.raises(MalformedPrices, match=message):
        rows_of(folder)


@pytest.mark.parametrize(
    ("exchange", "expected"), [("XBOM", "XBOM"), ("lse", "XLON"), ("NASDAQ", "XNYS"), ("moon", "")]
)
def test_a_column_may_name_the_exchange(tmp_path, exchange, expected):
    rows = "".join(f"{line},{exchange}\n" for line in TWO_LINES.splitlines())
    folder = folder_of(tmp_path, AAPL__csv=f"{HEADER.strip()},Exchange\n{rows}")
    fetched = fetch_all(folder)
    assert fetched.calendar == expected
    assert len(fetched.prices) == 2


def test_another_exchange_than_the_universes_holds_its_ticker_back():
    days = pd.DatetimeIndex(["2012-01-05"])
    require_own_days(days, "AAPL", Calendar("XNYS"), "XNYS")
    with pytest.raises(MalformedPrices, match=r"AAPL: its exchange's calendar is XBOM, .*--cal"):
        require_own_days(days, "AAPL", Calendar("XNYS"), "XBOM")


def test_the_calendar_of_a_folder_is_that_which_all_its_files_name(tmp_path):
    text = f"{HEADER.strip()},Exchange\n" + TWO_LINES.replace("00\n", "00,LSE\n")
    folder = folder_of(tmp_path, AAPL__csv=text, VOD__csv=text)
    assert universe_of(Settings(data=str(folder))).calendar == "XLON"
    assert universe_of(Settings(data=str(folder), calendar="XNYS")).calendar == "XNYS"
    folder_of(tmp_path, IBM__csv=HEADER + TWO_LINES)
    assert universe_of(Settings(data=str(folder))).calendar == "XNYS"
    assert universe_of(Settings(data=str(folder), tickers="VOD,AAPL")).calendar == "XLON"
    folder_of(tmp_path, IBM__csv=text.replace("LSE", "NYSE"))
    assert universe_of(Settings(data=str(folder))).calendar == "XNYS"
