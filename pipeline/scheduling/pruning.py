"""Pruning: what can be made again and explains no publication goes, kind by kind.

It may run while everything else does: what was made or used within the days that all is kept is
left alone, and each file is looked at right before it goes. A process that is killed leaves the
rest for the next time.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import SettingsError
from pipeline.inspection import (
    MLFLOW_FILES,
    NeededFiles,
    needed_files,
    oldest_kept,
    remove_unneeded,
    size_text,
    usage_of,
)
from pipeline.leftovers import sweep_folders
from pipeline.parts import artifact_root, store_name, tracking_uri
from pipeline.reporting import counted
from pipeline.scheduling.airflow_metadata import airflow_variables, clean_metadata

if TYPE_CHECKING:
    from pipeline.inspection import KindUsage, Usage
    from pipeline.parts import Parts
    from pipeline.settings import Settings
    from pipeline.tracking import MlflowDeleted


@dataclass(frozen=True)
class PrunedKind:
    """A kind of what a deployment keeps.

    Attributes:
        there: how much of it there is, in words.
        goes: how much goes, or is gone, in words; "": nothing.
        stays: why the rest stays.
    """

    kind: str
    there: str
    goes: str
    stays: str


def prune(parts: Parts, now: dt.datetime, is_rehearsed: bool) -> list[PrunedKind]:
    """Remove what nobody needs any more; return what that is, kind by kind.

    Args:
        is_rehearsed: nothing is removed.

    Raises:
        SettingsError: nothing is published in this store, so it cannot say which files are needed.
        StoreUnavailable: a database or the object store does not answer.
        TrackingUnavailable: MLflow's database does not answer.
    """
    settings = parts.settings
    needed = needed_files(parts)
    before = oldest_kept(now, settings.keep_days)
    usage = usage_of(parts, needed, before)
    _require_publications(parts, needed, usage)
    pruned = [
        _pruned_files(parts, each, before, is_rehearsed)
        for each in usage.kinds
        if each.kind is not MLFLOW_FILES
    ]
    pruned.append(_pruned_mlflow(parts, usage, needed, now, is_rehearsed))
    pruned.append(_pruned_metadata(settings, now, is_rehearsed))
    pruned.append(
        PrunedKind("store", size_text(parts.store.size()), "", "no row of it is ever removed")
    )
    if not is_rehearsed:
        sweep_folders()
        parts.artifacts.sweep(thoroughly=True)
    return pruned


def _require_publications(parts: Parts, needed: NeededFiles, usage: Usage) -> None:
    if not needed.sessions and any(each.unneeded for each in usage.kinds if each.kind.is_artifact):
        raise SettingsError(
            f"Nothing is published in {store_name(parts.settings)}, so it cannot say which files "
            f"of {parts.artifacts.url('')} are needed. Name the store that they belong to "
            "(STOCKCAST_STORE_URL)."
        )


def _pruned_files(parts: Parts, usage: KindUsage, before: float, is_rehearsed: bool) -> PrunedKind:
    count = len(usage.unneeded)
    if count and not is_rehearsed:
        count = remove_unneeded(parts, usage, before)
    goes = f"{counted(count, 'file')}, {size_text(usage.unneeded_size)}" if count else ""
    there = f"{counted(usage.files, 'file')}, {size_text(usage.size)}"
    return PrunedKind(usage.kind.name, there, goes, usage.kind.stays)


def _pruned_mlflow(
    parts: Parts, usage: Usage, needed: NeededFiles, now: dt.datetime, is_rehearsed: bool
) -> PrunedKind:
    from pipeline.tracking import MlflowPruning

    settings = parts.settings
    there = f"{counted(len(usage.mlflow), 'file')}, {size_text(sum(usage.mlflow.values()))}"
    uri = tracking_uri(settings)
    if uri.startswith("http"):
        remedy = f"`mlflow gc --older-than {settings.keep_days}d` where the server's database is"
        return PrunedKind("MLflow", there, "", f"behind a server: {remedy}")
    experiments = sorted(set(parts.store.series()["universe"]))
    milliseconds = int(now.timestamp() * 1000)
    mlflow = MlflowPruning(
        uri, artifact_root(settings), experiments, settings.keep_days, milliseconds
    )
    if not mlflow.is_reached:
        return PrunedKind("MLflow", there, "", "nothing is tracked yet")
    deleted = mlflow.deleted(needed.networks)
    if not is_rehearsed:
        mlflow.delete_superseded(needed.networks)
        mlflow.remove_deleted()
    return PrunedKind("MLflow", there, _deleted_text(deleted, usage), MLFLOW_FILES.stays)


def _deleted_text(deleted: MlflowDeleted, usage: Usage) -> str:
    gone = {*deleted.runs, *deleted.models}
    size = sum(size for name, size in usage.mlflow.items() if gone & set(name.split("/")[1:3]))
    texts = []
    if gone:
        runs, models = counted(len(deleted.runs), "run"), counted(len(deleted.models), "model")
        texts.append(f"{runs} and {models} deleted before, {size_text(size)}")
    if deleted.superseded:
        texts.append(f"{counted(deleted.superseded, 'version')} marked as deleted")
    return "; ".join(texts)


def _pruned_metadata(settings: Settings, now: dt.datetime, is_rehearsed: bool) -> PrunedKind:
    kind, variables = "Airflow's metadata", airflow_variables(settings)
    if variables is None:
        return PrunedKind(kind, "", "", "not reached from here, or never used")
    before = now - dt.timedelta(days=settings.keep_days)
    rows = clean_metadata(variables, before, is_rehearsed)
    goes = counted(rows, "row") if rows else ""
    return PrunedKind(kind, "", goes, "younger runs, and the newest of each schedule")
