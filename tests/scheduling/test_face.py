"""The face of the room: every name is there, and none costs an import of Airflow before its use."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pipeline.scheduling as face

#: What the command line uses.
FOR_COMMANDS = "backfill_sessions, down, is_up, run_airflow, run_session, status, supervise, up"
HEAVY = ("airflow", "keras", "mlflow", "pandas", "tensorflow")


@pytest.mark.slow
def test_every_name_of_the_face_can_be_loaded():
    assert [name for name in face.__all__ if getattr(face, name, None) is None] == []


def test_a_name_that_is_none_is_refused():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        face.nothing  # noqa: B018


def test_the_commands_of_the_services_import_nothing_heavy():
    code = (
        f"import sys; from pipeline.scheduling import {FOR_COMMANDS}\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
