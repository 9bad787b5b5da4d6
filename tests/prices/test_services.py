"""The services tiingo, stooq and alphavantage: their bars, their refusals, and their keys."""

import dataclasses
import datetime as dt
import logging
import math
from collections.abc import Iterator

import pytest

from pipeline.connections import Connection
from pipeline.errors import (
    MalformedPrices,
    RateLimited,
    SettingsError,
    SourceUnavailable,
    UnknownTicker,
)
from pipeline.prices.pacing import Pacing
from pipeline.prices.priced_tables import no_prices
from pipeline.prices.services import SERVICES, AlphaVantageSource
from pipeline.prices.services.listing_currencies import (
    ALPHAVANTAGE_CURRENCIES,
    STOOQ_CURRENCIES,
    TIINGO_CURRENCIES,
    in_listing_currency,
)
from pipeline.prices.source import Fetched, Source, fetch
from pipeline.sessions import Calendar
from tests.price_service_server import (
    ALPHAVANTAGE_LIMIT,
    ALPHAVANTAGE_PREMIUM,
    HTML,
    KEY,
    STOOQ_LIMIT,
    TIINGO_LIMIT,
    PriceServiceServer,
)

NOW = dt.datetime(2013, 3, 4, 3, tzinfo=dt.UTC)
FRIDAY = dt.date(2013, 3, 1)
#: By service, the sample's spelling of IBM and of a ticker that is none.
SPELT = {"tiingo": "IBM", "stooq": "IBM.US", "alphavantage": "IBM"}
LIMITS = {
    "tiingo": (429, TIINGO_LIMIT),
    "stooq": (200, STOOQ_LIMIT),
    "alphavantage": (200, ALPHAVANTAGE_LIMIT),
}
TITLES = {"tiingo": "Tiingo", "stooq": "Stooq", "alphavantage": "Alpha Vantage"}


