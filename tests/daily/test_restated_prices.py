"""Histories that change behind their newest bars: found, stored, noted and scored on one level."""

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from pipeline.daily import STEPS, plan
from pipeline.daily.price_readings import REREAD_DAYS
from pipeline.errors import SourceUnavailable
from pipeline.prices import CsvSource, RawPrices
from pipeline.sessions import Calendar
from pipeline.tables import (
    CHECKS,
    FINDINGS,
    FORECASTS,
    PRICE_COLUMNS,
    PRICE_READINGS,
    PRICE_REVISIONS,
    SCORES,
)
from tests.daily.quick_days import quick_day, scored_days
from tests.made_days import NOW, UNIVERSE
from tests.made_prices import LAST, MadeSource

pytestmark = pytest.mark.integration

ONE = dataclasses.replace(UNIVERSE, tickers=("AAA",))
LATER = NOW + dt.timedelta(days=1)
BEFORE = dt.date(2013, 2, 28)


class Service(MadeSource):
    """A source that is asked for a range, as Yahoo is; `asked` keeps from when, by ticker."""

    reads_all = False

    def __init__(self, bars, actions=None):
        super().__init__(bars, actions)
        self.asked = []

    def tickers(self):
        return None

    def fetch_raw(self, ticker, first, last, now):
        self.asked.append((ticker, first))
        raw = super().fetch_raw(ticker, first, last, now)
        prices, actions = (
            table[table["date"] >= pd.Timestamp(first)] for table in (raw.prices, raw.actions)
        )
        return RawPrices(prices, actions)


def ingest(parts, session=LAST, now=NOW, universe=ONE):
    """Ingest a session at a moment, which is also the store's; return the run and its messages."""
    parts.store.prices.clock = lambda: now
    run, begin = plan(parts, universe, session, now), len(parts.messages)
    STEPS["ingest"](parts, run, list(universe.tickers))
    return run, [message for _, _, message in parts.messages[begin:]]


def divide(bars, factor, rows=slice(None)):
    """Divide prices by a factor, in place, to a hundredth of a cent."""
    for name in PRICE_COLUMNS:
        bars.loc[bars.index[rows], name] = (bars[name] / factor).round(4)


def closes(parts, known_at=None, session=LAST):
    return parts.store.prices.bars("sample", "AAA", session, known_at)["close"].tolist()


# Files


def test_a_file_that_is_restated_as_a_whole_is_stored_as_a_whole(parts, source):
    bars = source.bars["AAA"]
    ingest(parts, BEFORE)
    before = bars["close"].tolist()[:-1]
    divide(bars, 4)
    run, messages = ingest(parts, now=LATER)
    line = "119 of 119 stored bars restated by 4:1 from 2012-09-06 to 2013-02-28"
    assert messages == ["120 bars from 2000-01-03, 120 new or corrected", line]
    assert closes(parts) == bars["close"].tolist()
    assert closes(parts, known_at=NOW) == before
    [finding] = parts.rows(FINDINGS, run).to_dict("records")
    assert (finding["rule"], finding["severity"]) == ("restated", "record")
    assert finding["message"] == f"AAA: {line}."


def test_a_finding_about_it_outlives_the_check_and_a_repeated_step(parts, source):
    ingest(parts, BEFORE)
    divide(source.bars["AAA"], 4)
    run, _ = ingest(parts, now=LATER)
    STEPS["check"](parts, run)
    again, messages = ingest(parts, now=LATER + dt.timedelta(hours=1))
    STEPS["check"](parts, again)
    assert messages == ["6 bars from 2013-02-22, 0 new or corrected"]
    assert parts.rows(FINDINGS, run)["rule"].tolist() == ["restated"]
    assert set(parts.rows(CHECKS, run)["verdict"]) == {"passed"}


def test_a_block_that_is_corrected_in_a_file_is_read_however_old(parts, source):
    bars = source.bars["AAA"]
    right = bars.copy()
    divide(bars, 0.01, slice(30, 40))
    ingest(parts, BEFORE)
    source.bars["AAA"] = right
    _, messages = ingest(parts, BEFORE, LATER)
    assert messages[0] == "119 bars from 2000-01-03, 10 new or corrected"
    assert messages[1].startswith("10 of 119 stored bars restated by 100:1 from 2012-10-18 to")
    assert closes(parts, session=BEFORE) == right["close"].tolist()[:-1]


