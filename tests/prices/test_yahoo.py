"""The real yfinance client against a server on loopback that speaks Yahoo's protocol."""

import datetime as dt
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from pipeline.daily import STEPS, plan
from pipeline.errors import MalformedPrices, RateLimited, SourceUnavailable, UnknownTicker
from pipeline.prices.source import fetch
from pipeline.sessions import Calendar
from pipeline.tables import OHLCV
from pipeline.universes import Universe
from tests.daily.quick_days import QuickParts
from tests.prices.conftest import EVENING, make_yahoo

pytestmark = pytest.mark.slow

JUNE = dt.date(2024, 6, 3), dt.date(2024, 7, 1)


def in_june(yahoo, ticker="MSFT", now=EVENING, calendar="XNYS"):
    return fetch(yahoo, ticker, *JUNE, Calendar(calendar), now)


def traded(server, ticker):
    """Return the traded bars, from the side of the market."""
    market = server.market
    sessions = pd.DatetimeIndex(market.opened(ticker))
    return pd.DataFrame(market.traded(ticker), columns=OHLCV, index=sessions)


def test_bars_are_as_they_were_traded_across_a_split(yahoo, yahoo_server, xnys):
    fetched = fetch(yahoo, "NVDA", dt.date(2022, 1, 1), JUNE[1], xnys, EVENING)
    np.testing.assert_array_equal(fetched.prices[OHLCV], traded(yahoo_server, "NVDA"))
    before, after = fetched.prices.set_index("session").loc[["2024-06-07", "2024-06-10"], "close"]
    assert 8 < before / after < 12
    splits = fetched.actions[fetched.actions["kind"] == "split"]
    assert splits[["session", "value"]].values.tolist() == [[pd.Timestamp("2024-06-10"), 10.0]]


def test_dividends_are_as_they_were_paid_across_a_split(yahoo, yahoo_server, xnys):
    actions = fetch(yahoo, "NVDA", dt.date(2022, 1, 1), JUNE[1], xnys, EVENING).actions
    dividends = actions[actions["kind"] == "dividend"]
    assert [
        (row.session.date(), row.value) for row in dividends.itertuples()
    ] == yahoo_server.market.paid("NVDA")


def test_a_split_does_not_revise_the_bars_before_it(yahoo, yahoo_server, xnys):
    days = dt.date(2024, 6, 3), dt.date(2024, 6, 7)
    yahoo_server.market.now = friday = dt.datetime(2024, 6, 7, 22, tzinfo=dt.UTC)
    before = fetch(yahoo, "NVDA", *days, xnys, friday)
    yahoo_server.market.now = EVENING
    after = fetch(yahoo, "NVDA", *days, xnys, EVENING)
    pd.testing.assert_frame_equal(before.prices, after.prices, check_exact=True)


def test_a_later_fetch_asks_from_its_first_day_to_the_present(yahoo, yahoo_server, xnys):
    in_june(yahoo)
    yahoo_server.requests.clear()
    fetched = fetch(yahoo, "MSFT", dt.date(2024, 6, 26), dt.date(2024, 6, 27), xnys, EVENING)
    sessions = [str(session.date()) for session in fetched.prices["session"]]
    assert sessions == ["2024-06-26", "2024-06-27"]
    (ticker, query), *others = [
        request for request in yahoo_server.requests if "period1" in request[1]
    ]
    assert (ticker, others) == ("MSFT", [])
    begin = dt.datetime.fromtimestamp(int(query["period1"]), dt.UTC)
    assert begin == dt.datetime(2024, 6, 26, 4, tzinfo=dt.UTC)
    assert int(query["period2"]) > EVENING.timestamp()


def test_the_bar_of_a_session_going_on_is_left_for_later(yahoo, yahoo_server):
    yahoo_server.market.now = noon = dt.datetime(2024, 7, 1, 16, tzinfo=dt.UTC)
    assert in_june(yahoo, now=noon).prices["session"].max() == pd.Timestamp("2024-06-28")


