"""Runs that are written together: MLflow's client shows what it would have written one by one."""

import contextlib
import dataclasses
import datetime as dt
import json
import shutil

import pytest

from pipeline.errors import NothingStored, TrackingUnavailable
from pipeline.outcomes import outcome_together
from pipeline.storage import embedded_postgres
from pipeline.tracking import (
    Origin,
    PublishedModel,
    TrackedDataset,
    Tracker,
    bulk_database,
    bulk_plan,
    this_process,
)
from pipeline.tracking.bulk_database import BulkDatabase
from pipeline.tracking.experiment_runs import ExperimentRuns
from pipeline.tracking.mlflow_database import installed_revision
from pipeline.tracking.mlflow_rows import SCHEMA_REVISION
from tests.servers import s3_server
from tests.tracking.made_runs import (
    AAPL,
    EARLIER_NETWORK,
    FRIDAY,
    FRIDAY_RUN,
    NETWORK,
    SHORT_HISTORY,
    client_of,
    runs_of,
    statuses,
    tracker_in,
    uri_of,
    versions_of,
)
from tests.tracking.shown_runs import files_in, rows_in, shown_in

pytestmark = pytest.mark.slow

MONDAY = dt.date(2013, 3, 4)
DATASET = TrackedDataset("both up to 2013-02-28", "0123abcd", "s3://a/b", ("close",), 9, "training")
APPLE = dataclasses.replace(
    AAPL,
    description="**AAPL: better.**",
    datasets=(DATASET, dataclasses.replace(DATASET, digest="4567")),
    metrics={**AAPL.metrics, "skill": float("inf"), "lowest": float("-inf")},
    history={"loss": [0.5, float("nan"), 0.25], "learning_rate": [0.1] * 1500},
    pictures={"drawn/prediction.png": lambda: b"drawn"},
)
BERKSHIRE = dataclasses.replace(
    APPLE,
    ticker="BRK.B",
    model=dataclasses.replace(NETWORK, model_id="brk-march"),
    rivals=(EARLIER_NETWORK,),
    params={"seed": 7, "long": "x" * 9000},
)
STOCKS = (APPLE, BERKSHIRE, SHORT_HISTORY)
#: The same network with other figures, and one that a later session brings.
CHANGED = dataclasses.replace(APPLE, metrics={"test_rmse": 9.0})
MARCH_4 = dataclasses.replace(NETWORK, model_id="aapl-4-march", training_cutoff=MONDAY)
LATER = dataclasses.replace(APPLE, model=MARCH_4, rivals=(NETWORK,))


def published(model_id, is_baseline=False):
    """Return a champion whose folder gets a file that says which one it is."""
    return PublishedModel(model_id, is_baseline, lambda: {"served.npz": model_id.encode()})


#: On the third day a baseline is published of one, and nothing that could be served of none.
CHAMPIONS = (
    {"AAPL": published("aapl-march"), "BRK.B": None, "FB": published("ewma", True)},
    {"AAPL": published("aapl-february"), "BRK.B": published("brk-march")},
    {"AAPL": published("har", True), "BRK.B": published("brk-march")},
    {"AAPL": None, "BRK.B": published("brk-march")},
)


def session_of(tracker, day=FRIDAY):
    return tracker.open_session(day, "default", "close", {"universe": "sample"}, {"horizon": 5})


def together(tracker, *stocks, day=FRIDAY):
    parent = session_of(tracker, day)
    return tracker.record_together([(parent, stock) for stock in stocks])


def champion_of_apple(folder):
    [apple] = [model for model in shown_in(folder)["registered"] if model["name"] == "sample.AAPL"]
    return apple["aliases"]["champion"]


def two_days(folder, uri=""):
    """Record two days, with a configuration that changes between them, and name champions."""
    artifacts, origin = str(folder / "artifacts"), Origin("manual__1", "http://p", "dag")
    tracker = Tracker(uri or uri_of(folder), artifacts, "sample", code_version="1", origin=origin)
    together(tracker, *STOCKS)
    together(tracker, CHANGED, BERKSHIRE, SHORT_HISTORY)
    together(tracker, LATER, BERKSHIRE, day=MONDAY)
    for champions in CHAMPIONS:
        tracker.set_champions(champions, lambda: True)
    for day in (FRIDAY, MONDAY):
        tracker.finish(session_of(tracker, day), {})
    tracker.close()


