"""Histories: the one road from revisions to the prices that a model may see.

A store keeps four reports of a source, with later bars, corrections and actions taken back. A dull
oracle reads the same reports fact by fact. Looking ahead is tried by changing everything that a
history may not see.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.prices import (
    Histories,
    adjust,
    fetch_histories,
    histories_as_of,
    mask,
    on_calendar,
)
from pipeline.prices.source import fetch
from pipeline.storage import Store
from pipeline.tables import ACTION_REVISIONS, ACTIONS, HISTORY, OHLCV, PRICE_REVISIONS, PRICES
from tests.made_prices import LAST, MadeSource, random_walk
from tests.made_stores import store_in
from tests.prices.made_reports import (
    CALENDAR,
    COUNT,
    SESSIONS,
    SOURCE_ID,
    TICKERS,
    Report,
    actions_of,
    bars_of,
    evening_of,
    facts_by_loop,
    reports,
    save,
)
from tests.prices.oracles import adjusted_by_loop

HOUR = dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Return a store with all reports."""
    opened = Store.open(store_in(tmp_path_factory.mktemp("histories")))
    for report in reports():
        save(opened, report)
    yield opened
    opened.close()


#: Before and after a split, a dividend and corrections.
CUTOFFS = [SESSIONS[number] for number in (8, 19, 20, 28, 31, COUNT - 1)]
#: Those of the reports, and one between.
MOMENTS = [
    evening_of(SESSIONS[29]),
    evening_of(SESSIONS[32]),
    evening_of(SESSIONS[33]) - HOUR,
    evening_of(SESSIONS[33]),
    evening_of(LAST),
]


@pytest.mark.parametrize(
    ("cutoff", "known_at"),
    [
        *((cutoff, MOMENTS[-1]) for cutoff in CUTOFFS),
        *((CUTOFFS[-1], moment) for moment in MOMENTS[:-1]),
        *zip(CUTOFFS[1:-1], MOMENTS, strict=False),
    ],
    ids=str,
)
def test_a_history_is_what_adjusting_and_masking_by_hand_gives(store, cutoff, known_at):
    histories = histories_as_of(store.prices, SOURCE_ID, TICKERS, cutoff, known_at)
    for ticker in TICKERS:
        bars, actions = facts_by_loop(ticker, cutoff, known_at)
        adjusted = adjust(bars, actions, cutoff)
        np.testing.assert_allclose(
            adjusted[[*OHLCV, "adj_close"]].to_numpy(),
            np.array(adjusted_by_loop(bars, actions, cutoff)).reshape(-1, 6),
            rtol=1e-12,
        )
        for masked, expected in ((False, adjusted), (True, mask(adjusted))):
            history = histories.of(ticker, cutoff, masked).reset_index(drop=True)
            pd.testing.assert_frame_equal(history, expected, check_exact=True)


def test_the_made_histories_have_something_to_mask_adjust_and_correct(store):
    """The other tests would prove little otherwise."""
    early = histories_as_of(store.prices, SOURCE_ID, TICKERS, SESSIONS[31], MOMENTS[1]).of
    late = histories_as_of(store.prices, SOURCE_ID, TICKERS, SESSIONS[31], None).of
    assert early("AAA", SESSIONS[31])["close"].isna().tolist().index(True) == 9
    assert early("AAA", SESSIONS[31])["close"].isna().sum() == 2
    assert early("AAA", SESSIONS[31], masked=False)["close"].isna().sum() == 0
    tail = [history("AAA", SESSIONS[31])["close"].iloc[-1] for history in (early, late)]
    assert tail[1] == pytest.approx(tail[0] * 1.01)
    assert (
        late("BBB", SESSIONS[31])["adj_close"].iloc[0] < late("BBB", SESSIONS[31])["close"].iloc[0]
    )


def test_without_a_moment_all_that_is_known_by_now_counts(store):
    newest, now = (
        histories_as_of(store.prices, SOURCE_ID, TICKERS, LAST, moment).all_of(LAST)
        for moment in (MOMENTS[-1], None)
    )
    pd.testing.assert_frame_equal(newest, now, check_exact=True)


def test_a_ticker_without_a_bar_has_an_empty_history(store):
    histories = histories_as_of(store.prices, SOURCE_ID, TICKERS, LAST, MOMENTS[0])
    for ticker in ("CCC", "NOPE"):
        pd.testing.assert_frame_equal(histories.of(ticker, LAST), HISTORY.empty())
        assert histories.newest_revision(ticker, LAST) is None


def test_all_tickers_together_are_the_tickers_one_by_one(store):
    histories = histories_as_of(store.prices, SOURCE_ID, TICKERS, LAST, None)
    together = histories.all_of(LAST)
    one_by_one = pd.concat([histories.of(ticker, LAST) for ticker in TICKERS])
    pd.testing.assert_frame_equal(together, one_by_one, check_exact=True)