def test_a_coins_session_is_the_day_in_utc(yahoo, yahoo_server):
    fetched = in_june(yahoo, "BTC-USD", calendar="24/7")
    sessions = [session.date() for session in fetched.prices["session"]]
    assert sessions == Calendar("24/7").sessions(JUNE[0], dt.date(2024, 6, 30))
    expected = traded(yahoo_server, "BTC-USD")["2024-06-03":"2024-06-30"]
    np.testing.assert_array_equal(fetched.prices[OHLCV], expected)


def test_a_bar_without_prices_is_kept_as_missing(yahoo, yahoo_server):
    in_june(yahoo)  # the time zone is known now, so the next answer is the bars
    yahoo_server.fail("nan-bar")
    prices = in_june(yahoo).prices.set_index("session")[OHLCV]
    assert prices[prices.isna().any(axis=1)].isna().all(axis=1).to_dict() == {
        pd.Timestamp("2024-06-27"): True
    }


def test_nothing_new_is_no_error(yahoo, yahoo_server, pauses):
    raw = yahoo.fetch_raw("MSFT", dt.date(2024, 7, 2), dt.date(2024, 7, 5), EVENING)
    assert (len(raw.prices), len(raw.actions), pauses) == (0, 0, [])


def test_an_unknown_ticker_is_an_error_at_once(yahoo, pauses):
    message = r"Yahoo does not know NOPE .*Spell it as finance\.yahoo\.com does"
    with pytest.raises(UnknownTicker, match=message):
        in_june(yahoo, "NOPE")
    assert pauses == []


def test_an_isin_is_not_looked_up_as_something_else(yahoo, yahoo_server):
    with pytest.raises(UnknownTicker, match="US0378331005 looks like an ISIN"):
        in_june(yahoo, "US0378331005")
    assert yahoo_server.requests == []


#: yfinance asks twice before it believes an HTTP error, so one failed attempt takes two of those.
@pytest.mark.parametrize(
    ("failure", "answers", "error", "message"),
    [
        ("429", 2, RateLimited, "Yahoo asks for fewer requests"),
        ("500", 2, SourceUnavailable, "HTTP 500 and no price data"),
        ("500-json", 2, SourceUnavailable, "HTTP 500: internal"),
        ("empty", 1, SourceUnavailable, "HTTP 200 and no price data"),
        ("no-result", 1, SourceUnavailable, "HTTP 200 and an empty result"),
        ("html", 1, SourceUnavailable, "HTTP 200 and no price data"),
        (
            "no-bars",
            1,
            SourceUnavailable,
            "sent no bars for MSFT since 2024-06-03, though it traded on 2024-07-01",
        ),
        ("cut", 1, SourceUnavailable, "gave no answer for MSFT"),
    ],
)
def test_an_outage_is_waited_out_or_raised_as_one(
    yahoo, yahoo_server, pauses, failure, answers, error, message
):
    good = in_june(yahoo)
    yahoo_server.fail(failure, times=answers)
    pd.testing.assert_frame_equal(in_june(yahoo).prices, good.prices)
    pause = 5.0 if error is RateLimited else 1.0
    assert pauses == [pause]

    yahoo_server.fail(failure, times=2 * answers)
    with pytest.raises(error, match=message) as caught:
        in_june(yahoo)
    assert type(caught.value) is error
    assert str(caught.value).endswith("Tried 2 times.")
    assert pauses == [pause, pause]


def test_a_yahoo_that_hangs_is_given_up_on_in_time(yahoo, yahoo_server, yahoo_cache, pauses):
    in_june(yahoo)
    yahoo_server.fail("hang", times=2)
    with pytest.raises(SourceUnavailable, match=r"gave no answer for MSFT .*timed out"):
        in_june(make_yahoo(yahoo_server, yahoo_cache, pauses.append, timeout=0.5))


def test_tickers_are_asked_for_no_faster_than_the_rate_allows(yahoo_server, yahoo_cache, pauses):
    slow = make_yahoo(yahoo_server, yahoo_cache, pauses.append, rate=0.01)
    for _ in range(3):
        in_june(slow)
    # Nobody really slept, so the third is due a second time.
    assert pauses == [pytest.approx(100, abs=20), pytest.approx(200, abs=20)]


