"""Universes, and the names that they allow."""

import dataclasses
import datetime as dt

import pytest

from pipeline.errors import SettingsError
from pipeline.parts import universe_of, universes_of
from pipeline.settings import Settings
from pipeline.universes import Universe, as_ticker, check_ticker, load_universes


def test_the_shipped_universes_are_the_three_that_the_pages_name():
    universes = load_universes()
    shipped = {
        name: (universe.source, universe.calendar, universe.scheduled)
        for name, universe in universes.items()
    }
    assert shipped == {
        "sample": ("sample", "XNYS", False),
        "us_megacaps": ("yahoo", "XNYS", True),
        "crypto": ("yahoo", "24/7", True),
    }


def test_every_shipped_ticker_has_a_sector():
    for universe in load_universes().values():
        assert set(universe.sectors) == set(universe.tickers)


def test_a_universe_with_sectors_is_a_key():
    universe = load_universes()["sample"]
    assert {universe: 1}[dataclasses.replace(universe)] == 1


@pytest.mark.parametrize(
    "ticker", ["IBM", "BRK-B", "BRK.B", "BTC-USD", "^GSPC", "EURUSD=X", "0700.HK", "M&M.NS"]
)
def test_tickers_as_exchanges_write_them_pass(ticker):
    assert check_ticker(ticker) == ticker


@pytest.mark.parametrize(
    "ticker",
    ["../x", "'; drop table prices", "", "ibm", "A B", "A/B", "A..B", "-A", "A" * 30, "IBM\n", "É"],
)
def test_a_path_or_sql_is_no_ticker(ticker):
    with pytest.raises(SettingsError, match="is no ticker"):
        check_ticker(ticker)


def test_other_spellings_become_the_programs_own():
    spelt = {"m&m.ns": "M&M.NS", "BTC/USD": "BTC-USD", " brk.b ": "BRK.B"}
    assert {text: as_ticker(text) for text in spelt} == spelt
    refused = ["../x", "/etc", "A//B", "=1+2", "<b>", "'; drop", "", "A B", "É", "A/"]
    assert [text for text in refused if as_ticker(text)] == []
    universe = Universe(
        name="u", source="sample", tickers=("ibm", "BTC/USD"), sectors={"ibm": "Technology"}
    )
    assert universe.tickers == ("IBM", "BTC-USD") and universe.sectors == {"IBM": "Technology"}
    with pytest.raises(SettingsError, match="named twice in IBM, IBM"):
        Universe(name="u", source="sample", tickers=("IBM", "ibm"))


def test_a_wrong_entry_stops_no_other(tmp_path):
    file = tmp_path / "universes.toml"
    file.write_text(
        '[good]\nsource = "sample"\ntickers = ["IBM"]\n'
        '[odd]\nsource = "sample"\ntickers = ["IBM", "../x"]\n'
    )
    universes = load_universes(file)
    assert list(universes) == ["good"] and universes.of("good").tickers == ("IBM",)
    message = "Universe 'odd': '../x' is no ticker"
    with pytest.raises(SettingsError, match=message):
        universes.of("odd")
    with pytest.raises(SettingsError, match=r"no universe 'nope'\. The universes are: good"):
        universes.of("nope")
    settings = Settings(universes=str(file))
    assert [each.name for each in universes_of(settings)] == ["good"]
    assert universe_of(settings).name == "good"  # there is no `sample`
    assert [each.name for each in universes_of(settings.replaced(universe="odd"))] == ["good"]
    with pytest.raises(SettingsError, match=message):
        universe_of(settings.replaced(universe="odd"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tickers": ()}, "has no tickers"),
        ({"tickers": ("IBM", "IBM")}, "named twice"),
        ({"source": "bloomberg"}, "source is 'bloomberg'; one of sample, yahoo, csv"),
        ({"target": "vwap"}, "target is 'vwap'"),
        ({"retrain": "hourly"}, "retrain is 'hourly'"),
        ({"horizon": 0}, "horizon is 0; 1 to 60"),
        ({"name": "My Universe"}, "a name is small letters"),
        ({"source": "csv"}, "needs a folder"),
        ({"source": "tiingo", "data": "prices/"}, "data is 'prices/'; for tiingo, nothing is"),
        ({"source": "sql"}, "the sql source needs the name of a connection to a database"),
        (
            {"source": "sql", "data": "postgres://me:s3cret@db/own", "query": "SELECT 1"},
            "data of the sql source is a name, of letters, digits, _ . and -; the name of a conn",
        ),
        ({"source": "sql", "data": "warehouse"}, "the sql source, and no other, has a `query`"),
        ({"query": "SELECT 1"}, "the sql source, and no other, has a `query`"),
        ({"query": 7}, "query is 7; SQL as a text"),
        ({"tickers": "IBM"}, "tickers is 'IBM'; a list"),
        ({"tickers": 7}, "tickers is 7; a list"),
        ({"horizon": True}, "horizon is True; 1 to 60"),
        ({"scheduled": "no"}, "scheduled is 'no'; true or false"),
        ({"data": ["a", "b"]}, "data is .*; one text in quotes is expected"),
        ({"calendar": 5}, "calendar is 5; one text in quotes is expected"),
        ({"recipe": 5}, "recipe is 5; one text in quotes is expected"),
        ({"start": dt.datetime(2010, 1, 4)}, "start is '2010-01-04 00:00:00'; a date such as"),
        ({"start": "2010"}, "start is '2010'; a date"),
        ({"closures": dt.date(2012, 10, 29)}, "closures is datetime.*; a list of dates"),
        ({"history_sessions": -1}, "history_sessions is -1; a number of sessions such as 2520"),
        ({"history_sessions": "10 years"}, "history_sessions is '10 years'; a number of sess"),
        ({"currency": "pounds"}, "currency is 'pounds'; a code such as USD, or GBp for pence"),
        ({"extra_sessions": ["2012-10-29"]}, "extra_sessions has '2012-10-29'; a list of dates"),
        ({"sectors": "Energy"}, "sectors is 'Energy'; a table"),
        ({"sectors": {"IBM": 7}}, "the sector of IBM is 7; a text"),
    ],
)
def test_a_universe_that_cannot_be_names_the_values_that_can(changes, message):
    universe = Universe(name="u", source="sample", tickers=("IBM",))
    with pytest.raises(SettingsError, match=message):
        dataclasses.replace(universe, **changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "declares no universe"),
        ("[a", "is no TOML"),
        ("x = 1", "x stands outside any"),
        ("[a]\nsource = 'yahoo'", "universe 'a' lacks tickers"),
        ("['a.rehearsal']\nsource = 'yahoo'\ntickers = ['IBM']", "rehearsal ends with .rehearsal"),
        (
            "[a]\nsource = 'yahoo'\ntickers = ['IBM']\nticker = 1",
            "universe 'a' has ticker; the keys are",
        ),
        (
            "[a]\nsource = 'yahoo'\ntickers = ['IBM']\n[a.sectors]\nIBN = 'x'",
            "universe 'a' names sectors of IBN, which are not",
        ),
    ],
)
def test_a_universes_file_that_cannot_be_read_names_the_entry(tmp_path, text, message):
    path = tmp_path / "universes.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        load_universes(path)


