"""`stockcast run --airflow` of one DAG at a time; that it runs is tried in `test_services.py`."""

from __future__ import annotations

import datetime as dt
import sys
from types import SimpleNamespace

import pytest

from pipeline.daily import plan
from pipeline.errors import RunError, SettingsError
from pipeline.parts import Parts, universe_of
from pipeline.scheduling import session_run
from pipeline.scheduling.dag_requests import universe_of_services
from pipeline.scheduling.service_state import save_state, settings_of_services
from pipeline.scheduling.session_run import only_run
from pipeline.settings import Settings

DAG = "daily_forecast_sample"


def test_a_second_run_of_a_dag_is_refused_while_the_first_lasts(tmp_path):
    refused = pytest.raises(
        RunError, match=f"{DAG} is being run by another `stockcast run --airflow`"
    )
    with only_run(tmp_path, DAG):
        with refused, only_run(tmp_path, DAG):
            pass
        with only_run(tmp_path, "daily_forecast_crypto"):
            pass
    with only_run(tmp_path, DAG):
        pass


IBM = '[mine]\nsource = "sample"\ntickers = ["IBM"]\n'


@pytest.fixture
def running(tmp_path) -> Settings:
    """The settings of services that are up."""
    (tmp_path / "universes.toml").write_text(IBM)
    settings = Settings(home=tmp_path, universes=str(tmp_path / "universes.toml"), universe="mine")
    (tmp_path / "airflow").mkdir()
    save_state(settings, {})
    return settings_of_services(Settings(home=tmp_path))


def test_what_a_form_can_ask_for_may_differ_from_what_airflow_was_started_with(running):
    asked = running.replaced(horizon=2, recipe="castilla", workers=1)
    own = universe_of_services(asked, universe_of(asked), running)
    assert (own.horizon, own.recipe) == (5, "default")


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"seed": 8}, "seed is '8' here, and '7' where Airflow is up"),
        ({"max_quarantined": 0.0}, "max_quarantined is '0.0' here"),
        ({"source": "yahoo"}, "source is 'yahoo' here, and 'sample' where Airflow is up"),
        ({"universe": "", "universes": "", "source": "yahoo", "tickers": "KO"}, "without a univ"),
    ],
)
def test_what_no_form_can_ask_for_is_refused_where_airflow_was_started_with_another(
    running, changes, refused
):
    asked = running.replaced(**changes)
    with pytest.raises(SettingsError, match=refused) as caught:
        universe_of_services(asked, universe_of(asked), running)
    assert "`stockcast down`" in str(caught.value)


def test_that_this_process_runs_a_dag_that_is_paused_is_said(running, monkeypatch, capsys):
    asked = []

    def run_in_process(settings, planned, moment, conf):
        asked.append(conf)
        return []

    paused = SimpleNamespace(is_paused=lambda dag_id: True)
    monkeypatch.setattr(session_run, "is_up", lambda home: True)
    monkeypatch.setattr(session_run, "AirflowClient", lambda settings: paused)
    in_process = SimpleNamespace(run_in_process=run_in_process)
    monkeypatch.setitem(sys.modules, "pipeline.scheduling.in_process", in_process)
    with Parts(running) as parts:
        now = dt.datetime(2013, 3, 9, tzinfo=dt.UTC)
        planned = plan(parts, universe_of(running.replaced(horizon=2)), None, now)
    assert session_run.through_airflow(running, planned) == []
    assert asked == [{"session": "2013-03-01", "horizon": 2}]
    printed = "daily_forecast_mine is paused in Airflow, so this process runs it.\n"
    assert capsys.readouterr().out == printed
