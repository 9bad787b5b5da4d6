"""Ingestion: what is new up to the session, and the tickers that could not be fetched."""

import dataclasses
import datetime as dt
import re

import pandas as pd
import pytest

from pipeline.daily import STEPS, plan, probe
from pipeline.errors import NothingStored, SettingsError, SourceUnavailable
from pipeline.prices import calendar_fit
from pipeline.sessions import Calendar
from pipeline.tables import CHECKS, PRICE_REVISIONS
from tests.daily.quick_days import quick_day, take_steps
from tests.made_days import NOW, UNIVERSE
from tests.made_prices import LAST, MadeSource

pytestmark = pytest.mark.integration


class FlakySource(MadeSource):
    """A source that does not answer for BBB once `is_down` is set."""

    is_down = False

    def fetch_raw(self, ticker, first, last, now):
        if ticker == "BBB" and self.is_down:
            raise SourceUnavailable("BBB: the source answers 500. Try again later.")
        return super().fetch_raw(ticker, first, last, now)


@pytest.fixture
def interrupted(parts, source):
    """A run whose ingestion has failed for BBB."""
    parts.made = FlakySource(source.bars)
    run = plan(parts, UNIVERSE, LAST, NOW)
    parts.made.is_down = True
    ingest(parts, run)
    return run


def ingest(parts, run, tickers=UNIVERSE.tickers):
    STEPS["ingest"](parts, run, list(tickers))


def test_an_outage_of_one_ticker_keeps_the_others_and_is_recorded(parts, interrupted):
    assert parts.store.load(PRICE_REVISIONS)["ticker"].unique().tolist() == ["AAA", "CCC"]
    assert STEPS["check"](parts, interrupted) == ["AAA", "CCC"]
    checks = parts.rows(CHECKS, interrupted).set_index("ticker")
    assert checks.loc["BBB", "verdict"] == "quarantined"
    assert checks.loc["BBB", "reasons"].startswith("ingest: BBB: the source answers 500")


def test_an_outage_of_one_ticker_is_waited_for_as_long_as_tries_are_left(parts, interrupted):
    parts.tries_left = True
    with pytest.raises(SourceUnavailable, match="BBB: the source answers 500"):
        ingest(parts, interrupted)


def test_where_all_tickers_fail_the_step_fails(parts, interrupted):
    with pytest.raises(SourceUnavailable, match="BBB: the source answers 500"):
        ingest(parts, interrupted, ["BBB"])


def test_the_line_of_a_ticker_says_what_of_its_file_is_not_used(parts, source):
    class File(MadeSource):
        def fetch_raw(self, ticker, first, last, now):
            raw = super().fetch_raw(ticker, first, last, now)
            return dataclasses.replace(raw, unused=("Adj Close",), left_out=("1 row",))

    parts.made = File(source.bars)
    ingest(parts, plan(parts, UNIVERSE, LAST, NOW))
    line = "120 bars from 2000-01-03, 120 new or corrected; not used: Adj Close; not used: 1 row"
    assert ("ingest", "AAA", line) in parts.messages


def test_the_line_of_a_ticker_without_bars_until_the_session_says_which_there_are(parts, source):
    later = source.bars["AAA"]["date"] + pd.DateOffset(years=20)
    source.bars["AAA"] = source.bars["AAA"].assign(date=later)
    ingest(parts, plan(parts, UNIVERSE, LAST, NOW))
    [line] = [text for _, ticker, text in parts.messages if ticker == "AAA"]
    assert line == (
        "0 bars from 2000-01-03, 0 new or corrected; not used: 120 bars from "
        f"{later.min().date()} to {later.max().date()}, outside 2000-01-03 to 2013-03-01"
    )


def test_a_ticker_that_is_fetched_again_is_judged_again(parts, interrupted):
    STEPS["check"](parts, interrupted)
    parts.made.is_down = False
    take_steps(parts, interrupted, last="check")
    assert set(parts.rows(CHECKS, interrupted)["verdict"]) == {"passed"}


def test_only_the_newest_sessions_are_fetched_again(parts):
    run = plan(parts, UNIVERSE, LAST, NOW)
    ingest(parts, run)
    stored = parts.store.load(PRICE_REVISIONS)
    assert len(stored) == 120 + 121 + 122
    assert ("ingest", "AAA", "120 bars from 2000-01-03, 120 new or corrected") in parts.messages
    ingest(parts, run)
    assert len(parts.store.load(PRICE_REVISIONS)) == len(stored)
    assert parts.messages[-3:][0][2] == "6 bars from 2013-02-22, 0 new or corrected"


def test_a_corrected_bar_is_a_new_revision(parts, source):
    run = plan(parts, UNIVERSE, LAST, NOW)
    ingest(parts, run)
    source.bars["AAA"].loc[source.bars["AAA"].index[-2], "close"] *= 1.001
    later = plan(parts, UNIVERSE, LAST, NOW + dt.timedelta(days=1))
    ingest(parts, later)
    assert len(parts.store.load(PRICE_REVISIONS, ticker="AAA")) == 121
    assert any(message.endswith("1 new or corrected") for _, _, message in parts.messages)


def test_runs_of_several_sessions_at_once_store_each_bar_once(parts):
    sessions = parts.made.bars["AAA"]["date"].dt.date.tolist()[-3:]
    runs = [
        plan(parts, UNIVERSE, day, NOW + dt.timedelta(minutes=k)) for k, day in enumerate(sessions)
    ]
    for run in reversed(runs):
        ingest(parts, run)
    assert len(parts.store.load(PRICE_REVISIONS)) == 120 + 121 + 122
    assert STEPS["check"](parts, runs[0]) == list(UNIVERSE.tickers)


