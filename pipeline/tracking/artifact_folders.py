"""Folders of artifacts: local ones are written directly, others are copied to their address."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.leftovers import TemporaryFolder

FILE_SCHEME = "file:"


def folder_of(location: str) -> Path:
    """Return the folder that a file URL names."""
    return Path(unquote(urlsplit(location).path))


@contextlib.contextmanager
def artifact_folder(location: str) -> Iterator[Path]:
    """Yield a folder whose files are at an artifact location when the block ends.

    Args:
        location: the address that MLflow keeps: a file URL, or one in object storage.
    """
    if location.startswith(FILE_SCHEME):
        yield folder_of(location)
        return
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    copy: Callable[[str], None] = get_artifact_repository(location).log_artifacts
    with TemporaryFolder("mlflow") as folder:
        yield folder
        copy(str(folder))