@pytest.fixture(params=sorted(SERVICES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def running() -> Iterator[PriceServiceServer]:
    with PriceServiceServer() as server:
        yield server


@pytest.fixture
def server(running: PriceServiceServer, monkeypatch: pytest.MonkeyPatch) -> PriceServiceServer:
    """Return a server in good health, whose key the environment has."""
    running.recover()
    for name in ("tiingo", "alphavantage"):
        monkeypatch.setenv(f"STOCKCAST_{name.upper()}_KEY", KEY)
    return running


def no_connection(name: str) -> None:
    return None


def source_of(
    name: str,
    server: PriceServiceServer,
    pauses: list[float],
    connections=no_connection,
) -> Source:
    pacing = Pacing(2, math.inf, pauses.append, lambda: 0.5)
    return SERVICES[name](pacing, 5.0, connections, server.address)


def fetched(source: Source, ticker: str, first: dt.date, last: dt.date = FRIDAY) -> Fetched:
    return fetch(source, ticker, first, last, Calendar("XNYS"), NOW)


@pytest.fixture
def source(name: str, server: PriceServiceServer, pauses: list[float]) -> Source:
    return source_of(name, server, pauses)


def refused(kind: type[Exception], source: Source, ticker: str, first: dt.date = FRIDAY) -> str:
    """Return the message of an error, which has no key in it."""
    with pytest.raises(kind) as caught:
        fetched(source, ticker, first)
    assert type(caught.value) is kind
    assert KEY not in str(caught.value)
    return str(caught.value)


# Bars


@pytest.mark.parametrize("name", ["tiingo", "alphavantage"])
def test_bars_are_as_traded_with_the_split_and_the_dividend(name, server, pauses):
    source = source_of(name, server, pauses)
    split = fetched(source, "AAPL", dt.date(2005, 2, 25), dt.date(2005, 2, 28))
    assert split.prices[["session", "close", "volume"]].astype("str").to_numpy().tolist() == [
        ["2005-02-25", "88.99", "16348400.0"],
        ["2005-02-28", "44.86", "11635900.0"],
    ]
    assert split.actions[["kind", "value"]].to_numpy().tolist() == [["split", 2.0]]
    paid = fetched(source, "MSFT", dt.date(2004, 11, 12), dt.date(2004, 11, 15))
    [(session, kind, value)] = paid.actions[["session", "kind", "value"]].to_numpy().tolist()
    assert (str(session)[:10], kind, round(value, 2)) == ("2004-11-15", "dividend", 3.03)
    assert split.unused == paid.unused == ()


def test_prices_are_in_the_currency_of_the_listing(name, source):
    assert fetched(source, SPELT[name], FRIDAY).currency == "USD"


@pytest.mark.parametrize(
    ("currencies", "expected"),
    [
        (TIINGO_CURRENCIES, {"BRK-B": "USD", "000001": ""}),
        (
            ALPHAVANTAGE_CURRENCIES,
            {
                "BRK-B": "USD",
                "SHOP.TRT": "CAD",
                "HXS-U.TRT": "",
                "MBG.DEX": "EUR",
                "RELIANCE.BSE": "INR",
                "600104.SHH": "CNY",
                "900901.SHH": "",
                "000002.SHZ": "CNY",
                "200002.SHZ": "",
                "TSCO.LON": "",
            },
        ),
        (
            STOOQ_CURRENCIES,
            {
                "BRK-B.US": "USD",
                "SAP.DE": "EUR",
                "7203.JP": "JPY",
                "AV.UK": "",
                "PKN": "",
                "EURUSD": "",
                "AAPL_PE.US": "",
                "^SPX": "",
            },
        ),
    ],
    ids=["tiingo", "alphavantage", "stooq"],
)
def test_a_ticker_says_its_currency_only_where_all_of_its_exchange_have_it(currencies, expected):
    named = {t: in_listing_currency(no_prices(), t, currencies).currency for t in expected}
    assert named == expected


def test_a_currency_that_is_named_comes_first():
    raw = dataclasses.replace(no_prices(), currency="EUR")
    assert in_listing_currency(raw, "IBM", TIINGO_CURRENCIES).currency == "EUR"


def test_stooqs_bars_are_adjusted_for_both_and_it_lists_neither(server, pauses):
    source = source_of("stooq", server, pauses)
    split = fetched(source, "AAPL.US", dt.date(2005, 2, 25), dt.date(2005, 2, 28))
    assert split.prices["close"].round(2).tolist() == [43.85, 44.21]  # 88.99 and 44.86
    assert (len(split.actions), split.unused) == (
        0,
        ("Stooq's splits and dividends (its prices are adjusted for them, it lists none)",),
    )


def test_the_whole_history_comes_in_one_request(name, source, server):
    bars = fetched(source, SPELT[name], dt.date(2000, 3, 1)).prices
    sessions = Calendar("XNYS").sessions(dt.date(2000, 3, 1), FRIDAY)
    assert [session.date() for session in bars["session"]] == sessions
    assert len(server.requests) == 1


def test_alpha_vantage_is_asked_for_its_newest_hundred_bars_where_they_reach(server, pauses):
    pacing = Pacing(1, math.inf, pauses.append)
    source = AlphaVantageSource(pacing, 5.0, no_connection, server.address, lambda: NOW)
    for first in (dt.date(2012, 11, 5), dt.date(2012, 11, 1)):
        bars = fetched(source, "IBM", first).prices
        assert bars["session"].min().date() == first
    sizes = [query["outputsize"] for _, query, _ in server.requests]
    assert sizes == ["compact", "full"]


@pytest.mark.parametrize("name", ["tiingo", "stooq"])
def test_a_range_in_which_a_known_ticker_has_no_bars_is_empty(name, server, pauses):
    server.today = dt.date(2013, 2, 7)
    source = source_of(name, server, pauses)
    assert len(fetched(source, SPELT[name], dt.date(2013, 2, 28)).prices) == 0
    assert len(server.requests) == 2


def test_no_bars_where_there_should_be_some_is_an_outage(server, pauses):
    server.fail(200, "[]")
    message = refused(SourceUnavailable, source_of("tiingo", server, pauses), "IBM")
    assert message == (
        "Tiingo sent no bars of IBM since 2013-03-01, though it has them from 2000-03-01 to "
        "2013-03-01. Try again later."
    )


# Refusals


def test_an_unknown_ticker_is_the_tickers_own_fault(name, source):
    words = {
        "tiingo": "Tiingo does not know NOPE (Error: Ticker 'NOPE' not found). Spell it as "
        "tiingo.com does, such as BRK-B.",
        "stooq": "Stooq has no data of NOPE. Spell it as stooq.com does, with the market's ending, "
        "such as IBM.US.",
        "alphavantage": "Alpha Vantage does not know NOPE (Invalid API call. Please retry or ",
    }
    assert refused(UnknownTicker, source, "NOPE").startswith(words[name])
    assert len(fetched(source, SPELT[name], FRIDAY).prices) == 1  # the others go on


def test_a_limit_is_an_outage_of_all_tickers_with_the_services_words(name, source, server, pauses):
    status, words = LIMITS[name]
    server.fail(status, words, times=2)
    said = {
        "tiingo": "Error: You have run over your hourly request allocation. Please upgrade at "
        "https://api.tiingo.com/pricing to have your limits increased",
        "stooq": "Exceeded the daily hits limit",
        "alphavantage": "We have detected your API key as ... and our standard API rate limit is "
        "25 requests per day. Please subscribe to any of the premium plans at "
        "https://www.alphavantage.co/premium/ to instantly ...",
    }[name]
    limited = (
        f"{TITLES[name]} asks for fewer requests (at {SPELT[name]}: {said}). Try again when its "
        "limit is over, or run fewer tickers. Tried 2 times."
    )
    assert refused(RateLimited, source, SPELT[name]) == limited
    assert pauses == [5.0]
    assert refused(RateLimited, source, "AAPL") == f"AAPL: not asked for. {limited}"
    assert len(server.requests) == 2


def test_after_a_limit_the_service_is_asked_again_a_minute_later(name, server, pauses):
    seconds = [0.0]
    source = source_of(name, server, pauses)
    source._client._clock = lambda: seconds[0]
    server.fail(*LIMITS[name], times=2)
    refused(RateLimited, source, SPELT[name])
    seconds[0] = 59.0
    refused(RateLimited, source, SPELT[name])
    seconds[0] = 61.0
    assert len(fetched(source, SPELT[name], FRIDAY).prices) == 1


def test_a_wrong_key_is_everyones_fault_and_told_once(name, source, server, monkeypatch):
    monkeypatch.setenv(f"STOCKCAST_{name.upper()}_KEY", "wrong-key")
    server.wants_stooq_key = True
    for ticker in (SPELT[name], "AAPL"):
        message = refused(SettingsError, source, ticker)
        assert message.startswith(f"{TITLES[name]} refuses the key (")
        assert message.endswith(
            f"Set STOCKCAST_{name.upper()}_KEY to a valid one, or the password of the Airflow "
            f"connection stockcast_{name}."
        )
        assert "wrong-key" not in message
    assert len(server.requests) == 1
    monkeypatch.setenv(f"STOCKCAST_{name.upper()}_KEY", KEY)
    assert len(fetched(source, SPELT[name], FRIDAY).prices) == 1


@pytest.mark.parametrize("name", ["tiingo", "alphavantage"])
def test_without_a_key_nothing_is_asked(name, server, pauses, monkeypatch):
    monkeypatch.delenv(f"STOCKCAST_{name.upper()}_KEY")
    assert refused(SettingsError, source_of(name, server, pauses), "IBM") == (
        f"{TITLES[name]} needs a key. Set STOCKCAST_{name.upper()}_KEY to a valid one, or the "
        f"password of the Airflow connection stockcast_{name}."
    )
    assert server.requests == []


def test_the_key_may_be_the_password_of_a_connection(name, server, pauses, monkeypatch):
    monkeypatch.delenv(f"STOCKCAST_{name.upper()}_KEY", raising=False)
    server.wants_stooq_key = True
    known = {f"stockcast_{name}": Connection(password=KEY)}
    source = source_of(name, server, pauses, known.get)
    assert len(fetched(source, SPELT[name], FRIDAY).prices) == 1


def test_a_key_that_is_none_is_not_sent(name, source, server, monkeypatch):
    monkeypatch.setenv(f"STOCKCAST_{name.upper()}_KEY", f"{KEY}\nHost: elsewhere")
    assert refused(SettingsError, source, SPELT[name]).startswith(
        f"The key of {name} has characters that no key has, such as blanks. Set STOCKCAST_"
    )
    assert server.requests == []


def test_subscribers_only_is_everyones_fault(server, pauses):
    server.fail(200, ALPHAVANTAGE_PREMIUM)
    message = refused(SettingsError, source_of("alphavantage", server, pauses), "IBM")
    assert message.startswith("Alpha Vantage has TIME_SERIES_DAILY_ADJUSTED, which splits come")
    assert message.endswith("Subscribe, or take another source, such as tiingo.")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, HTML),
        (200, "{}"),
        (500, "Internal Server Error"),
        (503, HTML),
        (200, "date;nothing\n1;2"),
        (200, "\x00\x01\x02,\x03"),
        (0, ""),
    ],
)
def test_garbage_is_an_outage_and_tried_again(name, source, server, pauses, status, body):
    server.fail(status, body)
    assert len(fetched(source, SPELT[name], FRIDAY).prices) == 1
    server.fail(status, body, times=2)
    message = refused(SourceUnavailable, source, SPELT[name])
    assert message.startswith(f"{TITLES[name]} {'answered' if status else 'gave no answer for'} ")
    assert message.endswith("Try again later. Tried 2 times.")
    assert pauses == [1.0, 1.0]


