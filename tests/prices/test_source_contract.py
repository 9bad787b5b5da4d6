"""One check per promise of the port, over all sources."""

import datetime as dt
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

from pipeline.connections import Connection
from pipeline.prices.csv_files import CsvSource
from pipeline.prices.lake import LakeSource
from pipeline.prices.own_database import SqlSource
from pipeline.prices.pacing import Pacing
from pipeline.prices.sample import SampleSource
from pipeline.prices.services import SERVICES
from pipeline.prices.source import Fetched, Source, fetch
from pipeline.sessions import Calendar
from pipeline.tables import ACTIONS, PRICES
from pipeline.universes import SOURCES
from tests.price_service_server import KEY, PriceServiceServer
from tests.prices.conftest import make_yahoo


@dataclass
class Case:
    """A source and a range of one of its tickers.

    Attributes:
        during: a moment while the session `last` is going on.
        after: a moment after its close.
    """

    source: Source
    ticker: str
    first: dt.date
    last: dt.date
    during: dt.datetime
    after: dt.datetime

    def fetch(self, now: dt.datetime, **changes: dt.date) -> Fetched:
        first, last = changes.get("first", self.first), changes.get("last", self.last)
        return fetch(self.source, self.ticker, first, last, Calendar("XNYS"), now)


def over_2005(source: Source) -> Case:
    """Return the case of a quarter in which AAPL was split."""
    during, after = (dt.datetime(2005, 3, 31, hour, tzinfo=dt.UTC) for hour in (16, 22))
    return Case(source, "AAPL", dt.date(2005, 1, 3), dt.date(2005, 3, 31), during, after)


def write_sample(folder: Path, long: bool) -> CsvSource:
    frames = []
    for ticker in ("AAPL", "IBM"):
        prices = SampleSource().fetch_raw(ticker, dt.date.min, dt.date.max, dt.datetime.min).prices
        frames.append(prices.assign(ticker=ticker))
        if not long:
            prices.to_csv(folder / f"{ticker}.csv", index=False)
    if long:
        pd.concat(frames).sort_values("date").to_csv(folder / "all.csv", index=False)
    return CsvSource(folder)


def write_database(file: Path) -> SqlSource:
    prices = SampleSource().fetch_raw("AAPL", dt.date.min, dt.date.max, dt.datetime.min).prices
    with closing(sqlite3.connect(file)) as database, database:
        prices.assign(ticker="AAPL").to_sql("prices", database, index=False)
    connections = {"own": Connection("sqlite", schema=str(file))}
    return SqlSource("own", "SELECT * FROM prices ORDER BY date", connections.get, 5.0)


def write_lake(file: Path) -> LakeSource:
    prices = SampleSource().fetch_raw("AAPL", dt.date.min, dt.date.max, dt.datetime.min).prices
    prices.assign(ticker="AAPL").to_parquet(file)
    return LakeSource(file)


#: A package whose function has the sample's stocks.
SAMPLE_CODE = """\
import datetime as dt
from pipeline.prices.sample import SampleSource
def prices(ticker, first, last):
    return SampleSource().fetch_raw(ticker, first, last, dt.datetime.min).prices
"""


@pytest.fixture(scope="module")
def price_services() -> Iterator[PriceServiceServer]:
    with PriceServiceServer() as server:
        yield server


def service(name: str, server: PriceServiceServer) -> Case:
    """Return the case of a service that has the sample's stocks."""
    connections = {f"stockcast_{name}": Connection(password=KEY)}
    pacing = Pacing(1, math.inf)
    case = over_2005(SERVICES[name](pacing, 5.0, connections.get, server.address))
    return replace(case, ticker="AAPL.US") if name == "stooq" else case


@pytest.fixture(
    params=[
        "sample",
        "csv",
        "csv, one long file",
        *SERVICES,
        "sql",
        "lake",
        "function",
        pytest.param("yahoo", marks=pytest.mark.slow),
    ]
)
def case(request, tmp_path, pauses) -> Case:
    if request.param in SERVICES:
        return service(request.param, request.getfixturevalue("price_services"))
    if request.param == "sample":
        return over_2005(SampleSource())
    if request.param == "sql":
        return over_2005(write_database(tmp_path / "own.db"))
    if request.param == "lake":
        return over_2005(write_lake(tmp_path / "lake.parquet"))
    if request.param == "function":
        return over_2005(request.getfixturevalue("install")(SAMPLE_CODE))
    if request.param.startswith("csv"):
        return over_2005(write_sample(tmp_path, long="long" in request.param))
    server = request.getfixturevalue("yahoo_server")
    source = make_yahoo(server, request.getfixturevalue("yahoo_cache"), pauses.append)
    during, after = (dt.datetime(2024, 6, 28, hour, tzinfo=dt.UTC) for hour in (16, 22))
    server.market.now = during
    return Case(source, "NVDA", dt.date(2024, 4, 1), dt.date(2024, 6, 28), during, after)


def test_every_source_is_one_that_a_universe_can_name(case):
    assert case.source.name in SOURCES


def test_tickers_are_listed_sorted_or_not_at_all(case):
    tickers = case.source.tickers()
    assert tickers is None or (tickers == sorted(tickers) and case.ticker in tickers)


def test_tables_conform_and_are_as_long_as_the_calendar(case):
    fetched = case.fetch(case.after)
    pd.testing.assert_frame_equal(fetched.prices, PRICES.conform(fetched.prices))
    pd.testing.assert_frame_equal(fetched.actions, ACTIONS.conform(fetched.actions))
    sessions = [session.date() for session in fetched.prices["session"]]
    assert sessions == Calendar("XNYS").sessions(case.first, case.last)
    assert set(fetched.prices["ticker"]) == {case.ticker}


def test_the_range_is_trimmed_at_both_ends(case):
    first, last = case.first + dt.timedelta(days=10), case.last - dt.timedelta(days=10)
    fetched = case.fetch(case.after, first=first, last=last)
    sessions = [session.date() for session in fetched.prices["session"]]
    assert sessions == Calendar("XNYS").sessions(first, last)


def test_an_unfinished_bar_is_dropped(case):
    sessions = case.fetch(case.during).prices["session"]
    day_before = case.last - dt.timedelta(days=1)
    assert sessions.max().date() == Calendar("XNYS").last_session_until(day_before)


def test_asking_twice_gives_the_same(case):
    first, second = case.fetch(case.after), case.fetch(case.after)
    pd.testing.assert_frame_equal(first.prices, second.prices, check_exact=True)
    pd.testing.assert_frame_equal(first.actions, second.actions, check_exact=True)


def test_a_shorter_range_gives_the_same_bars(case):
    """In particular before a split: a later split does not change what was traded."""
    last = case.first + dt.timedelta(days=14)
    whole, part = case.fetch(case.after).prices, case.fetch(case.after, last=last).prices
    expected = whole[whole["session"] <= pd.Timestamp(last)]
    pd.testing.assert_frame_equal(part, expected, check_exact=True)


def test_a_range_without_sessions_has_nothing_new(case):
    holiday = dt.date(case.first.year, 1, 1)
    fetched = case.fetch(case.after, first=holiday, last=holiday)
    assert (len(fetched.prices), len(fetched.actions)) == (0, 0)
