"""Databases: opened once their schema is up to date, refused in one line otherwise."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.errors import SettingsError, StoreTooNew, StoreUnavailable
from pipeline.storage import Store, migrations
from pipeline.tables import FORECASTS, PREDICTIONS
from tests.storage.made_rows import predictions

ROOT = Path(__file__).parents[2]
LOST = Exception("server closed the connection\nunexpectedly")


def test_several_processes_may_make_the_schema_at_once(unused_url):
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(Store.open, [unused_url] * 4))
    assert [len(store.load(FORECASTS)) for store in stores] == [0] * 4
    for store in stores:
        store.close()


@pytest.mark.slow
def test_an_up_to_date_store_opens_without_alembic(store, store_url):
    code = (
        "import sys; from pipeline.storage import Store;"
        f"Store.open({store_url!r}).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == "False\n"


def set_version(store: Store, version: str) -> None:
    statement = f"UPDATE {migrations.VERSION_TABLE} SET version_num = '{version}'"
    with store.database.writer() as connection:
        connection.execute(sa.text(statement))


def test_a_newer_store_is_refused_and_left_as_it_is(unused_url):
    store = Store.open(unused_url)
    store.save(PREDICTIONS, predictions(1))
    set_version(store, "9999")
    refusal = r"has schema 9999; this program knows schemas up to \d+\. Upgrade"
    with pytest.raises(StoreTooNew, match=refusal) as refused:
        Store.open(unused_url)
    names = ("The store sqlite:///", "The store stockcast_unused (PostgreSQL at /")
    assert str(refused.value).startswith(names)
    set_version(store, migrations.REVISIONS[-1])
    other = Store.open(unused_url)
    assert len(other.load(PREDICTIONS)) == 1
    other.close()
    store.close()


def test_another_programs_database_is_refused_and_left_as_it_is(unused_url):
    engine = sa.create_engine(unused_url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE datasets (id INTEGER)"))
    with pytest.raises(SettingsError, match="another program"):
        Store.open(unused_url)
    assert sa.inspect(engine).get_table_names() == ["datasets"]
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("nonsense", SettingsError, "cannot be read"),
        ("mysql://user:secret@host/db", SettingsError, "Use postgresql"),
        ("sqlite:////no/such/folder/store.db", SettingsError, "no folder"),
        (
            "postgresql://user:secret@127.0.0.1:1/db",
            StoreUnavailable,
            r"postgresql\+psycopg2://user:\*\*\*@127.0.0.1:1/db does not answer",
        ),
        ("postgresql://user:secret@/db?host=/no/such/socket", StoreUnavailable, "does not answer"),
    ],
)
def test_a_bad_address_is_one_line_without_the_password(url, error, message):
    with pytest.raises(error, match=message) as caught:
        Store.open(url)
    assert type(caught.value) is error
    assert not re.search(r"secret|\n", str(caught.value))


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("Date,Open\n" * 1000)
    message = r"prices\.csv cannot serve as the store: file is not a database"
    with pytest.raises(SettingsError, match=message):
        Store.open(f"sqlite:///{path}")


@pytest.mark.parametrize(
    "error",
    [
        sa.exc.OperationalError("SELECT 1", {}, LOST),
        # As psycopg2 calls it in the middle of an answer, and SQLAlchemy marks it.
        sa.exc.DatabaseError("SELECT 1", {}, LOST, connection_invalidated=True),
    ],
    ids=["before an answer", "within an answer"],
)
def test_a_store_that_stops_answering_is_unavailable(store, error):
    with pytest.raises(StoreUnavailable, match="does not answer"), store.database.reader():
        raise error


def test_a_fault_of_a_statement_is_no_outage(store):
    with pytest.raises(sa.exc.IntegrityError), store.database.writer():
        raise sa.exc.IntegrityError("INSERT", {}, Exception("duplicate key"))
