"""Artifacts that were moved with their home: MLflow keeps whole addresses of them.

Experiments, runs, models and versions each have the address of their files, so that a home that is
found at another path, or on another machine, would show none of them.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from pipeline.addresses import is_url
from pipeline.tracking.artifact_folders import FILE_SCHEME, folder_of
from pipeline.tracking.mlflow_database import database_of, engine_of

#: The columns of MLflow's tables that begin with where files are (mlflow 3.17).
ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow_moved_artifacts(uri: str, artifact_root: str) -> list[str]:
    """Correct the addresses of files that are now below another folder; return where they were.

    They have moved where MLflow names another folder for an experiment, and the files of its runs
    are in this one. Nothing is corrected in object storage, or behind an MLflow server.

    Args:
        uri: the tracking URI; tables that are not there have no addresses.
        artifact_root: where artifacts are now.
    """
    database, root = database_of(uri), as_url(artifact_root).rstrip("/")
    if database is None or not root.startswith(FILE_SCHEME):
        return []
    engine = engine_of(database, sa.NullPool)
    with engine.begin() as connection:
        if not sa.inspect(connection).has_table("experiments"):
            return []
        moved = sorted(_earlier_roots(connection, root))
        for earlier in moved:
            _replace(connection, earlier, root)
    return moved


def as_url(location: str) -> str:
    """Return a folder or URL as a URL."""
    return location if is_url(location) else Path(location).absolute().as_uri()


def _earlier_roots(connection: sa.Connection, root: str) -> set[str]:
    """Return the roots that MLflow names, and from which files have come to this one."""
    query = sa.text("SELECT experiment_id, name, artifact_location FROM experiments")
    earlier = set()
    for experiment_id, name, location in connection.execute(query):
        before = (location or "").removesuffix(f"/{name}")
        is_elsewhere = before.startswith(FILE_SCHEME) and before not in (location, root)
        if is_elsewhere and _has_files(connection, experiment_id, f"{root}/{name}"):
            earlier.add(before)
    return earlier


def _has_files(connection: sa.Connection, experiment_id: int, folder: str) -> bool:
    """Return whether the files of an experiment's runs are in a folder."""
    here = folder_of(folder)
    if not here.is_dir():
        return False
    query = sa.text("SELECT run_uuid FROM runs WHERE experiment_id = :id")
    runs = set(connection.scalars(query, {"id": experiment_id}))
    return any(child.name in runs for child in here.iterdir())


def _replace(connection: sa.Connection, earlier: str, root: str) -> None:
    values = {"earlier": f"{earlier}/", "root": root, "length": len(earlier) + 1}
    for table, column in ADDRESSES:
        connection.execute(
            sa.text(
                f"UPDATE {table} SET {column} = :root || substr({column}, :length) "
                f"WHERE substr({column}, 1, :length) = :earlier"
            ),
            values,
        )
