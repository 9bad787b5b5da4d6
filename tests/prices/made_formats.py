"""The same bars as many producers write them; each writer makes one file, or a few."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.tables import OHLCV, PRICE_COLUMNS
from tests.made_prices import random_walk

#: Two months of bars as files have them, with two decimals, around a session of 2013-02-19.
BARS = random_walk(7, 40).round(dict.fromkeys(PRICE_COLUMNS, 2))
DAYS = BARS["date"]
SPLIT_DAY = 20
#: The bars as they were traded before a split of 4:1 on their 20th session, and after it.
FACTORS = np.where(np.arange(len(BARS)) < SPLIT_DAY, 4.0, 1.0)
TRADED = BARS.assign(
    **{name: (BARS[name] * FACTORS).round(2) for name in PRICE_COLUMNS},
    volume=(BARS["volume"] / FACTORS).round(),
)


@dataclass(frozen=True)
class Format:
    """A manner of writing prices.

    Attributes:
        name: as people know it.
        write: returns the files by name.
        outcome: what happens, for docs/reference/price-files.md.
        bars: what is read; None: nothing is, with `outcome`.
        ticker: whose they are.
        actions: kind and value of what the file has besides, on the 20th session.
        producer: as `stockcast inspect` names it.
        place: where it is read from.
    """

    name: str
    write: Callable[[], dict[str, bytes]]
    outcome: str = "read"
    bars: pd.DataFrame | None = None
    ticker: str = "IBM"
    actions: tuple[tuple[str, float], ...] = ()
    producer: str = ""
    place: str = "{folder}"


def table(
    columns: dict[str, object],
    name: str = "IBM.csv",
    sep: str = ",",
    before: str = "",
    after: str = "",
    encoding: str = "utf-8",
    quoted: bool = False,
) -> Callable[[], dict[str, bytes]]:
    """Return a writer of columns by the producer's names, lists of cells or one for all."""

    def write() -> dict[str, bytes]:
        frame = pd.DataFrame({key: _cells(value) for key, value in columns.items()})
        text = frame.to_csv(index=False, sep=sep, quoting=1 if quoted else 0, lineterminator="\n")
        return {name: f"{before}{text}{after}".encode(encoding)}

    return write


def _cells(value: object) -> object:
    return [value] * len(BARS) if isinstance(value, str | int | float) else list(value)


def days(pattern: str) -> list[str]:
    return list(DAYS.dt.strftime(pattern))


def ohlcv(bars: pd.DataFrame = BARS, **names: str) -> dict[str, object]:
    """Return Open, High, Low, Close, Volume, under other names where these are given."""
    return {names.get(name, name.title()): bars[name] for name in OHLCV}


def plain(day: str = "%Y-%m-%d", **changes: object) -> dict[str, object]:
    return {"Date": days(day), **ohlcv(), **changes}


def texts(name: str, pattern: str) -> list[str]:
    return [pattern.format(value) for value in BARS[name]]


def money(pattern: str, sign: str = "") -> dict[str, object]:
    return {name.title(): texts(name, sign + pattern) for name in PRICE_COLUMNS}


def decimal_comma() -> dict[str, object]:
    return {
        name.title(): [f"{value:.2f}".replace(".", ",") for value in BARS[name]]
        for name in PRICE_COLUMNS
    }


def with_epoch(per_second: int) -> list[int]:
    return [int(day.timestamp()) * per_second for day in DAYS]


def one_day(value: float, otherwise: float) -> list[float]:
    return [value if row == SPLIT_DAY else otherwise for row in range(len(BARS))]


