"""Prices of an audit: those with the longest histories where no ticker is named."""

import datetime as dt

import pytest

from pipeline.inspection import bars_of
from pipeline.inspection.audited_prices import shared_sessions
from pipeline.models import RECIPES
from pipeline.universes import load_universes
from tests.made_audits import LAST_AUDITED, made_bars


@pytest.mark.parametrize(
    ("recipe", "asked", "tickers"),
    [
        ("default", (), ["AAPL", "IBM"]),
        ("castilla", (), ["AAPL"]),
        ("default", ("MSFT", "FB"), ["MSFT", "FB"]),
    ],
)
def test_where_no_ticker_is_named_those_with_the_longest_histories_are_taken(
    parts, recipe, asked, tickers
):
    now = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    universe = load_universes()["sample"]
    bars = bars_of(parts, universe, RECIPES.for_price(recipe), asked, now)
    assert list(bars) == tickers


def test_the_newest_sessions_are_those_at_the_end():
    bars = made_bars("AAA", "BBB")
    newest = {"AAA": bars["AAA"].newest(5), "BBB": bars["BBB"].newest(3)}
    sessions = shared_sessions(newest)
    assert len(sessions) == 3 and sessions[-1] == LAST_AUDITED
    assert sessions == sorted(sessions)
