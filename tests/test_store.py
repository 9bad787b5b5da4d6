from __future__ import annotations

import datetime as dt
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from benchmarks.store import SERIES, SOURCE, plan_of, publish
from benchmarks.store import save as save_prices
from pipeline import embedded_postgres, migrations
from pipeline.errors import SettingsError, StoreTooNew, StoreUnavailable
from pipeline.quantiles import COLUMNS as QUANTILES
from pipeline.store import COPIED_FROM, Span, Store, sql_metadata
from pipeline.tables import (
    ACTIONS,
    CHECKS,
    DATASETS,
    EVALUATIONS,
    FORECASTS,
    MODELS,
    PREDICTIONS,
    PRICE_REVISIONS,
    PRICES,
    PROMOTIONS,
    SCORES,
    STORED,
    Table,
)

MONDAY, TUESDAY, WEDNESDAY = dt.date(2020, 8, 24), dt.date(2020, 8, 25), dt.date(2020, 8, 26)
EVENING = dt.datetime(2020, 8, 26, 22, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def bars(*rows: tuple) -> pd.DataFrame:
    """(ticker, session, close) rows; the other columns follow from the close."""
    closes = [close for *_, close in rows]
    return PRICES.conform(
        pd.DataFrame(
            {
                "ticker": [ticker for ticker, *_ in rows],
                "session": pd.to_datetime([session for _, session, _ in rows]),
                **dict.fromkeys(["open", "high", "low", "close"], closes),
                "volume": 1000.0,
            }
        )
    )


def acts(*rows: tuple) -> pd.DataFrame:
    return ACTIONS.conform(pd.DataFrame(rows, columns=list(ACTIONS.columns)).astype({"session": "datetime64[s]"}))


def predictions(count: int, median: float = 1.0, model: str = "naive") -> pd.DataFrame:
    names = [f"dataset-{number:05d}" for number in range(count)]
    quantiles = dict.fromkeys(QUANTILES, median)
    return PREDICTIONS.conform(pd.DataFrame({"dataset": names, "model": model, "horizon": 1, **quantiles}))


def any_rows(table: Table, count: int = 3) -> pd.DataFrame:
    """Rows with every dtype's awkward values: missing and tiny numbers, quotes, other scripts, single microseconds."""
    values = {
        "str": ["o'é\"%s:1", "日本", ""],
        "float64": [np.nan, 0.1 + 0.2, 5e-324],
        "int64": [2, 1, 0],
        "bool": [True, False, True],
        "datetime64[s]": pd.to_datetime(["1990-01-02", "2024-02-29", "2100-12-31"]),
        "datetime64[us]": pd.to_datetime(["1990-01-02 03:04:05.000006", "2024-02-29 00:00:00.0", "2100-12-31 23:59:59.999999"]),
    }
    return table.conform(pd.DataFrame({column: values[dtype] for column, dtype in table.columns.items()}).head(count))


# Any table


@pytest.mark.parametrize("table", STORED, ids=lambda table: table.name)
def test_what_is_saved_is_what_is_loaded_in_every_table(store, table):
    rows = any_rows(table)
    assert store.save(table, rows) == 3
    pd.testing.assert_frame_equal(store.load(table), rows)
    assert store.save(table, rows) == 0, "NaN is the same as NaN"
    pd.testing.assert_frame_equal(store.load(table, **{table.key[0]: "nothing"}), table.empty())
    assert store.replace(table, rows.iloc[1:2]) == 2
    pd.testing.assert_frame_equal(store.load(table), rows.iloc[1:2].reset_index(drop=True))


def test_a_save_counts_and_rewrites_only_what_differs(store):
    store.save(PREDICTIONS, predictions(3))
    changed = predictions(4)
    changed.loc[1, "q500"] = np.nan
    assert store.save(PREDICTIONS, changed) == 2
    assert store.load(PREDICTIONS)["q500"].tolist() == pytest.approx([1.0, np.nan, 1.0, 1.0], nan_ok=True)


def test_twenty_thousand_rows_are_saved_and_filtered(store):
    rows = predictions(20_000)
    assert store.save(PREDICTIONS, rows) == 20_000
    some = rows["dataset"].tolist()[::2000]
    assert store.load(PREDICTIONS, dataset=some, model="naive")["dataset"].tolist() == some


@pytest.mark.parametrize("table", [table for table in STORED if "ticker" in table.columns], ids=lambda table: table.name)
def test_many_tickers_are_read_as_few_are(store, table):
    """PostgreSQL hands many over as text: nothing missing, tiny, quoted or of another script is lost on the way."""
    rows = any_rows(table)
    store.save(table, rows)
    tickers = [*rows["ticker"], *(f"T{number}" for number in range(COPIED_FROM))]
    pd.testing.assert_frame_equal(store.load(table, ticker=tickers), rows, check_exact=True)
    pd.testing.assert_frame_equal(store.load(table, ticker=tickers[3:]), table.empty())


def test_a_span_is_a_filter_with_one_end_or_both(store):
    store.save(SCORES, any_rows(SCORES))  # of 1990, 2024 and 2100
    leap = dt.date(2024, 2, 29)
    found = [len(store.load(SCORES, session=span)) for span in (Span(), Span(leap), Span(last=leap), Span(leap, leap))]
    assert found == [3, 2, 2, 1]
    with pytest.raises(ValueError, match="no columns"):
        store.load(SCORES, day=Span(leap))


def test_filters_take_dates_timestamps_numbers_of_numpy_and_lists(store):
    rows = any_rows(SCORES)
    store.save(SCORES, rows)
    assert len(store.load(SCORES, session=dt.date(2024, 2, 29), horizon=np.int64(1))) == 1
    assert len(store.load(SCORES, session=[pd.Timestamp("2024-02-29"), np.datetime64("1990-01-02")], inside_80=[True, False])) == 2
    assert len(store.load(SCORES, horizon=[])) == 0
    with pytest.raises(ValueError, match="no columns"):
        store.load(SCORES, tickr="IBM")


def test_text_that_looks_like_sql_is_only_text(store):
    evil = "'; DROP TABLE checks; --"
    store.save(CHECKS, any_rows(CHECKS, 1).assign(ticker=evil))
    assert store.load(CHECKS, ticker=evil)["ticker"].tolist() == [evil]
    assert store.last_sessions(evil, [evil], MONDAY, EVENING) == {}


def test_rows_without_a_key_or_with_the_same_key_are_refused(store):
    with pytest.raises(ValueError, match="same key"):
        store.save(PREDICTIONS, pd.concat([predictions(1), predictions(1)]))
    with pytest.raises(ValueError, match="lacks part of its key"):
        store.save(PREDICTIONS, predictions(1).assign(dataset=None))


def test_replacing_leaves_exactly_these_rows_in_the_group_and_others_alone(store):
    store.save(PREDICTIONS, pd.concat([predictions(3, model="naive"), predictions(3, model="lstm")]))
    assert store.replace(PREDICTIONS, predictions(3, model="naive"), model="naive") == 0
    new = predictions(4, model="naive").iloc[1:].assign(q500=[1.0, 2.0, 1.0])
    assert store.replace(PREDICTIONS, new, model="naive") == 3  # one gone, one changed, one new
    expected = PREDICTIONS.conform(pd.concat([new, predictions(3, model="lstm")]))
    pd.testing.assert_frame_equal(store.load(PREDICTIONS), expected)
    assert store.replace(PREDICTIONS, PREDICTIONS.empty(), model=["naive", "lstm"]) == 6
    assert len(store.load(PREDICTIONS)) == 0


def test_replacing_by_a_single_column_key_deletes_the_right_rows(store):
    rows = any_rows(MODELS)
    store.save(MODELS, rows)
    assert store.replace(MODELS, rows.iloc[:1]) == 2
    pd.testing.assert_frame_equal(store.load(MODELS), rows.iloc[:1])


def test_replacing_with_rows_outside_the_group_is_refused(store):
    with pytest.raises(ValueError, match="outside the group"):
        store.replace(CHECKS, any_rows(CHECKS).assign(ticker="AAPL"), ticker="IBM")
    assert len(store.load(CHECKS)) == 0


# Prices


def test_only_differing_bars_become_revisions_and_a_read_sees_those_of_its_moment(store):
    first = bars(("IBM", MONDAY, 10.0), ("IBM", TUESDAY, np.nan))
    corrected = bars(("IBM", MONDAY, 10.0), ("IBM", TUESDAY, 11.0), ("IBM", WEDNESDAY, 12.0))
    assert store.save_prices("yahoo", first, ACTIONS.empty(), MONDAY, WEDNESDAY, EVENING).total() == 2
    assert store.save_prices("yahoo", first, ACTIONS.empty(), MONDAY, WEDNESDAY, EVENING + HOUR).total() == 0
    assert store.save_prices("yahoo", corrected, ACTIONS.empty(), MONDAY, WEDNESDAY, EVENING + 2 * HOUR).total() == 2
    assert len(store.load(PRICE_REVISIONS)) == 4
    pd.testing.assert_frame_equal(store.raw_prices("yahoo", "IBM", WEDNESDAY, EVENING + HOUR), first)
    pd.testing.assert_frame_equal(store.raw_prices("yahoo", "IBM", WEDNESDAY, EVENING + 2 * HOUR), corrected)
    pd.testing.assert_frame_equal(store.raw_prices("yahoo", ["IBM"], TUESDAY, EVENING + 2 * HOUR), corrected.iloc[:2])
    pd.testing.assert_frame_equal(store.raw_prices("yahoo", "IBM", WEDNESDAY, None), corrected)
    for source, moment in (("sample", EVENING + HOUR), ("yahoo", EVENING - HOUR)):
        pd.testing.assert_frame_equal(store.raw_prices(source, "IBM", WEDNESDAY, moment), PRICES.empty())


def test_moments_are_compared_in_utc(store):
    new_york = dt.timezone(dt.timedelta(hours=-4))
    store.save_prices(
        "yahoo", bars(("IBM", MONDAY, 10.0)), ACTIONS.empty(), MONDAY, MONDAY, dt.datetime(2020, 8, 26, 18, tzinfo=new_york)
    )
    assert store.load(PRICE_REVISIONS)["known_at"].tolist() == [pd.Timestamp("2020-08-26 22:00")]
    assert len(store.raw_prices("yahoo", "IBM", MONDAY, EVENING)) == 1
    assert len(store.raw_prices("yahoo", "IBM", MONDAY, EVENING - HOUR)) == 0


def test_what_is_known_for_a_moment_does_not_change_afterwards(store):
    store.save_prices("csv", bars(("IBM", MONDAY, 10.0)), ACTIONS.empty(), MONDAY, MONDAY, EVENING)
    assert store.save_prices("csv", bars(("IBM", MONDAY, 99.0)), ACTIONS.empty(), MONDAY, MONDAY, EVENING).total() == 0
    assert store.raw_prices("csv", "IBM", MONDAY, EVENING)["close"].tolist() == [10.0]


def test_an_action_that_is_no_longer_reported_is_taken_back_within_the_range_only(store):
    both = acts(("IBM", MONDAY, "dividend", 0.5), ("IBM", WEDNESDAY, "split", 2.0))
    prices = bars(("IBM", MONDAY, 10.0), ("IBM", TUESDAY, 11.0), ("IBM", WEDNESDAY, 12.0))
    store.save_prices("yahoo", prices, both, MONDAY, WEDNESDAY, EVENING)
    store.save_prices("yahoo", prices.iloc[1:], ACTIONS.empty(), TUESDAY, WEDNESDAY, EVENING + HOUR)
    pd.testing.assert_frame_equal(store.actions("yahoo", "IBM", WEDNESDAY, EVENING), both)
    pd.testing.assert_frame_equal(store.actions("yahoo", "IBM", WEDNESDAY, EVENING + HOUR), both.iloc[:1])
    store.save_prices("yahoo", prices, both, MONDAY, WEDNESDAY, EVENING + 2 * HOUR)
    pd.testing.assert_frame_equal(store.actions("yahoo", "IBM", WEDNESDAY, EVENING + 2 * HOUR), both)
    pd.testing.assert_frame_equal(store.actions("yahoo", "IBM", TUESDAY, EVENING + 2 * HOUR), both.iloc[:1])


def test_an_answer_without_a_ticker_does_not_take_its_actions_back(store):
    store.save_prices("yahoo", bars(("IBM", MONDAY, 10.0)), acts(("IBM", MONDAY, "split", 2.0)), MONDAY, MONDAY, EVENING)
    store.save_prices("yahoo", bars(("AAPL", MONDAY, 10.0)), ACTIONS.empty(), MONDAY, MONDAY, EVENING + HOUR)
    assert len(store.actions("yahoo", "IBM", MONDAY, EVENING + HOUR)) == 1


def test_prices_are_adjusted_as_of_the_cutoff(store):
    prices = bars(("AAPL", MONDAY, 100.0), ("AAPL", TUESDAY, 104.0), ("AAPL", WEDNESDAY, 26.0))
    store.save_prices("yahoo", prices, acts(("AAPL", WEDNESDAY, "split", 4.0)), MONDAY, WEDNESDAY, EVENING)
    assert store.prices("yahoo", "AAPL", TUESDAY, EVENING)["close"].tolist() == [100.0, 104.0]
    assert store.prices("yahoo", "AAPL", WEDNESDAY, EVENING)["close"].tolist() == [25.0, 26.0, 26.0]


def test_the_last_session_is_the_newest_known_one_until_a_day(store):
    store.save_prices("yahoo", bars(("IBM", MONDAY, 1.0), ("IBM", TUESDAY, 1.0)), ACTIONS.empty(), MONDAY, TUESDAY, EVENING)
    store.save_prices("yahoo", bars(("IBM", WEDNESDAY, 1.0)), ACTIONS.empty(), WEDNESDAY, WEDNESDAY, EVENING + HOUR)
    assert store.last_sessions("yahoo", ["IBM", "AAPL"], WEDNESDAY, EVENING) == {"IBM": TUESDAY}
    assert store.last_sessions("yahoo", ["IBM", "AAPL"], WEDNESDAY, EVENING + HOUR) == {"IBM": WEDNESDAY}
    assert store.last_sessions("yahoo", ["IBM", "AAPL"], WEDNESDAY, None) == {"IBM": WEDNESDAY}
    assert store.last_sessions("yahoo", ["IBM", "AAPL"], MONDAY, EVENING) == {"IBM": MONDAY}
    assert store.last_sessions("yahoo", ["AAPL"], MONDAY, EVENING) == {}


def test_the_moment_of_the_newest_revision_is_of_bars_or_actions_up_to_the_cutoff_and_known_by_then(store):
    prices = bars(("IBM", MONDAY, 10.0), ("IBM", TUESDAY, 11.0))
    store.save_prices("yahoo", prices, ACTIONS.empty(), MONDAY, TUESDAY, EVENING)
    store.save_prices("yahoo", prices, acts(("IBM", TUESDAY, "dividend", 0.5)), MONDAY, TUESDAY, EVENING + HOUR)
    store.save_prices("yahoo", bars(("IBM", WEDNESDAY, 12.0)), ACTIONS.empty(), WEDNESDAY, WEDNESDAY, EVENING + 2 * HOUR)
    store.save_prices("yahoo", bars(("AAPL", MONDAY, 1.0)), ACTIONS.empty(), MONDAY, MONDAY, EVENING + 3 * HOUR)
    at = [moment.replace(tzinfo=None) for moment in (EVENING, EVENING + HOUR, EVENING + 2 * HOUR)]
    for known_at in (None, EVENING + 9 * HOUR):
        newest = [store.newest_revision("yahoo", "IBM", cutoff, known_at) for cutoff in (MONDAY, TUESDAY, WEDNESDAY)]
        assert newest == at
    assert store.newest_revision("yahoo", "IBM", WEDNESDAY, EVENING + HOUR) == at[1]
    assert store.newest_revision("yahoo", "IBM", WEDNESDAY, EVENING) == at[0]
    assert store.newest_revision("yahoo", "IBM", WEDNESDAY, EVENING - HOUR) is None
    assert store.newest_revision("csv", "IBM", WEDNESDAY, None) is None


def test_reading_as_of_the_newest_revision_gives_what_reading_now_does(store):
    for hour, close in enumerate((10.0, 10.5, 10.5)):
        store.save_prices("yahoo", bars(("IBM", MONDAY, close)), ACTIONS.empty(), MONDAY, MONDAY, EVENING + hour * HOUR)
    newest = store.newest_revision("yahoo", "IBM", MONDAY, None)
    assert newest == (EVENING + HOUR).replace(tzinfo=None)  # the third said nothing new
    pd.testing.assert_frame_equal(store.prices("yahoo", "IBM", MONDAY, newest), store.prices("yahoo", "IBM", MONDAY, None))


def test_the_newest_revisions_are_those_of_a_plain_loop(store):
    rng = np.random.default_rng(7)
    days = pd.bdate_range("2020-01-01", periods=20).date
    said: dict[tuple, list] = {}
    for hour in range(5):
        for ticker in ("A", "B"):
            some = sorted(rng.choice(days, size=12, replace=False))
            closes = rng.integers(1, 4, size=12).astype(float)
            moment = EVENING + hour * HOUR
            store.save_prices(
                "x",
                bars(*((ticker, day, close) for day, close in zip(some, closes, strict=True))),
                ACTIONS.empty(),
                some[0],
                some[-1],
                moment,
            )
            for day, close in zip(some, closes, strict=True):
                said.setdefault((ticker, day), []).append((moment, close))
    for hour in (0, 2, 4):
        moment, cutoff = EVENING + hour * HOUR, days[12]
        known = {key: [close for at, close in history if at <= moment] for key, history in said.items() if key[1] <= cutoff}
        expected = sorted((ticker, day, closes[-1]) for (ticker, day), closes in known.items() if closes)
        pd.testing.assert_frame_equal(store.raw_prices("x", ["A", "B"], cutoff, moment), bars(*expected))


def test_bars_and_actions_are_read_as_of_one_moment_while_an_ingest_comes_in_between(store, store_url):
    store.save_prices("yahoo", bars(("AAPL", MONDAY, 100.0)), ACTIONS.empty(), MONDAY, MONDAY, EVENING)
    other = Store.open(store_url)

    def ingest(connection, cursor, statement, *_):
        if "price_revisions" in statement:
            other.save_prices(
                "yahoo", bars(("AAPL", TUESDAY, 25.0)), acts(("AAPL", TUESDAY, "split", 4.0)), TUESDAY, TUESDAY, EVENING
            )

    sa.event.listen(store._engine, "after_cursor_execute", ingest)
    assert store.prices("yahoo", "AAPL", WEDNESDAY, EVENING)["close"].tolist() == [100.0]
    sa.event.remove(store._engine, "after_cursor_execute", ingest)
    assert store.prices("yahoo", "AAPL", WEDNESDAY, EVENING)["close"].tolist() == [25.0, 25.0]
    other.close()


# Several writers, killed writers

WRITER = """
import sys
import sqlalchemy as sa
from pipeline import store as module
from tests.test_store import predictions

store = module.Store.open(sys.argv[1])
sa.event.listen(store._engine, "commit", lambda connection: (print("written", flush=True), sys.stdin.read()))
store.save(module.STORED[7], predictions(5000))
"""


@pytest.mark.slow
def test_a_writer_killed_before_its_commit_leaves_nothing(store, store_url):
    assert STORED[7] is PREDICTIONS
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", WRITER, store_url], stdin=-1, stdout=-1, text=True, env=environ) as writer:
        assert writer.stdout.readline() == "written\n"
        assert len(store.load(PREDICTIONS)) == 0
        writer.send_signal(signal.SIGKILL)
    assert len(store.load(PREDICTIONS)) == 0
    assert store.save(PREDICTIONS, predictions(5000)) == 5000


def test_a_writer_that_fails_in_the_middle_leaves_nothing(store):
    store.save(PREDICTIONS, predictions(3))

    def fail(connection, cursor, statement, *_):
        if statement.startswith("INSERT"):
            raise RuntimeError("the power fails here")

    sa.event.listen(store._engine, "after_cursor_execute", fail)
    with pytest.raises(RuntimeError):
        store.replace(PREDICTIONS, predictions(1, median=2.0))
    sa.event.remove(store._engine, "after_cursor_execute", fail)
    pd.testing.assert_frame_equal(store.load(PREDICTIONS), predictions(3))


def test_four_writers_at_once_write_every_row_once(store, store_url):
    def write(number: int) -> int:
        other = Store.open(store_url)
        try:
            shared = predictions(500).sample(frac=1, random_state=number)
            return other.save(PREDICTIONS, pd.concat([shared, predictions(500, model=f"model-{number}")]))
        finally:
            other.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(write, range(4))) == 5 * 500
    assert len(store.load(PREDICTIONS)) == 5 * 500