def crossed(tickers: list[str], head: tuple[str, str, str]) -> Callable[[], dict[str, bytes]]:
    """Return a writer of `yfinance.download(...).to_csv()`."""

    def write() -> dict[str, bytes]:
        names = [name.title() for name in ("close", "high", "low", "open", "volume")]
        cells = [(name, ticker) for name in names for ticker in tickers]
        lines = [
            ",".join([head[0], *(name for name, _ in cells)]),
            ",".join([head[1], *(ticker for _, ticker in cells)]),
            head[2] + "," * len(cells),
        ]
        for _, bar in BARS.iterrows():
            lines.append(
                ",".join(
                    [f"{bar['date']:%Y-%m-%d}", *(str(bar[name.lower()]) for name, _ in cells)]
                )
            )
        return {"prices.csv": ("\n".join(lines) + "\n").encode()}

    return write


def packed(kind: str) -> Callable[[], dict[str, bytes]]:
    text = table(plain())()["IBM.csv"]

    def write() -> dict[str, bytes]:
        if kind == "gz":
            return {"IBM.csv.gz": gzip.compress(text)}
        content = io.BytesIO()
        if kind == "parquet":
            pd.DataFrame(plain()).to_parquet(content)
            return {"IBM.parquet": content.getvalue()}
        if kind == "xlsx":
            title = pd.DataFrame([["Prices of IBM"]])
            with pd.ExcelWriter(content) as book:
                title.to_excel(book, sheet_name="IBM", index=False, header=False)
                BARS.to_excel(book, sheet_name="IBM", index=False, startrow=2)
            return {"IBM.xlsx": content.getvalue()}
        if kind == "parquet, dates in the index":
            BARS.set_index("date").to_parquet(content)
            return {"IBM.parquet": content.getvalue()}
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("__MACOSX/._IBM.csv", b"\x00\x05")
            archive.writestr("prices/IBM.csv", text)
        return {"download.zip": content.getvalue()}

    return write


def beside(name: str, content: bytes) -> Callable[[], dict[str, bytes]]:
    """Return a writer of a plain file and one that is none."""
    return lambda: {name: content, **table(plain())()}


def web_table() -> dict[str, bytes]:
    """Write Yahoo's table in the browser: newest first, dividends and splits between the bars."""
    lines = ["Date,Open,High,Low,Close*,Adj Close**,Volume"]
    for row, bar in reversed(list(BARS.iterrows())):
        day = f'"{bar["date"]:%b %d, %Y}"'
        cells = [f"{bar[name]:.2f}" for name in PRICE_COLUMNS]
        lines.append(",".join([day, *cells, cells[3], f'"{bar["volume"]:,.0f}"']))
        if row == SPLIT_DAY:
            lines += [f"{day},0.25 Dividend,,,,,", f"{day},4:1 Stock Splits,,,,,"]
    lines.append('"*Close price adjusted for splits. **Adjusted for dividends, too.",,,,,,')
    return {"IBM.csv": "\n".join(lines).encode()}


def closes_only(volume: float = 0.0) -> pd.DataFrame:
    return BARS.assign(open=np.nan, high=np.nan, low=np.nan, volume=volume)


NO_VOLUME = BARS.assign(volume=0.0)
MILLIONS = BARS.assign(volume=(BARS["volume"] / 1e6).round(2) * 1e6)
SPLIT = ("split", 4.0)
ISO_UTC = "%Y-%m-%dT00:00:00.000Z"
AS_READ = "read"
NO_VOLUME_WORDS = "read; the volume is 0, as of an index"

