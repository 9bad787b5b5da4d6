"""A universe with members by date: who is forecast, who is scored, and what a repetition does."""

import dataclasses
import datetime as dt
import json
import shutil

import pandas as pd
import pytest

from pipeline.daily import plan
from pipeline.errors import SettingsError
from pipeline.inspection.explanation import run_then
from pipeline.tables import CHECKS, DATASETS, FINDINGS, FORECASTS, RUNS, SCORES
from pipeline.universes import load_universes
from tests.daily.quick_days import QuickParts, quick_day
from tests.made_days import NOW, made_source
from tests.made_prices import LAST

pytestmark = pytest.mark.integration

#: AAA leaves after the 26th of February, TWO joins on the last session.
ROWS = "ticker,from,to\nOLD,2000-01-03,\nAAA,2000-01-03,2013-02-26\nTWO,2013-03-01,\n"
ENTRY = '[made]\nsource = "sample"\nmembers = "members.csv"\nstart = 2000-01-03\n'
SESSIONS = [dt.date(2013, 2, day) for day in (25, 26, 27, 28)] + [LAST]


def made_home(home):
    """Return quick parts in a home whose universes file has members by date."""
    (home / "universes.toml").write_text(ENTRY)
    (home / "members.csv").write_text(ROWS)
    return parts_on(home)


def parts_on(home):
    return QuickParts(home, made_source(0.015), universes=f"{home}/universes.toml")


@pytest.fixture
def parts(tmp_path):
    with made_home(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def forward(tmp_path_factory):
    """Parts and the runs of all sessions in their order; for tests that look and change nothing."""
    with made_home(tmp_path_factory.mktemp("forward")) as made:
        yield made, days(made, SESSIONS)


def declared(parts):
    return load_universes(parts.settings.universes).of("made")


def days(parts, sessions):
    return {session: quick_day(parts, session, declared(parts), "score") for session in sessions}


def test_a_session_forecasts_its_own_members_and_a_leaver_is_scored(forward):
    parts, runs = forward
    tickers = {session.day: run.universe.tickers for session, run in runs.items()}
    assert tickers == {
        25: ("AAA", "OLD"),
        26: ("AAA", "OLD"),
        27: ("OLD",),
        28: ("OLD",),
        1: ("OLD", "TWO"),
    }
    assert all(run.universe.name == "made" for run in runs.values())  # no rehearsal
    forecasts = parts.store.load(FORECASTS, ticker="AAA")
    assert sorted({each.day for each in forecasts["cutoff"]}) == [25, 26]
    scores = parts.store.load(SCORES, ticker="AAA")
    pairs = zip(scores["cutoff"], scores["session"], strict=True)
    assert sorted((cutoff.day, session.day) for cutoff, session in pairs) == [
        (25, 1),
        (25, 26),
        (25, 27),
        (25, 28),
        (26, 1),
        (26, 27),
        (26, 28),
    ]


def test_sessions_in_any_order_leave_the_same_forecasts_and_scores(forward, parts):
    days(parts, SESSIONS[::-1])
    for table in (FORECASTS, SCORES):
        left, right = (each.store.load(table) for each in (forward[0], parts))
        left, right = (each.drop(columns="published_at", errors="ignore") for each in (left, right))
        pd.testing.assert_frame_equal(left, right)


def test_who_joins_later_enters_no_earlier_training(forward):
    parts, runs = forward
    learnt = {
        day.day: sorted(set(parts.store.load(DATASETS, **runs[day].key, role="pool")["ticker"]))
        for day in SESSIONS[-2:]
    }
    assert learnt == {28: ["OLD"], 1: ["OLD", "TWO"]}


def test_a_run_keeps_the_tickers_of_its_session(forward, tmp_path):
    """What was published is made again from its own request, whatever the file says by now."""
    done, runs = forward
    run = runs[SESSIONS[0]]
    shutil.copytree(done.settings.home, tmp_path / "copy")
    with parts_on(tmp_path / "copy") as parts:
        [stored] = parts.store.load(RUNS, **run.key).to_dict("records")
        assert "members" not in json.loads(stored["request"])
        (tmp_path / "copy" / "members.csv").write_text("ticker,from,to\nTWO,2000-01-03,\n")
        assert run_then(parts, stored).universe == run.universe


def test_other_tickers_than_the_members_of_the_session_are_a_rehearsal(parts):
    universe = declared(parts)
    named = dataclasses.replace(universe, tickers=("OLD", "AAA"), members=())
    assert not plan(parts, named, SESSIONS[0], NOW).universe.is_rehearsal
    assert plan(parts, named, SESSIONS[2], NOW).universe.is_rehearsal


def test_a_session_without_members_is_refused(parts):
    (parts.settings.home / "members.csv").write_text("ticker,from,to\nOLD,2013-03-01,\n")
    with pytest.raises(SettingsError, match="'made' has no member on 2013-02-25; the first is of"):
        plan(parts, declared(parts), SESSIONS[0], NOW)


def test_it_is_told_once_that_a_member_has_left(forward):
    parts, runs = forward
    told = parts.store.load(FINDINGS, rule="left")
    assert [(str(row.cutoff.date()), row.ticker) for row in told.itertuples()] == [
        ("2013-02-27", "AAA")
    ]
    assert told["message"].tolist() == [
        "AAA: has left the universe; its last forecasts are scored as their sessions close."
    ]
    later = parts.store.load(CHECKS, **runs[LAST].key)
    assert sorted(later["ticker"]) == ["OLD", "TWO"]
