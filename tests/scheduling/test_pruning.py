"""Pruning a deployment: its files, MLflow, and Airflow's own records."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cli.main import main
from pipeline.daily import plan, run_day
from pipeline.inspection import explanation_text, find_explanation, rerun
from pipeline.scheduling import prune
from pipeline.scheduling.airflow_metadata import CONNECTION_VARIABLE
from pipeline.storage import Store
from pipeline.tracking import MlflowPruning, TrackedRun
from tests.made_days import NOW, TRAINED, MadeParts, made_source
from tests.made_prices import LAST
from tests.made_publications import fill

pytestmark = pytest.mark.slow

#: A session before that of the day that tests share, with the same networks.
OLDER = dt.date(2013, 2, 27)
#: Each moment is later than that of every file.
IN_A_YEAR = dt.datetime.now(dt.UTC) + dt.timedelta(days=365)


def parts_at(home: Path) -> MadeParts:
    return MadeParts(home, made_source(signalled=True), data_docs="always")


@pytest.fixture(scope="module")
def two_days_home(made_day, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the day that tests share, with an older session next to it."""
    home = tmp_path_factory.mktemp("pruning") / "copy"
    shutil.copytree(made_day[0].settings.home, home)
    with parts_at(home) as parts:
        run_day(parts, plan(parts, TRAINED, OLDER, NOW))
    shutil.copytree(home, kept(home))
    return home


def kept(home: Path) -> Path:
    """Return the copy of a home that nothing changes."""
    return home.with_name("kept")


