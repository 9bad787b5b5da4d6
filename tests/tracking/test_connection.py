"""The way to MLflow: an experiment that describes itself, and errors of one line."""

import contextlib
import re
import sqlite3

import pytest

from pipeline.errors import SettingsError, StoreTooNew, TrackingUnavailable
from pipeline.tracking import Tracker
from tests.tracking.made_runs import FRIDAY, client_of, tracker_in

pytestmark = pytest.mark.slow


def test_an_experiment_says_how_its_metrics_are_named(tracker, folder):
    tracker.prepare()
    tags = client_of(folder).get_experiment_by_name("sample").tags
    assert "`skill/` first" in tags["mlflow.note.content"]
    # MLflow's lists show the beginning as it is, without Markdown.
    assert tags["mlflow.note.content"].startswith("Forecasts and studies of ")


def test_a_deleted_experiment_is_named_with_its_remedy(tracker, folder):
    tracker.prepare()
    client = client_of(folder)
    client.delete_experiment(client.get_experiment_by_name("sample").experiment_id)
    with pytest.raises(SettingsError, match="mlflow experiments restore"):
        tracker_in(folder).prepare()


@pytest.mark.parametrize(
    "uri",
    [
        "http://user:secret@127.0.0.1:9",
        "postgresql+psycopg2://user:secret@127.0.0.1:9/mlflow",
        "sqlite:////proc/none/mlflow.db",
    ],
)
def test_an_unreachable_address_is_one_line_without_its_password(uri, tmp_path):
    with pytest.raises(TrackingUnavailable) as caught:
        Tracker(uri, str(tmp_path), "sample").open_session(FRIDAY, "default", "close")
    message = str(caught.value)
    assert message.startswith("MLflow at ") and "\n" not in message and "secret" not in message


@pytest.mark.parametrize(
    ("uri", "fault"),
    [
        ("my-server", "neither a database URL"),
        ("oracle+nodriver://host/name", "MLflow cannot be reached as oracle"),
    ],
)
def test_an_address_of_no_kind_is_refused(uri, fault, tmp_path):
    with pytest.raises(SettingsError, match=fault):
        Tracker(uri, str(tmp_path), "sample").prepare()


@pytest.mark.parametrize(
    ("revision", "upgrade", "error", "remedy"),
    [
        ("0584bdc529eb", False, SettingsError, "is of an older MLflow. Run `mlflow db upgrade`"),
        ("of tomorrow", True, StoreTooNew, "was written by a newer MLflow than"),
    ],
    ids=["older", "newer"],
)
def test_tables_of_another_mlflow_are_refused(folder, revision, upgrade, error, remedy):
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    with pytest.raises(error, match=re.escape(remedy)):
        tracker_in(folder, upgrade=upgrade).prepare()
