"""Price revisions: append only, read as of a moment, one moment for bars and actions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from pipeline.prices import histories_as_of
from pipeline.storage import PriceRevisions, Store
from pipeline.tables import (
    ACTIONS,
    PRICE_COLUMNS,
    PRICE_CURRENCIES,
    PRICE_READINGS,
    PRICE_REVISIONS,
    PRICES,
)
from tests.storage.made_rows import (
    EVENING,
    HOUR,
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    actions,
    bars,
    save_at,
)

NO_ACTIONS = ACTIONS.empty()
THREE_DAYS = bars(("IBM", MONDAY, 10.0), ("IBM", TUESDAY, 11.0), ("IBM", WEDNESDAY, 12.0))


@pytest.fixture
def prices(store: Store) -> PriceRevisions:
    """No prices, on each kind of database."""
    return store.prices


def test_only_differing_bars_become_revisions_and_a_read_sees_those_of_its_moment(prices, store):
    first, corrected = bars(("IBM", MONDAY, 10.0), ("IBM", TUESDAY, np.nan)), THREE_DAYS
    counts = [
        save_at(
            EVENING + hours * HOUR, prices, "yahoo", rows, NO_ACTIONS, MONDAY, WEDNESDAY
        ).total()
        for hours, rows in enumerate((first, first, corrected))
    ]
    assert counts == [2, 0, 2]
    assert len(store.load(PRICE_REVISIONS)) == 4

    def read(source="yahoo", ticker="IBM", cutoff=WEDNESDAY, known_at=None):
        return prices.bars(source, ticker, cutoff, known_at)

    pd.testing.assert_frame_equal(read(known_at=EVENING + HOUR), first)
    pd.testing.assert_frame_equal(read(known_at=EVENING + 2 * HOUR), corrected)
    until_tuesday = read(ticker=["IBM"], cutoff=TUESDAY, known_at=EVENING + 2 * HOUR)
    pd.testing.assert_frame_equal(until_tuesday, corrected.iloc[:2])
    pd.testing.assert_frame_equal(read(), corrected)
    pd.testing.assert_frame_equal(read("sample", known_at=EVENING + HOUR), PRICES.empty())
    pd.testing.assert_frame_equal(read(known_at=EVENING - HOUR), PRICES.empty())


def test_moments_are_compared_in_utc(prices, store):
    new_york = dt.timezone(dt.timedelta(hours=-4))
    known_at = dt.datetime(2020, 8, 26, 18, tzinfo=new_york)
    save_at(known_at, prices, "yahoo", bars(("IBM", MONDAY, 10.0)), NO_ACTIONS, MONDAY, MONDAY)
    assert store.load(PRICE_REVISIONS)["known_at"].tolist() == [pd.Timestamp("2020-08-26 22:00")]
    assert len(prices.bars("yahoo", "IBM", MONDAY, EVENING)) == 1
    assert len(prices.bars("yahoo", "IBM", MONDAY, EVENING - HOUR)) == 0


@pytest.mark.parametrize("hours", [0, -24], ids=["stands still", "is set back by a day"])
def test_what_is_known_for_a_moment_does_not_change_afterwards_whatever_the_clock(prices, hours):
    save_at(EVENING, prices, "csv", bars(("IBM", MONDAY, 10.0)), NO_ACTIONS, MONDAY, MONDAY)
    again, split = EVENING + hours * HOUR, actions(("AAPL", MONDAY, "split", 2.0))
    other = bars(("IBM", MONDAY, 99.0)), split, MONDAY, MONDAY
    assert save_at(again, prices, "csv", *other) == {"IBM": 1}
    assert save_at(again, prices, "csv", *other).total() == 0
    assert prices.bars("csv", "IBM", MONDAY, EVENING)["close"].tolist() == [10.0]
    assert prices.bars("csv", "IBM", MONDAY, None)["close"].tolist() == [99.0]
    newest = prices.newest_revision("csv", ["IBM", "AAPL"], MONDAY, None)
    assert newest == EVENING.replace(tzinfo=None, microsecond=1)
    assert prices.sources() == ["csv"]


def test_a_clock_that_was_a_day_fast_stores_nothing_twice(prices, store):
    report = "csv", THREE_DAYS, NO_ACTIONS, MONDAY, WEDNESDAY
    assert save_at(EVENING + 24 * HOUR, prices, *report).total() == 3
    assert save_at(EVENING, prices, *report).total() == 0
    assert len(store.load(PRICE_REVISIONS)) == 3


def test_an_action_that_is_no_longer_reported_is_taken_back_within_the_range_only(prices):
    both = actions(("IBM", MONDAY, "dividend", 0.5), ("IBM", WEDNESDAY, "split", 2.0))
    later, last = EVENING + HOUR, EVENING + 2 * HOUR
    save_at(EVENING, prices, "yahoo", THREE_DAYS, both, MONDAY, WEDNESDAY)
    save_at(later, prices, "yahoo", THREE_DAYS.iloc[1:], NO_ACTIONS, TUESDAY, WEDNESDAY)
    dividend = both.iloc[:1]
    pd.testing.assert_frame_equal(prices.actions("yahoo", "IBM", WEDNESDAY, EVENING), both)
    pd.testing.assert_frame_equal(prices.actions("yahoo", "IBM", WEDNESDAY, later), dividend)
    save_at(last, prices, "yahoo", THREE_DAYS, both, MONDAY, WEDNESDAY)
    pd.testing.assert_frame_equal(prices.actions("yahoo", "IBM", WEDNESDAY, last), both)
    pd.testing.assert_frame_equal(prices.actions("yahoo", "IBM", TUESDAY, last), dividend)


def test_an_answer_without_a_ticker_does_not_take_its_actions_back(prices):
    split = actions(("IBM", MONDAY, "split", 2.0))
    save_at(EVENING, prices, "yahoo", bars(("IBM", MONDAY, 10.0)), split, MONDAY, MONDAY)
    other = bars(("AAPL", MONDAY, 10.0))
    save_at(EVENING + HOUR, prices, "yahoo", other, NO_ACTIONS, MONDAY, MONDAY)
    assert len(prices.actions("yahoo", "IBM", MONDAY, EVENING + HOUR)) == 1


def test_prices_are_adjusted_as_of_the_cutoff(prices):
    rows = bars(("AAPL", MONDAY, 100.0), ("AAPL", TUESDAY, 104.0), ("AAPL", WEDNESDAY, 26.0))
    split = actions(("AAPL", WEDNESDAY, "split", 4.0))
    save_at(EVENING, prices, "yahoo", rows, split, MONDAY, WEDNESDAY)

    def closes(cutoff):
        histories = histories_as_of(prices, "yahoo", ["AAPL"], cutoff, EVENING)
        return histories.of("AAPL", cutoff, masked=False)["close"].tolist()

    assert closes(TUESDAY) == [100.0, 104.0]
    assert closes(WEDNESDAY) == [25.0, 26.0, 26.0]


def test_the_last_session_is_the_newest_known_one_until_a_day(prices):
    save_at(EVENING, prices, "yahoo", THREE_DAYS.iloc[:2], NO_ACTIONS, MONDAY, TUESDAY)
    later = EVENING + HOUR
    save_at(later, prices, "yahoo", THREE_DAYS.iloc[2:], NO_ACTIONS, WEDNESDAY, WEDNESDAY)
    both = ["IBM", "AAPL"]
    assert prices.last_sessions("yahoo", both, WEDNESDAY, EVENING) == {"IBM": TUESDAY}
    assert prices.last_sessions("yahoo", both, WEDNESDAY, later) == {"IBM": WEDNESDAY}
    assert prices.last_sessions("yahoo", both, WEDNESDAY, None) == {"IBM": WEDNESDAY}
    assert prices.last_sessions("yahoo", both, MONDAY, EVENING) == {"IBM": MONDAY}
    assert prices.last_sessions("yahoo", ["AAPL"], MONDAY, EVENING) == {}


def test_the_newest_revision_is_of_bars_or_actions_up_to_the_cutoff_and_known_by_then(prices):
    moments = [EVENING + hours * HOUR for hours in range(4)]
    dividend = actions(("IBM", TUESDAY, "dividend", 0.5))
    for rows, acted, first, last, known_at in (
        (THREE_DAYS.iloc[:2], NO_ACTIONS, MONDAY, TUESDAY, moments[0]),
        (THREE_DAYS.iloc[:2], dividend, MONDAY, TUESDAY, moments[1]),
        (THREE_DAYS.iloc[2:], NO_ACTIONS, WEDNESDAY, WEDNESDAY, moments[2]),
        (bars(("AAPL", MONDAY, 1.0)), NO_ACTIONS, MONDAY, MONDAY, moments[3]),
    ):
        save_at(known_at, prices, "yahoo", rows, acted, first, last)
    at = [moment.replace(tzinfo=None) for moment in moments[:3]]
    for known_at in (None, EVENING + 9 * HOUR):
        newest = [
            prices.newest_revision("yahoo", "IBM", cutoff, known_at)
            for cutoff in (MONDAY, TUESDAY, WEDNESDAY)
        ]
        assert newest == at
    assert prices.newest_revision("yahoo", "IBM", WEDNESDAY, EVENING + HOUR) == at[1]
    assert prices.newest_revision("yahoo", "IBM", WEDNESDAY, EVENING) == at[0]
    assert prices.newest_revision("yahoo", "IBM", WEDNESDAY, EVENING - HOUR) is None
    assert prices.newest_revision("csv", "IBM", WEDNESDAY, None) is None


def test_reading_as_of_the_newest_revision_gives_what_reading_now_does(prices):
    for hour, close in enumerate((10.0, 10.5, 10.5)):
        rows, known_at = bars(("IBM", MONDAY, close)), EVENING + hour * HOUR
        save_at(known_at, prices, "yahoo", rows, NO_ACTIONS, MONDAY, MONDAY)
    newest = prices.newest_revision("yahoo", "IBM", MONDAY, None)
    assert newest == (EVENING + HOUR).replace(tzinfo=None)  # the third brought nothing new
    then, now = (
        histories_as_of(prices, "yahoo", ["IBM"], MONDAY, known_at).of("IBM", MONDAY)
        for known_at in (newest, None)
    )
    pd.testing.assert_frame_equal(then, now)


def _reports(days: np.ndarray) -> Iterator[tuple[dt.datetime, str, np.ndarray, np.ndarray]]:
    """Yield moment, ticker, days and closes of ten made reports."""
    rng = np.random.default_rng(7)
    for hour in range(5):
        for ticker in ("A", "B"):
            sessions = np.sort(rng.choice(days, size=12, replace=False))
            yield EVENING + hour * HOUR, ticker, sessions, rng.integers(1, 4, size=12).astype(float)


def test_the_newest_revisions_are_those_of_a_plain_loop(prices):
    days = pd.bdate_range("2020-01-01", periods=20).date
    reported: dict[tuple[str, dt.date], list[tuple[dt.datetime, float]]] = {}
    for moment, ticker, sessions, closes in _reports(days):
        rows = [(ticker, day, close) for day, close in zip(sessions, closes, strict=True)]
        save_at(moment, prices, "x", bars(*rows), NO_ACTIONS, sessions[0], sessions[-1])
        for _, day, close in rows:
            reported.setdefault((ticker, day), []).append((moment, close))
    for hour in (0, 2, 4):
        moment, cutoff = EVENING + hour * HOUR, days[12]
        known = {
            key: [close for at, close in history if at <= moment]
            for key, history in reported.items()
            if key[1] <= cutoff
        }
        expected = sorted((*key, closes[-1]) for key, closes in known.items() if closes)
        stored = prices.bars("x", ["A", "B"], cutoff, moment + HOUR / 2)
        pd.testing.assert_frame_equal(stored, bars(*expected))


def test_bars_and_actions_are_read_as_of_one_moment_while_an_ingest_comes_in_between(
    store, store_url
):
    first = bars(("AAPL", MONDAY, 100.0))
    save_at(EVENING, store.prices, "yahoo", first, NO_ACTIONS, MONDAY, MONDAY)
    other = Store.open(store_url)
    second, split = bars(("AAPL", TUESDAY, 25.0)), actions(("AAPL", TUESDAY, "split", 4.0))

    def ingest(connection, cursor, statement, *_):
        if "price_revisions" in statement:
            save_at(EVENING, other.prices, "yahoo", second, split, TUESDAY, TUESDAY)

    def read():
        rows, acted = store.prices.revisions("yahoo", ["AAPL"], WEDNESDAY, None)
        return rows["close"].tolist(), acted["value"].tolist()

    sa.event.listen(store.database.engine, "after_cursor_execute", ingest)
    assert read() == ([100.0], [])
    sa.event.remove(store.database.engine, "after_cursor_execute", ingest)
    assert read() == ([100.0, 25.0], [4.0])
    other.close()


def test_the_same_bars_ingested_four_times_at_once_are_one_revision(store, store_url):
    rows = bars(*(("IBM", day.date(), 10.0) for day in pd.bdate_range("2020-01-01", periods=200)))

    def ingest(_: int) -> int:
        other = Store.open(store_url)
        try:
            added = save_at(EVENING, other.prices, "yahoo", rows, NO_ACTIONS, MONDAY, MONDAY)
            return added["IBM"]
        finally:
            other.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(ingest, range(4))) == 200
    assert len(store.load(PRICE_REVISIONS)) == 200


def test_the_bars_of_each_ticker_are_counted_up_to_a_cutoff(prices):
    three = [("AAA", day, 1.0) for day in (MONDAY, TUESDAY, WEDNESDAY)]
    rows = bars(*three, ("BBB", TUESDAY, 4.0))
    save_at(EVENING, prices, "made", rows, NO_ACTIONS, MONDAY, WEDNESDAY)
    assert prices.bar_counts("made", WEDNESDAY) == {"AAA": 3, "BBB": 1}
    assert prices.bar_counts("made", MONDAY) == {"AAA": 1}
    assert prices.bar_counts("other", WEDNESDAY) == {}


def test_a_bar_that_was_taken_back_is_none_from_then_on(prices):
    save_at(EVENING, prices, "csv", THREE_DAYS, NO_ACTIONS, MONDAY, WEDNESDAY)
    gone = THREE_DAYS.iloc[1:2].assign(**dict.fromkeys(PRICE_COLUMNS, np.nan), volume=-1.0)
    later = EVENING + HOUR
    save_at(later, prices, "csv", gone, NO_ACTIONS, MONDAY, WEDNESDAY)
    assert prices.bars("csv", "IBM", WEDNESDAY, None)["close"].tolist() == [10.0, 12.0]
    assert prices.bars("csv", "IBM", WEDNESDAY, EVENING)["close"].tolist() == [10.0, 11.0, 12.0]
    histories = histories_as_of(prices, "csv", ["IBM"], WEDNESDAY, None)
    for masked in (True, False):
        assert histories.of("IBM", WEDNESDAY, masked)["close"].tolist() == [10.0, 12.0]
    # Its revision is among those that a reader of this moment has seen.
    assert histories.newest_revision("IBM", WEDNESDAY) == later.replace(tzinfo=None)


def test_a_currency_is_that_of_a_moment_and_before_the_first_it_is_the_first(prices, store):
    def save(moment, currency):
        everything = "csv", THREE_DAYS, NO_ACTIONS, MONDAY, WEDNESDAY, None, {"IBM": currency}
        save_at(moment, prices, *everything)

    days = [EVENING + dt.timedelta(days=day) for day in range(5)]
    save(days[0], "")
    assert prices.currencies("csv", ["IBM"]) == {}
    for moment, currency in zip(days[1:], ("GBP", "GBP", "GBp", ""), strict=True):
        save(moment, currency)
    assert store.load(PRICE_CURRENCIES)["currency"].tolist() == ["GBP", "GBp"]
    asked = [prices.currencies("csv", ["IBM", "FB"], moment) for moment in days]
    assert [each["IBM"] for each in asked] == ["GBP", "GBP", "GBP", "GBp", "GBp"]
    assert prices.currencies("csv", ["IBM", "FB"]) == {"IBM": "GBp"}


def test_what_was_read_is_kept_with_the_bars_or_not_at_all(prices, store):
    row = {"source_id": "csv", "ticker": "IBM", "first": MONDAY, "last": WEDNESDAY, "digest": "d"}
    reading = PRICE_READINGS.conform(pd.DataFrame([row]))
    twice = pd.concat([THREE_DAYS, THREE_DAYS.assign(close=1.0)])
    with pytest.raises(ValueError, match="the same key"):
        save_at(EVENING, prices, "csv", twice, NO_ACTIONS, MONDAY, WEDNESDAY, reading)
    assert store.load(PRICE_READINGS).empty
    save_at(EVENING, prices, "csv", THREE_DAYS, NO_ACTIONS, MONDAY, WEDNESDAY, reading)
    pd.testing.assert_frame_equal(store.load(PRICE_READINGS), reading)
