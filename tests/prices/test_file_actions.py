"""Splits and dividends in price files: the prices show whether they are adjusted for them."""

import pytest

from pipeline.errors import MalformedPrices
from tests.prices.made_csv import fetch_all, folder_of

HEAD = "Date,Open,High,Low,Close,Volume,{}\n"


def closes_and_actions(folder, text):
    fetched = fetch_all(folder_of(folder, AAPL__csv=text))
    actions = [tuple(row) for row in fetched.actions[["kind", "value"]].values.tolist()]
    return fetched.prices["close"].tolist(), actions


@pytest.mark.parametrize("name", ["Stock Splits", "Split Ratio", "splitFactor"])
@pytest.mark.parametrize("before", [400, 100])
def test_prices_that_fall_by_the_ratio_are_as_traded_others_are_made_so(tmp_path, name, before):
    lines = f"2012-01-05,1,500,1,{before},900,1\n2012-01-06,1,500,1,101,900,4\n"
    assert closes_and_actions(tmp_path, HEAD.format(name) + lines) == ([400, 101], [("split", 4)])


@pytest.mark.parametrize(("name", "before"), [("Stock Splits", 110), ("Split Ratio", 100)])
def test_a_split_too_small_to_be_seen_counts_as_its_producer_writes_it(tmp_path, name, before):
    lines = "2012-01-05,1,500,1,100,900,0\n2012-01-06,1,500,1,99,900,1.1\n"
    closes, actions = closes_and_actions(tmp_path, HEAD.format(name) + lines)
    assert (closes, actions) == ([before, 99], [("split", 1.1)])


def test_splits_may_be_written_as_ratios(tmp_path):
    lines = "2012-01-05,1,500,1,400,900,\n2012-01-06,1,500,1,101,900,4:1\n"
    assert closes_and_actions(tmp_path, HEAD.format("Split") + lines)[1] == [("split", 4)]


def test_a_reverse_split_is_seen_too(tmp_path):
    lines = "2012-01-05,1,500,1,4,900,1\n2012-01-06,1,500,1,41,900,0.1\n"
    expected = ([4, 41], [("split", 0.1)])
    assert closes_and_actions(tmp_path, HEAD.format("Split Ratio") + lines) == expected


def test_dividends_are_those_of_the_day_in_the_shares_of_the_day(tmp_path):
    """Yahoo's are adjusted for later splits, like its prices."""
    names = "Adj Close,Dividends,Stock Splits"
    lines = (
        "2012-01-05,1,500,1,100,900,99,0.25,0\n2012-01-06,1,500,1,101,900,101,0,4\n"
        "2012-01-09,1,500,1,102,900,102,0.5,0\n"
    )
    closes, actions = closes_and_actions(tmp_path, HEAD.format(names) + lines)
    assert closes == [400, 101, 102]
    assert actions == [("dividend", 1.0), ("split", 4), ("dividend", 0.5)]


@pytest.mark.parametrize(
    ("names", "cells", "unused"),
    [
        ("Adj Close", "9", ("Adj Close",)),
        ("Adj Close,Dividends", "9,0", ()),
        (
            "Dividends,Stock Splits",
            "0.5,0",
            ("Dividends (the prices are adjusted for them already)",),
        ),
    ],
)
def test_what_is_not_used_is_named(tmp_path, names, cells, unused):
    text = f"{HEAD.format(names)}2012-01-05,1,2,1,1,900,{cells}\n"
    assert fetch_all(folder_of(tmp_path, AAPL__csv=text)).unused == unused


def test_an_action_that_cannot_be_holds_its_ticker_back(tmp_path):
    text = f"{HEAD.format('Dividends')}2012-01-05,1,2,1,1,900,-3\n"
    with pytest.raises(MalformedPrices, match=r"dividend of -3\.0 on 2012-01-05; a positive"):
        fetch_all(folder_of(tmp_path, AAPL__csv=text))


def test_a_split_in_words_is_pointed_at(tmp_path):
    text = f"{HEAD.format('Split')}2012-01-05,1,2,1,1,900,2 for 1\n"
    with pytest.raises(MalformedPrices, match="split is '2 for 1', where a split such as 2 or 2:1"):
        fetch_all(folder_of(tmp_path, AAPL__csv=text))
