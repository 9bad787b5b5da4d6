"""The lake source: Parquet files in all their arrangements, Delta tables, and what is wrong."""

import datetime as dt
import sys
from importlib.util import find_spec
from pathlib import Path

import fsspec
import pandas as pd
import pytest

from pipeline.errors import MalformedPrices, SettingsError, SourceUnavailable, UnknownTicker
from pipeline.prices.lake import LakeSource
from pipeline.prices.source import Fetched, fetch
from pipeline.sessions import Calendar

NOW = dt.datetime(2013, 3, 4, 3, tzinfo=dt.UTC)
FIRST, LAST = dt.date(2013, 2, 27), dt.date(2013, 3, 1)
DAYS = pd.to_datetime(["2013-02-27", "2013-02-28", "2013-03-01"])
IBM = pd.DataFrame(
    {
        "Date": DAYS,
        "Open": [200.0, 101.0, 100.0],
        "High": [204.0, 102.5, 101.0],
        "Low": [199.5, 100.0, 99.0],
        "Close": [202.25, 100.5, 100.75],
        "Volume": [900, 1800, 1700],
        "Split": [1.0, 2.0, 1.0],
        "Dividend": [0.0, 0.0, 0.85],
        "Analyst": ["a", "b", "c"],
    }
)
BTC = IBM.assign(Close=[7.0, 8.0, 9.0], Split=1.0, Dividend=0.0)
LONG = pd.concat([IBM.assign(Symbol="IBM"), BTC.assign(Symbol="btc/usd")], ignore_index=True)
CLOSES = [202.25, 100.5, 100.75]


def one_file(folder: Path) -> Path:
    LONG.to_parquet(folder / "prices.parquet")
    return folder / "prices.parquet"


def files_by_year(folder: Path) -> Path:
    for number, rows in enumerate((LONG.iloc[4:], LONG.iloc[:4])):
        rows.to_parquet(folder / f"part-{number}.parquet")
    (folder / "_SUCCESS").touch()
    return folder


def partitions(folder: Path) -> Path:
    for ticker, rows in LONG.groupby("Symbol"):
        own = folder / f"symbol={ticker.replace('/', '-')}"
        own.mkdir()
        rows.drop(columns="Symbol").set_index("Date").to_parquet(own / "0.parquet")
    return folder


def fetched(place: str | Path, ticker: str = "IBM", first: dt.date = FIRST) -> Fetched:
    return fetch(LakeSource(place), ticker, first, LAST, Calendar("XNYS"), NOW)


def refused(kind: type[Exception], place: str | Path, ticker: str = "IBM") -> str:
    with pytest.raises(kind) as caught:
        fetched(place, ticker)
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize("write", [one_file, files_by_year, partitions])
def test_a_tickers_rows_are_read_from_any_arrangement(write, tmp_path):
    place = write(tmp_path)
    found = fetched(place)
    assert found.prices["session"].dt.date.tolist() == [day.date() for day in DAYS]
    assert found.prices["close"].tolist() == CLOSES
    assert found.prices.iloc[0][["open", "high", "low", "volume"]].tolist() == [
        *(200.0, 204.0, 199.5, 900.0),
    ]
    assert found.actions[["session", "kind", "value"]].astype("str").to_numpy().tolist() == [
        ["2013-02-28", "split", "2.0"],
        ["2013-03-01", "dividend", "0.85"],
    ]
    assert fetched(place, "BTC-USD").prices["close"].tolist() == [7.0, 8.0, 9.0]


def test_a_url_is_read_through_its_file_system(tmp_path):
    files = fsspec.filesystem("memory")
    files.put(str(partitions(tmp_path)), "/a lake", recursive=True)
    try:
        assert fetched("memory://a lake").prices["close"].tolist() == CLOSES
        assert len(fetched("memory://a lake", first=LAST).prices) == 1
    finally:
        files.rm("/a lake", recursive=True)


def test_an_unknown_ticker_is_the_tickers_own_fault(tmp_path):
    assert refused(UnknownTicker, one_file(tmp_path), "NOPE") == (
        f"NOPE is not among the 2 tickers of {tmp_path}/prices.parquet. Spell it as its column "
        "Symbol does."
    )


def test_what_is_no_lake_is_one_line(tmp_path):
    assert refused(SettingsError, tmp_path / "none").startswith(
        f"{tmp_path}/none does not exist; the lake source needs a folder, file or URL of Parquet "
    )
    IBM.to_parquet(tmp_path / "one.parquet")
    assert refused(SettingsError, tmp_path / "one.parquet").startswith(
        f"{tmp_path}/one.parquet has no column ticker or symbol, by which rows are chosen; it has "
        "Date, Open, High, "
    )
    (tmp_path / "text.parquet").write_text("Date,Open\n")
    message = refused(MalformedPrices, tmp_path / "text.parquet")
    assert message.startswith(f"{tmp_path}/text.parquet: cannot be read (")
    (tmp_path / "empty").mkdir()
    assert "has no column ticker" in refused(SettingsError, tmp_path / "empty")


def test_a_wrong_cell_or_a_missing_column_is_the_tickers_fault(tmp_path):
    place = tmp_path / "prices.parquet"
    LONG.assign(Close=["1", "x", "3", "4", "5", "6"]).to_parquet(place)
    assert refused(MalformedPrices, place) == (
        f"IBM from {place}, line 3: close is 'x', where a number such as 1234.5 or nothing is "
        "expected."
    )
    assert fetched(place, "BTC-USD").prices["close"].tolist() == [4.0, 5.0, 6.0]
    LONG.drop(columns=["Close", "Low"]).to_parquet(place)
    assert refused(MalformedPrices, place).startswith(f"IBM from {place}: no column low, close in")


def test_no_message_has_the_login_of_a_url(tmp_path):
    message = refused(SourceUnavailable, "http://me:s3cret@127.0.0.1:9/prices.parquet")
    assert message.startswith("http://127.0.0.1:9/prices.parquet: no answer (")
    assert "s3cret" not in message
    message = refused(SettingsError, "nowhere://me:s3cret@host/prices")
    assert message.startswith("nowhere://host/prices cannot be read (Protocol not known: nowhere).")


def test_a_delta_table_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "_delta_log").mkdir()
    monkeypatch.setitem(sys.modules, "deltalake", None)
    assert refused(SettingsError, tmp_path) == (
        f"{tmp_path} is a Delta table, and the package that reads it is not installed. Install it "
        "(pip install deltalake), or export the table as Parquet."
    )


@pytest.mark.skipif(find_spec("deltalake") is None, reason="deltalake is not installed")
def test_a_delta_table_has_its_newest_version(tmp_path):
    import deltalake

    deltalake.write_deltalake(tmp_path, LONG.assign(Close=1.0))
    deltalake.write_deltalake(tmp_path, LONG, mode="overwrite")
    assert fetched(tmp_path).prices["close"].tolist() == CLOSES
