"""From frames to rows and back: nothing is lost on the way, and no row is without its key."""

import pandas as pd
import pytest
import sqlalchemy as sa

from pipeline.storage import frames
from pipeline.storage.frames import COPIED_FROM
from pipeline.tables import PREDICTIONS, STORED
from tests.storage.made_rows import any_rows, predictions

TABLES_OF_TICKERS = [table for table in STORED if "ticker" in table.columns]


@pytest.mark.parametrize("table", TABLES_OF_TICKERS, ids=lambda table: table.name)
def test_many_tickers_are_read_as_few_are(store, table):
    """PostgreSQL hands many over as text.

    Nothing missing, tiny, quoted or of another script is lost on the way.
    """
    rows = any_rows(table)
    store.save(table, rows)
    tickers = [*rows["ticker"], *(f"T{number}" for number in range(COPIED_FROM))]
    pd.testing.assert_frame_equal(store.load(table, ticker=tickers), rows, check_exact=True)
    pd.testing.assert_frame_equal(store.load(table, ticker=tickers[3:]), table.empty())


@pytest.mark.parametrize("table", TABLES_OF_TICKERS, ids=lambda table: table.name)
def test_many_rows_are_appended_as_few_are(store, table, monkeypatch):
    rows = any_rows(table)
    # Of several pieces, as where histories of several tickers were put together.
    rows = pd.concat([rows.iloc[:0], rows.iloc[:1], rows.iloc[1:]], ignore_index=True)
    monkeypatch.setattr(frames, "APPENDED_BY_COPY", len(rows))
    on_postgres = store.database.engine.dialect.name == "postgresql"
    with store.database.writer() as connection:
        assert frames.append_frame(connection, table, rows) == on_postgres
        assert not frames.append_frame(connection, table, rows.iloc[1:])
    if on_postgres:
        pd.testing.assert_frame_equal(store.load(table), rows, check_exact=True)
        with pytest.raises(sa.exc.IntegrityError), store.database.writer() as connection:
            frames.append_frame(connection, table, rows)
        with pytest.raises(ValueError, match="lacks part"), store.database.writer() as connection:
            frames.append_frame(connection, table, rows.assign(**{table.key[0]: None}))


def test_rows_without_a_key_or_with_the_same_key_are_refused(store):
    with pytest.raises(ValueError, match="same key"):
        store.save(PREDICTIONS, pd.concat([predictions(1), predictions(1)]))
    with pytest.raises(ValueError, match="lacks part of its key"):
        store.save(PREDICTIONS, predictions(1).assign(dataset=None))
