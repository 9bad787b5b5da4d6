"""Kept histories: found again once, for the same request alone, as long as there is room."""

import dataclasses
import datetime as dt

from pipeline.prices import Histories, HistoryRequest, KeptHistories
from pipeline.tables import ACTIONS
from tests.made_prices import random_walk

REQUEST = HistoryRequest("made", dt.date(2020, 1, 31), dt.datetime(2020, 2, 1), None, True)
LATER = dataclasses.replace(REQUEST, cutoff=dt.date(2020, 2, 3))


def histories(bars):
    return Histories(random_walk(0, bars), ACTIONS.empty())


def test_histories_are_found_again_once_for_some_of_their_tickers():
    kept, first, second = KeptHistories(), histories(3), histories(4)
    kept.keep(REQUEST, ["AAA", "BBB"], first)
    kept.keep(REQUEST, ["CCC"], second)
    assert kept.take(REQUEST, ["AAA", "CCC"]) is None
    assert kept.take(REQUEST, ["BBB"]) is first
    assert kept.take(REQUEST, ["BBB"]) is None
    assert kept.take(REQUEST, ["CCC"]) is second


def test_another_request_finds_nothing_and_takes_the_place_of_the_one_before():
    kept, newest = KeptHistories(), histories(3)
    kept.keep(REQUEST, ["AAA"], histories(3))
    assert kept.take(LATER, ["AAA"]) is None
    kept.keep(LATER, ["AAA"], newest)
    assert kept.take(REQUEST, ["AAA"]) is None
    assert kept.take(LATER, ["AAA"]) is newest


def test_what_there_is_no_room_for_is_read_again():
    kept, small = KeptHistories(most_bars=5), histories(2)
    kept.keep(REQUEST, ["AAA"], histories(3))
    kept.keep(REQUEST, ["BBB"], histories(3))
    kept.keep(REQUEST, ["CCC"], small)
    assert kept.take(REQUEST, ["BBB"]) is None
    assert kept.take(REQUEST, ["CCC"]) is small
