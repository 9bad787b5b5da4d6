"""The inspection of price files: what they are taken for, and the universe to paste."""

import datetime as dt

import pandas as pd
import pytest

from pipeline.errors import SettingsError
from pipeline.inspection import inspect_files
from pipeline.sessions import Calendar
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
    assert found.calendars == ("24/7",) and found.is_good
    assert 'calendar = "24/7"' in found.universe_toml()
    assert found.remarks()[-1] == "Compared with the calendar 24/7 (--calendar NAME)."
    assert [each.problem for each in named.tickers] == [
        "it has bars on 115 days without a session of XNYS, and none on 0 with one; its dates are "
        'those of 24/7. Forecast it with --calendar 24/7, or in a universe with calendar = "24/7".'
    ]
    assert named.universe_toml().startswith("# No ticker can be forecast")


def test_tickers_of_several_calendars_are_a_universe_each(tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    first, last = dt.date(2011, 1, 3), dt.date(2013, 3, 1)
    for at, (ticker, name) in enumerate(
        {"IBM": "XNYS", "AAPL": "XNYS", "SONY": "XTKS", "INFY.NS": "XBOM", "COIN": "24/7"}.items()
    ):
        days = Calendar(name).sessions(first, last)
        random_walk(at, len(days)).assign(date=days).to_csv(folder / f"{ticker}.csv", index=False)
    report = inspect_files(str(folder), "", NOW)
    assert {each.ticker: (each.calendar, each.problem) for each in report.tickers} == {
        "AAPL": ("XNYS", ""),
        "COIN": ("24/7", ""),
        "IBM": ("XNYS", ""),
        "INFY.NS": ("XBOM", ""),
        "SONY": ("XTKS", ""),
    }
    (tmp_path / "universes.toml").write_text(report.universe_toml())
    universes = load_universes(tmp_path / "universes.toml").values()
    assert {each.name: (each.calendar, each.tickers) for each in universes} == {
        "mixed": ("XNYS", ("AAPL", "IBM")),
        "mixed_24_7": ("24/7", ("COIN",)),
        "mixed_xbom": ("XBOM", ("INFY.NS",)),
        "mixed_xtks": ("XTKS", ("SONY",)),
    }
    assert report.remarks()[-1].startswith("Compared with the calendars XNYS, ")


def test_bars_of_the_future_and_sessions_without_one_are_named(tmp_path):
    bars = random_walk(1, 60)
    rows = [*range(20), *range(23, 60)]
    bars = bars.iloc[rows].assign(date=[*bars["date"].iloc[rows[:-2]], "2013-04-01", "2071-03-01"])
    bars.to_csv(tmp_path / "AAA.csv", index=False)
    bars.tail(2).to_csv(tmp_path / "BBB.csv", index=False)
    early = bars.assign(date=pd.date_range("1980-01-01", periods=len(bars)))
    early.to_csv(tmp_path / "CCC.csv", index=False)
    report = inspect_files(str(tmp_path), "", NOW)
    rows_by_ticker = {each.ticker: each for each in report.tickers}
    later = "2 bars from 2013-04-01 to 2071-03-01 not read: the newest complete session is "
    assert rows_by_ticker["AAA"].remarks == (
        f"{later}2013-03-08.",
        "no bar on 3 of 58 sessions, from 2013-01-03 to 2013-01-07.",
    )
    assert rows_by_ticker["BBB"].problem == "no bars up to 2013-03-08"
    expected = "no bars from 1990-01-02 on, where the calendar XNYS begins"
    assert rows_by_ticker["CCC"].problem == expected
    assert f"AAA, BBB: {later}2013-03-08." in report.remarks()


def test_what_is_left_out_of_files_is_named(tmp_path):
    bars = random_walk(1, 60)
    pd.concat([bars, bars.tail(1)]).to_csv(tmp_path / "AAA (1).csv", index=False)
    bars.head(50).to_csv(tmp_path / "AAA.csv", index=False)
    bars.to_csv(tmp_path / "table.csv", index=False)
    tickers = ["BBB"] * 59 + ["B B"]
    bars.assign(ticker=tickers).to_csv(tmp_path / "all.csv", index=False)
    report = inspect_files(str(tmp_path), "XNYS", NOW)
    assert [(each.ticker, each.bars) for each in report.tickers] == [("AAA", 60), ("BBB", 59)]
    remarks = report.remarks()
    assert any("all.csv, line 61: ticker is 'B B', where" in remark for remark in remarks)
    assert any("table.csv: table is a name that any download may" in remark for remark in remarks)
    assert "AAA: left out: AAA.csv, of which AAA (1).csv has every session." in remarks
    assert "AAA: left out: 1 row that repeats the bar of 2013-03-01." in remarks


def test_weekly_bars_are_called_so(tmp_path):
    random_walk(1, 60).iloc[::5].to_csv(tmp_path / "AAA.csv", index=False)
    [found] = inspect_files(str(tmp_path), "", NOW).tickers
    assert found.problem == (
        "its bars are 7 days apart; one a session is expected. Give it daily prices."
    )


def test_a_folder_in_the_folder_is_named(tmp_path):
    random_walk(1, 60).to_csv(tmp_path / "AAA.csv", index=False)
    (tmp_path / "more").mkdir()
    random_walk(1, 60).to_csv(tmp_path / "more" / "BBB.csv", index=False)
    remarks = inspect_files(str(tmp_path), "", NOW).remarks()
    assert "Left out, as folders in the folder: more/." in remarks


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


def test_splits_that_contradict_each_other_stop_no_other_file(tmp_path):
    rows = ["2013-01-04,100,1", "2013-01-07,25,4", "2013-01-08,26,1", "2013-01-09,25,2"]
    (tmp_path / "AAA.csv").write_text("\n".join(["Date,Close,Split Ratio", *rows, ""]))
    random_walk(1, 60).to_csv(tmp_path / "BBB.csv", index=False)
    one, other = inspect_files(str(tmp_path), "XNYS", NOW).tickers
    assert "AAA's closes are adjusted for its split 2:1 on 2013-01-09" in one.problem
    assert (other.ticker, other.problem) == ("BBB", "")


def test_a_place_without_price_files_is_a_setting_to_fix(tmp_path):
    with pytest.raises(SettingsError, match=r"has no \.csv, \.txt"):
        inspect_files(str(tmp_path), "XNYS", NOW)


def test_a_column_names_the_calendar_that_few_bars_do_not_show(tmp_path):
    days = Calendar("XLON").sessions(dt.date(2013, 1, 2), dt.date(2013, 3, 1))
    bars = random_walk(1, len(days)).assign(date=days, Exchange="LSE")
    bars.to_csv(tmp_path / "VOD.csv", index=False)
    report = inspect_files(str(tmp_path), "", NOW)
    assert [(each.calendar, each.problem) for each in report.tickers] == [("XLON", "")]
    assert 'calendar = "XLON"' in report.universe_toml()