def test_a_file_that_only_grows_is_compared_from_where_it_was_read_last(parts, monkeypatch):
    for session in (dt.date(2013, 2, 27), BEFORE, LAST):
        ingest(parts, session)
    asked = []
    bars = parts.store.prices.bars
    monkeypatch.setattr(
        parts.store.prices, "bars", lambda *query, **named: asked.append(query) or bars(*query)
    )
    assert ingest(parts, LAST, LATER)[1] == ["6 bars from 2013-02-22, 0 new or corrected"]
    assert ingest(parts, BEFORE, LATER)[1] == ["6 bars from 2013-02-21, 0 new or corrected"]
    assert asked == []
    [reading] = parts.store.load(PRICE_READINGS).to_dict("records")
    assert (reading["first"], reading["last"]) == (pd.Timestamp(ONE.start), pd.Timestamp(LAST))


def test_a_bar_that_is_late_in_its_file_is_a_new_bar(parts, source):
    both, whole = dataclasses.replace(UNIVERSE, tickers=("AAA", "BBB")), source.bars["AAA"]
    source.bars["AAA"] = whole.iloc[:-1]
    ingest(parts, universe=both)
    source.bars["AAA"] = whole
    _, messages = ingest(parts, now=LATER, universe=both)
    assert sorted(messages) == [
        "6 bars from 2013-02-22, 0 new or corrected",
        "7 bars from 2013-02-21, 1 new or corrected",
    ]


def test_an_earlier_session_after_a_restatement_leaves_the_later_ones_to_be_compared(parts, source):
    bars = source.bars["AAA"]
    ingest(parts)
    divide(bars, 2)
    _, messages = ingest(parts, dt.date(2013, 2, 20), LATER)
    assert messages[1].startswith("113 of 113 stored bars restated by 2:1")
    assert closes(parts)[-2:] == pytest.approx((2 * bars["close"]).tolist()[-2:], abs=1e-3)
    _, messages = ingest(parts, now=LATER + dt.timedelta(hours=1))
    assert messages == ["7 bars from 2013-02-21, 7 new or corrected"]
    assert closes(parts) == bars["close"].tolist()


def test_a_bar_that_is_taken_out_of_a_file_is_taken_back_and_may_return(parts, source):
    whole = source.bars["AAA"]
    ingest(parts)
    source.bars["AAA"] = whole.drop(whole.index[50])
    _, messages = ingest(parts, now=LATER)
    assert messages[1] == "1 of 120 stored bars taken back, which the source no longer has"
    assert closes(parts) == source.bars["AAA"]["close"].tolist()
    assert closes(parts, known_at=NOW) == whole["close"].tolist()
    assert len(parts.store.load(PRICE_REVISIONS)) == 121
    _, messages = ingest(parts, now=LATER + dt.timedelta(hours=1))
    assert messages == ["6 bars from 2013-02-22, 0 new or corrected"]
    source.bars["AAA"] = whole
    _, messages = ingest(parts, now=LATER + dt.timedelta(hours=2))
    assert messages[0] == "120 bars from 2000-01-03, 1 new or corrected"
    assert closes(parts) == whole["close"].tolist()


def test_a_file_of_the_newest_sessions_alone_loses_no_stored_bar(parts, source):
    whole = source.bars["AAA"]
    ingest(parts, BEFORE)
    source.bars["AAA"] = whole.iloc[-20:]
    _, messages = ingest(parts, now=LATER)
    assert messages == ["20 bars from 2000-01-03, 1 new or corrected"]
    assert closes(parts) == whole["close"].tolist()


def test_a_folder_of_files_is_compared_like_that_too(parts, source, tmp_path):
    folder, bars = tmp_path / "prices", source.bars["AAA"].copy()
    folder.mkdir()
    universe = dataclasses.replace(ONE, name="files", source="csv", data=str(folder))
    for factor, session in ((1.0, BEFORE), (1 / 0.82, LAST)):
        divide(bars, factor)
        rows = bars[bars["date"] <= pd.Timestamp(session)]
        rows.to_csv(folder / "AAA.csv", index=False)
        parts.made = CsvSource(folder)
        _, messages = ingest(parts, session, universe=universe)
    assert messages[1] == (
        "119 of 119 stored bars restated by a factor of 0.82 from 2012-09-06 to 2013-02-28"
    )
    stored = parts.store.prices.bars(universe.source_id, "AAA", LAST, None)
    assert stored["close"].tolist() == bars["close"].tolist()


# Services


