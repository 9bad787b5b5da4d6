"""What tasks import is there before they begin, and nothing that would not survive a fork."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys

import pytest

from pipeline.scheduling import preloaded_airflow

#: Preloads, then does what the steps of a day do; prints what that still imported.
PRELOADED = """
import json, sys, threading
from pipeline.scheduling.preloaded_airflow import preload

preload(with_tasks=True)
threads = [thread.name for thread in threading.enumerate()]
before = set(sys.modules)
from pipeline.daily import STEPS
from pipeline.sessions import amended_calendar

steps = [STEPS[name] for name in STEPS]
loaded = {name.partition(".")[0] for name in before}
later = sorted({name for name in sys.modules if name not in before})
found = {"threads": threads, "loaded": sorted(loaded), "later": later}
print(json.dumps({**found, "calendars": amended_calendar.cache_info().currsize}))
"""


@pytest.mark.slow
def test_libraries_and_steps_are_loaded_without_threads_and_tensorflow():
    done = subprocess.run(
        [sys.executable, "-c", PRELOADED], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert {"great_expectations", "mlflow", "pandas", "sqlalchemy"} <= set(found["loaded"])
    assert not {"tensorflow", "keras"} & set(found["loaded"])
    assert found["threads"] == ["MainThread"]
    assert found["later"] == []
    assert found["calendars"] > 0


@pytest.mark.parametrize("command", ["api-server", "triggerer", "db"])
def test_commands_without_forks_of_ours_begin_at_once(command, monkeypatch):
    begun: list[str] = []
    monkeypatch.setattr(sys, "argv", ["airflow", command])
    monkeypatch.setattr(preloaded_airflow, "preload", lambda with_tasks: begun.append("preload"))
    monkeypatch.setattr(runpy, "run_module", lambda name, **_: begun.append(name))
    preloaded_airflow.main()
    assert begun == ["airflow"]
