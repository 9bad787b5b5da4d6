"""One ticker is one ticker, through the command line: real files, gate, MLflow and workers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.airflow_homes import clean_environment
from tests.made_faults import FAULTY, FIVE, five_settings, five_stocks, what_is_left

pytestmark = pytest.mark.slow

OTHERS = [ticker for ticker in FIVE if ticker != FAULTY]


def test_a_damaged_file_withdraws_its_ticker_and_the_others_stay(
    call, mlflow_database, monkeypatch
):
    shutil.copy(mlflow_database, call.home / "mlflow.db")
    five_stocks(call.home)
    for name, value in five_settings(call.home).items():
        monkeypatch.setenv(name, value)
    assert call("run")[0] == 0
    assert what_is_left(call.home)[:3] == (list(FIVE), "", [""])

    file = call.home / "prices" / f"{FAULTY}.csv"
    file.write_text(file.read_text()[:-40] + "no number,1\n")
    code, out, _ = call("run")
    published, reason, withdrawn, page = what_is_left(call.home)
    assert (code, published, withdrawn) == (0, OTHERS, ["", reason])
    assert reason.startswith("ingest: ") and FAULTY in reason
    assert f"{FAULTY}    quarantined, no forecast: ingest: " in out
    assert f"1 ticker quarantined: {FAULTY} (ingest: " in page


def test_a_training_that_crashes_its_process_holds_its_ticker_back(
    tmp_path: Path, mlflow_database: Path
):
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    five_stocks(tmp_path, sessions=420)
    done = subprocess.run(
        [sys.executable, "-m", "tests.made_faults", "stockcast", "run"],
        env=clean_environment(tmp_path, **five_settings(tmp_path)),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    published, reason, _, page = what_is_left(tmp_path)
    assert (published, reason) == (
        OTHERS,
        f"train: {FAULTY}: its training process crashed with SIGSEGV. Its last lines in the log "
        "say why.",
    )
    assert f"{FAULTY}    quarantined, no forecast: train: {FAULTY}: its training" in done.stdout
    assert f"1 ticker quarantined: {FAULTY} (train: " in page
    assert "OLD    last close" in done.stdout
