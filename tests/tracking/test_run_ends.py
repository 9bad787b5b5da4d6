"""The ends of runs: every run that is opened is FINISHED, FAILED or KILLED."""

import datetime as dt
import json

import pytest

from pipeline.tracking import Origin, Tracker, owners, this_process
from pipeline.tracking.experiment_runs import FAILURE_TAG, KEY_TAG, OWNER_TAG, ExperimentRuns
from pipeline.tracking.run_ends import ABANDONED_AFTER
from tests.tracking.made_runs import (
    FRIDAY,
    FRIDAY_RUN,
    active_runs,
    client_of,
    record_friday,
    statuses,
    tracker_in,
    uri_of,
)

pytestmark = pytest.mark.slow

THURSDAY = dt.date(2013, 2, 28)
THURSDAY_RUN = "2013-02-28 default"


@pytest.fixture
def dead():
    """The owner that is a process of this machine that has ended."""
    owner = json.loads(this_process())
    return json.dumps({**owner, "started": owner["started"] - 60})


def open_both(tracker):
    return [tracker.open_session(day, "default", "close") for day in (THURSDAY, FRIDAY)]


def test_what_is_still_open_when_the_work_is_done_is_finished(tracker, folder):
    open_both(tracker)
    assert set(statuses(folder).values()) == {"RUNNING"}
    tracker.close()
    assert set(statuses(folder).values()) == {"FINISHED"}


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("2 of 3 tickers\nquarantined"), "FAILED", "2 of 3 tickers quarantined"),
        (KeyboardInterrupt(), "KILLED", "KeyboardInterrupt"),
        (SystemExit(1), "KILLED", "SystemExit"),
    ],
    ids=["an error", "Ctrl-C", "an exit"],
)
def test_what_is_still_open_ends_by_what_stopped_the_work(tracker, folder, error, status, reason):
    thursday, _ = open_both(tracker)
    tracker.finish(thursday, {})
    tracker.end_open(error)
    assert statuses(folder) == {THURSDAY_RUN: "FINISHED", FRIDAY_RUN: status}
    [run] = [run for run in active_runs(folder) if run.info.run_name == FRIDAY_RUN]
    assert run.data.tags[FAILURE_TAG] == reason
    tracker.close()  # nothing is open any more
    assert statuses(folder)[FRIDAY_RUN] == status


def test_a_run_that_is_repeated_after_a_failure_is_finished_without_its_reason(tracker, folder):
    parent, _ = record_friday(tracker)
    tracker.end(parent, "FAILED", "too many tickers")
    assert record_friday(tracker)[0] == parent
    assert statuses(folder)[FRIDAY_RUN] == "RUNNING"
    tracker.finish(parent, {})
    run = client_of(folder).get_run(parent)
    assert run.info.status == "FINISHED" and FAILURE_TAG not in run.data.tags


def test_a_failed_session_stays_failed_where_another_one_only_needs_its_parent(tracker, folder):
    parent = tracker.open_session(FRIDAY, "default", "close")
    tracker.end(parent, "FAILED", "too many tickers")
    assert tracker.ensure_session(FRIDAY, "default", "close") == parent
    assert statuses(folder) == {FRIDAY_RUN: "FAILED"}


def test_the_runs_of_an_owner_are_ended_and_no_others(tracker, folder):
    ours = Origin("manual__1", "http://page", "airflow dag manual__1")
    asked = tracker_in(folder, origin=ours)
    run_id = asked.open_session(THURSDAY, "default", "close")
    tracker.open_session(FRIDAY, "default", "close")
    asked.close()  # the DAG run ends it, not this process
    assert statuses(folder) == {THURSDAY_RUN: "RUNNING", FRIDAY_RUN: "RUNNING"}
    assert tracker.end_runs_of(ours.owner, "FAILED", "at check") == [run_id]
    assert statuses(folder) == {THURSDAY_RUN: "FAILED", FRIDAY_RUN: "RUNNING"}


def test_runs_of_dead_owners_are_killed_and_those_of_living_ones_are_left(tracker, folder, dead):
    elsewhere = json.dumps({"host": "elsewhere", "pid": 1, "started": 0.0})
    owned = {"dead": dead, "elsewhere": elsewhere, "airflow": "airflow dag run"}
    client = client_of(folder)
    tracker.open_session(FRIDAY, "default", "close")
    for name, owner in owned.items():
        run_id = tracker.open_parent(name, name, {})
        client.set_tag(run_id, OWNER_TAG, owner)
    assert tracker.end_abandoned() == ["dead"]
    assert statuses(folder) == {
        FRIDAY_RUN: "RUNNING",
        "dead": "KILLED",
        "elsewhere": "RUNNING",
        "airflow": "RUNNING",
    }


def test_what_a_killed_process_left_in_another_experiment_is_killed_as_well(tracker, folder, dead):
    search = Tracker(uri_of(folder), str(folder / "artifacts"), "tuning")
    client = client_of(folder)
    owners_by_name = {"dead": dead, "airflow": "airflow dag run", "alive": this_process()}
    runs = {name: search.open_parent(name, name, {}) for name in owners_by_name}
    for name, run_id in runs.items():
        client.set_tag(run_id, OWNER_TAG, owners_by_name[name])
    assert tracker.end_abandoned() == ["dead"]
    left = {name: client.get_run(run_id).info.status for name, run_id in runs.items()}
    assert left == {"dead": "KILLED", "airflow": "RUNNING", "alive": "RUNNING"}


def test_runs_of_a_dag_run_that_is_over_are_killed(tracker, folder):
    tracker.open_session(FRIDAY, "default", "close")
    run_id = tracker.open_parent("gone", "gone", {})
    client_of(folder).set_tag(run_id, OWNER_TAG, "airflow dag gone")
    origin = Origin("now", "", "airflow dag now", is_over=lambda owner: owner.endswith("gone"))
    assert tracker_in(folder, origin=origin).end_abandoned() == ["gone"]


def test_an_old_run_without_an_owner_is_killed_and_a_new_or_foreign_one_is_left(tracker, folder):
    tracker.prepare()
    client = client_of(folder)
    experiment = client.get_experiment_by_name("sample").experiment_id
    now = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
    long_ago = now - ABANDONED_AFTER - 60_000
    for name, start, tags in (
        ("old", long_ago, {KEY_TAG: "old"}),
        ("new", now, {KEY_TAG: "new"}),
        ("foreign", long_ago, {}),
    ):
        client.create_run(experiment, start_time=start, run_name=name, tags=tags)
    assert tracker.end_abandoned() == ["old"]
    assert statuses(folder) == {"old": "KILLED", "new": "RUNNING", "foreign": "RUNNING"}


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_a_child_that_cannot_be_written_ends_as_well(tracker, folder, monkeypatch, error, status):
    def fail(*_):
        raise error

    monkeypatch.setattr(ExperimentRuns, "log_files", fail)
    with pytest.raises(error):
        record_friday(tracker)
    assert statuses(folder)[f"AAPL {FRIDAY_RUN}"] == status


def test_the_owner_is_this_process_or_the_dag_run_that_asks(tracker, folder):
    assert tracker.owner == owners.this_process()
    assert tracker_in(folder, origin=Origin("1", "", "airflow dag 1")).owner == "airflow dag 1"