def test_four_replacements_of_one_group_at_once_leave_one_of_them(store, store_url):
    def write(number: int) -> None:
        other = Store.open(store_url)
        rows = predictions(200).iloc[number * 50 : number * 50 + 50]
        other.replace(PREDICTIONS, rows, model="naive")
        other.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    stored = store.load(PREDICTIONS)["dataset"].tolist()
    assert stored in [predictions(200)["dataset"].tolist()[begin : begin + 50] for begin in (0, 50, 100, 150)]


def test_the_same_bars_ingested_four_times_at_once_are_one_revision(store, store_url):
    rows = bars(*(("IBM", day.date(), 10.0) for day in pd.bdate_range("2020-01-01", periods=200)))

    def ingest(hour: int) -> int:
        other = Store.open(store_url)
        try:
            return other.save_prices("yahoo", rows, ACTIONS.empty(), MONDAY, MONDAY, EVENING)["IBM"]
        finally:
            other.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(ingest, range(4))) == 200
    assert len(store.load(PRICE_REVISIONS)) == 200


# Schema


@pytest.fixture(params=["sqlite", "postgresql"])
def unused_url(request, tmp_path) -> str:
    """An existing database without a single table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/unused.db"
    url = embedded_postgres.url(request.getfixturevalue("postgres_home"), "stockcast_unused")
    engine = sa.create_engine(url)
    with engine.begin() as connection:  # a new database would be 300 files more
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
    return url


def shape(engine: sa.Engine) -> dict:
    inspector = sa.inspect(engine)
    return {
        name: {
            # What a later revision added stands at the end; every statement names its columns.
            "columns": sorted((column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(name)),
            "key": inspector.get_pk_constraint(name)["constrained_columns"],
            "indexes": sorted((index["name"], tuple(index["column_names"])) for index in inspector.get_indexes(name)),
        }
        for name in inspector.get_table_names()
        if name != migrations.VERSION_TABLE
    }


def test_the_migrated_schema_is_the_one_that_the_tables_ask_for(unused_url, tmp_path):
    Store.open(unused_url).close()
    engine = sa.create_engine(unused_url)
    migrated = shape(engine)
    sql_metadata().drop_all(engine)
    sql_metadata().create_all(engine)
    asked_for = shape(engine)
    engine.dispose()
    assert migrated == asked_for, "tables.py and migrations/versions disagree: add a revision"


def test_the_listed_revisions_are_those_of_the_files():
    from alembic.script import ScriptDirectory

    walked = ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions()
    assert tuple(script.revision for script in walked)[::-1] == migrations.REVISIONS


def test_a_store_of_the_first_version_keeps_its_forecasts_scores_and_promotions(unused_url):
    made_by_the_first_version(unused_url)
    engine = sa.create_engine(unused_url)
    columns = {name: [name for name, *_ in about["columns"]] for name, about in shape(engine).items()}
    kept = [(table, any_rows(table, 2)) for table in (FORECASTS, SCORES, PROMOTIONS, DATASETS, MODELS, PRICE_REVISIONS)]
    with engine.begin() as connection:
        for table, rows in [*kept, (EVALUATIONS, any_rows(EVALUATIONS, 2))]:
            there = [name for name in columns[table.name] if name in table.columns]
            records = rows[there].astype(object).where(rows[there].notna(), None).to_dict("records")
            connection.execute(sa.insert(sa.Table(table.name, sa.MetaData(), autoload_with=connection)), records)
    engine.dispose()

    for _ in range(2):  # the second time there is nothing left to do
        store = Store.open(unused_url)
        for table, rows in kept:
            new = [name for name in table.columns if name not in columns[table.name]]
            loaded = store.load(table)
            assert loaded[new].isna().all(axis=None)
            pd.testing.assert_frame_equal(loaded.drop(columns=new), rows.drop(columns=new))
        # Made again from the networks, which are kept.
        assert len(store.load(EVALUATIONS)) == len(store.load(PREDICTIONS)) == 0
        store.close()
    added = {table.name: [name for name in table.columns if name not in columns[table.name]] for table, _ in kept}
    assert added == {
        "forecasts": ["lower_50", "upper_50"],
        "scores": ["pinball", "ewma_pinball"],
        "promotions": ["weight", "baseline", "test_pinball", "ewma_test_pinball", "pinball_skill"],
        "datasets": ["known_at"],
        "models": [],
        "price_revisions": [],
    }


def test_a_store_of_the_first_version_comes_to_the_schema_of_a_new_one(unused_url):
    made_by_the_first_version(unused_url)
    Store.open(unused_url).close()
    engine = sa.create_engine(unused_url)
    migrated = shape(engine)
    with engine.connect() as connection:
        assert connection.scalar(sa.text(f"SELECT version_num FROM {migrations.VERSION_TABLE}")) == migrations.REVISIONS[-1]
    sql_metadata().drop_all(engine)
    sql_metadata().create_all(engine)
    assert migrated == shape(engine)
    engine.dispose()


def made_by_the_first_version(url: str) -> None:
    from alembic import command
    from alembic.config import Config

    config, engine = Config(), sa.create_engine(url)
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()


def test_several_processes_may_make_the_schema_at_once(unused_url):
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(Store.open, [unused_url] * 4))
    assert [len(store.load(FORECASTS)) for store in stores] == [0] * 4
    for store in stores:
        store.close()


def test_an_up_to_date_store_opens_without_alembic(store, store_url):
    code = f"import sys; from pipeline.store import Store; Store.open({store_url!r}).close(); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1], check=True)
    assert done.stdout == "False\n"


def test_a_newer_store_is_refused_and_left_as_it_is(unused_url):
    store = Store.open(unused_url)
    store.save(PREDICTIONS, predictions(1))
    set_version(store, "9999")
    with pytest.raises(StoreTooNew, match=r"has schema 9999; this program knows up to \d+\. Upgrade") as refused:
        Store.open(unused_url)
    assert str(refused.value).startswith(("The store sqlite:///", "The store stockcast_unused (PostgreSQL at /"))
    set_version(store, migrations.REVISIONS[-1])
    assert len(Store.open(unused_url).load(PREDICTIONS)) == 1
    store.close()


def set_version(store: Store, version: str) -> None:
    with store._writing.begin() as connection:
        connection.execute(sa.text(f"UPDATE {migrations.VERSION_TABLE} SET version_num = '{version}'"))


def test_another_programs_database_is_refused_and_left_as_it_is(unused_url):
    engine = sa.create_engine(unused_url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE datasets (id INTEGER)"))
    with pytest.raises(SettingsError, match="another program"):
        Store.open(unused_url)
    assert sa.inspect(engine).get_table_names() == ["datasets"]
    engine.dispose()


# Bad addresses


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
    (tmp_path / "prices.csv").write_text("Date,Open\n" * 1000)
    with pytest.raises(SettingsError, match=r"prices\.csv cannot serve as the store: file is not a database"):
        Store.open(f"sqlite:///{tmp_path}/prices.csv")


def test_a_store_that_stops_answering_is_unavailable(store, monkeypatch):
    with pytest.raises(StoreUnavailable, match="does not answer"), store._reader():
        raise sa.exc.OperationalError("SELECT 1", {}, Exception("server closed the connection\nunexpectedly"))


def test_evaluations_of_a_dataset_are_found_by_split(store):
    rows = any_rows(EVALUATIONS).assign(split=["test", "validation", "test"])
    store.save(EVALUATIONS, rows)
    assert len(store.load(EVALUATIONS, split="test")) == 2


# At scale: the reads that each day makes look where they need to, and nowhere else

LONG = [day.date() for day in pd.bdate_range("2018-01-02", periods=400)]
MADE = [f"T{number:03d}" for number in range(40)]


@pytest.fixture
def filled(store) -> Store:
    """Enough of everything that a database would rather use an index than read it all."""
    save_prices(store, MADE, LONG, EVENING)
    for day in range(60):
        publish(store, MADE, LONG[-80:], day)
    forecasts = store.load(FORECASTS)
    flags = {"inside_80": True, "inside_95": True}
    numbers = {name: 1.0 for name, dtype in SCORES.columns.items() if dtype == "float64" and name not in forecasts}
    store.save(SCORES, forecasts.assign(**flags, **numbers))
    if store._engine.dialect.name == "postgresql":
        with store._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("ANALYZE price_revisions, forecasts, scores"))
    return store


def of_the_day(store: Store) -> dict[str, object]:
    last, few = LONG[-30], Span(LONG[-40], LONG[-38])
    return {
        "history": lambda: store.raw_prices(SOURCE, "T007", last, None),
        "history as known then": lambda: store.raw_prices(SOURCE, "T007", last, EVENING),
        "newest session": lambda: store.last_sessions(SOURCE, ["T007"], last, None),
        "corrected": lambda: store.corrected(SOURCE, ["T007"], LONG[-10], LONG[-1]),
        "day's forecasts": lambda: store.load(FORECASTS, **SERIES, cutoff=LONG[-70]),
        "ticker's forecasts": lambda: store.load(FORECASTS, **SERIES, ticker="T007"),
        "newest cutoff": lambda: store.greatest(FORECASTS, "cutoff", **SERIES),
        "newest scores": lambda: store.load(SCORES, **SERIES, session=few),
    }


@pytest.mark.parametrize("read", of_the_day(None))
def test_the_reads_of_a_day_use_an_index(filled, read):
    plan = "\n".join(plan_of(filled, of_the_day(filled)[read]))
    tables = "price_revisions|action_revisions|forecasts|scores"
    if filled._engine.dialect.name == "postgresql":
        assert re.search(rf"(Index Scan|Index Only Scan|Bitmap Index Scan)[a-zA-Z ]* (using|on) (pk|ix)_({tables})", plan), plan
        assert not re.search(r"Seq Scan on (price_revisions|forecasts|scores)", plan), plan
    else:
        assert re.search(rf"SEARCH ({tables}) USING (COVERING )?INDEX", plan), plan
        assert not re.search(rf"SCAN ({tables})", plan), plan


def test_the_bars_of_each_ticker_are_counted_up_to_a_cutoff(store):
    rows = bars(("AAA", MONDAY, 1.0), ("AAA", TUESDAY, 2.0), ("AAA", WEDNESDAY, 3.0), ("BBB", TUESDAY, 4.0))
    store.save_prices("made", rows, ACTIONS.empty(), MONDAY, WEDNESDAY, EVENING)
    assert store.bars("made", WEDNESDAY) == {"AAA": 3, "BBB": 1}
    assert store.bars("made", MONDAY) == {"AAA": 1}
    assert store.bars("other", WEDNESDAY) == {}
