"""Dataset files of a session, one per ticker and role, and the DATASETS rows that name them.

training        at the training cutoff: what a stock's own network learns from
previous        at the training cutoff before
live            at the session: the window to forecast from, and those before it
default         the default recipe's, on the test sessions of another recipe
pool            at the pool cutoff: what a ticker gives to the network that all train together
previous_pool   at the pool cutoff before
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.daily.table_rows import row_dicts
from pipeline.errors import NothingStored
from pipeline.run import Run
from pipeline.tables import DATASETS

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: Where dataset files are among the artifacts.
DATASET_FOLDER, DATASET_SUFFIX = "datasets", ".npz"
#: The roles of what a ticker's own networks see.
OWN_ROLES = ("training", "live", "previous", "default")
#: Role -> the field of a run that says where its pooled dataset ends.
POOL_ROLES = {"pool": "pool_cutoff", "previous_pool": "previous_pool_cutoff"}


@dataclass(frozen=True)
class DatasetEntry:
    """A dataset of a ticker.

    Attributes:
        dataset: the name of its file.
        learnt: the digest of its training part; "": no network learns from it.
        reason: why no network can; "" when one can.
    """

    role: str
    cutoff: dt.date
    dataset: str
    learnt: str
    sessions: int
    reason: str


#: The datasets of a ticker's own networks.
OwnDatasets = tuple[DatasetEntry, ...]


def dataset_file(dataset: str) -> str:
    """Return where a dataset is among the artifacts."""
    return f"{DATASET_FOLDER}/{dataset}{DATASET_SUFFIX}"


def read_dataset(parts: Parts, dataset: str) -> bytes:
    """Return a dataset file by its name."""
    return parts.artifacts.read_content(DATASET_FOLDER, DATASET_SUFFIX, dataset)


def write_dataset(parts: Parts, data: bytes) -> str:
    """Keep a dataset file; return its name."""
    return parts.artifacts.put_content(DATASET_FOLDER, DATASET_SUFFIX, data)


def save_datasets(
    parts: Parts,
    run: Run,
    rows: list[dict[str, object]],
    tickers: Sequence[str],
    roles: Sequence[str],
) -> None:
    """Make `rows` all DATASETS rows of these tickers and roles."""
    frame = DATASETS.conform(pd.DataFrame(rows)) if rows else DATASETS.empty()
    parts.store.replace(DATASETS, frame, **run.key, ticker=list(tickers), role=list(roles))


def require_datasets(run: Run, datasets: Mapping[str, OwnDatasets], ticker: str) -> None:
    """Require that the datasets of a ticker's own networks are among those that have been built.

    Raises:
        NothingStored: they are not.
    """
    if ticker not in datasets:
        raise NothingStored(
            f"{ticker} {run.session}: no windows have been built. "
            "Run `build_windows` for this session first."
        )


def stored_datasets(parts: Parts, run: Run, tickers: Sequence[str]) -> dict[str, OwnDatasets]:
    """Return by ticker the datasets of its own networks, where they have been built."""
    entries: dict[str, list[DatasetEntry]] = {}
    for row in row_dicts(parts.rows(DATASETS, run, tickers)):
        # Versions before this one stored no training part: such windows are built again.
        if row["role"] in OWN_ROLES and isinstance(row["learnt"], str):
            entries.setdefault(row["ticker"], []).append(_entry(row))
    return {
        ticker: tuple(own)
        for ticker, own in entries.items()
        if any(entry.role == "training" for entry in own)
    }


def pool_members(parts: Parts, run: Run) -> dict[str, dict[str, DatasetEntry]]:
    """Return by role what each ticker gives to a pooled network."""
    rows = row_dicts(parts.rows(DATASETS, run))
    return {
        role: {row["ticker"]: _entry(row) for row in rows if row["role"] == role}
        for role in POOL_ROLES
    }


def members_of(everyone: Mapping[str, OwnDatasets], role: str) -> dict[str, DatasetEntry]:
    """Return what each stock gives to a network that all share."""
    return {
        ticker: entry
        for ticker, own in everyone.items()
        for entry in own
        if entry.role == role and not entry.reason
    }


def _entry(row: Mapping[str, Any]) -> DatasetEntry:
    return DatasetEntry(
        role=row["role"],
        cutoff=row["dataset_cutoff"].date(),
        dataset=row["dataset"],
        learnt=row["learnt"],
        sessions=int(row["sessions"]),
        reason=row["reason"],
    )
