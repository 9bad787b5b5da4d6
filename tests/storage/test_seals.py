"""Seals: a damaged or cut file is told from a whole one, and archives stay archives."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from pipeline.errors import DamagedFile, NothingStored
from pipeline.storage import Artifacts, pack_arrays, unpack_arrays
from pipeline.storage.seals import sealed, unsealed

ARCHIVE = pack_arrays({"name": "a"}, {"numbers": np.arange(300.0)})
CONTENTS = {
    "archive": ARCHIVE,
    "json": b'{"loss": [1.0, 0.5]}',
    "csv": b"session,actual\n2013-03-01,1.5\n",
    "nothing": b"",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_what_was_sealed_is_read_again(content):
    assert unsealed(sealed(content)) == content


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_changed_or_cut_file_is_damaged(content):
    file = sealed(content)
    for at in range(0, len(file), max(len(file) // 50, 1)):
        changed = bytearray(file)
        changed[at] ^= 0x10
        assert unsealed(bytes(changed)) is None, at
    for length in range(len(content) + 2, len(file)):  # JSON and a line's end are whole
        assert unsealed(file[:length]) is None, length
    for length in range(0, len(content), max(len(content) // 50, 1)):
        assert unsealed(file[:length]) is None, length


def test_any_program_opens_a_sealed_archive():
    with zipfile.ZipFile(io.BytesIO(sealed(ARCHIVE))) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"\n# sha256 ")
    assert unpack_arrays(sealed(ARCHIVE))[0] == {"name": "a"}


def test_files_of_versions_without_seals_count_where_their_format_shows_that_they_are_whole():
    assert unsealed(ARCHIVE) == ARCHIVE and unsealed(CONTENTS["json"]) == CONTENTS["json"]
    assert unsealed(CONTENTS["csv"]) is None
    for damaged in (ARCHIVE[:-1], ARCHIVE.replace(b"\xf0?", b"\xf1?", 1), b'{"loss": [1.0'):
        assert damaged not in CONTENTS.values() and unsealed(damaged) is None


@pytest.mark.parametrize("root", ["{folder}", "memory://seals"])
def test_a_damaged_derived_file_counts_as_absent_and_is_named(root, tmp_path, caplog):
    artifacts = Artifacts(root.format(folder=tmp_path))
    artifacts.write_derived("choices/a.npz", ARCHIVE)
    assert artifacts.find_derived("choices/a.npz") == ARCHIVE
    artifacts.write("choices/a.npz", artifacts.read("choices/a.npz")[:-100])
    assert not artifacts.has_derived("choices/a.npz")
    assert "choices/a.npz is damaged" in caplog.text
    with pytest.raises(DamagedFile, match=r"choices/a\.npz is damaged: .* Repeat the session"):
        artifacts.read_derived("choices/a.npz")
    with pytest.raises(NothingStored):
        artifacts.read_derived("choices/b.npz")
