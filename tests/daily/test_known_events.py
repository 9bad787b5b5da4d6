"""Events that are known beforehand: what a session sees of them, and what they change."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.daily import (
    forecasts_text,
    known_events,
    lineup,
    page_tables,
    plan,
    with_events,
)
from pipeline.daily.report import day_of as day_of_run
from pipeline.daily.seen_histories import SeenHistories
from pipeline.errors import SettingsError
from pipeline.reporting import day_page
from pipeline.tables import CHECKS, EVENT_REVISIONS, FINDINGS, FORECASTS, LINEUPS, RUNS
from tests.daily.quick_days import QuickParts, quick_day, take_steps
from tests.made_days import NOW, TRAINED, made_source
from tests.made_prices import LAST

pytestmark = pytest.mark.integration

#: The sessions ahead of it are 2013-02-28, -03-01, -04, -05 and -06.
SESSION = dt.date(2013, 2, 27)
EVENING = dt.datetime(2013, 2, 28, 1, tzinfo=dt.UTC)
HEADER = "ticker,date,kind,amount,known_at\n"
DECLARED = "OLD,2013-03-02,dividend,2,2013-02-20\nTWO,2013-03-20,dividend,1,2013-02-20\n"


def day_of(parts, universe, session=SESSION, moment=EVENING):
    parts.store.events.clock = lambda: moment
    return quick_day(parts, session, universe, last="publish")


def forecasts(parts, ticker=TRAINED.tickers):
    return parts.store.load(FORECASTS, ticker=list(ticker), cutoff=SESSION)


@pytest.fixture
def universe(tmp_path):
    """A universe with a file of events, of which it has none yet."""
    (tmp_path / "events.csv").write_text(HEADER)
    return dataclasses.replace(TRAINED, events=str(tmp_path / "events.csv"))


@pytest.fixture
def quick(tmp_path):
    (tmp_path / "home").mkdir()
    with QuickParts(tmp_path / "home", made_source(signalled=True)) as parts:
        yield parts


def write(universe, text):
    Path(universe.events).write_text(HEADER + text)


def test_what_is_published_falls_by_a_dividend_that_goes_ex_within_the_horizon(quick, universe):
    day_of(quick, universe)
    before = forecasts(quick)
    write(universe, DECLARED)
    day_of(quick, universe)
    after = forecasts(quick)
    prices = ["y_hat", *[name for name in FORECASTS.columns if name.startswith(("low", "upp"))]]
    share = (after[prices] / before[prices]).to_numpy()
    of_old = (after["ticker"] == "OLD").to_numpy()
    np.testing.assert_array_equal(share[~of_old], 1.0)
    last = after.loc[of_old, "last_value"].iloc[0]
    expected = np.array([1, 1, 1 - 2 / last, 1 - 2 / last, 1 - 2 / last])  # Saturday's: on Monday
    np.testing.assert_allclose(share[of_old], expected[:, None] * np.ones(len(prices)), rtol=1e-12)
    pd.testing.assert_series_equal(after["last_value"], before["last_value"])


def test_a_date_that_becomes_known_later_changes_no_earlier_forecast(quick, universe):
    """Neither a report nor a dividend, whether it is first stored, moved or taken back later."""
    write(universe, DECLARED)
    run = day_of(quick, universe)
    tables = (FORECASTS, RUNS, CHECKS, LINEUPS)
    before = {table.name: quick.store.load(table, cutoff=SESSION) for table in tables}
    later = "OLD,2013-03-01,report\nTWO,2013-03-01,dividend,1\nTWO,2013-03-04,report,,2013-03-01\n"
    write(universe, later)  # and what was declared is taken back
    day_of(quick, universe, LAST, EVENING + dt.timedelta(days=2))
    assert len(quick.store.load(EVENT_REVISIONS)) == 2 + 5
    assert len(known_events.events_ahead(quick, plan(quick, universe, LAST, NOW), ["TWO"])) == 1
    day_of(quick, universe, moment=EVENING + dt.timedelta(days=3))
    for table in tables:
        again = quick.store.load(table, cutoff=SESSION)
        pd.testing.assert_frame_equal(again, before[table.name], check_exact=True)
    [row] = known_events.events_ahead(quick, run, ["OLD"]).to_dict("records")
    assert row["value"] == 2.0


def test_a_known_report_is_among_what_the_regression_is_asked_with_from_then_on(quick, universe):
    before = lineup.shared(quick, day_of(quick, universe))
    write(universe, "OLD,2013-03-04,report,,2013-02-28\n")
    unseen = lineup.shared(quick, day_of(quick, universe))
    assert (unseen.har, unseen.live_har) == (before.har, before.live_har)
    write(universe, "OLD,2013-03-04,report,,2013-02-20\n")
    run = day_of(quick, universe)
    after = lineup.shared(quick, run)
    assert after.har == before.har, "it was fitted in January"
    assert after.live_har != before.live_har
    recipe = quick.recipes.for_price(run.universe.recipe)
    cutoffs = [run.training_cutoff, run.session]
    seen = SeenHistories(quick, run, recipe, cutoffs, [])
    panel, tickers = seen.panel(run.session, run.universe.tickers)
    day = np.datetime64("2013-03-04").astype("int64")
    known = int(np.searchsorted(panel.sessions, np.datetime64("2013-02-20")))
    expected = [tickers.index("OLD"), day, known, len(panel.sessions)]
    assert panel.reports.tolist() == [expected]
    assert seen.panel(run.training_cutoff, run.universe.tickers)[0].reports is None


def test_who_says_since_when_a_date_was_known_has_it_in_earlier_sessions(quick, universe):
    write(universe, "OLD,2013-03-01,report,,2013-02-27\nOLD,2013-03-04,dividend,1,2013-02-28\n")
    run = day_of(quick, universe, moment=EVENING + dt.timedelta(days=30))
    events = known_events.events_ahead(quick, run, run.universe.tickers)
    assert events["kind"].tolist() == ["report"], "the dividend was announced a day later"


def test_what_is_ahead_stands_beside_the_forecasts_and_not_among_the_faults(quick, universe):
    declared = "OLD,2013-03-01,report,,2013-02-20\nTWO,2013-03-04,dividend,30,2013-02-20\n"
    write(universe, DECLARED + declared)
    run = day_of(quick, universe)
    series = page_tables.all_series(quick.store)[0]
    of_old = "reports on 2013-03-01; ex-dividend 2 on 2013-03-04"
    assert "; ".join(page_tables.events(quick.store, series, SESSION, "OLD")) == of_old
    assert page_tables.findings(quick.store, series, SESSION).empty
    lines = forecasts_text(quick, run).splitlines()
    assert f"       {of_old}" in lines
    large = "ex-dividend 30 on 2013-03-04, not taken off, as it is 10% of the price or more"
    assert f"       {large}" in lines
    day = day_of_run(quick, run)
    assert (day.events, len(day.findings)) == ({"OLD": of_old, "TWO": large}, 0)
    assert f"<p class=dim>Known to come: {of_old}.</p>" in day_page(run, day, {}, {})
    rows = with_events(quick.store, forecasts(quick, ["OLD"]), **run.key)
    reported, paid = of_old.split("; ")
    assert rows["event"].tolist() == ["", reported, paid, "", ""]
    write(universe, "")
    day_of(quick, universe)  # before the next opening
    assert page_tables.events(quick.store, series, SESSION, "OLD") == []
    assert list(with_events(quick.store, forecasts(quick), **run.key)) == list(FORECASTS.columns)


def test_naive_and_prices_with_dividends_added_back_do_not_fall(quick, universe):
    write(universe, DECLARED)
    run = day_of(quick, universe)
    assert [*known_events.dividends_ahead(quick, run, ["OLD", "TWO"])] == ["OLD"]
    adjusted = dataclasses.replace(run, universe=dataclasses.replace(universe, target="adj_close"))
    assert known_events.dividends_ahead(quick, adjusted, ["OLD"]) == {}


def test_a_wrong_row_is_noted_and_its_ticker_goes_on_without(quick, universe):
    write(universe, "OLD,2013-03-04,split\nTWO,2013-03-04,dividend,1,2013-02-20\nXYZ,a,b\n")
    run = day_of(quick, universe)
    lines = [text for step, _, text in quick.messages if step == "ingest"]
    path = universe.events
    assert f"{path}: 'XYZ' is no ticker of the universe, 1 of its rows left out" in lines
    message = f"{path}, line 2: OLD has the kind 'split'; report or dividend is expected."
    assert f"its events are not read: {message}" in lines
    noted = quick.store.load(FINDINGS, rule="events_unread", **run.key)
    assert noted["message"].tolist() == [f"OLD: {message}"]
    assert len(forecasts(quick)) == 20
    assert [*known_events.dividends_ahead(quick, run, ["OLD", "TWO"])] == ["TWO"]
    write(universe, "")
    take_steps(quick, run, last="check")
    assert quick.store.load(FINDINGS, rule="events_unread", **run.key).empty


def test_a_file_that_is_not_there_stops_the_evening(quick, universe):
    missing = dataclasses.replace(universe, events="none.csv")
    with pytest.raises(SettingsError, match=r"none\.csv: this file of events cannot be read"):
        day_of(quick, missing)
