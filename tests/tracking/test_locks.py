"""Locks by name: one holder at a time, in as many processes and threads as there are."""

import threading

import pytest
import sqlalchemy

from pipeline.tracking.locks import Locks


def held_together(locks: Locks, *names: str) -> bool:
    """Return whether threads hold the locks of these names at the same time."""
    barrier = threading.Barrier(len(names))
    met = []

    def hold(name: str) -> None:
        with locks.hold("runs", name):
            try:
                barrier.wait(0.3)
                met.append(name)
            except threading.BrokenBarrierError:
                pass

    threads = [threading.Thread(target=hold, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    locks.close()
    return len(met) == len(names)


def test_on_sqlite_one_holds_a_kind_of_names_at_a_time(tmp_path):
    locks = Locks(sqlalchemy.make_url(f"sqlite:///{tmp_path}/mlflow.db"), "sample")
    assert not held_together(locks, "a", "b")


def test_without_a_database_nobody_waits():
    assert held_together(Locks(None, "sample"), "a", "a")


@pytest.mark.slow
def test_on_postgresql_one_holds_a_name_at_a_time_and_other_names_are_free(postgres_store_url):
    locks = Locks(sqlalchemy.make_url(postgres_store_url), "sample")
    assert not held_together(locks, "a", "a")
    assert held_together(locks, "a", "b")


@pytest.mark.slow
def test_on_postgresql_one_holds_many_names_at_a_time_in_whatever_order(postgres_store_url):
    database = sqlalchemy.make_url(postgres_store_url)
    locks, others = Locks(database, "sample"), Locks(database, "sample")
    with locks.hold("runs", "a", "b"), others.hold("runs", "c", "d", "d"), others.hold("models"):
        take = sqlalchemy.text("select pg_try_advisory_xact_lock(:number)")
        numbers = {name: locks._number_of("runs", name) for name in "abcde"}
        with locks._engine.connect() as connection:
            free = {
                name: connection.execute(take, {"number": number}).scalar()
                for name, number in numbers.items()
            }
    assert free == {"a": False, "b": False, "c": False, "d": False, "e": True}
    locks.close()
    others.close()
