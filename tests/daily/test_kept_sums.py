"""Kept sums of scores are those of the scores, whatever has happened on the way."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pytest

from pipeline.daily import KeptSums
from pipeline.daily.kept_sums import KINDS, TOTALS, added_up
from pipeline.storage import Artifacts, Store
from pipeline.tables import SCORES
from tests.made_publications import KEY, fill
from tests.made_stores import store_in

pytestmark = pytest.mark.integration


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(store_in(tmp_path))
    fill(store)
    yield store
    store.close()


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(f"{tmp_path}/artifacts")


def sessions_of(store: Store) -> list[dt.date]:
    return sorted({moment.date() for moment in store.load(SCORES)["session"]})


def keep(store: Store, artifacts: Artifacts, sessions: Sequence[dt.date]) -> KeptSums:
    sums = KeptSums(store, artifacts, KEY)
    with sums.changing(sessions):
        pass
    return sums


def shift(store: Store, session: dt.date) -> None:
    """Give the forecasts of a session another error."""
    rows = store.load(SCORES, session=session)
    store.save(SCORES, rows.assign(error=rows["error"] + 1.0))


def squared(sums: KeptSums) -> pd.Series:
    """Return the sum of squared errors by session."""
    return pd.concat(sums.read("horizon")).groupby("session")["squared"].sum()


def stored_files(artifacts: Artifacts) -> dict[str, bytes]:
    return {each.name: artifacts.read(each.name) for each in artifacts.files()}


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_what_the_database_adds_up(store, artifacts, kind):
    sums = keep(store, artifacts, sessions_of(store))
    expected = KINDS[kind](store, **KEY).sort_values("session", kind="stable", ignore_index=True)
    assert len(expected)
    kept = pd.concat(sums.read(kind), ignore_index=True)
    pd.testing.assert_frame_equal(kept, expected)
    last = sessions_of(store)[-1]
    [newest] = sums.read(kind, last)
    assert set(newest["session"].dt.date) == {last}


def test_tickers_have_their_sums_of_each_month_as_well(store, artifacts):
    sums = keep(store, artifacts, sessions_of(store))
    expected = [added_up(table, "ticker") for table in sums.read("ticker")]
    kept = list(sums.totals_by_ticker())
    made_now = list(KeptSums(store, Artifacts("memory://none"), KEY).totals_by_ticker())
    assert len(kept) == len(expected) == len(made_now) == 2
    for tables in zip(kept, made_now, expected, strict=True):
        pd.testing.assert_frame_equal(tables[0], tables[2])
        pd.testing.assert_frame_equal(tables[1], tables[2])
    shift(store, sessions_of(store)[-1])
    with sums.changing(sessions_of(store)[-1:]):
        pass
    assert (next(sums.totals_by_ticker())["squared"] == kept[0]["squared"]).all()
    assert (list(sums.totals_by_ticker())[1]["squared"] != kept[1]["squared"]).all()


def test_only_the_sessions_that_change_are_summed_up_again(store, artifacts):
    first, second = sessions_of(store)[:2]
    sums = keep(store, artifacts, sessions_of(store))
    before = squared(sums)
    shift(store, first)
    shift(store, second)
    with sums.changing([second]):
        pass
    changed = squared(sums) != before
    assert list(changed[changed].index.date) == [second]
    with sums.changing([first]):
        store.replace_keys(SCORES, SCORES.empty(), store.load(SCORES, session=first))
    assert list(squared(sums).index.date) == sessions_of(store)
    assert first not in sessions_of(store)


def test_what_a_killed_step_has_changed_is_summed_up_by_the_next_one(store, artifacts):
    first, *_, last = sessions_of(store)
    sums = keep(store, artifacts, sessions_of(store))
    before = squared(sums)
    with pytest.raises(KeyboardInterrupt), sums.changing([first]):
        shift(store, first)
        raise KeyboardInterrupt
    pd.testing.assert_series_equal(squared(sums), before)
    with sums.changing([last]):
        pass
    pd.testing.assert_series_equal(
        squared(sums), squared(KeptSums(store, Artifacts("memory://none"), KEY))
    )


def test_they_are_the_same_files_in_whatever_order_sessions_are_scored(store, tmp_path):
    every = sessions_of(store)
    together, one_by_one = (Artifacts(f"{tmp_path}/{name}") for name in ("a", "b"))
    keep(store, together, every)
    for session in reversed(every):
        keep(store, one_by_one, [session])
    assert stored_files(together) == stored_files(one_by_one)
    assert {name.rpartition("-")[0] for name in stored_files(together)} == {
        "sums/made/default-close",
        *(f"sums/made/default-close-{kind}-2013" for kind in (*KINDS, TOTALS)),
    }


def test_a_damaged_file_is_no_answer(store, artifacts):
    sums = keep(store, artifacts, sessions_of(store))
    before = squared(sums)
    for name in stored_files(artifacts):
        artifacts.write(name, b"half a file")
    pd.testing.assert_series_equal(squared(sums), before)
    keep(store, artifacts, sessions_of(store)[:1])
    assert b"half a file" not in stored_files(artifacts).values()


def test_without_scores_there_are_none(artifacts, tmp_path):
    store = Store.open(store_in(tmp_path / "empty"))
    sums = keep(store, artifacts, [])
    assert [len(table) for kind in KINDS for table in sums.read(kind)] == [0, 0, 0]
    assert stored_files(artifacts) == {}
    store.close()
