"""Measure the start of `stockcast --help` and of Airflow's parsing of the DAG folder.

    python -m benchmarks.imports [--runs N]

Next to them stand Python's own start and the import of pandas. Each line is a process of its own,
started in turn with the others: minimum, median and maximum of whole-process seconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
IMPORT_DAG_BAG = "from airflow.dag_processing.dagbag import DagBag"
PARSE_DAGS = "bag = DagBag('dags'); assert not bag.import_errors, bag.import_errors"
CASES = {
    "python -c pass": ["-c", "pass"],
    "import pandas": ["-c", "import pandas"],
    "stockcast --help": ["-m", "pipeline", "--help"],
    "stockcast run --help": ["-m", "pipeline", "run", "--help"],
    "import airflow's DagBag": ["-c", IMPORT_DAG_BAG],
    "parse dags/ (with that import)": ["-c", f"{IMPORT_DAG_BAG}; {PARSE_DAGS}"],
}


def seconds(arguments: list[str], environ: dict[str, str]) -> float:
    """Return the seconds of a Python process."""
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environ,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        environ = {
            **os.environ,
            "AIRFLOW_HOME": home,
            "STOCKCAST_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        }
        for arguments in CASES.values():
            seconds(arguments, environ)  # once for the caches
        measured = {name: [] for name in CASES}
        for _ in range(runs):
            for name, arguments in CASES.items():
                measured[name].append(seconds(arguments, environ))
    print(f"{'':<32} {'min, s':>7} {'median':>7} {'max':>7}")
    for name, times in measured.items():
        print(f"{name:<32} {min(times):>7.2f} {statistics.median(times):>7.2f} {max(times):>7.2f}")


if __name__ == "__main__":
    main()
