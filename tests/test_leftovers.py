"""Leftovers: what a killed process leaves is swept, and what is being written never is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pipeline.leftovers import (
    UNLOCKED_AGE,
    TemporaryFolder,
    UnfinishedFile,
    sweep_files,
    sweep_folders,
    sweep_unlocked_files,
)
from pipeline.storage import Artifacts

#: Makes a temporary folder and an unfinished file, says so, and waits to be killed.
OWNER = """
import sys, time
from pathlib import Path
from pipeline.leftovers import TemporaryFolder, UnfinishedFile

where = Path(sys.argv[1])
folder = TemporaryFolder("test", where)
(folder.path / "half").write_text("half")
file = UnfinishedFile(where / ".unfinished")
print("made", flush=True)
time.sleep(60)
"""


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.name != ".unfinished")


def test_what_a_killed_process_leaves_is_swept_and_not_before(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    ) as owner:
        owner.stdout.readline()
        assert sweep_folders(tmp_path) + sweep_files(tmp_path / ".unfinished") == []
        assert len(contents(tmp_path)) == 3
        owner.kill()
    assert len(sweep_folders(tmp_path)) == len(sweep_files(tmp_path / ".unfinished")) == 1
    assert contents(tmp_path) == []


def test_an_owner_removes_its_own(tmp_path):
    with TemporaryFolder("test", tmp_path) as folder, UnfinishedFile(tmp_path) as file:
        assert folder.is_dir() and file.path.exists()
        assert sweep_folders(tmp_path) == sweep_files(tmp_path) == []
    assert contents(tmp_path) == []


def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    open_, opened = os.open, []

    def opened_late(path: object, *flags: int, **options: object) -> int:
        fd = open_(path, *flags, **options)
        if not opened:
            opened.append(path)
            assert sweep_folders(tmp_path) == [path]
        return fd

    monkeypatch.setattr(os, "open", opened_late)
    with TemporaryFolder("test", tmp_path) as folder:
        assert folder.is_dir() and folder != opened[0]


def test_what_older_versions_left_is_swept_once_it_is_old(tmp_path):
    (tmp_path / "models").mkdir()
    names = (".a.keras.k3x9_q2z", ".b.keras.k3x9_q2z", ".hidden", "a.keras")
    for name in names:
        (tmp_path / "models" / name).write_text("half")
    old = tmp_path.stat().st_mtime - UNLOCKED_AGE - 60
    for name in names[:1] + names[2:]:
        os.utime(tmp_path / "models" / name, (old, old))
    assert [path.name for path in sweep_unlocked_files(tmp_path)] == [names[0]]
    assert contents(tmp_path) == sorted(["models", *names[1:]])


def test_artifacts_sweep_what_was_being_written(tmp_path):
    artifacts = Artifacts(str(tmp_path))
    artifacts.write("models/a", b"a")
    (tmp_path / ".unfinished" / ".half").write_bytes(b"h")
    (tmp_path / "models" / ".b.k3x9_q2z").write_bytes(b"h")
    os.utime(tmp_path / "models" / ".b.k3x9_q2z", (0, 0))
    assert (artifacts.sweep(), artifacts.sweep(thoroughly=True)) == (1, 1)
    assert contents(tmp_path) == ["a", "models"]
    assert Artifacts("memory://nothing").sweep(thoroughly=True) == 0
