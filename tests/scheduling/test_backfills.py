"""Backfills by session dates."""

from __future__ import annotations

import datetime as dt

import pytest

from pipeline.errors import RunError, SettingsError
from pipeline.scheduling.backfills import backfill_sessions, require_same_request, sessions_of
from pipeline.settings import Settings
from pipeline.universes import Universe

SAMPLE = Universe(name="sample", source="sample", tickers=("IBM",))


def test_a_range_means_its_sessions():
    assert sessions_of(SAMPLE, dt.date(2013, 2, 15), dt.date(2013, 2, 20)) == [
        dt.date(2013, 2, 15),  # then a weekend and Presidents' Day
        dt.date(2013, 2, 19),
        dt.date(2013, 2, 20),
    ]


def test_a_range_without_sessions_or_back_to_front_is_refused():
    with pytest.raises(SettingsError, match="has no session from 2013-02-16 to 2013-02-18"):
        sessions_of(SAMPLE, dt.date(2013, 2, 16), dt.date(2013, 2, 18))
    with pytest.raises(SettingsError, match="Swap them"):
        sessions_of(SAMPLE, dt.date(2013, 2, 20), dt.date(2013, 2, 15))


def test_without_a_scheduler_the_error_names_what_to_do(tmp_path):
    first, last = dt.date(2013, 2, 15), dt.date(2013, 2, 20)
    with pytest.raises(RunError, match="`stockcast up` starts it"):
        backfill_sessions(Settings(home=tmp_path), first, last, 1, "none", False)


def a_run(state: str = "success", **form: object) -> dict[str, object]:
    return {"dag_run_id": "scheduled__1", "state": state, "conf": form or None}


def test_what_has_succeeded_must_have_been_asked_for_the_same():
    own, others = [a_run(), a_run(recipe="default", tickers=None)], [a_run(horizon=2)]
    require_same_request(own, {}, SAMPLE)
    require_same_request(others, {"horizon": 2}, SAMPLE)
    require_same_request([a_run("failed", horizon=2)], {}, SAMPLE)  # it is run again
    for runs, conf in ((own, {"horizon": 2}), (others, {})):
        with pytest.raises(SettingsError, match=r"was asked for horizon .* --reprocess completed"):
            require_same_request(runs, conf, SAMPLE)
