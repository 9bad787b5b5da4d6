"""Reading of price files: columns in many forms, missing cells, and cells that are refused."""

import pytest

from pipeline.errors import MalformedPrices
from pipeline.prices.csv_files import CsvSource
from tests.prices.made_csv import HEADER, TWO_BARS, TWO_LINES, fetch_all, folder_of, rows_of


@pytest.mark.parametrize(
    "text",
    [
        f"date,open,high,low,close,volume\n{TWO_LINES}",
        "\ufeff Volume ,CLOSE,Adj Close, low,High,Open,Date\n"
        "600,12,1,10,13,11,2012-01-17\n500,11,1,9,12,10,2012-01-05\n",
        "<DATE>;<OPEN>;<HIGH>;<LOW>;<CLOSE>;<VOL>\r\n"
        "20120105;10;12;9;11;500\r\n20120117;11;13;10;12;600\r\n",
        "Date\tOpen\tHigh\tLow\tClose\tVolume\tDividends\n"
        "2012-01-05\t10\t12\t9\t11\t500\t0\n\n2012-01-17\t11\t13\t10\t12\t600\t0.5\n",
        f"{HEADER}2012-01-05,10,12,9,11,500,\n2012-01-17, 11 ,13, 10,1.2e1,600,\n",
        "Date,Open,High,Low,Close,Volume,Name\n"
        "2012-01-05,10,12,9,11,500,Apple Inc.\n2012-01-17,11,13,10,12,600,Apple Inc.\n",
        "Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen\n" + TWO_LINES,
        "Datum,Openen,Hoogste,Laagste,Sluiten,Volume\n" + TWO_LINES,
        "Tarih,Açılış,Yüksek,Düşük,Kapanış,Hacim\n" + TWO_LINES,
        "Dates,PX_OPEN,PX_HIGH,PX_LOW,PX_LAST,PX_VOLUME\n" + TWO_LINES,
        "Date,Open,High,Low,Last,Change,Settle,Volume\n"
        "2012-01-05,10,12,9,1,1,11,500\n2012-01-17,11,13,10,1,1,12,600\n",
        "v,vw,o,c,h,l,t,n\n500,1,10,11,12,9,1325739600000,1\n600,1,11,12,13,10,1326776400000,1\n",
        "Symbol,Name,Date,Open,High,Low,Close,Volume\n"
        "aapl,Apple,2012-01-05,10,12,9,11,500\naapl,Apple,2012-01-17,11,13,10,12,600\n",
    ],
    ids=[
        "small letters",
        "other order",
        "semicolons",
        "tabs",
        "trailing commas",
        "company name",
        "Polish",
        "Dutch",
        "Turkish",
        "Bloomberg",
        "futures",
        "Polygon",
        "symbol and name",
    ],
)
def test_columns_may_be_written_in_many_ways(tmp_path, text):
    assert rows_of(folder_of(tmp_path, AAPL__csv=text)) == TWO_BARS


def test_cells_without_a_value_are_missing_not_zero(tmp_path):
    folder = folder_of(
        tmp_path,
        AAPL__csv=HEADER + "2012-01-05,,NaN,null,11,N/A\n" + "2012-01-17,11,13,10,12,600\n",
    )
    row = fetch_all(folder).prices.iloc[0]
    assert row.drop(["ticker", "session"]).isna().to_dict() == {
        "open": True,
        "high": True,
        "low": True,
        "close": False,
        "volume": True,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "2012-01-05,10,12,9,abc,500\n",
            r"AAPL\.csv, line 2: close is 'abc', where a number such as 1234.5 or nothing is "
            "expected",
        ),
        (
            "2012-01-04,1,1,1,1,1\n\n2012-01-05,10,12,9,$1x,500\n",
            r"AAPL\.csv, line 4: close is '\$1x'",
        ),
        ("2012-01-05,10,5K2,9,11,500\n", r"AAPL\.csv, line 2: high is '5K2'"),
        ("2012-01-05,10,12K,9,11,500\n", r"AAPL\.csv, line 2: high is '12K'"),
        ("2012-01-05,10,12,9,11,5K2\n", r"AAPL\.csv, line 2: volume is '5K2'"),
        ('2012-01-05,10,12,9,11,"1,0,0"\n', r"AAPL\.csv, line 2: volume is '1,0,0'"),
        (
            "2012-01-05,10,12,9,11,1,000\n",
            r"AAPL\.csv, line 2: more cells than the first line has columns",
        ),
        (
            "2012-01-05,10,12,9,11,500\n2012-01-06,10,12,9,11,1,000,000\n",
            r"AAPL\.csv, line 3: more cells than",
        ),
        ("2012-01-05,true,12,9,11,500\n", r"AAPL\.csv, line 2: open is 'True'"),
        ("2012-01-05,10,,9,11,5\n2012-01-06,10,False,9,11,5\n", r"line 3: high is 'False'"),
        ("2012-01-05,10,12,9,inf,500\n", r"AAPL\.csv, line 2: close is 'inf'"),
        (
            "2012-01-05,1,1,1,1,1\n2012-01-05,1,1,1,2,1\n2012-01-06,1,1,1,2,1\n",
            r"AAPL from csv: 2 bars for 2012-01-05 that differ: close is 1 \(line 2\) and 2 "
            r"\(line 3\); one bar is expected\. Remove the wrong one\.",
        ),
        (
            "".join(f"2012-01-05 {hour}:30,1,1,1,{hour},1\n" for hour in (10, 11, 12)),
            r"3 bars for 2012-01-05, and several for most days; one a day is expected\. Make daily",
        ),
        ("0012-01-05,10,12,9,11,500\n", "line 2: date is '0012-01-05', where one such as"),
        (
            "0012-01-05 00:00,10,12,9,11,500\n2012-01-06 00:00,10,12,9,11,500\n",
            "line 2: date is '0012-01-05 00:00', where one such as",
        ),
    ],
)
def test_a_cell_or_bar_that_cannot_be_is_pointed_at(tmp_path, text, message):
    with pytest.raises(MalformedPrices, match=message):
        rows_of(folder_of(tmp_path, AAPL__csv=HEADER + text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Day,Open,High,Lo,Close,Volume\n",
            "no column low in the first line; expected Date, Open, High, Low, Close, Volume, found "
            "Day, Open, High, Lo",
        ),
        ("", r"AAPL\.csv: is empty\. Download the file again, or remove it\."),
        ("sep=;\n\n", "is empty"),
        (
            '{"Note": "25 requests per day"}',
            r'is JSON, not a table of prices, and begins with \{"Note": "25 requests per day"\} ',
        ),
        ('[\n{"date": 1}]', "is JSON, not a table of prices"),
        (
            "2012-01-05,10,12,9,11,500\n",
            "no line has the names of the columns; the first is 2012-01-05, 10, 12, 9, 11, 500. "
            "Put such a line before it, as Date, Open, High, Low, Close, Volume",
        ),
        (
            "Date,AAPL,IBM\n2012-01-05,10,12\n",
            "columns are Date, AAPL, IBM; a column per ticker is not read. Write a line per ticker",
        ),
        ("Price,Close,Close\nTicker,IBM,IBM\nDate,,\n", "two columns for close of IBM; one is"),
        (
            "Date,Open,High,Low,Close,close,Volume\n",
            "two columns for close, 'Close' and 'close'; one is expected",
        ),
        (
            f"Ticker,{HEADER}../x,2012-01-05,1,1,1,1,1\n",
            "line 2: ticker is '../x', where one such as BRK.B is expected; this row is left",
        ),
        (
            "Date Open High Low Close Volume\n2012-01-05 10 12 9 11 500\n",
            "found Date Open High Low Close Volume. Separate the cells by commas, semicolons or",
        ),
    ],
)
def test_a_broken_header_names_the_columns_found_and_expected(tmp_path, text, message):
    with pytest.raises(MalformedPrices, match=message):
        CsvSource(folder_of(tmp_path, AAPL__csv=text)).tickers()


