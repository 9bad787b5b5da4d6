"""An evening without training: no process of it imports TensorFlow or Keras."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.made_days import made_source

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: In place of a library: it notes who imports it, and fails.
FORBIDDEN = """
import os, sys, traceback
with open(os.environ["IMPORTS_NOTED"], "a") as notes:
    notes.write(f"{__name__} by {sys.argv}\\n")
    traceback.print_stack(file=notes)
raise ImportError(f"{__name__} is forbidden here")
"""


@pytest.fixture
def stockcast(tmp_path, mlflow_database):
    """The command line with a short recipe, as a process of its own; it must succeed."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(mlflow_database, home / "mlflow.db")
    environ = {
        **os.environ,
        "STOCKCAST_HOME": str(home),
        "STOCKCAST_STORE_URL": f"sqlite:///{home}/store.db",
        "STOCKCAST_TRACKING_URI": f"sqlite:///{home}/mlflow.db",
        "STOCKCAST_WORKERS": "1",
    }

    def run(*arguments: str, **more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "tests.short_recipe", "stockcast", *arguments],
            cwd=ROOT,
            env={**environ, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_an_evening_without_training_imports_no_tensorflow(stockcast, tmp_path):
    prices, forbidden = tmp_path / "prices", tmp_path / "forbidden"
    prices.mkdir()
    for ticker, bars in made_source(signalled=True).bars.items():
        if ticker in ("OLD", "TWO"):
            bars.to_csv(prices / f"{ticker}.csv", index=False)
    for library in ("tensorflow", "keras"):
        (forbidden / library).mkdir(parents=True)
        (forbidden / library / "__init__.py").write_text(FORBIDDEN)
    where = ("run", "--source", "csv", "--data", str(prices), "--tickers", "OLD,TWO")
    # Wednesday and Thursday: networks are trained up to the first session of a week.
    assert "OLD" in stockcast(*where, "--session", "2013-02-27")
    notes = tmp_path / "notes"
    path = os.pathsep.join([str(forbidden), os.environ.get("PYTHONPATH", "")])
    stockcast(*where, "--session", "2013-02-28", PYTHONPATH=path, IMPORTS_NOTED=str(notes))
    assert not notes.exists() or notes.read_text() == ""
    table = stockcast("forecasts", "--session", "2013-02-28", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(table)))
    assert {row["ticker"] for row in rows} == {"OLD", "TWO"}
    assert {row["champion"] for row in rows} <= {"lstm", "previous"}, "networks are asked"
