"""A renamed ticker's prices, asked for with its former name's."""

import dataclasses
import datetime as dt

import pandas as pd
import pytest

from pipeline.errors import UnknownTicker
from pipeline.prices import RawPrices, fetch_histories, fetch_renamed, require_known
from pipeline.sessions import Calendar
from tests.made_prices import LAST, MadeSource, random_walk

CALENDAR = Calendar("XNYS")
NOW = dt.datetime(2013, 3, 9, tzinfo=dt.UTC)
FIRST = dt.date(2012, 6, 1)
BARS = random_walk(9, 150)


class PoundSource(MadeSource):
    """A source that names a currency and an exchange, as Yahoo does."""

    def fetch_raw(self, ticker: str, first: dt.date, last: dt.date, now: dt.datetime) -> RawPrices:
        if ticker not in self.bars:
            raise UnknownTicker(f"{ticker} is unknown.")
        raw = super().fetch_raw(ticker, first, last, now)
        return dataclasses.replace(raw, currency="GBp", exchange="XLON")


def fetched(bars, **aliases):
    return fetch_renamed(PoundSource(bars), "NEW", FIRST, LAST, CALENDAR, NOW, aliases)


@pytest.mark.parametrize(
    "bars",
    [{"OLD": BARS[:-30], "NEW": BARS[-40:]}, {"OLD": BARS}],
    ids=["both names", "the former name alone"],
)
def test_both_names_are_one_history_in_one_currency(bars):
    both = fetched(bars, NEW="OLD")
    alone = fetched({"NEW": BARS})
    pd.testing.assert_frame_equal(both.prices, alone.prices)
    assert (both.currency, both.calendar, both.unused) == ("GBp", "XLON", ())


def test_a_former_name_that_is_unknown_is_told_with_the_alias():
    with pytest.raises(
        UnknownTicker, match=r"^NEW was OLD before, as `aliases` of its universe sa"
    ):
        fetched({"NEW": BARS[-30:]}, NEW="OLD")


def test_a_ticker_without_a_former_name_is_asked_for_under_its_own():
    with pytest.raises(UnknownTicker, match=r"^NEW "):
        fetched({"OLD": BARS})


def test_either_name_makes_a_ticker_known():
    source = MadeSource({"OLD": BARS, "ELSE": BARS})
    require_known(source, ["NEW", "ELSE"], {"NEW": "OLD"})
    with pytest.raises(UnknownTicker, match=r"^NEW is not among"):
        require_known(source, ["NEW", "ELSE"], {"ELSE": "OLD"})


def test_histories_of_some_tickers_have_the_prices_of_both_names():
    source = MadeSource({"OLD": BARS[:-30], "NEW": BARS[-30:], "ELSE": BARS})
    days = FIRST, LAST, CALENDAR, NOW
    histories = fetch_histories(source, ["NEW", "ELSE"], *days, {"NEW": "OLD"})
    closes = [histories.of(ticker, LAST)["close"].tolist() for ticker in ("NEW", "ELSE")]
    assert closes[0] == closes[1] == BARS["close"].tolist()