def test_text_in_an_unknown_encoding_is_refused_in_words(tmp_path):
    (tmp_path / "AAPL.csv").write_bytes("日付,始値,高値,安値,終値\n".encode("shift_jis"))
    expected = r"AAPL\.csv: cannot be read \(text in neither UTF-8 nor Windows-1252: save it as U"
    with pytest.raises(MalformedPrices, match=expected):
        CsvSource(tmp_path).tickers()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("AAPL.csv", b"PK\x03\x04\x00\x00", "an archive or a workbook, not text: call it .zip or"),
        ("AAPL.csv", b"PAR1\x15\x04", "Parquet, not text: call it .parquet"),
        ("AAPL.csv", b"\x1f\x8b\x08", "packed, not text: call it .gz"),
        ("AAPL.zip", b"PK\x03\x04\x00\x00", "no archive, or a damaged one"),
        ("AAPL.txt", b"%PDF-1.4", "a PDF, not text: save the table as .csv"),
    ],
)
def test_a_file_that_is_no_text_is_called_what_it_is(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MalformedPrices, match=rf"{name}: cannot be read \({reason}"):
        CsvSource(tmp_path).tickers()


def test_prices_of_one_ticker_in_two_currencies_are_refused(tmp_path):
    """GBX is another spelling of GBp, and a cell may name none."""
    cells = ("GBp", "GBX", "", "USD")
    lines = [f"2012-01-0{day},10,12,9,11,500,{cell}\n" for day, cell in enumerate(cells, 3)]
    text = "".join([HEADER.replace("\n", ",Currency\n"), *lines])
    assert len(rows_of(folder_of(tmp_path, AAPL__csv=text.replace("USD", "GBp")))) == 4
    with pytest.raises(MalformedPrices, match=r"of AAPL is GBp \(line 2\) and USD \(line 5\); one"):
        rows_of(folder_of(tmp_path, AAPL__csv=text))


def test_a_broken_gzip_file_is_named(tmp_path):
    (tmp_path / "AAPL.csv.gz").write_text("not gzip")
    with pytest.raises(MalformedPrices, match=r"AAPL\.csv\.gz: cannot be read"):
        CsvSource(tmp_path).tickers()


def test_a_bad_cell_of_one_ticker_does_not_stop_the_others(tmp_path):
    rows = [
        "AAPL,2012-01-05,10,12,9,11,500\n",
        "IBM,2012-01-05,10,12,9,oops,500\n",
        "AAPL,2012-01-17,11,13,10,12,600\n",
    ]
    folder = folder_of(tmp_path, all__csv="".join([f"Ticker,{HEADER}", *rows]))
    assert rows_of(folder) == TWO_BARS
    with pytest.raises(MalformedPrices, match=r"all\.csv, line 3: close is 'oops'"):
        rows_of(folder, "IBM")


def test_a_file_that_changes_is_read_again(tmp_path):
    folder = folder_of(tmp_path, AAPL__csv=HEADER + "2012-01-05,10,12,9,11,500\n")
    assert len(rows_of(folder)) == 1
    folder_of(tmp_path, AAPL__csv=HEADER + TWO_LINES)
    assert rows_of(folder) == TWO_BARS
