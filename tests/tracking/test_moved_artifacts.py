"""A home that is moved: its files are found where they are now, and new ones are written there."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.tracking import PublishedModel, Tracker, follow_moved_artifacts
from tests.tracking.made_runs import (
    AAPL,
    FRIDAY,
    SHORT_HISTORY,
    client_of,
    record_friday,
    tracker_in,
    uri_of,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def moved(mlflow_database, tmp_path):
    """A home that was moved after a session was recorded in it, with the ids of its runs."""
    (tmp_path / "home").mkdir()
    shutil.copy(mlflow_database, tmp_path / "home" / "mlflow.db")
    tracker = tracker_in(tmp_path / "home")
    parent, child = record_friday(tracker)
    tracker.set_champions({"AAPL": PublishedModel("aapl-march")}, lambda: True)
    tracker.finish(parent, {}, {"report.html": b"page"})
    tracker.close()
    home = tmp_path / "elsewhere, 100%"
    (tmp_path / "home").rename(home)
    return home, parent, child


def test_files_are_found_at_the_new_place(moved, tmp_path):
    home, parent, child = moved
    tracker_in(home).prepare()
    client = client_of(home)
    assert [file.path for file in client.list_artifacts(child)] == ["prediction.png"]
    read = client.download_artifacts(parent, "report.html", str(tmp_path))
    assert Path(read).read_bytes() == b"page"


#: Downloads the published model; in a process of its own, as MLflow keeps the places it has seen.
CHAMPION = """
import sys, mlflow
from pathlib import Path
mlflow.set_tracking_uri(sys.argv[1])
folder = mlflow.artifacts.download_artifacts("models:/sample.AAPL@champion", dst_path=sys.argv[2])
print((Path(folder) / "data" / "model.keras").read_text())
"""


def test_the_published_model_is_found_at_the_new_place(moved, tmp_path):
    home, *_ = moved
    tracker_in(home).prepare()
    (tmp_path / "downloaded").mkdir()
    command = [sys.executable, "-c", CHAMPION, uri_of(home), str(tmp_path / "downloaded")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "weights\n", done.stderr


def test_new_files_are_written_to_the_new_place(moved, tmp_path):
    home, *_ = moved
    tracker = tracker_in(home)
    parent = tracker.open_session(FRIDAY, "castilla", "close")
    tracker.finish(parent, {}, {"report.html": b"another"})
    assert (home / "artifacts" / "sample" / parent / "artifacts" / "report.html").exists()
    assert not (tmp_path / "home").exists()


def test_a_second_look_corrects_nothing(moved):
    home, *_ = moved
    root = str(home / "artifacts")
    assert len(follow_moved_artifacts(uri_of(home), root)) == 1
    assert follow_moved_artifacts(uri_of(home), root) == []


def test_files_that_stayed_where_they_were_are_left_there(tracker, folder, tmp_path):
    """Another folder is named for artifacts, and some of the product's are in it already."""
    parent, _ = record_friday(tracker)
    (tmp_path / "other" / "sample").mkdir(parents=True)
    other = Tracker(uri_of(folder), str(tmp_path / "other"), "sample")
    other.record(parent, SHORT_HISTORY)
    assert f"{folder}/artifacts/sample" in client_of(folder).get_run(parent).info.artifact_uri


@pytest.mark.parametrize("root", ["s3://bucket/artifacts", "/nowhere/artifacts"])
def test_what_is_not_in_the_folder_is_not_looked_for_there(tracker, folder, root):
    record_friday(tracker, AAPL)
    assert follow_moved_artifacts(uri_of(folder), root) == []


def test_a_database_without_tables_has_nothing_to_correct(tmp_path):
    sqlite3.connect(tmp_path / "mlflow.db").close()
    assert follow_moved_artifacts(uri_of(tmp_path), str(tmp_path)) == []
    assert follow_moved_artifacts("http://127.0.0.1:5000", str(tmp_path)) == []
