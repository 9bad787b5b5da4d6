"""Retention: how much of each kind of files there is, and which of them nobody needs any more.

A file goes when it can be made again, nobody has made or used it for `keep_days`, and it is not
among the needed ones (see `needed_files`). Rows of the store are never removed.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.inspection.needed_files import MEASURED_FOLDERS, NeededFiles
from pipeline.storage import StoredFile, files_below, remove_empty_parents, remove_unused
from pipeline.training import BOARD_FILES

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: Units of sizes, each 1024 of the one before.
UNITS = ("bytes", "KiB", "MiB", "GiB")


@dataclass(frozen=True)
class FileKind:
    """A kind of files.

    Attributes:
        folders: below the artifact root, or below the home where `is_artifact` is False.
        stays: why some stay, or all.
        is_removed: whether those that nobody needs are removed here.
        patterns: of the names of the files that count; a folder that people chose has others too.
        depth: how many folders an artifact of this kind is below. MLflow's files, which are below a
            folder per experiment, are deeper: an experiment may be named like one of these folders.
    """

    name: str
    folders: tuple[str, ...]
    stays: str
    is_removed: bool = True
    is_artifact: bool = True
    patterns: tuple[str, ...] = ("*",)
    depth: int = 1


ARTIFACT_KINDS = (
    FileKind("replays", ("replays",), "the newest session's, from which the next goes on"),
    FileKind("datasets", ("datasets",), "a published forecast's networks have learnt from them"),
    FileKind("lists of datasets", ("cuts",), "used within the days that all is kept"),
    FileKind("networks", ("models",), "they were compared for a published forecast"),
    FileKind("measurements", ("choices", *MEASURED_FOLDERS), "the newest session's networks"),
    FileKind("regressions", ("regressions",), "the newest session's, from which the next goes on"),
    FileKind("backtest forecasts", ("forecasts",), "used within the days that all is kept"),
    FileKind("pages of days", ("reports",), "the newest session's", depth=2),
    FileKind("joint paths", ("scenarios",), "the newest session's", depth=2),
    FileKind("sums of scores", ("sums",), "the scoreboard's", is_removed=False, depth=2),
    FileKind(
        "research",
        ("backtests", "exercises", "look_ahead", "studies", "tuning"),
        "results: tables, leaderboards, pictures; remove the folders of those you want no more",
        is_removed=False,
    ),
)
#: The kind of all artifacts that are in no folder of another one: each experiment has a folder.
MLFLOW_FILES = FileKind(
    "MLflow's files", (), "runs and models that are not deleted in MLflow", is_removed=False
)
HOME_KINDS = (
    FileKind("Data Docs", ("data_docs",), "the newest session's", is_artifact=False),
    FileKind(
        "task logs",
        ("logs/tasks", "logs/dag_processor"),
        "written within the days that all is kept",
        is_artifact=False,
    ),
)
TENSORBOARD = FileKind(
    "TensorBoard",
    ("",),
    "written within the days that all is kept",
    is_artifact=False,
    patterns=BOARD_FILES,
)


@dataclass
class KindUsage:
    """The files of a kind.

    Attributes:
        files, size: how many there are, and their bytes.
        unneeded: the names of those that nobody needs, below the root that they are in.
        unneeded_size: their bytes.
    """

    kind: FileKind
    files: int = 0
    size: int = 0
    unneeded: list[str] = field(default_factory=list)
    unneeded_size: int = 0

    def add(self, file: StoredFile, is_unneeded: bool) -> None:
        """Count a file."""
        self.files += 1
        self.size += file.size
        if is_unneeded:
            self.unneeded.append(file.name)
            self.unneeded_size += file.size


@dataclass(frozen=True)
class Usage:
    """The files of a deployment.

    Attributes:
        kinds: those of which there are files.
        mlflow: name and size of each of MLflow's files.
    """

    kinds: tuple[KindUsage, ...]
    mlflow: dict[str, int]


def size_text(size: float) -> str:
    """Return a number of bytes in words, such as 1.5 GiB."""
    unit = min(int(math.log(max(size, 1), 1024)), len(UNITS) - 1)
    return f"{size / 1024**unit:,.{1 if unit else 0}f} {UNITS[unit]}"


def oldest_kept(now: dt.datetime, keep_days: int) -> float:
    """Return since when everything is kept, in seconds since 1970."""
    return (now - dt.timedelta(days=keep_days)).timestamp()


def usage_of(parts: Parts, needed: NeededFiles | None = None, before: float = 0.0) -> Usage:
    """Look at every file of a deployment once.

    Args:
        needed: None: only count.
        before: what was used since is kept; in seconds since 1970.
    """
    mlflow: dict[str, int] = {}
    usages = [KindUsage(kind) for kind in (*ARTIFACT_KINDS, MLFLOW_FILES)]
    by_folder = {folder: usage for usage in usages for folder in usage.kind.folders}
    mlflow_usage = usages[-1]
    for file in parts.artifacts.files():
        folder = file.name.partition("/")[0]
        usage = by_folder.get(folder, mlflow_usage)
        if usage.kind.is_removed and file.name.count("/") != usage.kind.depth:
            usage = mlflow_usage
        if usage is mlflow_usage:
            mlflow[file.name] = file.size
        usage.add(file, _is_unneeded(usage.kind, file, needed, before))
    for kind, root in _other_kinds(parts):
        usages.append(KindUsage(kind))
        for folder in kind.folders:
            for file in _below(root, folder, kind.patterns):
                usages[-1].add(file, _is_unneeded(kind, file, needed, before))
    return Usage(tuple(usage for usage in usages if usage.files), mlflow)


def _is_unneeded(
    kind: FileKind, file: StoredFile, needed: NeededFiles | None, before: float
) -> bool:
    if needed is None or not kind.is_removed or file.modified >= before:
        return False
    if kind.is_artifact:
        return not needed.has(file.name)
    return not _is_newest_docs(kind, file.name, needed)


def remove_unneeded(parts: Parts, usage: KindUsage, before: float) -> int:
    """Remove the files of a kind that nobody needs; return how many are gone.

    What was used since it was looked at stays. A process that is killed leaves the rest for the
    next time.

    Args:
        before: as for `usage_of`.
    """
    if usage.kind.is_artifact:
        return len(parts.artifacts.remove(usage.unneeded, before))
    root = Path(parts.settings.tensorboard) if usage.kind is TENSORBOARD else parts.settings.home
    gone = 0
    for name in usage.unneeded:
        if remove_unused(root / name, before):
            remove_empty_parents(root / name, root)
            gone += 1
    return gone


def _other_kinds(parts: Parts) -> Iterator[tuple[FileKind, Path]]:
    """Yield the kinds of files that are no artifacts, with the folder that they are below."""
    for kind in HOME_KINDS:
        yield kind, parts.settings.home
    if parts.settings.tensorboard:
        yield TENSORBOARD, Path(parts.settings.tensorboard)


def _below(root: Path, folder: str, patterns: tuple[str, ...]) -> Iterator[StoredFile]:
    """Yield the files of a folder, named below the root."""
    prefix = f"{folder}/" if folder else ""
    for file in files_below(root / folder):
        if any(fnmatch(file.name.rpartition("/")[2], pattern) for pattern in patterns):
            yield replace(file, name=f"{prefix}{file.name}")


def _is_newest_docs(kind: FileKind, name: str, needed: NeededFiles) -> bool:
    universe, _, rest = name.removeprefix("data_docs/").partition("/")
    return kind.name == "Data Docs" and f"{universe}/{rest.partition('/')[0]}" in needed.sessions