def test_the_installed_mlflow_has_the_schema_that_is_written():
    assert installed_revision() == SCHEMA_REVISION


def test_what_is_written_together_is_what_the_client_writes_one_by_one(folder, monkeypatch):
    bulk, single = folder / "bulk", folder / "single"
    for each in (bulk, single):
        each.mkdir()
        shutil.copy(folder / "mlflow.db", each)
    two_days(bulk)
    with monkeypatch.context() as patch:
        patch.setattr(bulk_database, "SCHEMA_REVISION", "another")
        two_days(single)
    shown = shown_in(bulk)
    assert shown == shown_in(single)
    assert [run["name"] for run in shown["runs"]] == [
        "2013-03-01 default",
        "2013-03-04 default",
        "AAPL 2013-03-01 default",
        "AAPL 2013-03-04 default",
        "BRK.B 2013-03-01 default",
        "BRK.B 2013-03-04 default",
        "FB 2013-03-01 default",
    ]
    assert rows_in(bulk) == rows_in(single)
    assert files_in(bulk) == files_in(single)


def test_postgresql_keeps_the_same(folder, postgres_home):
    uri = embedded_postgres.url(postgres_home, "mlflow_bulk")
    two_days(folder)
    two_days(folder / "postgres", uri)
    assert shown_in(folder / "postgres", uri) == shown_in(folder)


def test_object_storage_gets_the_same_files(folder, monkeypatch):
    with s3_server(folder / "s3.log", "bucket") as access:
        for name, value in access.items():
            monkeypatch.setenv(name, value)
        tracker = Tracker(uri_of(folder), "s3://bucket/files", "sample")
        [run_id] = together(tracker, APPLE)
        client = client_of(folder)
        files = {file.path: file.file_size for file in client.list_artifacts(run_id)}
        assert files == {"drawn": None, "prediction.png": 3}
        [output] = client.get_run(run_id).outputs.model_outputs
        assert client.get_logged_model(output.model_id).artifact_location == (
            f"s3://bucket/files/sample/models/{output.model_id}/artifacts"
        )
        tracker.set_champions({"AAPL": published("aapl-march")}, lambda: True)
        kept = client.list_logged_model_artifacts(output.model_id)
        assert {"MLmodel", "data", "served.npz"} <= {file.path for file in kept}


def test_the_same_again_writes_nothing_and_another_session_only_what_is_new(tracker, folder):
    ids = together(tracker, *STOCKS)
    before = rows_in(folder), files_in(folder)
    assert together(tracker_in(folder), *STOCKS) == ids
    assert (rows_in(folder), files_in(folder)) == before
    assert together(tracker, APPLE) == ids[:1]
    # One by one or together, the same content is the same run.
    assert tracker.record(session_of(tracker), BERKSHIRE) == ids[1]


def test_a_stock_that_cannot_be_written_leaves_nothing_and_stops_no_other(tracker, folder):
    def broken():
        raise ValueError("no picture")

    stocks = {stock.ticker: stock for stock in STOCKS}
    stocks["BRK.B"] = dataclasses.replace(BERKSHIRE, pictures={"x.png": broken})
    parent = session_of(tracker)

    def record(tickers):
        ids = tracker.record_together([(parent, stocks[ticker]) for ticker in tickers])
        return dict(zip(tickers, ids, strict=True))

    outcomes = outcome_together(list(stocks), record)
    assert list(outcomes.results) == ["AAPL", "FB"] and list(outcomes.failures) == ["BRK.B"]
    assert [name for name, *_ in runs_of(folder)] == [
        FRIDAY_RUN,
        f"AAPL {FRIDAY_RUN}",
        f"FB {FRIDAY_RUN}",
    ]
    assert {name for name, *_ in versions_of(folder)} == {"sample.AAPL"}


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_what_is_cut_short_at_its_files_has_ended_and_is_replaced(
    tracker, folder, monkeypatch, error, status
):
    def stop(*_):
        assert statuses(folder)[f"FB {FRIDAY_RUN}"] == "RUNNING", "its owner can be found"
        raise error

    monkeypatch.setattr(bulk_plan, "write_file", stop)
    with pytest.raises(error):
        together(tracker, *STOCKS)
    assert {name: state for name, _, state in runs_of(folder) if name != FRIDAY_RUN} == {
        f"{stock.ticker} {FRIDAY_RUN}": status for stock in STOCKS
    }
    assert versions_of(folder) == []
    monkeypatch.undo()
    together(tracker, *STOCKS)
    assert {state for name, _, state in runs_of(folder) if name != FRIDAY_RUN} == {"FINISHED"}
    assert len(runs_of(folder)) == 1 + len(STOCKS) and len(versions_of(folder)) == 4


