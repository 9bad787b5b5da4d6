from __future__ import annotations

import hashlib
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.errors import LookAtTheData, NothingStored, SettingsError, StoreUnavailable


@pytest.fixture(params=["folder", "file url", "memory"])
def artifacts(request, tmp_path) -> Artifacts:
    roots = {
        "folder": str(tmp_path / "art ifacts"),
        "file url": f"file://{tmp_path}/artifacts",
        "memory": f"memory://{uuid.uuid4()}",
    }
    return Artifacts(roots[request.param])


def test_what_is_written_is_read_and_the_last_one_wins(artifacts):
    assert not artifacts.exists("models/a.keras")
    artifacts.write("models/a.keras", b"old")
    artifacts.write("models/a.keras", b"\x00new")
    assert artifacts.exists("models/a.keras")
    assert artifacts.read("models/a.keras") == b"\x00new"
    artifacts.write("empty", b"")
    assert artifacts.read("empty") == b""


def test_a_missing_name_is_said_in_one_line(artifacts):
    artifacts.write("models/a.keras", b"")
    for name in ("models/b.keras", "models"):
        assert not artifacts.exists(name)
        with pytest.raises(NothingStored, match=f"^There is no {name} under .*Run the step"):
            artifacts.read(name)


@pytest.mark.parametrize("name", ["../x", "models/../../x", "/etc/passwd", "", ".", "..\\x", "a\0b"])
def test_names_do_not_leave_the_root(artifacts, name):
    for call in (lambda: artifacts.write(name, b"x"), lambda: artifacts.read(name), lambda: artifacts.exists(name)):
        with pytest.raises(SettingsError, match="no name of an artifact"):
            call()


def test_a_content_is_named_by_its_hash_and_stored_once(artifacts):
    digest = artifacts.put_content("datasets", ".npz", b"prices")
    assert digest == hashlib.sha256(b"prices").hexdigest()[:32] == artifacts.put_content("datasets", ".npz", b"prices")
    assert artifacts.exists(f"datasets/{digest}.npz")
    assert artifacts.read_content("datasets", ".npz", digest) == b"prices"


def test_a_damaged_content_is_refused(artifacts):
    digest = artifacts.put_content("datasets", ".npz", b"prices")
    artifacts.write(f"datasets/{digest}.npz", b"pricet")
    with pytest.raises(LookAtTheData, match=rf"datasets/{digest}\.npz is damaged"):
        artifacts.read_content("datasets", ".npz", digest)
    with pytest.raises(NothingStored):
        artifacts.read_content("datasets", ".npz", "0" * 32)
    assert artifacts.put_content("datasets", ".npz", b"prices") == digest, "running the step again mends it"
    assert artifacts.read_content("datasets", ".npz", digest) == b"prices"


def test_an_identical_content_is_not_written_again(tmp_path):
    artifacts, path = Artifacts(str(tmp_path)), tmp_path / "report.html"
    artifacts.write("report.html", b"<p>")
    before = path.stat()
    artifacts.write("report.html", b"<p>")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_write_that_fails_before_the_move_leaves_the_old_content_and_no_other_file(tmp_path, monkeypatch):
    artifacts = Artifacts(str(tmp_path))
    artifacts.write("model", b"old")

    def no_space(fd: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StoreUnavailable, match="model cannot be written: no space"):
        artifacts.write("model", b"new")
    assert artifacts.read("model") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_writers_of_one_name_at_once_leave_one_of_their_contents(artifacts):
    contents = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: artifacts.write("report", content), contents))
    assert artifacts.read("report") in contents


def test_urls_are_for_people(tmp_path):
    assert Artifacts(str(tmp_path / "a")).url("models/x") == f"{tmp_path}/a/models/x"
    assert Artifacts("memory://a").url("models/x") == "memory:///a/models/x"


def test_a_relative_root_stays_where_it_was_when_the_process_moves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    artifacts = Artifacts("art")
    monkeypatch.chdir("/")
    artifacts.write("x", b"1")
    assert Path(tmp_path / "art" / "x").read_bytes() == b"1"


def test_an_unknown_protocol_is_a_setting_to_fix():
    with pytest.raises(SettingsError, match="nosuch://bucket cannot be used"):
        Artifacts("nosuch://bucket")