def test_earlier_cutoffs_are_read_from_the_same_histories(store):
    late = histories_as_of(store.prices, SOURCE_ID, TICKERS, LAST, None)
    for cutoff in CUTOFFS:
        early = histories_as_of(store.prices, SOURCE_ID, TICKERS, cutoff, None)
        pd.testing.assert_frame_equal(late.all_of(cutoff), early.all_of(cutoff), check_exact=True)


def test_a_first_session_cuts_bars_and_never_actions(store):
    cutoff, first = SESSIONS[28], SESSIONS[25]
    whole = histories_as_of(store.prices, SOURCE_ID, TICKERS, cutoff, None)
    part = histories_as_of(store.prices, SOURCE_ID, TICKERS, cutoff, None, first)
    assert part.bars["session"].min() == pd.Timestamp(first)
    pd.testing.assert_frame_equal(part.actions, whole.actions)


def test_the_newest_revision_is_of_bars_and_actions_up_to_the_cutoff(store):
    histories = histories_as_of(store.prices, SOURCE_ID, TICKERS, LAST, None)
    newest = {
        (ticker, number): histories.newest_revision(ticker, SESSIONS[number])
        for ticker in ("AAA", "BBB")
        for number in (8, 11, 12, 15, COUNT - 1)
    }
    first, second, third, last = (
        pd.Timestamp(report.known_at).tz_localize(None) for report in reports()
    )
    assert newest == {
        ("AAA", 8): first,
        ("AAA", 11): second,  # the dividend of session 10 was taken back
        ("AAA", 12): third,  # the bar was corrected
        ("AAA", 15): third,
        ("AAA", COUNT - 1): last,
        ("BBB", 8): first,
        ("BBB", 11): first,
        ("BBB", 12): third,
        ("BBB", 15): third,
        ("BBB", COUNT - 1): last,
    }


# Looking ahead


def spoilt(frame: pd.DataFrame, later: pd.Series, columns: list[str]) -> pd.DataFrame:
    """Return rows with other numbers in those that are later."""
    return frame.assign(**{name: frame[name].where(~later, frame[name] * 3) for name in columns})


def spoil_sessions(report: Report, cutoff: dt.date) -> Report:
    """Return a report with other bars and actions after a cutoff, and more of them."""
    later = report.prices["session"] > pd.Timestamp(cutoff)
    prices = spoilt(report.prices, later, OHLCV)
    later = report.actions["session"] > pd.Timestamp(cutoff)
    actions = spoilt(report.actions, later, ["value"])
    ahead = [number for number, session in enumerate(SESSIONS) if session > cutoff]
    more = actions_of(*(("AAA", number, "dividend", 0.1) for number in ahead[:3]))
    actions = pd.concat([actions, more]).drop_duplicates(list(ACTIONS.key))
    return replace(report, prices=prices, actions=actions)


def spoil_revisions(report: Report, known_at: dt.datetime) -> Report:
    """Return a report with other numbers throughout where it became known after a moment."""
    if report.known_at <= known_at:
        return report
    prices = spoilt(report.prices, report.prices["session"].notna(), OHLCV)
    return replace(report, prices=prices, actions=ACTIONS.empty())


@pytest.fixture
def store_of(tmp_path: Path) -> Iterator[Callable[[list[Report]], Store]]:
    """Return a function that makes a store of other reports."""
    opened: list[Store] = []

    def make(others: list[Report]) -> Store:
        opened.append(Store.open(store_in(tmp_path / str(len(opened)))))
        for report in others:
            save(opened[-1], report)
        return opened[-1]

    yield make
    for other in opened:
        other.close()


@pytest.mark.parametrize("known_at", [MOMENTS[1], MOMENTS[3]], ids=str)
@pytest.mark.parametrize("cutoff", [SESSIONS[19], SESSIONS[31]], ids=str)
def test_nothing_after_the_cutoff_or_the_moment_changes_a_history(
    store, store_of, cutoff, known_at
):
    others = [spoil_revisions(spoil_sessions(report, cutoff), known_at) for report in reports()]
    other_store = store_of(others)
    assert not _same_tables(store, other_store, LAST, None), "the change changes nothing at all"
    for until in (cutoff, LAST):
        before, after = (
            histories_as_of(either.prices, SOURCE_ID, TICKERS, until, known_at)
            for either in (store, other_store)
        )
        for masked in (True, False):
            pd.testing.assert_frame_equal(
                before.all_of(cutoff, masked), after.all_of(cutoff, masked), check_exact=True
            )
        for ticker in TICKERS:
            moment = before.newest_revision(ticker, cutoff)
            assert moment == after.newest_revision(ticker, cutoff)


