"""Every MLflow run that a day opens is ended, however the day ends."""

import contextlib
import datetime as dt

import pandas as pd
import pytest

from pipeline.daily import plan, run_day, steps
from pipeline.daily.tracked_session import open_session
from pipeline.errors import QualityGateFailed, SourceUnavailable
from tests.made_days import NOW, UNIVERSE, run_made_day
from tests.made_prices import LAST

pytestmark = pytest.mark.slow

#: The functions that do a day, in their order.
STAGES = ["ingest_each", "make_forecasts", "score", "watch", "report"]


def runs_of(parts):
    """Return (status, reason) of every run in MLflow by its name."""
    from mlflow import MlflowClient

    client = MlflowClient(parts.settings.tracking_uri)
    experiment = client.get_experiment_by_name(UNIVERSE.name).experiment_id
    return {
        run.info.run_name: (run.info.status, run.data.tags.get("failure", ""))
        for run in client.search_runs([experiment])
    }


@pytest.fixture
def quick_stages(monkeypatch):
    """Stages of a day that do nothing but finish it, so that only MLflow is at work."""
    for stage in STAGES:
        monkeypatch.setattr(steps, stage, lambda *_: {})
    monkeypatch.setattr(steps, "report", finish)
    return monkeypatch


def finish(parts, run):
    parts.tracker(run.universe.name).finish(open_session(parts, run), {})


def failing(error):
    def stage(*_):
        raise error

    return stage


def test_a_day_is_finished_with_all_its_stocks(make_parts):
    parts = make_parts()
    run_made_day(parts)
    names = ["2013-03-01 default", *(f"{t} 2013-03-01 default" for t in UNIVERSE.tickers)]
    assert runs_of(parts) == dict.fromkeys(names, ("FINISHED", ""))


def test_a_day_that_the_gate_fails_is_failed_with_the_reason(make_parts, source):
    source.bars["BBB"] = source.bars["BBB"][source.bars["BBB"]["date"] != pd.Timestamp(LAST)]
    parts = make_parts(max_quarantined=0.0)
    with pytest.raises(QualityGateFailed):
        run_made_day(parts)
    [(status, reason)] = runs_of(parts).values()
    assert status == "FAILED"
    assert reason.startswith("2013-03-01: 1 of 3 tickers quarantined (33%), the limit is 0%")
    # Repeated with good prices, the same run is finished.
    parts.settings = parts.settings.replaced(max_quarantined=0.5)
    run_made_day(parts)
    assert set(runs_of(parts).values()) == {("FINISHED", "")}


@pytest.mark.parametrize("stage", STAGES)
def test_a_day_in_which_a_step_fails_is_failed(make_parts, quick_stages, stage):
    parts = make_parts()
    quick_stages.setattr(steps, stage, failing(SourceUnavailable("no\nanswer")))
    with pytest.raises(SourceUnavailable):
        run_made_day(parts)
    assert runs_of(parts) == {"2013-03-01 default": ("FAILED", "no answer")}


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (ZeroDivisionError("a defect"), ("FAILED", "a defect")),
        (KeyboardInterrupt(), ("KILLED", "KeyboardInterrupt")),
        (SystemExit(143), ("KILLED", "SystemExit")),
    ],
    ids=["a defect", "Ctrl-C", "an exit"],
)
def test_a_day_that_is_interrupted_is_killed(make_parts, quick_stages, error, end):
    parts = make_parts()
    quick_stages.setattr(steps, "make_forecasts", failing(error))
    with pytest.raises(type(error)):
        run_made_day(parts)
    assert runs_of(parts) == {"2013-03-01 default": end}


def test_the_sessions_of_a_backfill_end_each_by_itself(make_parts, quick_stages):
    first, second, third = (dt.date(2013, 2, 27), dt.date(2013, 2, 28), LAST)
    parts = make_parts()
    with parts:
        for session in (first, second, third):
            stage = failing(SourceUnavailable("no answer")) if session == second else lambda *_: {}
            quick_stages.setattr(steps, "make_forecasts", stage)
            with contextlib.suppress(SourceUnavailable):
                run_day(parts, plan(parts, UNIVERSE, session, NOW))
    assert runs_of(parts) == {
        "2013-02-01 default": ("FINISHED", ""),
        "2013-02-27 default": ("FINISHED", ""),
        "2013-02-28 default": ("FAILED", "no answer"),
        "2013-03-01 default": ("FINISHED", ""),
    }


def test_a_step_alone_leaves_nothing_running(make_parts):
    parts = make_parts()
    with parts:
        run = plan(parts, UNIVERSE, LAST, NOW)
        steps.prepare_run(parts, run)
        assert runs_of(parts)["2013-03-01 default"] == ("RUNNING", "")
    assert runs_of(parts)["2013-03-01 default"] == ("FINISHED", "")


def test_a_command_that_fails_outside_a_day_ends_its_runs_too(make_parts):
    parts = make_parts()
    with pytest.raises(KeyboardInterrupt), parts:
        steps.prepare_run(parts, plan(parts, UNIVERSE, LAST, NOW))
        raise KeyboardInterrupt
    assert runs_of(parts)["2013-03-01 default"] == ("KILLED", "KeyboardInterrupt")
