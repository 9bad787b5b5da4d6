"""Empty stores: migrated once per process, then copied, as that is most of opening a new one."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import pandas as pd

from pipeline.storage import Store
from pipeline.tables import RUNS, Table


def store_in(folder: Path) -> str:
    """Return the URL of the store in a folder, made there unless there is one."""
    file = folder / "store.db"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_empty_store())
    return f"sqlite:///{file}"


@cache
def _empty_store() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "store.db"
        Store.open(f"sqlite:///{file}").close()
        return file.read_bytes()


def rows_without_moments(store: Store, table: Table) -> pd.DataFrame:
    """Return a table but for when prices were known and forecasts published.

    The id of a run is made from these moments, too.
    """
    rows = store.load(table).drop(columns=["known_at", "published_at", "run_id"], errors="ignore")
    # By their ids, the rows of two stores would be in different orders.
    return rows.sort_values("cutoff", ignore_index=True) if table == RUNS else rows