@pytest.fixture
def service(parts, source):
    """A service that AAA was ingested from up to the session before the last."""
    parts.made = Service(source.bars)
    ingest(parts, BEFORE)
    parts.made.asked.clear()
    return parts.made


def test_a_service_is_asked_for_the_newest_sessions_alone(parts, service):
    _, messages = ingest(parts)
    assert service.asked == [("AAA", dt.date(2013, 2, 21))]
    assert messages == ["7 bars from 2013-02-21, 1 new or corrected"]
    assert parts.store.load(PRICE_READINGS)["first"].dt.date.tolist() == [ONE.start]


def test_a_universe_that_begins_earlier_gets_the_whole_history_of_a_stored_ticker(parts, source):
    parts.made = Service(source.bars)
    young = dataclasses.replace(ONE, name="young", start=dt.date(2013, 1, 2))
    ingest(parts, BEFORE, universe=young)
    assert len(closes(parts)) == 40
    parts.made.asked.clear()
    for universe in (ONE, young, ONE):
        ingest(parts, universe=universe)
    assert parts.made.asked == [("AAA", ONE.start), *[("AAA", dt.date(2013, 2, 22))] * 2]
    assert closes(parts) == source.bars["AAA"]["close"].tolist()


def test_newest_bars_that_differ_by_a_factor_ask_for_all(parts, service):
    divide(service.bars["AAA"], 4)
    run, messages = ingest(parts, now=LATER)
    assert service.asked == [("AAA", dt.date(2013, 2, 21)), ("AAA", ONE.start)]
    assert messages[1] == "119 of 119 stored bars restated by 4:1 from 2012-09-06 to 2013-02-28"
    assert closes(parts) == service.bars["AAA"]["close"].tolist()
    assert parts.rows(FINDINGS, run)["rule"].tolist() == ["restated"]


def test_a_lone_corrected_bar_asks_for_no_more(parts, service):
    divide(service.bars["AAA"], 1.01, slice(-2, -1))
    ingest(parts, now=LATER)
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("kind", "day", "is_whole"),
    [
        ("split", LAST, True),
        ("split", dt.date(2013, 2, 22), True),
        ("dividend", LAST, False),
        ("dividend", BEFORE, True),
    ],
)
def test_a_split_and_a_late_dividend_ask_for_all(parts, service, kind, day, is_whole):
    action = {"date": [pd.Timestamp(day)], "kind": [kind], "value": [2.0]}
    service.actions["AAA"] = pd.DataFrame(action)
    ingest(parts, now=LATER)
    assert len(service.asked) == 1 + is_whole
    service.asked.clear()
    ingest(parts, now=LATER)
    assert len(service.asked) == 1
    service.actions["AAA"]["value"] = 3.0
    ingest(parts, now=LATER)
    assert len(service.asked) == 3


def test_where_all_cannot_be_had_nothing_is_stored_of_the_half(parts, service):
    divide(service.bars["AAA"], 4)
    fetch_raw = service.fetch_raw

    def answers_short_ranges_only(ticker, first, last, now):
        if first == ONE.start:
            raise SourceUnavailable(f"{ticker}: no answer. Try again later.")
        return fetch_raw(ticker, first, last, now)

    service.fetch_raw = answers_short_ranges_only
    with pytest.raises(SourceUnavailable):
        ingest(parts, now=LATER)
    assert len(closes(parts)) == 119


def whole_sessions(parts, service, sessions):
    """Return the sessions at which all was asked for, each ingested after the one before."""
    found = []
    for session in sessions:
        service.asked.clear()
        ingest(parts, session)
        if ("AAA", ONE.start) in service.asked:
            found.append(session)
    return found


def test_all_of_a_ticker_is_asked_for_once_in_a_quarter_whatever_runs(parts, source):
    parts.made = Service(source.bars)
    sessions = Calendar("XNYS").sessions(dt.date(2012, 11, 21), LAST)
    ingest(parts, sessions[0])
    every = whole_sessions(parts, parts.made, sessions[1:])
    assert every == [dt.date(2012, 11, 26), dt.date(2013, 2, 25)]
    assert (every[1] - every[0]).days <= REREAD_DAYS + 3
    assert whole_sessions(parts, parts.made, [*every[1:], LAST, *every[1:]]) == [every[1]] * 2


def test_a_week_without_runs_is_made_up_for(parts, source):
    parts.made = Service(source.bars)
    ingest(parts, dt.date(2013, 2, 20))
    assert whole_sessions(parts, parts.made, [LAST]) == [LAST]


