"""The inspection of price files: what they are taken for, and the universe to paste."""

import datetime as dt

import pandas as pd
import pytest

from pipeline.errors import SettingsError
from pipeline.inspection import inspect_files
from pipeline.universes import load_universes
from tests.made_prices import random_walk

pytestmark = pytest.mark.slow
NOW = dt.datetime(2013, 3, 9, tzinfo=dt.UTC)


@pytest.fixture
def folder(tmp_path):
    """A good file, one that the gate would hold back, two that cannot be read, and a note."""
    bars = random_walk(1, 60)
    folder = tmp_path / "My prices 2013"
    folder.mkdir()
    bars.to_csv(folder / "AAA.csv", index=False)
    bad = random_walk(2, 60)
    bad.loc[bad.index[-1], "close"] *= 3
    bad.loc[bad.index[-1], "high"] *= 3
    bad.to_csv(folder / "BBB.csv", sep=";", decimal=",", index=False)
    (folder / "CCC.csv").write_text("Exceeded the daily hits limit")
    (folder / "100% Europe.csv").write_text(bars.to_csv(index=False))
    (folder / "notes.md").write_text("buy low")
    return folder


@pytest.fixture
def report(folder):
    return inspect_files(str(folder), "", NOW)


def test_each_ticker_has_its_bars_and_its_verdict(report):
    rows = {each.ticker: each for each in report.tickers}
    first, last = dt.date(2012, 12, 4), dt.date(2013, 3, 1)
    assert list(rows) == ["AAA", "BBB", "CCC"]
    assert (rows["AAA"].bars, rows["AAA"].first, rows["AAA"].last) == (60, first, last)
    assert (rows["AAA"].adjustments, rows["AAA"].problem) == ("no splits", "")
    assert rows["BBB"].problem.startswith("quarantined: 2013-03-01: close goes from ")
    assert "CCC.csv: no column date, open, high, low, close" in rows["CCC"].problem
    assert not report.is_good


def test_each_manner_of_writing_has_a_sentence(report, folder):
    columns = "columns date, open, high, low, close, volume; dates unambiguous"
    assert report.remarks() == [
        f"AAA.csv: of no producer in particular; {columns}; decimal point; currency not named.",
        f"BBB.csv: of no producer in particular; {columns}; decimal comma; currency not named.",
        f"{folder}/100% Europe.csv: the name does not begin with a ticker and there is no ticker "
        "column. Call it AAPL.csv, or add a column Ticker.",
        "Left out, for their names: notes.md.",
        "Compared with the calendar XNYS (--calendar NAME).",
    ]


def test_the_universe_can_be_pasted(report, folder, tmp_path):
    (tmp_path / "universes.toml").write_text(report.universe_toml())
    [universe] = load_universes(tmp_path / "universes.toml").values()
    assert (universe.name, universe.tickers) == ("my_prices_2013", ("AAA",))
    assert (universe.source, universe.data, universe.calendar) == ("csv", str(folder), "XNYS")


def test_the_calendar_is_that_of_the_dates_unless_one_is_named(tmp_path):
    days = pd.date_range("2012-03-01", "2013-03-01")
    bars = random_walk(1, len(days)).assign(date=days)
    bars.to_csv(tmp_path / "COIN.csv", index=False)
    found, named = (inspect_files(str(tmp_path), name, NOW) for name in ("", "XNYS"))
    assert found.calendar == "24/7" and found.is_good
    assert 'calendar = "24/7"' in found.universe_toml()
    assert found.remarks()[-1] == "Compared with the calendar 24/7 (--calendar NAME)."
    wrong = "The dates are not those of XNYS, but of 24/7 (--calendar 24/7)."
    assert named.remarks()[-1] == wrong


def test_a_universe_begins_with_its_first_bar(tmp_path):
    random_walk(1, 900, dt.date(2012, 1, 3)).to_csv(tmp_path / "AAA.csv", index=False)
    [line] = [
        line
        for line in inspect_files(str(tmp_path), "XNYS", NOW).universe_toml().splitlines()
        if line.startswith("start")
    ]
    assert line == "start = 2008-06-10"


@pytest.mark.parametrize(
    ("column", "cell", "currency"),
    [("Currency", "GBp", "GBp"), ("Currency", "", "not named"), ("Close (EUR)", "", "EUR")],
)
def test_a_currency_is_named_where_the_file_names_it(tmp_path, column, cell, currency):
    bars = random_walk(1, 40)
    if column == "Currency":
        bars["Currency"] = cell
    else:
        bars = bars.rename(columns={"close": column})
    bars.to_csv(tmp_path / "AAA.csv", index=False)
    assert f"currency {currency}." in inspect_files(str(tmp_path), "XNYS", NOW).remarks()[0]


def test_a_folder_of_files_that_cannot_be_read_is_shown_too(tmp_path):
    (tmp_path / "AAA.csv").write_text("<html></html>")
    report = inspect_files(str(tmp_path), "XNYS", NOW)
    assert not report.is_good
    assert "AAA.csv: is a web page, not prices" in report.remarks()[0]
    assert report.universe_toml().startswith("# No ticker can be forecast")


def test_a_place_without_price_files_is_a_setting_to_fix(tmp_path):
    with pytest.raises(SettingsError, match=r"has no \.csv, \.txt"):
        inspect_files(str(tmp_path), "XNYS", NOW)
