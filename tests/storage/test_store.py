"""Any table: what is saved is loaded, replaced as a group, and whole or not there at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from pipeline.storage import Store
from pipeline.tables import DATASETS, MODELS, PREDICTIONS, RUN_TICKERS, STORED
from tests.storage.made_rows import MONDAY, TUESDAY, any_rows, predictions

ROOT = Path(__file__).parents[2]


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
    medians = store.load(PREDICTIONS)["q500"].tolist()
    assert medians == pytest.approx([1.0, np.nan, 1.0, 1.0], nan_ok=True)


def test_twenty_thousand_rows_are_saved_and_filtered(store):
    rows = predictions(20_000)
    assert store.save(PREDICTIONS, rows) == 20_000
    names = rows["dataset"].tolist()[::2000]
    assert store.load(PREDICTIONS, dataset=names, model="naive")["dataset"].tolist() == names


def test_replacing_leaves_exactly_these_rows_in_the_group_and_others_alone(store):
    both = [predictions(3, model="naive"), predictions(3, model="lstm")]
    store.save(PREDICTIONS, pd.concat(both))
    assert store.replace(PREDICTIONS, predictions(3, model="naive"), model="naive") == 0
    new = predictions(4, model="naive").iloc[1:].assign(q500=[1.0, 2.0, 1.0])
    assert store.replace(PREDICTIONS, new, model="naive") == 3  # one gone, one changed, one new
    expected = PREDICTIONS.conform(pd.concat([new, predictions(3, model="lstm")]))
    pd.testing.assert_frame_equal(store.load(PREDICTIONS), expected)
    assert store.replace(PREDICTIONS, PREDICTIONS.empty(), model=["naive", "lstm"]) == 6
    assert len(store.load(PREDICTIONS)) == 0


def test_replacing_keys_deletes_those_without_a_row_and_no_others(store):
    rows = predictions(4, model="naive")
    store.save(PREDICTIONS, rows.iloc[:3])
    judged, better = rows.iloc[1:], rows.iloc[2:].assign(q500=[7.0, 7.0])
    # One gone, one changed, one new; and a key that was never there is no change.
    assert store.replace_keys(PREDICTIONS, better, judged) == 3
    expected = PREDICTIONS.conform(pd.concat([rows.iloc[:1], better]))
    pd.testing.assert_frame_equal(store.load(PREDICTIONS), expected)
    assert store.replace_keys(PREDICTIONS, better, judged) == 0


def test_replacing_by_a_single_column_key_deletes_the_right_rows(store):
    rows = any_rows(MODELS)
    store.save(MODELS, rows)
    assert store.replace(MODELS, rows.iloc[:1]) == 2
    pd.testing.assert_frame_equal(store.load(MODELS), rows.iloc[:1])


# Several writers, killed writers

WRITER = """
import sys
import sqlalchemy as sa
from pipeline.storage import Store
from pipeline.tables import PREDICTIONS
from tests.storage.made_rows import predictions

def wait(connection):
    print("written", flush=True)
    sys.stdin.read()

store = Store.open(sys.argv[1])
sa.event.listen(store.database.engine, "commit", wait)
store.save(PREDICTIONS, predictions(5000))
"""


@pytest.mark.slow
def test_a_writer_killed_before_its_commit_leaves_nothing(store, store_url):
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, store_url], stdin=-1, stdout=-1, text=True, env=environ
    ) as writer:
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

    sa.event.listen(store.database.engine, "after_cursor_execute", fail)
    with pytest.raises(RuntimeError):
        store.replace(PREDICTIONS, predictions(1, median=2.0))
    sa.event.remove(store.database.engine, "after_cursor_execute", fail)
    pd.testing.assert_frame_equal(store.load(PREDICTIONS), predictions(3))


def test_four_writers_at_once_write_every_row_once(store, store_url):
    def write(number: int) -> int:
        other = Store.open(store_url)
        try:
            shared = predictions(500).sample(frac=1, random_state=number)
            rows = pd.concat([shared, predictions(500, model=f"model-{number}")])
            return other.save(PREDICTIONS, rows)
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
    names = predictions(200)["dataset"].tolist()
    assert stored in [names[begin : begin + 50] for begin in (0, 50, 100, 150)]


def test_different_values_are_found_once_and_only_beside_rows_of_another_table(store):
    run = {"universe": "u", "recipe": "r", "target": "close"}
    keys = [{**run, "ticker": t, "cutoff": day} for t in "AB" for day in (MONDAY, TUESDAY)]
    live = [{**key, "role": "live", "dataset": f"{key['ticker']}1"} for key in keys]
    rows = pd.DataFrame(live).reindex(columns=list(DATASETS.columns)).assign(sessions=1)
    store.save(DATASETS, rows)
    store.save(RUN_TICKERS, pd.DataFrame(keys[:1]).assign(run_id="1"))
    every = store.distinct(DATASETS, ["dataset", "cutoff"], universe="u")
    assert sorted(every) == [(f"{t}1", day) for t in "AB" for day in (MONDAY, TUESDAY)]
    assert sorted(store.distinct(DATASETS, ["dataset"])) == [("A1",), ("B1",)]
    assert store.distinct(DATASETS, ["dataset"], RUN_TICKERS, role=["live"]) == [("A1",)]
    assert store.distinct(DATASETS, ["dataset"], RUN_TICKERS, role=["training"]) == []
    assert store.size() > 100_000
