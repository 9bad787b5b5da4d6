"""Airflow's own command line on this deployment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from pipeline.scheduling.environment import airflow_environment
from pipeline.settings import Settings


def run_airflow(settings: Settings, arguments: Sequence[str]) -> int:
    """Run a command of `airflow`, such as `dags list`, on this deployment; return its exit code."""
    env = {**os.environ, **airflow_environment(settings)}
    command = [sys.executable, "-m", "airflow", *arguments]
    return subprocess.run(command, env=env, check=False).returncode
