"""The programs of docker/, run for real: the two in the image, and the one that makes a .env."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import subprocess
import sys

import pytest

from tests.docker.container_files import DOCKER, example
from tests.servers import SECONDS_TO_START, json_server

pytestmark = pytest.mark.slow


def test_the_api_servers_command_writes_the_password_for_its_user_alone_and_starts_airflow(
    tmp_path,
):
    airflow = tmp_path / "airflow"
    airflow.write_text('#!/bin/sh\necho "$@"\n')
    airflow.chmod(0o755)
    (tmp_path / "python").symlink_to(sys.executable)
    passwords = tmp_path / "passwords.json"
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "AIRFLOW_ADMIN_PASSWORD": """it's "any" \\ $HOME""",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }
    command = [DOCKER / "api-server.sh", "--port", "8080"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "api-server --port 8080\n"
    assert json.loads(passwords.read_text()) == {"admin": environment["AIRFLOW_ADMIN_PASSWORD"]}
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    without = {**environment, "AIRFLOW_ADMIN_PASSWORD": ""}
    refused = subprocess.run(command, env=without, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "AIRFLOW_ADMIN_PASSWORD: is the password of the user admin; set it" in refused.stderr


@pytest.mark.parametrize(
    ("status", "code", "error"), [("healthy", 0, ""), ("unhealthy", 1, "scheduler is unhealthy\n")]
)
def test_a_heartbeat_is_the_status_that_the_api_server_gives(status, code, error):
    states = {"scheduler": {"status": status}, "triggerer": {"status": "healthy"}}
    with json_server(lambda *_: (200, states)) as port:
        command = [sys.executable, DOCKER / "heartbeat.py", "scheduler", f"http://127.0.0.1:{port}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_START)
    assert (done.returncode, done.stderr) == (code, error)


def test_a_new_env_has_a_password_of_its_own_in_each_place_and_replaces_none(tmp_path):
    for name in (".env.example", "new_env.sh"):
        shutil.copy(DOCKER / name, tmp_path)
    command = ["sh", tmp_path / "new_env.sh"]
    subprocess.run(command, capture_output=True, check=True)
    made = tmp_path / ".env"
    text, shipped = made.read_text(), (tmp_path / ".env.example").read_text()
    values = {name: value for name, value, mark in example(text) if not mark}
    assert [*values] == [name for name, _, mark in example(shipped) if not mark]
    assert len({*values.values()}) == len(values)
    assert len(base64.urlsafe_b64decode(values.pop("AIRFLOW_FERNET_KEY"))) == 32
    assert all(value.isalnum() and len(value) == 48 for value in values.values())
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    again = subprocess.run(command, capture_output=True, text=True)
    assert (again.returncode, made.read_text()) == (1, text)
    assert "docker/.env is there already" in again.stderr
