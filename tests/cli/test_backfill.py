"""Sessions backfilled in order by one process, and at once by two: the same rows, the same pages.

All train the short recipe of `made_days`.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest

from pipeline.storage import Store, embedded_postgres
from pipeline.tables import STORED
from tests.made_prices import random_walk
from tests.made_stores import rows_without_moments

ROOT = Path(__file__).parents[2]
SESSIONS = ("2013-02-28", "2013-03-01")
pytestmark = pytest.mark.slow


@pytest.fixture
def homes():
    """Return two state folders.

    Not below pytest's own: as root, the server runs as another user, who may not pass it.
    """
    base = Path(tempfile.mkdtemp(prefix="stockcast-test-", dir="/tmp"))
    base.chmod(0o755)
    for name in ("in_order", "at_once"):
        (base / name).mkdir()
    yield base / "in_order", base / "at_once"
    shutil.rmtree(base)


def start(home, *arguments):
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith("STOCKCAST_")
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.short_recipe", "stockcast", *arguments, "--home", str(home)],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, output
    return output


def stored_rows(home):
    try:
        store = Store.open(embedded_postgres.url(home, "stockcast"))
        tables = {
            table.name: rows_without_moments(store, table).drop_duplicates() for table in STORED
        }
        store.close()
    finally:
        embedded_postgres.stop(home)
    return {name: table.reset_index(drop=True) for name, table in tables.items()}


def pages(home):
    """Return the pages of the days, without the minute of the command."""
    return {
        path.name: re.sub("as known at [-0-9: ]+ UTC", "", path.read_text())
        for path in (home / "artifacts" / "reports").rglob("*.html")
    }


def test_processes_that_share_a_backfill_leave_what_one_process_leaves(homes, tmp_path):
    for seed, (ticker, count) in enumerate({"IBM": 420, "KO": 120}.items()):
        random_walk(seed, count).to_csv(tmp_path / f"{ticker}.csv", index=False)
    in_order, shared = homes
    options = ("--source", "csv", "--data", str(tmp_path), "--workers", "1")
    command = "backfill", "--from", "2013-02-26", "--to", "2013-03-01", *options
    finish(start(in_order, *command))
    lines = finish(start(shared, *command, "--processes", "2")).splitlines()
    headers = [line.split("   ") for line in lines if line.startswith("csv 2013-")]
    assert [header for header in headers if header[1] == "by another process"] == [
        ["csv 2013-03-01", "by another process"]
    ]
    own = [session for session, about in headers if about != "by another process"]
    assert own == ["csv 2013-02-26", "csv 2013-02-27", "csv 2013-02-28"]
    assert headers[0][1] == "session 1 of 3, 1 more by other processes"
    assert headers[2][1].endswith(" left, 1 more by other processes")
    assert lines[-1] == "4 of 4 sessions are done."
    ours, theirs = pages(in_order), pages(shared)
    assert [name for name in ours | theirs if ours.get(name) != theirs.get(name)] == []
    in_turn, together = stored_rows(in_order), stored_rows(shared)
    for name in in_turn:
        pd.testing.assert_frame_equal(in_turn[name], together[name], obj=name)
    assert in_turn["forecasts"].groupby("cutoff").size().tolist() == [2 * 5] * 4


def test_sessions_at_once_leave_the_same_rows_as_one_after_the_other(homes, tmp_path):
    # IBM has networks to train, and all want the same ones; KO is too short for any.
    for seed, (ticker, count) in enumerate({"IBM": 420, "KO": 120}.items()):
        random_walk(seed, count).to_csv(tmp_path / f"{ticker}.csv", index=False)
    in_order, at_once = homes
    files = ("--source", "csv", "--data", str(tmp_path))
    finish(start(in_order, "backfill", "--from", SESSIONS[0], "--to", SESSIONS[-1], *files))
    # With one worker each: importing TensorFlow is most of what such a process does.
    options = (*files, "--workers", "1")
    running = [start(at_once, "run", "--session", session, *options) for session in SESSIONS]
    for process in running:
        finish(process)
    in_turn, together = stored_rows(in_order), stored_rows(at_once)
    for name in in_turn:
        pd.testing.assert_frame_equal(in_turn[name], together[name], obj=name)
    assert len(in_turn["forecasts"]) == len(SESSIONS) * 2 * 5
    assert in_turn["models"]["recipe"].value_counts().to_dict() == {"default": 3, "default.pool": 1}
    assert len(in_turn["scores"]) == 2 * 1
