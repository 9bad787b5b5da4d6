"""The session and the universe that a DAG run asks for."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import pytest

from pipeline.errors import SettingsError
from pipeline.parts import Parts
from pipeline.scheduling.dag_requests import (
    conf_of,
    form_of,
    require_known_fields,
    session_of,
    session_to_run,
    with_params,
)
from pipeline.settings import Settings
from pipeline.universes import Universe

US = Universe(name="us", source="yahoo", tickers=("IBM", "AAPL"), scheduled=True)
SUNDAY = "2024-12-01T12:00:00+00:00"


def dag_run(
    logical_date: str | None, run_type: str = "manual", conf: dict[str, object] | None = None
) -> SimpleNamespace:
    return SimpleNamespace(
        conf=conf,
        logical_date=logical_date and dt.datetime.fromisoformat(logical_date),
        run_after=dt.datetime.fromisoformat(SUNDAY),
        run_type=run_type,
    )


@pytest.mark.parametrize(
    ("logical_date", "session"),
    [
        ("2024-11-27T21:30:00+00:00", dt.date(2024, 11, 27)),  # the timetable's own moment
        ("2024-11-28T02:00:00+00:00", dt.date(2024, 11, 27)),  # still Wednesday evening there
        ("2024-11-28T23:00:00+00:00", dt.date(2024, 11, 27)),  # Thanksgiving
        ("2024-11-29T18:29:00+00:00", dt.date(2024, 11, 27)),  # an early close, not settled
        ("2024-11-29T18:30:00+00:00", dt.date(2024, 11, 29)),
        (None, dt.date(2024, 11, 29)),  # REST allows no logical date: `run_after` counts
    ],
)
def test_a_run_is_about_the_newest_session_at_its_logical_date(logical_date, session):
    assert session_of(US, {"session": None}, dag_run(logical_date)) == session


def test_a_session_that_is_named_wins():
    assert session_of(US, {"session": "2013-03-01"}, dag_run(None)) == dt.date(2013, 3, 1)


def test_a_backfill_is_not_all_about_one_session():
    with pytest.raises(SettingsError, match="leave the session empty"):
        session_of(US, {"session": "2013-03-01"}, dag_run(None, "backfill"))


def test_a_session_that_is_no_date_is_a_settings_error():
    with pytest.raises(SettingsError, match="'yesterday' is no date"):
        session_of(US, {"session": "yesterday"}, dag_run(None))


def test_what_the_form_leaves_empty_stays_as_the_universe_has_it():
    assert with_params(US, {"tickers": None, "recipe": "default", "horizon": 5}) == US
    changed = with_params(US, {"tickers": ["IBM"], "recipe": "default", "horizon": 3})
    assert (changed.tickers, changed.horizon) == (("IBM",), 3)


def test_a_source_s_recipe_brings_its_column_unless_the_form_names_one():
    form = {"recipe": "fastnu-default", "target": None}
    assert with_params(US, form).target == "high"
    assert with_params(US, {**form, "target": "close"}).target == "close"
    assert with_params(US, {"recipe": "default", "target": None}).target == "close"


def test_a_ticker_that_is_none_is_refused():
    with pytest.raises(SettingsError, match=r"'\.\./x' is no ticker"):
        with_params(US, {"tickers": ["../x"]})


def test_a_field_that_the_form_does_not_have_is_refused_by_name():
    require_known_fields(dag_run(SUNDAY))
    require_known_fields(dag_run(SUNDAY, conf={"session": "2013-03-01", "horizon": 3}))
    refused = (
        r"asked for 'ticker', 'sesion', .* has session, tickers, recipe, target, horizon, publish\."
    )
    with pytest.raises(SettingsError, match=refused):
        require_known_fields(dag_run(SUNDAY, conf={"ticker": "IBM", "sesion": "", "horizon": 3}))


SAMPLE = Universe(name="sample", source="sample", tickers=("IBM",))
LAST = dt.date(2013, 3, 1)


@pytest.mark.parametrize(
    ("named", "run_type", "session"),
    [
        (None, "manual", LAST),  # "now" means the end of a history that has ended
        ("2013-02-27", "manual", dt.date(2013, 2, 27)),
        ("2013-03-04", "manual", dt.date(2013, 3, 4)),  # for `plan` to refuse
        (None, "backfill", dt.date(2024, 11, 29)),
    ],
)
def test_only_a_session_that_nobody_named_becomes_the_last_one(tmp_path, named, run_type, session):
    now = dt.datetime.fromisoformat(SUNDAY)
    with Parts(Settings(home=tmp_path)) as parts:
        asked = dag_run(SUNDAY, run_type)
        assert session_to_run(parts, SAMPLE, {"session": named}, asked, now) == session


def test_a_form_has_what_differs_from_the_declaration_and_makes_the_same_universe_of_it():
    assert conf_of(US, US, False, LAST) == {"session": "2013-03-01"}
    assert conf_of(US, US, True) == {"publish": True}
    asked = with_params(US, {"tickers": ["AAPL"], "recipe": "fastnu-default", "horizon": 3})
    conf = conf_of(asked, US, False, LAST)
    changes = {"tickers": ["AAPL"], "recipe": "fastnu-default", "target": "high", "horizon": 3}
    assert conf == {"session": "2013-03-01", **changes}
    assert with_params(US, conf) == asked
    assert with_params(US, form_of(US)) == US