@pytest.mark.parametrize("cell", ["n/a?", "1,5,7"])
def test_a_table_with_a_wrong_cell_names_its_line(name, source, server, cell):
    header = {"tiingo": "date", "stooq": "Date", "alphavantage": "timestamp"}[name]
    rows = f"2013-02-28,1,2,1,2,9\n2013-03-01,1,2,1,{cell},9\n"
    server.fail(200, f"{header},open,high,low,close,volume\n{rows}")
    message = refused(MalformedPrices, source, SPELT[name])
    assert message.startswith(f"{SPELT[name]} from {name}, line 3: ")


def test_a_server_that_is_not_there_is_an_outage(name, server, pauses):
    pacing = Pacing(1, math.inf, pauses.append)
    source = SERVICES[name](pacing, 5.0, no_connection, "http://127.0.0.1:9")
    message = refused(SourceUnavailable, source, SPELT[name])
    assert message.startswith(f"{TITLES[name]} gave no answer for {SPELT[name]} (")


def test_a_proxy_that_cannot_be_used_is_named(name, source, monkeypatch):
    monkeypatch.setenv(f"STOCKCAST_{name.upper()}_KEY", KEY)
    monkeypatch.setenv("ALL_PROXY", "gopher://me:s3cret@127.0.0.1:9")
    message = refused(SettingsError, source, SPELT[name])
    assert message.startswith(f"{TITLES[name]} cannot be asked through the proxy (")
    assert "s3cret" not in message


# Keys


def test_no_log_has_the_key(name, source, server, caplog, monkeypatch):
    monkeypatch.setenv(f"STOCKCAST_{name.upper()}_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "httpx")
    fetched(source, SPELT[name], FRIDAY)
    server.fail(*LIMITS[name], times=2)
    refused(RateLimited, source, SPELT[name])
    _, query, authorization = server.requests[0]
    assert KEY in (authorization.removeprefix("Token "), query.get("apikey"))
    assert KEY not in caplog.text
