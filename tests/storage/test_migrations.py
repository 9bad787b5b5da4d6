"""Migrations: they make the schema that the tables ask for, and lose nothing that is kept."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from pipeline.storage import Store, migrations, sql_metadata
from pipeline.tables import (
    ACTION_REVISIONS,
    DRIFT,
    EVALUATIONS,
    PREDICTIONS,
    PRICE_REVISIONS,
    PRICE_SOURCES,
    PUBLICATIONS,
    RUN_TICKERS,
    RUNS,
    SCORES,
    STORED,
    Table,
)
from tests.daily.quick_days import QuickParts, quick_day
from tests.storage.made_rows import any_rows

#: Tables whose rows no migration may lose, with the columns that they got later.
KEPT = {
    "forecasts": ["lower_50", "upper_50", "lower_98", "upper_98"],
    "scores": ["pinball", "ewma_pinball", "har_pinball", "published_at", "backfilled"],
    "promotions": [
        *("weight", "baseline", "test_pinball", "ewma_test_pinball", "pinball_skill"),
        *("har_test_pinball", "pinball_skill_over_har"),
    ],
    "datasets": ["known_at", "learnt"],
    "models": [],
    "price_revisions": [],
}
KEPT_TABLES = [table for table in STORED if table.name in KEPT]


def shape(engine: sa.Engine) -> dict[str, dict[str, object]]:
    """Return columns, key and indexes of each table of a database."""
    inspector = sa.inspect(engine)
    return {
        name: {
            # What a later revision added stands at the end; every statement names its columns.
            "columns": sorted(
                (column["name"], str(column["type"]), column["nullable"])
                for column in inspector.get_columns(name)
            ),
            "key": inspector.get_pk_constraint(name)["constrained_columns"],
            "indexes": sorted(
                (index["name"], tuple(index["column_names"]))
                for index in inspector.get_indexes(name)
            ),
        }
        for name in inspector.get_table_names()
        if name != migrations.VERSION_TABLE
    }


def make_version(url: str, revision: str = "0001") -> None:
    """Make the schema of an earlier version; the first one, unless another is named."""
    from alembic import command
    from alembic.config import Config

    config, engine = Config(), sa.create_engine(url)
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def make_tables_again(engine: sa.Engine) -> None:
    """Make the tables that `tables.STORED` asks for, in the place of those that are there."""
    with engine.begin() as connection:
        for name in sa.inspect(connection).get_view_names():  # PostgreSQL keeps what they show
            connection.execute(sa.text(f"DROP VIEW {name}"))
    sql_metadata().drop_all(engine)
    sql_metadata().create_all(engine)


def insert_rows(connection: sa.Connection, table: Table, rows: pd.DataFrame) -> None:
    """Insert rows into a table that has all their columns."""
    records = rows.astype(object).where(rows.notna(), None).to_dict("records")
    stored = sa.Table(table.name, sa.MetaData(), autoload_with=connection)
    connection.execute(sa.insert(stored), records)


def test_the_migrated_schema_is_the_one_that_the_tables_ask_for(unused_url):
    Store.open(unused_url).close()
    engine = sa.create_engine(unused_url)
    migrated = shape(engine)
    make_tables_again(engine)
    asked_for = shape(engine)
    engine.dispose()
    assert migrated == asked_for, "tables.py and migrations/versions disagree: add a revision"


def test_the_listed_revisions_are_those_of_the_files():
    from alembic.script import ScriptDirectory

    walked = ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions()
    assert tuple(script.revision for script in walked)[::-1] == migrations.REVISIONS


@pytest.fixture
def first_columns(unused_url: str) -> dict[str, list[str]]:
    """Columns by table of a store of the first version, which has two rows of each kept table."""
    make_version(unused_url)
    engine = sa.create_engine(unused_url)
    columns = {
        name: [column for column, *_ in about["columns"]] for name, about in shape(engine).items()
    }
    with engine.begin() as connection:
        for table in [*KEPT_TABLES, EVALUATIONS]:
            shared = [name for name in columns[table.name] if name in table.columns]
            insert_rows(connection, table, any_rows(table, 2)[shared])
    engine.dispose()
    return columns


def test_a_store_of_the_first_version_keeps_its_forecasts_scores_and_promotions(
    unused_url, first_columns
):
    for _ in range(2):  # the second time there is nothing left to do
        store = Store.open(unused_url)
        for table in KEPT_TABLES:
            new = [name for name in table.columns if name not in first_columns[table.name]]
            assert new == KEPT[table.name]
            loaded = store.load(table)
            dated = [name for name in new if name in ("published_at", "backfilled")]
            assert loaded[new].drop(columns=dated).isna().all(axis=None)
            assert table.name != "scores" or loaded["backfilled"].all()
            expected = any_rows(table, 2).drop(columns=new)
            pd.testing.assert_frame_equal(loaded.drop(columns=new), expected)
        # Made again from the networks, which are kept.
        assert len(store.load(EVALUATIONS)) == len(store.load(PREDICTIONS)) == 0
        store.close()


@pytest.mark.parametrize(
    ("known_at", "session", "backfilled"),
    [
        ("2013-03-01 21:30:00.000001", "2013-03-04", False),
        ("2013-03-04 00:00:00.000000", "2013-03-04", True),
        (None, "2013-03-05", False),
        (None, "2013-03-02", True),
    ],
)
def test_what_was_published_before_revisions_were_kept_is_dated_by_what_it_knew(
    unused_url, known_at, session, backfilled
):
    key = {"universe": "u", "recipe": "r", "target": "close", "ticker": "A", "cutoff": "2013-03-01"}
    forecast = {**key, "horizon": 1, "session": session, "y_hat": 2.0}
    rows = {
        "forecasts": forecast,
        "scores": {**forecast, "inside_80": True, "inside_95": True},
        "drift": {**key, "cutoff": "2013-03-06", "sessions": 1, "warnings": ""},
    }
    if known_at:
        rows["runs"] = {**key, "known_at": known_at}
    make_version(unused_url, "0004")
    engine = sa.create_engine(unused_url)
    with engine.begin() as connection:
        for name, row in rows.items():
            names = ", ".join(row)
            values = ", ".join(f":{column}" for column in row)
            connection.execute(sa.text(f"INSERT INTO {name} ({names}) VALUES ({values})"), row)
    engine.dispose()
    store = Store.open(unused_url)
    [published] = store.load(PUBLICATIONS).to_dict("records")
    moment = pd.Timestamp(known_at or "2013-03-02")
    assert (published["published_at"], published["y_hat"], published["withdrawn"]) == (
        moment,
        2.0,
        "",
    )
    assert pd.isna(published["known_at"]) if known_at is None else published["known_at"] == moment
    [score], [judged] = (store.load(table).to_dict("records") for table in (SCORES, DRIFT))
    assert (score["published_at"], score["backfilled"]) == (moment, backfilled)
    assert judged["backfilled"] == backfilled
    store.close()


def test_the_newest_moment_of_each_source_is_that_of_its_bars_or_actions(unused_url):
    make_version(unused_url, "0005")
    engine = sa.create_engine(unused_url)
    sources = ["csv", "csv", "sample"]
    with engine.begin() as connection:
        insert_rows(connection, PRICE_REVISIONS, any_rows(PRICE_REVISIONS).assign(source_id="csv"))
        acted = any_rows(ACTION_REVISIONS).assign(source_id=sources)
        insert_rows(connection, ACTION_REVISIONS, acted)
    engine.dispose()
    store = Store.open(unused_url)
    newest = store.load(PRICE_SOURCES).set_index("source_id")["known_at"]
    assert newest.to_dict() == {
        "csv": any_rows(PRICE_REVISIONS)["known_at"].max(),
        "sample": acted["known_at"].iloc[2],
    }
    store.close()


def test_a_store_of_the_version_before_har_keeps_its_rows_as_they_were(unused_url):
    make_version(unused_url, "0009")
    engine = sa.create_engine(unused_url)
    added = {
        "scores": ["har_pinball"],
        "promotions": ["har_test_pinball", "pinball_skill_over_har"],
        "forecasts": ["lower_98", "upper_98"],
        "publications": ["lower_98", "upper_98"],
    }
    tables = [table for table in STORED if table.name in added]
    with engine.begin() as connection:
        for table in tables:
            insert_rows(connection, table, any_rows(table).drop(columns=added[table.name]))
    engine.dispose()
    store = Store.open(unused_url)
    for table in tables:
        rows, names = store.load(table), added[table.name]
        assert rows[names].isna().all(axis=None)
        pd.testing.assert_frame_equal(rows.drop(columns=names), any_rows(table).drop(columns=names))
    store.close()


def test_each_run_is_kept_once_under_the_name_that_its_repetition_has(unused_url, tmp_path):
    with QuickParts(tmp_path / "day") as parts:
        run = quick_day(parts, last="publish")
        [row] = parts.store.load(RUNS).to_dict("records")
        members = parts.rows(RUN_TICKERS, run)
    other = {"settings": "{}", "libraries": None}  # as an old version, or another run, has left it
    old = [
        {**row, "ticker": ticker, **(other if ticker == "TWO" else {})}
        for ticker in members["ticker"]
    ]
    for each in old:
        del each["run_id"]
    make_version(unused_url, "0006")
    engine = sa.create_engine(unused_url)
    stored = sa.Table("runs", sa.MetaData(), autoload_with=engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(stored), old)
    engine.dispose()
    for _ in range(2):
        store = Store.open(unused_url)
        runs = store.load(RUNS).set_index("run_id")
        assert runs.loc[row["run_id"]].to_dict() == {k: v for k, v in row.items() if k != "run_id"}
        assert len(runs) == 2 and runs["settings"].tolist().count("{}") == 1
        named = store.load(RUN_TICKERS).set_index("ticker")["run_id"]
        assert set(named.drop("TWO")) == {row["run_id"]} and named["TWO"] != row["run_id"]
        assert sorted(named.index) == sorted(members["ticker"])
        store.close()


def test_a_store_of_the_first_version_comes_to_the_schema_of_a_new_one(unused_url):
    make_version(unused_url)
    Store.open(unused_url).close()
    engine = sa.create_engine(unused_url)
    migrated = shape(engine)
    query = sa.text(f"SELECT version_num FROM {migrations.VERSION_TABLE}")
    with engine.connect() as connection:
        assert connection.scalar(query) == migrations.REVISIONS[-1]
    make_tables_again(engine)
    assert migrated == shape(engine)
    engine.dispose()