def test_an_old_block_that_a_service_mends_is_found_by_then(parts, source):
    right = source.bars["AAA"].copy()
    divide(source.bars["AAA"], 100, slice(60, 70))
    parts.made = Service(source.bars)
    ingest(parts, dt.date(2013, 2, 21))
    parts.made.bars["AAA"] = right
    for session in (dt.date(2013, 2, 22), dt.date(2013, 2, 25)):
        run, messages = ingest(parts, session, LATER)
    assert messages[1].startswith("10 of 115 stored bars restated by 1:100 from 2012-12-")
    assert closes(parts) == right["close"].tolist()[:-4]
    assert parts.rows(FINDINGS, run)["rule"].tolist() == ["restated"]


# Scores


@pytest.fixture(scope="module")
def scored_home(tmp_path_factory):
    """The home of AAA's last two sessions."""
    return scored_days(tmp_path_factory.mktemp("scored"), ONE, (BEFORE, LAST))


def scores_around(scored, source, change):
    """Return the first score of a forecast, and the one after its prices have changed."""
    first = {"cutoff": BEFORE, "horizon": 1}
    before = scored.store.load(SCORES, **first)
    change(source.bars["AAA"])
    quick_day(scored, LAST, ONE, last="score", now=LATER)
    return before, scored.store.load(SCORES, **first)


@pytest.mark.parametrize("factor", [4.0, 1 / 0.9923], ids=["split", "dividend"])
def test_a_forecast_is_scored_on_the_level_that_it_was_made_on(scored, source, factor):
    before, after = scores_around(scored, source, lambda bars: divide(bars, factor))
    columns = ["y_hat", "actual", "error", "naive_error", "pinball", "ewma_pinball"]
    np.testing.assert_allclose(after[columns], before[columns], rtol=0, atol=1e-3)
    assert len(scored.store.load(FORECASTS, cutoff=BEFORE)) == 5


def test_the_next_forecast_is_made_on_the_new_level(parts, source):
    quick_day(parts, BEFORE, ONE)
    divide(source.bars["AAA"], 4)
    run = quick_day(parts, LAST, ONE, now=LATER)
    last = source.bars["AAA"]["close"].iloc[-1]
    forecast = parts.rows(FORECASTS, run).iloc[0]
    assert forecast["last_value"] == pytest.approx(last)
    assert 0.9 * last < forecast["lower_95"] < forecast["upper_95"] < 1.1 * last


def test_a_forecast_from_prices_on_two_levels_has_no_score(scored, source):
    before, after = scores_around(scored, source, lambda bars: divide(bars, 100, slice(-4, None)))
    assert (len(before), len(after)) == (1, 0)
    assert scored.messages[-1][2].endswith(
        "1 withheld: a part of the prices they were made from is restated"
    )


def test_prices_of_another_folder_are_taken_as_they_are(parts, source):
    """The folder was moved, and its name is the source's: nothing was known of it before."""
    quick_day(parts, BEFORE, ONE, last="score")
    divide(source.bars["AAA"], 1.01)
    parts.store.prices.clock = lambda: LATER
    moved = dataclasses.replace(ONE, source="csv", data="/moved")
    quick_day(parts, LAST, moved, last="score", now=LATER)
    [score] = parts.store.load(SCORES, cutoff=BEFORE).to_dict("records")
    assert score["actual"] == pytest.approx(source.bars["AAA"]["close"].iloc[-1])


def test_a_correction_of_the_last_price_alone_is_an_error_of_the_forecast(scored, source):
    before, after = scores_around(scored, source, lambda bars: divide(bars, 1.01, slice(-2, -1)))
    pd.testing.assert_frame_equal(after, before)


def test_a_service_that_counts_its_requests_is_asked_once_for_a_session(parts, service):
    service.is_metered = True
    ingest(parts)
    assert service.asked == [("AAA", dt.date(2013, 2, 21))]
    _, messages = ingest(parts, now=LATER)
    assert messages == ["not asked for: 2013-03-01 is stored already"]
    ingest(parts, BEFORE, LATER)  # as a backfill does
    assert len(service.asked) == 1
    earlier = dataclasses.replace(ONE, name="earlier", start=dt.date(1999, 12, 1))
    ingest(parts, universe=earlier, now=LATER)
    assert service.asked[1:] == [("AAA", dt.date(1999, 12, 1))]