FORMATS = (
    Format("Date,Open,High,Low,Close,Volume", table(plain()), bars=BARS),
    Format(
        "with a byte-order mark and Windows' line ends",
        lambda: {"IBM.csv": b"\xef\xbb\xbf" + table(plain())()["IBM.csv"].replace(b"\n", b"\r\n")},
        bars=BARS,
    ),
    Format(
        "UTF-16, as Excel's Unicode text",
        table(plain(), "IBM.txt", "\t", encoding="utf-16"),
        bars=BARS,
    ),
    Format(
        "Windows-1252 with a sign of a currency",
        table({"Date": days("%Y-%m-%d"), **ohlcv(close="Close €")}, encoding="cp1252"),
        bars=BARS,
    ),
    Format("unnamed index (pandas)", table({"": days("%Y-%m-%d"), **ohlcv()}), bars=BARS),
    Format(
        "yfinance `history().to_csv()`",
        table(
            {
                "Date": days("%Y-%m-%d 00:00:00-05:00"),
                **ohlcv(),
                "Dividends": one_day(0.25, 0.0),
                "Stock Splits": one_day(4.0, 0.0),
            }
        ),
        "read; splits are undone, dividends are in the prices already",
        TRADED,
        actions=(SPLIT,),
        producer="yfinance, history",
    ),
    Format(
        "yfinance `history(auto_adjust=False).to_csv()`",
        table(
            {
                "Date": days("%Y-%m-%d 00:00:00-05:00"),
                **ohlcv(),
                "Adj Close": BARS["close"],
                "Dividends": one_day(0.25, 0.0),
                "Stock Splits": one_day(4.0, 0.0),
            }
        ),
        "read; splits are undone, dividends are used",
        TRADED,
        actions=(("dividend", 0.25), SPLIT),
        producer="yfinance, history",
    ),
    Format(
        "yfinance `download('IBM').to_csv()`",
        crossed(["IBM"], ("Price", "Ticker", "Date")),
        bars=BARS,
        producer="yfinance, download",
    ),
    Format(
        "yfinance `download(['AAPL', 'IBM']).to_csv()`",
        crossed(["AAPL", "IBM"], ("", "Ticker", "Date")),
        bars=BARS,
        producer="yfinance, download",
    ),
    Format(
        "Yahoo, downloaded",
        table({"Date": days("%Y-%m-%d"), **ohlcv(), "Adj Close": BARS["close"]}),
        "read; Adj Close is not used but for the target of a study",
        BARS,
        producer="Yahoo",
    ),
    Format(
        "Yahoo, web table",
        web_table,
        "read; splits are undone, dividends are used",
        TRADED,
        actions=(("dividend", 0.25), SPLIT),
        producer="Yahoo, web table",
    ),
    Format(
        "Investing.com",
        table(
            {
                "Date": days("%b %d, %Y"),
                **{"Price": BARS["close"], "Open": BARS["open"]},
                **{"High": BARS["high"], "Low": BARS["low"]},
                "Vol.": [f"{volume / 1e6:.2f}M" for volume in BARS["volume"]],
                "Change %": "0.10%",
            },
            "IBM Historical Data.csv",
            quoted=True,
        ),
        "read; volume as rounded there",
        MILLIONS,
        producer="Investing.com",
    ),
    Format(
        "Investing.com in Portuguese",
        table(
            {
                "Data": days("%d.%m.%Y"),
                "Último": decimal_comma()["Close"],
                "Abertura": decimal_comma()["Open"],
                "Máxima": decimal_comma()["High"],
                "Mínima": decimal_comma()["Low"],
                "Vol.": [f"{volume / 1e3:.2f}K".replace(".", ",") for volume in BARS["volume"]],
            },
            quoted=True,
        ),
        "read; volume as rounded there",
        BARS.assign(volume=[float(f"{volume / 1e3:.2f}") * 1e3 for volume in BARS["volume"]]),
    ),
    Format(
        "Nasdaq",
        table(
            {
                "Date": days("%m/%d/%Y"),
                "Close/Last": texts("close", "${:.2f}"),
                "Volume": BARS["volume"].astype(int),
                **{name.title(): texts(name, "${:.2f}") for name in ("open", "high", "low")},
            },
            "IBM_1698765432100.csv",
        ),
        bars=BARS,
        producer="Nasdaq",
    ),
    Format("Stooq, web", table(plain(), "ibm_us_d.csv"), bars=BARS),
    Format(
        "Stooq, bulk",
        table(
            {
                "<TICKER>": "IBM.US",
                "<PER>": "D",
                "<DATE>": days("%Y%m%d"),
                "<TIME>": "000000",
                **ohlcv(**{n: f"<{n.upper()}>" for n in PRICE_COLUMNS}, volume="<VOL>"),
                "<OPENINT>": 0,
            },
            "ibm.us.txt",
        ),
        bars=BARS,
        ticker="IBM.US",
        producer="Stooq, bulk",
    ),
    Format(
        "MetaTrader 4, without a header",
        lambda: {
            "IBM.csv": table({"d": days("%Y.%m.%d"), "t": "00:00", **ohlcv()})()[
                "IBM.csv"
            ].partition(b"\n")[2]
        },
        bars=BARS,
        producer="MetaTrader 4",
    ),
    Format(
        "MetaTrader 5",
        table(
            {
                "<DATE>": days("%Y.%m.%d"),
                **ohlcv(**{n: f"<{n.upper()}>" for n in PRICE_COLUMNS}, volume="<VOL>"),
                "<TICKVOL>": 17,
                "<SPREAD>": 3,
            },
            sep="\t",
        ),
        bars=BARS,
        producer="MetaTrader 5",
    ),
    Format(
        "Alpha Vantage",
        table({"timestamp": days("%Y-%m-%d"), **ohlcv(**{name: name for name in OHLCV})}),
        bars=BARS,
        producer="Alpha Vantage",
    ),
    Format(
        "Alpha Vantage, adjusted",
        table(
            {
                "timestamp": days("%Y-%m-%d"),
                **ohlcv(TRADED, **{name: name for name in OHLCV}),
                "adjusted_close": BARS["close"],
                "dividend_amount": one_day(0.25, 0.0),
                "split_coefficient": one_day(4.0, 1.0),
            }
        ),
        "read; splits and dividends are used",
        TRADED,
        actions=(("dividend", 0.25), SPLIT),
        producer="Alpha Vantage, adjusted",
    ),
    Format(
        "Tiingo",
        table(
            {
                "date": days(ISO_UTC),
                **ohlcv(TRADED, **{name: name for name in OHLCV}),
                **ohlcv(**{name: f"adj{name.title()}" for name in OHLCV}),
                "divCash": one_day(0.25, 0.0),
                "splitFactor": one_day(4.0, 1.0),
            }
        ),
        "read; splits and dividends are used",
        TRADED,
        actions=(("dividend", 0.25), SPLIT),
        producer="Tiingo",
    ),
    Format(
        "Quandl WIKI",
        table(
            {
                "Date": days("%Y-%m-%d"),
                **ohlcv(TRADED),
                "Ex-Dividend": one_day(0.25, 0.0),
                "Split Ratio": one_day(4.0, 1.0),
                "Adj. Close": BARS["close"],
            }
        ),
        "read; splits and dividends are used",
        TRADED,
        actions=(("dividend", 0.25), SPLIT),
        producer="Quandl WIKI",
    ),
    Format(
        "Alpaca",
        table(
            {
                "timestamp": days("%Y-%m-%dT05:00:00Z"),
                **ohlcv(**{name: name for name in OHLCV}),
                "trade_count": 1,
                "vwap": BARS["close"],
            }
        ),
        bars=BARS,
        producer="Alpaca",
    ),
    Format(
        "CryptoDataDownload",
        table(
            {
                "unix": with_epoch(1000),
                "date": days("%Y-%m-%d 00:00:00"),
                "symbol": "BTC/USD",
                **ohlcv(**{name: name for name in PRICE_COLUMNS}, volume="Volume BTC"),
                "Volume USD": 17,
            },
            "Bitstamp_BTCUSD_d.csv",
            before="https://www.CryptoDataDownload.com\n",
        ),
        "read; BTC/USD is the ticker BTC-USD",
        BARS,
        ticker="BTC-USD",
        producer="CryptoDataDownload",
    ),
    Format(
        "CoinMarketCap",
        table(
            {
                **{"timeOpen": days(ISO_UTC), "timeClose": days("%Y-%m-%dT23:59:59.999Z")},
                **{"timeHigh": days("%Y-%m-%dT10:00:00.000Z"), "name": "2781"},
                **ohlcv(**{name: name for name in OHLCV}),
                **{"marketCap": 1000000, "timestamp": days("%Y-%m-%dT23:59:59.999Z")},
            },
            "IBM_1.1.2013-3.1.2013_historical_data_coinmarketcap.csv",
            ";",
            quoted=True,
        ),
        bars=BARS,
        producer="CoinMarketCap",
    ),
    Format(
        "NSE, Kaggle's NIFTY-50",
        table(
            {
                **{"Date": days("%Y-%m-%d"), "Symbol": "IBM", "Series": "EQ"},
                **{"Prev Close": 1.5, "Last": 2.5, "VWAP": 3.5},
                **ohlcv(),
                **{"Turnover": 1e14, "Trades": "", "Deliverable Volume": 1},
            }
        ),
        bars=BARS,
        producer="NSE, Kaggle's NIFTY-50",
    ),
    Format(
        "NSE, bhavcopy",
        table(
            {
                **{"SYMBOL": "IBM", "SERIES": "EQ"},
                **ohlcv(**{n: n.upper() for n in PRICE_COLUMNS}, volume="TOTTRDQTY"),
                **{"LAST": 2.5, "PREVCLOSE": 1.5, "TIMESTAMP": days("%d-%b-%Y")},
            },
            after="IBM,BE,1,1,1,1,1,1,1,04-FEB-2013\n",
        ),
        "read; of several series of a symbol, EQ",
        BARS,
        producer="NSE, bhavcopy",
    ),
    Format(
        "Google's classic training file",
        table(plain("%m/%d/%Y", Volume=texts("volume", "{:,.0f}")), quoted=True),
        bars=BARS,
    ),
    Format("Google Finance", table(plain("%m/%d/%Y 16:00:00")), bars=BARS),
    Format(
        "ariva.de",
        table(
            {
                "Datum": days("%Y-%m-%d"),
                **dict(
                    zip(
                        ("Erster", "Hoch", "Tief", "Schlusskurs"),
                        decimal_comma().values(),
                        strict=True,
                    )
                ),
                "Stuecke": BARS["volume"].astype(int),
                "Volumen": 708149955,
            },
            sep=";",
        ),
        bars=BARS,
        producer="ariva.de",
    ),
    Format(
        "decimal commas",
        table(plain(**decimal_comma(), Volume=BARS["volume"].astype(int)), sep=";"),
        bars=BARS,
    ),
    Format(
        "decimal commas, points for thousands",
        table(
            plain(
                **decimal_comma(),
                Volume=[f"{volume:,.0f}".replace(",", ".") for volume in BARS["volume"]],
            ),
            sep=";",
        ),
        bars=BARS,
    ),
    Format(
        "points for thousands, no decimals (999, 1.002)",
        table(
            plain(
                **{
                    name.title(): [f"{value * 20:,.0f}".replace(",", ".") for value in BARS[name]]
                    for name in PRICE_COLUMNS
                }
            )
        ),
        bars=BARS.assign(**{name: (BARS[name] * 20).round() for name in PRICE_COLUMNS}),
    ),
    Format(
        "commas for thousands",
        table(plain(Volume=texts("volume", "{:,.0f}")), sep=";"),
        bars=BARS,
    ),
    Format(
        "spaces for thousands",
        table(plain(Volume=[f"{volume:,.0f}".replace(",", " ") for volume in BARS["volume"]])),
        bars=BARS,
    ),
    Format("signs of dollars", table(plain(**money("{:.2f}", "$"))), bars=BARS),
    Format(
        "volume in millions (5.21M)",
        table(plain(Volume=[f"{volume / 1e6:.2f}M" for volume in BARS["volume"]])),
        "read; volume as rounded there",
        MILLIONS,
    ),
    Format("`sep=` line", table(plain(), sep=";", before="sep=;\n"), bars=BARS),
    Format("title line", table(plain(), before="Prices of IBM, 2013\n\n"), bars=BARS),
    Format("comment line", table(plain(), before="# downloaded 2013-03-01\n"), bars=BARS),
    Format(
        "line of units",
        lambda: {
            "IBM.csv": table(plain())()["IBM.csv"].replace(
                b"\n", b"\nYYYY-MM-DD,USD,USD,USD,USD,shares\n", 1
            )
        },
        bars=BARS,
    ),
    Format("footer", table(plain(), after='\n"Source: Exchange 2013. In USD."\n'), bars=BARS),
    Format(
        "repeated header",
        table(plain(), after="Date,Open,High,Low,Close,Volume\n"),
        bars=BARS,
    ),
    Format(
        "spaces around cells",
        lambda: {"IBM.csv": table(plain())()["IBM.csv"].replace(b",", b" , ")},
        bars=BARS,
    ),
    Format("seconds since 1970", table({"timestamp": with_epoch(1), **ohlcv()}), bars=BARS),
    Format("milliseconds since 1970", table({"timestamp": with_epoch(1000), **ohlcv()}), bars=BARS),
    Format("seconds beside dates", table({"unix": with_epoch(1), **plain()}), bars=BARS),
    Format(
        "Excel's numbers of days",
        table(plain() | {"Date": [(day - pd.Timestamp("1899-12-30")).days for day in DAYS]}),
        bars=BARS,
    ),
    Format("04-Jan-13", table(plain("%d-%b-%y")), bars=BARS),
    Format("04-01-13", table(plain("%d-%m-%y")), bars=BARS),
    Format("1/4/2013 4:00:00 PM", table(plain("%m/%d/%Y 4:00:00 PM")), bars=BARS),
    Format("2013-01-04 21:00:00+00:00", table(plain("%Y-%m-%d 21:00:00+00:00")), bars=BARS),
    Format("newest first", lambda: {"IBM.csv": BARS[::-1].to_csv(index=False).encode()}, bars=BARS),
    Format(
        "column of tickers in small letters",
        table(plain(Ticker="ibm"), "all.csv"),
        bars=BARS,
    ),
    Format(
        "closes alone",
        table({"Date": days("%Y-%m-%d"), "Close": BARS["close"]}),
        "read; open, high and low are missing, the volume is 0",
        closes_only(),
    ),
    Format(
        "adjusted closes alone",
        table({"Date": days("%Y-%m-%d"), "Adj Close": BARS["close"]}),
        "read as closes",
        closes_only(),
    ),
    Format(
        "without a column of volume",
        table({name: cells for name, cells in plain().items() if name != "Volume"}),
        NO_VOLUME_WORDS,
        NO_VOLUME,
    ),
    Format("volume `-`, `N/A` throughout", table(plain(Volume="N/A")), NO_VOLUME_WORDS, NO_VOLUME),
    Format("volume -1 throughout", table(plain(Volume=-1)), NO_VOLUME_WORDS, NO_VOLUME),
    Format(".gz", packed("gz"), bars=BARS),
    Format(".zip, of one file or many", packed("zip"), bars=BARS),
    Format(".parquet", packed("parquet"), bars=BARS),
    Format(".parquet with dates in the index", packed("parquet, dates in the index"), bars=BARS),
    Format(".xlsx, one sheet, dates as Excel's own", packed("xlsx"), bars=BARS),
    Format("a folder at a URL", table(plain()), bars=BARS, place="file://{folder}"),
    Format("a file at a URL", table(plain()), bars=BARS, place="file://{folder}/IBM.csv"),
    Format(
        "column Exchange, MIC or Calendar (NYSE, XNYS)",
        table(plain(Exchange="NYSE", MIC="XNYS")),
        "read; the calendar is that of the exchange",
        BARS,
    ),
    Format(
        "column Currency (USD, GBp)",
        table(plain(Currency="GBp")),
        "read; prices are in that currency",
        BARS,
    ),
    Format(
        "header or footer with a currency (Close (EUR), Currency in USD)",
        table(
            {"Date": days("%Y-%m-%d"), **ohlcv(close="Close (EUR)")}, after='"Currency in EUR"\n'
        ),
        "read; prices are in that currency",
        BARS,
    ),
    Format(
        "Nasdaq, HistoricalData_1698765432100.csv",
        table(
            {
                "Date": days("%m/%d/%Y"),
                "Close/Last": texts("close", "${:.2f}"),
                "Volume": BARS["volume"].astype(int),
                **{name.title(): texts(name, "${:.2f}") for name in ("open", "high", "low")},
            },
            "HistoricalData_1698765432100.csv",
        ),
        "left out: the name is no ticker; read with `--tickers HISTORICALDATA`",
        BARS,
        ticker="HISTORICALDATA",
        producer="Nasdaq",
    ),
    Format(
        "column of tickers, a row of which has none",
        table(plain(Ticker="IBM"), "all.csv", after="2013-03-04,1,1,1,1,1,I B M\n"),
        "read; the row is left out",
        BARS,
    ),
    Format("macOS's `._IBM.csv` beside", beside("._IBM.csv", b"\x00\x05\x16\x07"), bars=BARS),
    Format("`$tickers-list.csv` beside", beside("$tickers-list.csv", b"a,b\n1,2\n"), bars=BARS),
    Format("`notes.txt` beside", beside("notes.txt", b"buy low\n"), bars=BARS),
    Format(
        "03/04/2016 alone",
        lambda: {"IBM.csv": b"Date,Open,High,Low,Close,Volume\n03/04/2016,1,1,1,1,1\n"},
        "refused: '03/04/2016' could be day or month first, and no date of the file shows which",
    ),
    Format(
        "1,234 that may be 1.234",
        lambda: {"IBM.csv": b"Date;Close\n2013-01-04;1,234\n2013-01-07;1,238\n"},
        "refused: close is '1,234', where a number such as 1234.5 or nothing is expected",
    ),
    Format(
        "splits that the prices show and do not show",
        lambda: {
            "IBM.csv": b"Date,Close,Split Ratio\n2013-01-04,100,1\n2013-01-07,25,4\n"
            b"2013-01-08,26,1\n2013-01-09,25,2\n"
        },
        "refused: closes are adjusted for its split 2:1 on 2013-01-09 but not for 4:1 on",
    ),
    Format(
        "a web page instead of the file",
        lambda: {"IBM.csv": b"<!DOCTYPE html>\n<html><body>limit</body></html>\n"},
        "refused: is a web page, not prices",
    ),
    Format(
        "a line of text instead of the file",
        lambda: {"IBM.csv": b"Exceeded the daily hits limit"},
        "refused: no column date, open, high, low, close in the first line",
    ),
    Format(
        "IBM.csv beside IBM (1).csv, which has later bars",
        lambda: {
            "IBM.csv": BARS[:-9].assign(close=1.0).to_csv(index=False).encode(),
            **table(plain(), "IBM (1).csv")(),
        },
        "read: the newest download, where it has all sessions of the other",
        BARS,
    ),
    Format(
        "IBM.csv beside IBM (1).csv, each with sessions of its own",
        lambda: {
            "IBM.csv": BARS[:-9].to_csv(index=False).encode(),
            "IBM (1).csv": BARS[9:].to_csv(index=False).encode(),
        },
        "refused: IBM is in IBM (1).csv (2013-01-16 to 2013-03-01) and in IBM.csv (2013-01-03 to",
    ),
    Format(
        "IBM.csv beside IBM (1).csv, with other prices up to the same session",
        lambda: {**table(plain())(), **table(plain(Close=1), "IBM (1).csv")()},
        "refused: whose bars differ: on 2013-01-03 close is 50 and 1",
    ),
    Format(
        "one session twice, with the same bar",
        lambda: {"IBM.csv": pd.concat([BARS, BARS[-1:]]).to_csv(index=False).encode()},
        "read; said how many rows repeat a bar",
        BARS,
    ),
    Format(
        "one session twice, with other prices",
        table(plain(), after="2013-03-01,1,1,1,1,1\n"),
        "refused: 2 bars for 2013-03-01 that differ: open is 39.69 (line 41) and 1 (line 42)",
    ),
)
