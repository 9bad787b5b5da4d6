"""Artifacts: whole contents under names, on disk, in memory and in an object store."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from pipeline.errors import LookAtTheData, NothingStored, SettingsError, StoreUnavailable
from pipeline.storage import Artifacts
from tests.servers import free_port, s3_server

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Access to an S3 server with an empty bucket."""
    with s3_server(tmp_path_factory.mktemp("s3") / "log", "bucket") as access:
        yield access


@pytest.fixture
def our_s3(s3, monkeypatch) -> Iterator[dict[str, str]]:
    """The S3 server's access, where s3fs looks for it."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    _forget_clients()
    yield s3
    _forget_clients()


def _forget_clients() -> None:
    """Drop the clients that fsspec keeps: they would go on asking their first address."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture(params=["folder", "file url", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    """No artifacts, under a root of each kind."""
    if request.param == "s3":
        request.getfixturevalue("our_s3")
    roots = {
        "folder": str(tmp_path / "art ifacts"),
        "file url": f"file://{tmp_path}/artifacts",
        "memory": f"memory://{uuid.uuid4()}",
        "s3": f"s3://bucket/{uuid.uuid4()}/art ifacts",
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


def test_a_missing_name_is_an_error_of_one_line(artifacts):
    artifacts.write("models/a.keras", b"")
    for name in ("models/b.keras", "models"):
        assert not artifacts.exists(name)
        with pytest.raises(NothingStored, match=f"^There is no {name} under .*Run the step"):
            artifacts.read(name)


@pytest.mark.parametrize(
    "name", ["../x", "models/../../x", "/etc/passwd", "", ".", "..\\x", "a\0b"]
)
def test_names_do_not_leave_the_root(artifacts, name):
    for call in (
        lambda: artifacts.write(name, b"x"),
        lambda: artifacts.read(name),
        lambda: artifacts.exists(name),
    ):
        with pytest.raises(SettingsError, match="no name of an artifact"):
            call()


def test_a_content_is_named_by_its_hash_and_stored_once(artifacts):
    digest = artifacts.put_content("datasets", ".npz", b"prices")
    assert digest == hashlib.sha256(b"prices").hexdigest()[:32]
    assert artifacts.put_content("datasets", ".npz", b"prices") == digest
    assert artifacts.exists(f"datasets/{digest}.npz")
    assert artifacts.read_content("datasets", ".npz", digest) == b"prices"


def test_a_damaged_content_is_refused(artifacts):
    digest = artifacts.put_content("datasets", ".npz", b"prices")
    artifacts.write(f"datasets/{digest}.npz", b"pricet")
    with pytest.raises(LookAtTheData, match=rf"datasets/{digest}\.npz is damaged"):
        artifacts.read_content("datasets", ".npz", digest)
    with pytest.raises(NothingStored):
        artifacts.read_content("datasets", ".npz", "0" * 32)
    again = artifacts.put_content("datasets", ".npz", b"prices")
    assert again == digest, "running the step again mends it"
    assert artifacts.read_content("datasets", ".npz", digest) == b"prices"


def test_an_identical_content_is_not_written_again(tmp_path):
    artifacts, path = Artifacts(str(tmp_path)), tmp_path / "report.html"
    artifacts.write("report.html", b"<p>")
    before = path.stat()
    artifacts.write("report.html", b"<p>")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_write_that_fails_before_the_move_leaves_the_old_content_and_no_other_file(
    tmp_path, monkeypatch
):
    artifacts = Artifacts(str(tmp_path))
    artifacts.write("model", b"old")

    def no_space(fd: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StoreUnavailable, match="model cannot be written: no space"):
        artifacts.write("model", b"new")
    assert artifacts.read("model") == b"old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".unfinished", "model"]


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


def test_a_protocol_without_its_package_says_so():
    with pytest.raises(SettingsError, match="gs://bucket lacks a package: Please install gcsfs"):
        Artifacts("gs://bucket")


def test_a_root_that_can_be_used_is_accepted(artifacts):
    artifacts.require()


@pytest.mark.slow
def test_what_another_machine_has_just_written_is_there(our_s3):
    root = f"s3://bucket/{uuid.uuid4()}"
    here = Artifacts(root)
    here.write("models/a", b"a")
    assert (here.exists("models/a"), here.exists("models/b")) == (True, False)
    code = (
        f"from pipeline.storage import Artifacts; artifacts = Artifacts({root!r});"
        "artifacts.write('models/b', b'b'); artifacts.write('models/a', b'aa')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert here.exists("models/b")
    assert (here.read("models/a"), here.read("models/b")) == (b"aa", b"b")


@pytest.mark.slow
def test_a_missing_bucket_is_a_setting_to_fix(our_s3):
    nowhere = Artifacts("s3://nowhere/a")
    missing = r"s3://nowhere/a lacks its bucket nowhere\. Create it, or name another"
    with pytest.raises(SettingsError, match=missing):
        nowhere.require()
    unwritten = "s3://nowhere/a/x cannot be written: The specified bucket does not exist"
    with pytest.raises(StoreUnavailable, match=unwritten):
        nowhere.write("x", b"")


@pytest.mark.slow
def test_an_object_store_that_does_not_answer_is_no_empty_one(monkeypatch, our_s3):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    _forget_clients()
    artifacts = Artifacts("s3://bucket/b")
    for call in (
        artifacts.require,
        lambda: artifacts.exists("x"),
        lambda: artifacts.read("x"),
        lambda: artifacts.write("x", b""),
    ):
        message = r"Could not connect to the endpoint URL.* Is AWS_ENDPOINT_URL right"
        with pytest.raises(StoreUnavailable, match=message):
            call()


@pytest.mark.slow
def test_an_object_store_that_knows_nobody_is_a_setting_to_fix(monkeypatch, our_s3, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    _forget_clients()
    message = r"Unable to locate credentials\. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    with pytest.raises(SettingsError, match=message):
        Artifacts("s3://bucket/b").write("x", b"")