def restore(home: Path) -> None:
    """Make a home what it was; MLflow goes on using its database."""
    for path in home.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    shutil.copytree(kept(home), home, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.db*"))
    for file in kept(home).glob("*.db"):
        with (
            contextlib.closing(sqlite3.connect(file)) as old,
            contextlib.closing(sqlite3.connect(home / file.name)) as new,
        ):
            old.backup(new)


@pytest.fixture
def two_days(two_days_home: Path) -> Iterator[MadeParts]:
    """Parts on both days as they were, in the folder whose name they have noted."""
    restore(two_days_home)
    with parts_at(two_days_home) as parts:
        yield parts


def goes(parts: MadeParts, **changes: bool) -> dict[str, str]:
    """Return what goes by kind, in a year from now."""
    options = {"is_rehearsed": False, **changes}
    return {each.kind: each.goes for each in prune(parts, IN_A_YEAR, **options) if each.goes}


def file_names(parts: MadeParts) -> set[str]:
    return {each.name for each in parts.artifacts.files()}


def test_what_was_published_is_explained_and_made_again_to_the_last_bit(two_days):
    explained = find_explanation(two_days, OLDER, "OLD", universe="trained")
    text, files = explanation_text(two_days, explained), file_names(two_days)
    rehearsed = goes(two_days, is_rehearsed=True)
    assert file_names(two_days) == files
    assert goes(two_days) == rehearsed
    assert set(rehearsed) >= {"replays", "datasets", "pages of days", "Data Docs"}
    gone = files - file_names(two_days)
    assert f"reports/trained/{OLDER}-default-close.html" in gone
    assert f"reports/trained/{LAST}-default-close.html" not in gone
    assert not any(name.startswith("models/") for name in gone)
    explained = find_explanation(two_days, OLDER, "OLD", universe="trained")
    assert explanation_text(two_days, explained) == text
    assert rerun(two_days, explained).is_same
    assert goes(two_days) == {}


def test_runs_deleted_in_mlflow_go_and_the_champion_stays(two_days):
    tracker = two_days.tracker("trained")
    for value in (1.0, 2.0):  # the second takes the place of the first
        parent = tracker.open_session(OLDER, "other", "close", params={"value": value})
        tracker.record(parent, TrackedRun("OLD", {}, {"x": value}, files={"x.csv": b"1"}))
        tracker.finish(parent, {"x": value})
    database = sqlite3.connect(two_days.settings.home / "mlflow.db")
    with database:
        database.execute("UPDATE runs SET deleted_time = 0 WHERE deleted_time IS NOT NULL")
    [deleted] = {
        each.goes
        for each in prune(two_days, dt.datetime.now(dt.UTC), is_rehearsed=True)
        if each.kind == "MLflow"
    }
    assert deleted.startswith("2 runs and 0 models deleted before")
    champions = database.execute("SELECT name, version FROM registered_model_aliases").fetchall()
    assert champions
    prune(two_days, dt.datetime.now(dt.UTC), is_rehearsed=False)
    query = "SELECT count(*) FROM runs WHERE lifecycle_stage = 'deleted'"
    assert database.execute(query).fetchone() == (0,)
    again = database.execute("SELECT name, version FROM registered_model_aliases").fetchall()
    assert again == champions
    database.close()


def test_models_that_nobody_needs_are_marked_as_deleted_and_those_published_stay(two_days):
    settings = two_days.settings
    milliseconds = int(IN_A_YEAR.timestamp() * 1000)
    mlflow = MlflowPruning(
        settings.tracking_uri, str(settings.home / "artifacts"), ["trained"], 30, milliseconds
    )
    versions = "SELECT name, version FROM model_versions WHERE current_stage != 'Deleted_Internal'"
    database = sqlite3.connect(settings.home / "mlflow.db")
    all_versions = set(database.execute(versions))
    aliased = set(database.execute("SELECT name, version FROM registered_model_aliases"))
    assert mlflow.deleted([]).superseded == len(all_versions) - len(aliased) > 0
    assert mlflow.delete_superseded([]) == len(all_versions) - len(aliased)
    assert set(database.execute(versions)) == aliased
    assert mlflow.delete_superseded([]) == 0
    database.close()


def test_what_is_behind_a_server_or_was_never_used_is_named(tmp_path):
    with MadeParts(tmp_path, made_source(), tracking_uri="http://127.0.0.1:9") as parts:
        stays = {each.kind: each.stays for each in prune(parts, IN_A_YEAR, is_rehearsed=False)}
    assert "mlflow gc --older-than 30d" in stays["MLflow"]
    assert "not reached" in stays["Airflow's metadata"]
    assert not (tmp_path / "mlflow.db").exists()


def test_airflows_old_records_go_by_its_own_command(tmp_path, airflow_database, monkeypatch):
    shutil.copy(airflow_database, tmp_path / "airflow.db")
    database = sqlite3.connect(tmp_path / "airflow.db")
    now = dt.datetime.now(dt.UTC)
    moments = [now, now - dt.timedelta(days=40), now - dt.timedelta(days=50)]
    rows = [(moment.isoformat(" "), "made", "test") for moment in moments]
    with database:
        database.executemany("INSERT INTO log (dttm, event, owner) VALUES (?, ?, ?)", rows)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv(CONNECTION_VARIABLE, f"sqlite:///{tmp_path}/airflow.db")
    made = "SELECT count(*) FROM log WHERE event = 'made'"
    with MadeParts(tmp_path, made_source(), tracking_uri="http://127.0.0.1:9") as parts:
        for is_rehearsed, left in ((True, 3), (False, 1)):
            [goes] = [
                each.goes
                for each in prune(parts, now, is_rehearsed)
                if each.kind == "Airflow's metadata"
            ]
            assert goes == "2 rows"
            assert database.execute(made).fetchone() == (left,)
    database.close()


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a command whose store has publications; return its folder of replays."""
    settings = {name: f"sqlite:///{tmp_path}/{name}.db" for name in ("STORE_URL", "TRACKING_URI")}
    for name, value in {**settings, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(f"STOCKCAST_{name}", value)
    store = Store.open(settings["STORE_URL"])
    fill(store)
    store.close()
    replays = tmp_path / "artifacts" / "replays"
    replays.mkdir(parents=True)
    return replays


def write_old(folder: Path, count: int) -> None:
    for number in range(count):
        path = folder / f"{number}.npz"
        path.write_bytes(b"x" * 1024)
        os.utime(path, (0, 0))


def test_the_command_changes_nothing_without_yes(published, capsys):
    write_old(published, 2)
    assert main(["prune"]) == 0
    output = capsys.readouterr().out
    assert "2 files, 2.0 KiB" in output and "would go" in output
    assert "All of the last 30 days stays (--keep-days)" in output
    assert len(list(published.iterdir())) == 2
    assert main(["prune", "--yes"]) == 0
    assert "gone" in capsys.readouterr().out and list(published.iterdir()) == []


def test_a_process_that_is_killed_leaves_the_rest_for_the_next(published):
    count = 20_000
    write_old(published, count)
    command = [sys.executable, "-m", "pipeline", "prune", "--yes"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        while sum(1 for _ in published.iterdir()) == count:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert main(["prune", "--yes"]) == 0
    assert list(published.iterdir()) == []


def test_a_store_without_publications_cannot_say_what_is_needed(published, capsys, monkeypatch):
    write_old(published, 1)
    monkeypatch.setenv("STOCKCAST_STORE_URL", f"sqlite:///{published}/../other.db")
    assert main(["prune", "--yes"]) == 2
    error = capsys.readouterr().err
    assert "Nothing is published in" in error and "(STOCKCAST_STORE_URL)" in error
    assert len(list(published.iterdir())) == 1
