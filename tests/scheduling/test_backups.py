"""Backups: what is restored into a new home is what was there, and nothing else is touched."""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import SettingsError, StoreUnavailable
from pipeline.parts import store_url
from pipeline.scheduling.backups import backup, restore
from pipeline.settings import Settings
from pipeline.storage import Store, embedded_postgres
from pipeline.storage.dumps import write_portable
from pipeline.tables import STORED
from tests.made_publications import fill
from tests.servers import postgres_server

FILES = {
    "artifacts/models/m1.keras": b"weights",
    "airflow/passwords.json": b'{"admin": "secret"}',
    "reports/day.html": b"<h1>day</h1>",
}
#: What is not of the deployment but of a process, a moment or a log.
LEFT_OUT = ("logs/mlflow.log", "airflow/services.lock", "artifacts/.unfinished/half")


def settings_of(home: Path, sqlite: bool) -> Settings:
    url = f"sqlite:///{home}/store.db" if sqlite else ""
    return Settings().replaced(home=home, store_url=url, tracking_uri="http://mlflow.example.com")


def make_home(home: Path, sqlite: bool) -> Settings:
    """Make a home with a store, and files of each kind."""
    for name in (*FILES, *LEFT_OUT):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(FILES.get(name, b"not kept"))
    home.chmod(0o755)  # as root, the embedded server runs as another user
    settings = settings_of(home, sqlite)
    store = Store.open(store_url(settings))
    fill(store)
    store.close()
    return settings


def contents(settings: Settings) -> tuple[dict[str, pd.DataFrame], dict[str, bytes]]:
    """Return the rows of every table, and the files that a backup keeps."""
    store = Store.open(store_url(settings))
    tables = {table.name: store.load(table) for table in STORED}
    store.close()
    return tables, {name: (settings.home / name).read_bytes() for name in FILES}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    tmp_path.chmod(0o755)
    yield make_home(tmp_path / "old", request.param == "sqlite")
    for name in ("old", "new"):
        embedded_postgres.stop(tmp_path / name)


@pytest.mark.parametrize("name", ["day.tar", "day.tar.gz"])
def test_a_new_home_is_what_the_old_one_was_while_somebody_was_writing(made, tmp_path, name):
    file, new = tmp_path / name, tmp_path / "new"
    writer = Store.open(store_url(made))
    with writer.database.writer() as connection:
        connection.exec_driver_sql("DELETE FROM scores")  # not committed yet
        if connection.dialect.name == "postgresql":
            backup(made, file)
        connection.rollback()
    writer.close()
    if not file.exists():
        backup(made, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    restored = settings_of(new, bool(made.store_url))
    restore(restored, file)
    (tables, files), (expected, _) = contents(restored), contents(made)
    assert files == FILES
    assert len(expected["scores"]) > 0
    for table in STORED:
        pd.testing.assert_frame_equal(tables[table.name], expected[table.name])
    assert not any((new / each).exists() for each in LEFT_OUT)
    assert not list(tmp_path.glob("*.draft"))


@pytest.mark.slow
def test_a_home_moves_to_a_server_of_ones_own_and_from_there_on(tmp_path):
    tmp_path.chmod(0o755)
    old = make_home(tmp_path / "old", sqlite=False)
    backup(old, tmp_path / "old.tar")
    named = ("first", "second")
    with postgres_server(tmp_path, *named, password="p@ss/ %1'") as url:
        for name in named:
            new = old.replaced(home=tmp_path / name, store_url=url.format(name))
            restore(new, tmp_path / "old.tar")
            assert not (new.home / "postgres").exists()
            (tables, files), (expected, _) = contents(new), contents(old)
            assert files == FILES
            for table in STORED:
                pd.testing.assert_frame_equal(tables[table.name], expected[table.name])
            (tmp_path / "old.tar").unlink()
            backup(new, tmp_path / "old.tar")
    embedded_postgres.stop(old.home)


def test_a_server_of_ones_own_that_does_not_answer_is_named_without_its_password(tmp_path):
    settings = settings_of(tmp_path, sqlite=True)
    settings = settings.replaced(store_url="postgresql://me:secret@127.0.0.1:9/stockcast")
    with pytest.raises(
        StoreUnavailable, match=r"me:\*\*\*@127\.0\.0\.1:9/stockcast does not"
    ) as it:
        backup(settings, tmp_path / "day.tar")
    assert "secret" not in str(it.value)
    assert "\n" not in str(it.value)


def test_a_script_loses_the_one_setting_that_older_servers_lack(tmp_path):
    script, portable = tmp_path / "all.sql", tmp_path / "portable.sql"
    line = "SET transaction_timeout = 0;\n"
    script.write_text(f"SET a = 1;\n{line}COPY t FROM stdin;\n{line}\\.\n")
    write_portable(script, portable)
    assert portable.read_text() == f"SET a = 1;\nCOPY t FROM stdin;\n{line}\\.\n"


@pytest.fixture
def backed_up(tmp_path: Path) -> Path:
    file = tmp_path / "day.tar"
    backup(make_home(tmp_path / "old", sqlite=True), file)
    return file


def test_a_home_that_has_something_is_left_as_it_is(backed_up, tmp_path):
    new = tmp_path / "new"
    new.mkdir()
    (new / "mine").touch()
    with pytest.raises(
        SettingsError, match=r"new is not empty\. A backup is restored into a new h"
    ):
        restore(settings_of(new, sqlite=True), backed_up)
    assert [each.name for each in new.iterdir()] == ["mine"]


def test_a_database_that_has_something_is_left_as_it_is(backed_up, tmp_path):
    new, full = tmp_path / "new", f"sqlite:///{tmp_path}/old/store.db"
    settings = settings_of(new, sqlite=True).replaced(store_url=full)
    with pytest.raises(SettingsError, match="The database for stockcast is not empty"):
        restore(settings, backed_up)
    assert not new.exists()


def test_a_backup_is_not_written_over_another(backed_up, tmp_path):
    before = backed_up.read_bytes()
    with pytest.raises(SettingsError, match=r"day\.tar is there already"):
        backup(settings_of(tmp_path / "old", sqlite=True), backed_up)
    assert backed_up.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no archive", "cut"])
def test_what_is_no_backup_leaves_nothing(backed_up, tmp_path, content):
    broken = tmp_path / "broken.tar"
    whole = backed_up.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2] if content == "cut" else content)
    new = tmp_path / "new"
    with pytest.raises(SettingsError, match=r"broken\.tar is no backup that can be read"):
        restore(settings_of(new, sqlite=True), broken)
    assert not new.exists()


def test_an_archive_that_reaches_out_of_its_folder_is_refused(tmp_path):
    evil = tmp_path / "evil.tar"
    with tarfile.open(evil, "w") as archive:
        archive.add(__file__, "../../outside")
    with pytest.raises(SettingsError, match="is no backup that can be read"):
        restore(settings_of(tmp_path / "a" / "new", sqlite=True), evil)
    assert not (tmp_path / "outside").exists()


def test_without_a_home_there_is_nothing_to_back_up(tmp_path):
    with pytest.raises(SettingsError, match="There is nothing under"):
        backup(settings_of(tmp_path / "none", sqlite=True), tmp_path / "day.tar")
