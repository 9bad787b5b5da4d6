"""Removing what MLflow has deleted, by `mlflow gc`, and deleting models that nobody needs.

What is deleted in MLflow is only marked so; it can be restored until it is removed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass

from pipeline.errors import TrackingUnavailable
from pipeline.tracking.connection import MlflowConnection
from pipeline.tracking.registered_models import RegisteredModels

#: What `mlflow gc` prints for each run or model that it has removed (mlflow 3.17).
REMOVED_LINE = re.compile(r"^(Run|Logged model|Experiment) with ID \S+ has been permanently", re.M)
MILLISECONDS_A_DAY = 24 * 3600 * 1000


@dataclass(frozen=True)
class MlflowDeleted:
    """The runs and models that can be removed from MLflow.

    Attributes:
        runs, models: ids of runs and logged models that were deleted long enough ago.
        superseded: how many model versions nobody needs; they are deleted, and removed later.
    """

    runs: tuple[str, ...]
    models: tuple[str, ...]
    superseded: int


class MlflowPruning:
    """The pruning of one MLflow.

    Args:
        uri: a database URL. What a server keeps, only `mlflow gc` at its own database can remove.
        artifact_root: folder or URL for files and models.
        experiments: those that have registered models.
        keep_days: days for which what is deleted, or superseded, is kept.
        now: milliseconds since 1970.
    """

    def __init__(
        self,
        uri: str,
        artifact_root: str,
        experiments: Collection[str],
        keep_days: int,
        now: int,
    ) -> None:
        self._uri = uri
        self._keep_days = keep_days
        self._before = now - keep_days * MILLISECONDS_A_DAY
        self._connections = [
            MlflowConnection(uri, artifact_root, name, "", upgrade=False) for name in experiments
        ]

    @property
    def is_reached(self) -> bool:
        """True where MLflow has been used, with a database that this program reaches."""
        return bool(self._connections) and self._connections[0].has_tables

    def deleted(self, needed: Collection[str]) -> MlflowDeleted:
        """Return what would be removed, and change nothing.

        Args:
            needed: the model_ids of networks that are needed.
        """
        age = self._keep_days * MILLISECONDS_A_DAY
        with self._connections[0].translated_errors():
            # MLflow's client does not say when a run was deleted.
            store = self._connections[0].client._tracking_client.store
            runs, models = store._get_deleted_runs(age), store._get_deleted_logged_models(age)
            superseded = sum(
                len(RegisteredModels(each).superseded(needed, self._before))
                for each in self._connections
            )
        return MlflowDeleted(tuple(runs), tuple(models), superseded)

    def delete_superseded(self, needed: Collection[str]) -> int:
        """Delete the model versions that nobody needs; return how many."""
        count = 0
        for connection in self._connections:
            models = RegisteredModels(connection)
            with connection.translated_errors():
                for version in models.superseded(needed, self._before):
                    models.delete(version)
                    count += 1
        return count

    def remove_deleted(self) -> int:
        """Remove what was deleted long enough ago, with its files; return how much that was.

        Raises:
            TrackingUnavailable: `mlflow gc` has failed; its last line is quoted.
        """
        # In the environment: on a command line, everyone could read the database's password.
        env = {**os.environ, "MLFLOW_TRACKING_URI": self._uri}
        command = [sys.executable, "-m", "mlflow", "gc", "--older-than", f"{self._keep_days}d"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no output"]
            raise TrackingUnavailable(
                f"`mlflow gc` at {self._connections[0].address} has failed: "
                f"{lines[-1].replace(self._uri, 'it')}. Repeat it when MLflow's database answers."
            )
        return len(REMOVED_LINE.findall(done.stdout))