def test_a_replay_fetches_nothing_and_needs_the_session_to_have_been_known(parts):
    ingest(parts, plan(parts, UNIVERSE, LAST, NOW))
    known = plan(parts, UNIVERSE, LAST, NOW, known_at=NOW)
    ingest(parts, known)
    assert parts.messages[-1][2].startswith("nothing fetched: replaying what was known at 2013-03")
    unknown = plan(parts, UNIVERSE, LAST, NOW, known_at=dt.datetime(2012, 1, 3, tzinfo=dt.UTC))
    reason = r"AAA 2013-03-01: at 2012-01-03T00:00:00\+00:00 the newest session known was None"
    with pytest.raises(NothingStored, match=reason):
        ingest(parts, unknown)


#: An hour after the close of `LAST`.
EVENING = dt.datetime(2013, 3, 1, 22, tzinfo=dt.UTC)


def at(parts, moment, **changes):
    """Return the run of `LAST` that is asked for at a moment, which is also the clock's."""
    parts.store.prices.clock = lambda: moment
    return plan(parts, dataclasses.replace(UNIVERSE, **changes), LAST, moment)


def without_newest_bars(source, count, *tickers):
    """Take the newest bars away; return them."""
    gone = {ticker: source.bars[ticker] for ticker in tickers}
    source.bars |= {ticker: bars.iloc[:-count] for ticker, bars in gone.items()}
    return gone


def test_a_bar_that_is_late_is_tried_again_and_the_day_goes_on_without_it_at_last(parts, source):
    late = without_newest_bars(source, 1, "BBB")
    run, parts.tries_left = at(parts, EVENING), True
    message = "BBB: sample has no bar of 2013-03-01 yet, which closed at 21:00 UTC. Try again later"
    with pytest.raises(SourceUnavailable, match=message):
        ingest(parts, run)
    parts.tries_left = False
    assert STEPS["ingest"](parts, run, list(UNIVERSE.tickers)) == ["BBB"]
    assert STEPS["check"](parts, run) == ["AAA", "CCC"]
    assert message in parts.rows(CHECKS, run).set_index("ticker").loc["BBB", "reasons"]
    source.bars |= late
    assert STEPS["ingest"](parts, run, list(UNIVERSE.tickers)) == []
    assert STEPS["check"](parts, run) == ["AAA", "BBB", "CCC"]


@pytest.mark.parametrize(
    ("hours", "count"), [(4, 1), (0, 2)], ids=["hours later", "missing the day before, too"]
)
def test_what_is_missing_for_longer_is_left_to_the_gate(parts, source, hours, count):
    without_newest_bars(source, count, "BBB")
    run = at(parts, EVENING + dt.timedelta(hours=hours))
    assert STEPS["ingest"](parts, run, list(UNIVERSE.tickers)) == []
    assert parts.rows(CHECKS, run).empty


def test_a_session_that_the_source_has_of_no_ticker_yet_can_be_tried_again(parts, source):
    without_newest_bars(source, 1, *source.bars)
    with pytest.raises(SourceUnavailable, match="2013-03-01: the sample source has no bar of this"):
        at(parts, EVENING)
    with pytest.raises(SettingsError, match="2013-03-01 is after 2013-02-28, the last session"):
        at(parts, EVENING + dt.timedelta(hours=4))


def test_a_day_on_which_the_exchange_was_closed_all_the_same_is_no_hole(parts, source):
    days = [bars["date"].iloc[-3] for bars in source.bars.values()]
    source.bars = {t: bars.drop(bars.index[-3]) for t, bars in source.bars.items()}
    closed = days[0].date()
    run = at(parts, EVENING, closures=(closed,))
    ingest(parts, run)
    assert closed not in parts.calendar(run.universe).sessions(closed, LAST)
    assert STEPS["check"](parts, run) == list(UNIVERSE.tickers)


def test_a_probe_asks_for_a_few_sessions_and_stores_nothing(parts):
    run = plan(parts, UNIVERSE, LAST, NOW)
    assert probe(parts, run) == 6
    assert parts.store.load(PRICE_REVISIONS).empty


def test_prices_of_a_universe_begin_at_its_start(parts):
    universe = dataclasses.replace(UNIVERSE, start=dt.date(2013, 2, 1), tickers=("AAA",))
    quick_day(parts, universe=universe, last="ingest")
    assert parts.store.load(PRICE_REVISIONS)["session"].min().date() == dt.date(2013, 2, 1)


@pytest.mark.parametrize(
    ("calendar", "step", "reason"),
    [
        (
            "XTKS",
            1,
            r"dates are those of XTKS\. Forecast it with --calendar XTKS, or in a universe with",
        ),
        ("XNYS", 5, "its bars are 7 days apart; one a session is expected"),
    ],
)
def test_the_dates_of_one_ticker_are_its_own_fault(
    parts, source, calendar, step, reason, monkeypatch
):
    some = ("XNYS", "XLON", "XTKS")  # more take seconds
    monkeypatch.setattr(calendar_fit, "likely_calendars", lambda *_: some)
    bars = source.bars["AAA"]
    days = Calendar(calendar).sessions(dt.date(2003, 1, 6), LAST)[::step][-len(bars) :]
    source.bars["AAA"] = bars[-len(days) :].assign(date=pd.to_datetime(days))
    run = plan(parts, UNIVERSE, LAST, NOW)
    STEPS["ingest"](parts, run, list(UNIVERSE.tickers))
    stored = parts.store.prices.bars("sample", list(UNIVERSE.tickers), LAST, None)
    assert list(stored["ticker"].unique()) == ["BBB", "CCC"]
    [message] = [text for _, ticker, text in parts.messages if ticker == "AAA"]
    assert re.search(reason, message)
