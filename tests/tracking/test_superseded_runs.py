"""A finished run stays, with its stocks, until the run that replaces it is finished."""

import dataclasses
import datetime as dt

import pytest

from pipeline.tracking import Origin
from tests.tracking.made_runs import (
    AAPL,
    FRIDAY,
    FRIDAY_RUN,
    SHORT_HISTORY,
    active_runs,
    client_of,
    tracker_in,
)

pytestmark = pytest.mark.slow

#: What a session is asked for: at first, and after a ticker was added to its universe.
BEFORE, AFTER = {"tickers": "AAPL"}, {"tickers": "AAPL,FB"}
AAPL_RUN, FB_RUN = f"AAPL {FRIDAY_RUN}", f"FB {FRIDAY_RUN}"
ANOTHER_AAPL = dataclasses.replace(AAPL, params={"seed": 8})


def open_friday(tracker, params, **tags):
    return tracker.open_session(FRIDAY, "default", "close", tags=tags, params=params)


def shown(folder):
    """Return every active run as (tickers or seed, status, the parent's tickers)."""
    runs = {run.info.run_id: run for run in active_runs(folder)}

    def label(run):
        return run.data.params.get("tickers") or run.info.run_name.partition(" ")[0]

    def parent(run):
        above = runs.get(run.data.tags.get("mlflow.parentRunId"))
        return label(above) if above else ""

    return sorted((label(run), run.info.status, parent(run)) for run in runs.values())


@pytest.fixture
def finished(tracker):
    """The run of Friday's session, finished, with the child of one stock."""
    parent = open_friday(tracker, BEFORE)
    child = tracker.record(parent, AAPL)
    tracker.finish(parent, {"day/tickers": 1.0}, {"report.html": b"page"})
    return parent, child


DONE = [("AAPL", "FINISHED", ""), ("AAPL", "FINISHED", "AAPL")]


def test_a_run_that_is_stopped_leaves_the_finished_one_as_it_was(tracker, folder, finished):
    client = client_of(folder)
    before = [client.get_run(run_id).to_dictionary() for run_id in finished]
    new = open_friday(tracker, AFTER)
    tracker.end_open(KeyboardInterrupt())
    assert shown(folder) == sorted([*DONE, ("AAPL,FB", "KILLED", "")])
    assert [client.get_run(run_id).to_dictionary() for run_id in finished] == before
    assert [file.path for file in client.list_artifacts(finished[0])] == ["report.html"]
    # Tried again, it goes on.
    assert open_friday(tracker, AFTER) == new
    assert client.get_run(new).info.status == "RUNNING"


def test_the_finished_one_goes_when_the_new_one_is_finished(tracker, folder, finished):
    _, child = finished
    new = open_friday(tracker, AFTER)
    assert tracker.record(new, AAPL) == child, "the same content is written once"
    tracker.record(new, SHORT_HISTORY)
    assert shown(folder) == sorted(
        [*DONE, ("AAPL,FB", "RUNNING", ""), ("FB", "FINISHED", "AAPL,FB")]
    )
    tracker.finish(new, {"day/tickers": 2.0})
    replaced = [
        ("AAPL", "FINISHED", "AAPL,FB"),
        ("AAPL,FB", "FINISHED", ""),
        ("FB", "FINISHED", "AAPL,FB"),
    ]
    assert shown(folder) == replaced
    tracker.finish(open_friday(tracker, AFTER), {"day/tickers": 2.0})
    assert shown(folder) == replaced


def test_a_stock_keeps_its_figures_until_the_session_with_its_new_ones_is_finished(
    tracker, folder, finished
):
    parent, child = finished
    new = open_friday(tracker, AFTER)
    another = tracker.record(new, ANOTHER_AAPL)
    assert {run.info.run_id for run in active_runs(folder)} == {parent, child, new, another}
    tracker.finish(new, {})
    assert {run.info.run_id for run in active_runs(folder)} == {new, another}


def test_the_address_is_that_of_the_newest_finished_run(tracker, finished):
    parent, _ = finished
    key = f"{FRIDAY} default close"
    new = open_friday(tracker, AFTER)
    assert tracker.address_of(key).endswith(parent)
    tracker.finish(new, {})
    assert tracker.address_of(key).endswith(new)


def test_a_session_that_others_need_is_not_replaced_by_them(tracker, folder, finished):
    """Another session's stocks are measured at this one's cutoff, and it had fewer tickers."""
    parent, child = finished
    assert tracker.ensure_session(FRIDAY, "default", "close", params=AFTER) == parent
    assert tracker.record(parent, AAPL) == child
    tracker.record(parent, SHORT_HISTORY)
    assert shown(folder) == [*DONE, ("FB", "FINISHED", "AAPL")]


def test_a_finished_session_whose_repetition_fails_stays_finished(tracker, folder, finished):
    assert open_friday(tracker, BEFORE) == finished[0]
    tracker.end_open(ValueError("no answer"))
    assert shown(folder) == DONE
    assert "failure" not in client_of(folder).get_run(finished[0]).data.tags


def test_the_run_that_somebody_else_works_on_is_left_to_them(tracker, folder, finished):
    other = tracker_in(folder, origin=Origin("1", "", "airflow dag 1"))
    open_friday(other, {"tickers": "FB"})
    new = open_friday(tracker, AFTER)
    tracker.finish(new, {})
    assert shown(folder) == [
        ("AAPL", "FINISHED", "AAPL,FB"),
        ("AAPL,FB", "FINISHED", ""),
        ("FB", "RUNNING", ""),
    ]


def test_a_run_given_up_goes_when_the_finished_one_is_finished_again(tracker, folder, finished):
    new = open_friday(tracker, AFTER)
    tracker.record(new, ANOTHER_AAPL)
    tracker.record(new, SHORT_HISTORY)
    tracker.end(new, "FAILED", "no answer")
    tracker.finish(open_friday(tracker, BEFORE), {"day/tickers": 1.0})
    assert shown(folder) == [*DONE, ("FB", "FINISHED", "AAPL")]
    assert finished[1] in {run.info.run_id for run in active_runs(folder)}


def test_what_is_recorded_below_a_parent_that_is_gone_goes_to_its_successor(
    tracker, folder, finished
):
    parent, _ = finished
    tracker.finish(open_friday(tracker, AFTER), {})
    tracker.record(parent, SHORT_HISTORY)
    assert ("FB", "FINISHED", "AAPL,FB") in shown(folder)


def test_the_stock_of_a_session_that_a_person_deleted_moves_to_the_next_one(
    tracker, folder, finished
):
    parent, child = finished
    client_of(folder).delete_run(parent)
    new = open_friday(tracker, BEFORE)
    assert tracker.record(new, AAPL) == child
    assert shown(folder) == [("AAPL", "FINISHED", "AAPL"), ("AAPL", "RUNNING", "")]


def test_two_runs_of_one_owner_leave_one(folder):
    dag_run = tracker_in(folder, origin=Origin("1", "", "airflow dag 1"))
    open_friday(dag_run, BEFORE)  # before its deployment's settings changed
    dag_run.finish(open_friday(dag_run, AFTER), {})
    assert shown(folder) == [("AAPL,FB", "FINISHED", "")]


def test_sessions_of_other_recipes_and_days_are_left_alone(tracker, folder, finished):
    thursday = FRIDAY - dt.timedelta(days=1)
    for day, recipe in ((FRIDAY, "castilla"), (thursday, "default")):
        run_id = tracker.open_session(day, recipe, "close", params=AFTER)
        tracker.finish(run_id, {})
    assert [run for run in shown(folder) if run in DONE] == DONE
