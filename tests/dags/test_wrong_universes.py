"""A wrong entry of the universes file is an error of import in Airflow, and only that."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from pipeline.errors import SettingsError

FILE = Path(__file__).parents[2] / "dags" / "wrong_universes.py"
GOOD = '[good]\nsource = "sample"\ntickers = ["IBM"]\n'


def test_a_wrong_entry_is_an_error_of_import_of_this_file(tmp_path, monkeypatch):
    text = FILE.read_text(encoding="utf-8").lower()
    assert "dag" in text and "airflow" in text, "Airflow reads no file without both of these"
    universes = tmp_path / "universes.toml"
    monkeypatch.setenv("STOCKCAST_UNIVERSES", str(universes))
    universes.write_text(GOOD)
    runpy.run_path(str(FILE))
    universes.write_text(GOOD + '[odd]\nsource = "bloomberg"\ntickers = ["IBM"]\n')
    with pytest.raises(SettingsError, match="Universe 'odd': source is 'bloomberg'"):
        runpy.run_path(str(FILE))