def _same_tables(store: Store, other: Store, cutoff: dt.date, known_at: dt.datetime | None) -> bool:
    tables = [
        histories_as_of(either.prices, SOURCE_ID, TICKERS, cutoff, known_at).all_of(cutoff)
        for either in (store, other)
    ]
    return tables[0].equals(tables[1])


# Without a store


def test_fetched_histories_are_those_of_each_ticker_together():
    bars = {name: random_walk(seed, COUNT) for seed, name in enumerate(TICKERS)}
    split = pd.DataFrame({"date": [SESSIONS[20]], "kind": "split", "value": 2.0})
    source, now = MadeSource(bars, {"BBB": split}), evening_of(LAST)
    first, cutoff = SESSIONS[3], SESSIONS[30]
    histories = fetch_histories(source, TICKERS, first, LAST, CALENDAR, now)
    for ticker in TICKERS:
        fetched = fetch(source, ticker, first, LAST, CALENDAR, now)
        expected = mask(adjust(fetched.prices, fetched.actions, cutoff))
        history = histories.of(ticker, cutoff).reset_index(drop=True)
        pd.testing.assert_frame_equal(history, expected, check_exact=True)
        assert history["session"].iloc[0] == pd.Timestamp(first)


def test_no_tickers_have_empty_histories():
    histories = fetch_histories(MadeSource({}), [], SESSIONS[0], LAST, CALENDAR, evening_of(LAST))
    pd.testing.assert_frame_equal(histories.bars, PRICES.empty())
    pd.testing.assert_frame_equal(histories.all_of(LAST), HISTORY.empty())


def test_no_revisions_are_no_fact():
    histories = Histories(PRICE_REVISIONS.empty(), ACTION_REVISIONS.empty())
    assert histories.newest_revision("AAA", LAST) is None


def test_on_the_calendar_missing_sessions_are_empty_and_other_days_go():
    bars = bars_of(0).iloc[:12]
    holiday = bars.iloc[[3]].assign(session=pd.Timestamp("2013-01-01"))
    assert not CALENDAR.is_session(dt.date(2013, 1, 1))
    histories = Histories(pd.concat([bars.drop(index=6), holiday]), ACTIONS.empty())
    history = histories.of("AAA", SESSIONS[11], masked=False)
    table = on_calendar(history, SESSIONS[:12])
    assert [session.date() for session in table["session"]] == SESSIONS[:12]
    assert table[OHLCV].isna().all(axis=1).tolist() == [number == 6 for number in range(12)]
    assert set(table["ticker"]) == {"AAA"}
    pd.testing.assert_frame_equal(table, HISTORY.conform(table))
    index = pd.DatetimeIndex(SESSIONS[:12])
    pd.testing.assert_frame_equal(on_calendar(history, index), table)


def test_on_the_calendar_a_history_begins_with_its_own_first_session():
    history = Histories(bars_of(0).iloc[4:], ACTIONS.empty()).of("AAA", LAST, masked=False)
    table = on_calendar(history, SESSIONS)
    pd.testing.assert_frame_equal(table, history.reset_index(drop=True))
    assert table["session"].iloc[0].date() == SESSIONS[4]


# Digests


def digested(bars: pd.DataFrame, actions: list[tuple[dt.date, str, float]], cutoff: dt.date) -> str:
    rows = [("AAA", day, kind, value) for day, kind, value in actions]
    table = ACTIONS.conform(pd.DataFrame(rows, columns=list(ACTIONS.columns)))
    return Histories(bars, table).digest("AAA", cutoff)


def test_a_digest_changes_with_what_is_seen_and_with_nothing_later() -> None:
    bars = PRICES.conform(
        random_walk(1, 30).rename(columns={"date": "session"}).assign(ticker="AAA")
    )
    days = [day.date() for day in bars["session"]]
    paid = [(days[5], "dividend", 2.0)]
    before = digested(bars, paid, days[20])
    assert digested(bars.iloc[:21], paid, days[20]) == before
    later = bars.copy()
    later.loc[21:, "close"] *= 2
    assert digested(later, [*paid, (days[21], "split", 2.0)], days[20]) == before
    others = pd.concat([bars.assign(ticker="AAB"), bars])
    assert digested(others, paid, days[20]) == before
    missing, lower = bars.drop(index=7), bars.copy()
    lower.loc[7, "low"] *= 0.999
    changed = [
        digested(bars, paid, days[21]),
        digested(missing, paid, days[20]),
        digested(lower, paid, days[20]),
        digested(bars, [], days[20]),
        digested(bars, [(days[5], "split", 2.0)], days[20]),
        digested(bars, [(days[6], "dividend", 2.0)], days[20]),
        Histories(bars, ACTIONS.empty()).digest("AAB", days[20]),
    ]
    assert len({before, *changed}) == 1 + len(changed)