@pytest.mark.parametrize("failure", ["ragged", "text"])
def test_an_answer_that_is_no_price_table_is_malformed(yahoo, yahoo_server, pauses, failure):
    in_june(yahoo)
    yahoo_server.fail(failure)
    with pytest.raises(MalformedPrices, match="MSFT: Yahoo's answer cannot be read as prices"):
        in_june(yahoo)
    assert pauses == []


def test_a_split_that_yahoo_brings_late_is_in_all_that_is_stored(yahoo, yahoo_server, tmp_path):
    """Its bars and events of two weeks before show a split that they did not show on Friday."""
    market = yahoo_server.market
    universe = Universe(name="made", source="yahoo", tickers=("MSFT",), start=dt.date(2022, 1, 3))
    splits = {"MSFT": [(dt.date(2024, 6, 17), 4.0)]}
    with QuickParts(tmp_path, yahoo) as parts:
        for session, market.splits in ((dt.date(2024, 6, 28), {}), (dt.date(2024, 7, 1), splits)):
            market.now = now = dt.datetime.combine(session, dt.time(22), dt.UTC)
            parts.store.prices.clock = lambda now=now: now
            yahoo_server.requests.clear()
            run = plan(parts, universe, session, now)
            STEPS["ingest"](parts, run, ["MSFT"])
        stored = parts.store.prices.bars("yahoo", "MSFT", session, None)
        actions = parts.store.prices.actions("yahoo", "MSFT", session, None)
    np.testing.assert_array_equal(stored[OHLCV], traded(yahoo_server, "MSFT"))
    assert actions[actions["kind"] == "split"]["value"].tolist() == [4.0]
    begins = [int(query["period1"]) for _, query in yahoo_server.requests if "period1" in query]
    assert [str(dt.datetime.fromtimestamp(begin, dt.UTC).date()) for begin in begins] == [
        "2024-06-21",
        "2022-01-03",
    ]
    restated = "9 of 625 stored bars restated by 4:1 from 2024-06-17 to 2024-06-28"
    assert restated in [text for _, _, text in parts.messages]


CLIENT = """
import datetime as dt, json, sys
from pipeline.prices.source import fetch
from pipeline.prices.yahoo import YahooSource
from pipeline.sessions import Calendar

yahoo = YahooSource(sys.argv[1], attempts=2, timeout=5, rate=1000, sleep=lambda seconds: None)
calendar, now = Calendar("XNYS"), dt.datetime(2024, 7, 1, 22, tzinfo=dt.UTC)
days = dt.date(2024, 6, 6), dt.date(2024, 6, 11)
def closes(ticker):
    try:
        return fetch(yahoo, ticker, *days, calendar, now).prices["close"].tolist()
    except Exception as error:
        return type(error).__name__
print(json.dumps([closes("NVDA"), closes("NOPE"), closes("MSFT")]))
"""


def test_another_process_reaches_yahoo_through_the_proxy_with_nothing_changed(
    yahoo_server, tmp_path
):
    yahoo_server.fail("500", times=4, ticker="MSFT")
    environment = {**os.environ, **yahoo_server.environment()}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, str(tmp_path / "cache")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    expected = traded(yahoo_server, "NVDA")["close"]["2024-06-06":"2024-06-11"].tolist()
    assert json.loads(done.stdout) == [expected, "UnknownTicker", "SourceUnavailable"]
    assert list((tmp_path / "cache").iterdir()) == []


OFFLINE = """
import datetime as dt, sys
from pipeline.prices.yahoo import YahooSource

day = dt.date(2024, 7, 1)
yahoo = YahooSource(sys.argv[1], attempts=2, timeout=5, rate=1000, sleep=lambda seconds: None)
try:
    yahoo.fetch_raw("KO", day, day, dt.datetime.now(dt.UTC))
except Exception as error:
    print(type(error).__name__)
"""


def test_without_a_network_the_error_is_all_the_output(tmp_path):
    nowhere = {
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "https_proxy": "http://127.0.0.1:1",
        "NO_PROXY": "",
        "no_proxy": "",
    }
    command = [sys.executable, "-c", OFFLINE, str(tmp_path)]
    done = subprocess.run(
        command, env={**os.environ, **nowhere}, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("SourceUnavailable\n", "")