def test_a_missing_universes_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.toml cannot be read"):
        load_universes(tmp_path / "nowhere.toml")


def test_prices_at_a_url_have_its_name_without_the_login():
    url = "https://me:secret@example.org/prices"
    universe = Universe("a", "csv", ("IBM",), data=url)
    assert universe.source_id == "csv:https://example.org/prices"


def test_keys_that_say_nothing_are_not_in_a_universes_json():
    """Run ids and requests of universes without them stay what they were."""
    universe = Universe(name="u", source="sample", tickers=("IBM",))
    silent = {"closures", "extra_sessions", "history_sessions", "repair", "currency", "events"}
    assert not silent & set(universe.to_json())
    in_pence = dataclasses.replace(universe, currency="GBX")
    assert in_pence.to_json()["currency"] == in_pence.currency == "GBp"
    limited = dataclasses.replace(universe, history_sessions=2520)
    assert limited.to_json()["history_sessions"] == 2520
    assert Universe.from_json(limited.to_json()) == limited
    unrepaired = dataclasses.replace(universe, repair=False)
    assert unrepaired.to_json()["repair"] is False
    assert Universe.from_json(unrepaired.to_json()) == unrepaired


def test_events_are_of_a_file_beside_that_of_universes_or_of_the_source(tmp_path):
    file, entry = tmp_path / "universes.toml", '[u]\nsource = "yahoo"\ntickers = ["IBM"]\n'

    def events_id(line):
        file.write_text(entry + line)
        return load_universes(file).of("u").events_id

    assert events_id("") == "yahoo"
    assert events_id('events = "off"') == ""
    assert events_id('events = "events.csv"') == f"csv:{tmp_path}/events.csv"
    assert events_id('events = "/data/events.csv"') == "csv:/data/events.csv"
    assert Universe(name="u", source="sample", tickers=("IBM",)).events_id == ""
    with pytest.raises(SettingsError, match=r"events is \['a'\]; one text in quotes is expected"):
        events_id('events = ["a"]')


def test_prices_of_one_source_are_stored_apart_from_those_of_others():
    ticker = ("IBM",)
    sql = Universe("own", "sql", ticker, data="warehouse", query="SELECT *\n  FROM prices")
    ids = {
        Universe("u", "tiingo", ticker).source_id: "tiingo",
        Universe("u", "tiingo", ticker, data="https://me:s3cret@prices.example").source_id: (
            "tiingo:https://prices.example"
        ),
        Universe("u", "function", ticker, data="mine").source_id: "function:mine",
        Universe("u", "lake", ticker, data="s3://me:s3cret@lake/prices").source_id: (
            "lake:s3://lake/prices"
        ),
        Universe("u", "lake", ticker, data="/lake").source_id: "lake:/lake",
        sql.source_id: "sql:warehouse:4964b7d4",
        dataclasses.replace(sql, query="SELECT * FROM prices").source_id: "sql:warehouse:4964b7d4",
    }
    assert list(ids) == list(ids.values())
    assert dataclasses.replace(sql, query="SELECT * FROM others").source_id not in ids
    assert Universe.from_json(sql.to_json()) == sql
    assert "query" not in Universe("u", "tiingo", ticker).to_json()


def test_another_source_leaves_behind_what_it_does_not_need(tmp_path):
    file = tmp_path / "universes.toml"
    file.write_text(
        '[own]\nsource = "sql"\ntickers = ["IBM"]\ndata = "warehouse"\nquery = "SELECT 1"\n'
    )
    settings = Settings(universes=str(file), universe="own")
    assert universe_of(settings).query == "SELECT 1"
    asked = universe_of(settings.replaced(source="tiingo"))
    assert (asked.source, asked.data, asked.query) == ("tiingo", "", "")