def test_what_a_killed_process_began_is_ended_by_the_next_one(tracker, folder, monkeypatch):
    owner = json.loads(this_process())
    dead = Origin("1", "", json.dumps({**owner, "started": owner["started"] - 60}))
    killed = tracker_in(folder, origin=dead)
    parent = session_of(tracker)
    monkeypatch.setattr(bulk_plan, "write_file", lambda *_: 1 / 0)
    monkeypatch.setattr(ExperimentRuns, "ended_on_error", lambda *_: contextlib.nullcontext())
    with pytest.raises(ZeroDivisionError):
        killed.record_together([(parent, APPLE)])
    monkeypatch.undo()
    assert tracker.end_abandoned() == [f"AAPL {FRIDAY_RUN}"]
    assert statuses(folder)[f"AAPL {FRIDAY_RUN}"] == "KILLED"
    together(tracker, APPLE)
    assert statuses(folder) == {FRIDAY_RUN: "RUNNING", f"AAPL {FRIDAY_RUN}": "FINISHED"}


def test_rows_that_cannot_be_added_end_their_runs(tracker, folder, monkeypatch):
    insert = BulkDatabase.insert

    def failing(self, connection, rows):
        insert(self, connection, rows)
        if "params" in rows.by_table:
            raise OSError("the disk is full")

    monkeypatch.setattr(BulkDatabase, "insert", failing)
    with pytest.raises(TrackingUnavailable, match="the disk is full"):
        together(tracker, APPLE)
    [run] = [run for run in shown_in(folder)["runs"] if run["name"] != FRIDAY_RUN]
    assert (run["status"], run["params"], run["metrics"], run["outputs"]) == ("FAILED", {}, {}, [])


def test_stocks_of_two_sessions_are_each_below_their_own(tracker, folder):
    friday, monday = session_of(tracker), session_of(tracker, MONDAY)
    tracker.record_together([(friday, APPLE), (monday, SHORT_HISTORY)])
    assert [run[:2] for run in runs_of(folder)] == [
        (FRIDAY_RUN, None),
        ("2013-03-04 default", None),
        (f"AAPL {FRIDAY_RUN}", FRIDAY_RUN),
        ("FB 2013-03-04 default", "2013-03-04 default"),
    ]


def test_a_champion_that_nobody_registered_stops_no_other(tracker, folder):
    together(tracker, *STOCKS)
    champions = {"FB": PublishedModel("nope"), "AAPL": published("aapl-march")}
    with pytest.raises(NothingStored, match=r"FB: model nope is not registered as sample\.FB"):
        tracker.set_champions(champions, lambda: True)
    assert champion_of_apple(folder) == "1"


def test_the_client_writes_where_the_schema_is_another(tracker, folder, monkeypatch):
    monkeypatch.setattr(bulk_database, "SCHEMA_REVISION", "another")
    for bulk in ("insert", "transaction"):
        monkeypatch.delattr(BulkDatabase, bulk)
    together(tracker, *STOCKS)
    tracker.set_champions({"AAPL": published("aapl-february")}, lambda: True)
    assert champion_of_apple(folder) == "2"
