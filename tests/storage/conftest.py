"""Stores on each kind of database: empty ones, and databases without a single table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.storage import Store, embedded_postgres, sql_metadata
from tests.made_stores import store_in

#: The kinds of database; PostgreSQL's server is a process.
DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]


@pytest.fixture(params=DATABASES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store's URL, on each kind of database."""
    if request.param == "sqlite":
        return store_in(tmp_path)
    url: str = request.getfixturevalue("postgres_store_url")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for table in set(sa.inspect(connection).get_table_names()) & set(sql_metadata().tables):
            connection.execute(sa.text(f"DELETE FROM {table}"))
    engine.dispose()
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store, on each kind of database."""
    opened = Store.open(store_url)
    yield opened
    opened.close()


@pytest.fixture(params=DATABASES)
def unused_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
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
