"""The plan: a request that cannot be met is refused before anything is stored."""

import dataclasses
import datetime as dt

import pytest

from pipeline.daily import decisive_settings, plan, run_of
from pipeline.errors import SettingsError, UnknownTicker
from pipeline.settings import Settings
from tests.daily.quick_days import quick_day
from tests.made_days import NOW, TRAINED, UNIVERSE
from tests.made_prices import LAST


def test_a_device_decides_a_run_where_it_is_a_gpu():
    settings = Settings(seed=9)
    decisive = {"seed": 9, "pool": "quarterly", "test_floor": 0.05, "max_quarantined": 0.5}
    assert decisive_settings(settings) == decisive
    assert decisive_settings(settings.replaced(device="gpu")) == {**decisive, "device": "gpu"}


@pytest.mark.parametrize(
    ("changes", "session", "error", "message"),
    [
        ({"tickers": ("AAA", "NOPE")}, LAST, UnknownTicker, "NOPE is not among"),
        (
            {"recipe": "defualt"},
            LAST,
            SettingsError,
            "no recipe 'defualt'. The recipes are: default",
        ),
        (
            {"recipe": "castilla", "target": "mid"},
            LAST,
            SettingsError,
            r"Recipe castilla does not forecast mid; it forecasts close",
        ),
        ({}, dt.date(2013, 3, 2), SettingsError, "2013-03-02 is no session"),
        (
            {},
            dt.date(2013, 3, 7),
            SettingsError,
            "after 2013-03-01, the last session that the sample source has",
        ),
        ({}, dt.date(2013, 3, 11), SettingsError, "2013-03-11 is not over yet"),
        (
            {},
            dt.date(1995, 1, 3),
            SettingsError,
            "1995-01-03 is before 2000-01-03, where universe made begins",
        ),
        (
            {"start": dt.date(2013, 3, 4)},
            None,
            SettingsError,
            "The newest bar of the sample source is of 2013-03-01, before 2013-03-04, where univer",
        ),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_before_anything_is_stored(
    parts, changes, session, error, message
):
    with pytest.raises(error, match=message):
        plan(parts, dataclasses.replace(UNIVERSE, **changes), session, NOW)
    assert "store" not in parts.__dict__


def test_an_unknown_baseline_is_refused(parts):
    parts.settings = parts.settings.replaced(baselines="drift,prophet")
    with pytest.raises(SettingsError, match="There is no statistical baseline 'prophet'"):
        plan(parts, UNIVERSE, LAST, NOW)


def test_without_a_session_it_is_the_newest_that_the_source_has(parts):
    run = plan(parts, UNIVERSE, None, NOW)
    assert (run.session, run.replay, run.known_at) == (LAST, False, NOW)
    assert run.training_cutoff == LAST and run.previous_cutoff == dt.date(2013, 2, 1)
    assert run.pool_cutoff == run.previous_pool_cutoff == dt.date(2013, 1, 2)
    assert [day.day for day in run.forecast_sessions] == [4, 5, 6, 7, 8]


DECLARED = """
[made]
source = "sample"
tickers = ["CCC", "BBB", "AAA"]
"""


@pytest.mark.parametrize(
    ("changes", "known_at", "name"),
    [
        ({}, None, "made"),
        ({"target": "open"}, None, "made"),
        ({"retrain": "weekly"}, None, "made"),
        ({"tickers": ("AAA",)}, None, "made.rehearsal"),
        ({"horizon": 2}, None, "made.rehearsal"),
        ({"source": "csv", "data": "/files"}, None, "made.rehearsal"),
        ({}, NOW, "made.rehearsal"),
        ({"name": "undeclared", "tickers": ("AAA",)}, None, "undeclared"),
        ({"name": "undeclared"}, NOW, "undeclared.rehearsal"),
    ],
)
def test_what_differs_from_the_declaration_is_a_rehearsal_unless_it_is_to_be_published(
    parts, tmp_path, changes, known_at, name
):
    file = tmp_path / "universes.toml"
    file.write_text(DECLARED)
    parts.settings = parts.settings.replaced(universes=str(file))
    asked = dataclasses.replace(UNIVERSE, **changes)
    assert plan(parts, asked, LAST, NOW, known_at).universe.name == name
    published = plan(parts, asked, LAST, NOW, known_at, publish=True)
    assert published.universe == asked
    parts.settings = parts.settings.replaced(publish=True)
    assert plan(parts, asked, LAST, NOW, known_at).universe == asked


@pytest.mark.integration
def test_a_published_session_never_gets_fewer_sessions_ahead(parts):
    run = quick_day(parts, last="publish")
    shorter = dataclasses.replace(run.universe, horizon=2)
    with pytest.raises(SettingsError, match=r"2013-03-01 is published 5 sessions ahead, and a run"):
        plan(parts, shorter, LAST, NOW, publish=True)
    plan(parts, shorter, dt.date(2013, 2, 28), NOW)
    plan(parts, dataclasses.replace(shorter, horizon=6), LAST, NOW)
    assert plan(parts, shorter, LAST, NOW, known_at=NOW).universe.is_rehearsal


def test_a_moment_asked_for_makes_a_replay_with_the_same_cutoffs(parts):
    then = NOW - dt.timedelta(days=3)
    run = plan(parts, UNIVERSE, LAST, NOW, known_at=then)
    assert run == run_of(parts, UNIVERSE.as_rehearsal(), LAST, then, replay=True)


def test_too_few_sessions_to_learn_from_are_refused_with_the_number_that_is_needed(parts):
    universe = dataclasses.replace(TRAINED, history_sessions=100)
    with pytest.raises(
        SettingsError, match=r"history_sessions is 100; recipe default needs 272 to train"
    ):
        plan(parts, universe, LAST, NOW)
