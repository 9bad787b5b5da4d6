"""The login of MLflow's server: its configuration, and the account of its administrator."""

from __future__ import annotations

import configparser
import os
import stat
import subprocess
import sys

import pytest

from pipeline.settings import Settings
from pipeline.tracking.server import allowed_hosts, write_config
from tests.servers import ROOT


def test_the_configuration_is_its_owners_alone_and_keeps_every_character_of_the_url(tmp_path):
    url = "postgresql+psycopg2://ann:p%40ss%%word@db.example/mlflow?host=/var/run"
    path = tmp_path / "airflow" / "mlflow_auth.ini"
    for _ in range(2):
        write_config(path, url)
    config = configparser.ConfigParser()
    config.read(path)
    assert config["mlflow"]["database_uri"] == url
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_server_is_asked_by_the_names_that_clients_and_people_have_for_it(tmp_path):
    settings = Settings(home=tmp_path)
    assert allowed_hosts(settings) == ["localhost:*", "127.0.0.1:*"]
    container = settings.replaced(
        tracking_uri="http://ann:secret@mlflow:5000", mlflow_public_url="https://runs.example/x"
    )
    assert allowed_hosts(container) == [*allowed_hosts(settings), "mlflow:5000", "runs.example"]


#: Whether each of these passwords is the administrator's.
RIGHT = """
import sys
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

store = SqlAlchemyStore()
store.init_db(sys.argv[1])
print(*[store.authenticate_user("admin", word) for word in sys.argv[2:]])
"""


@pytest.mark.slow
def test_the_administrator_gets_the_password_that_is_set_also_where_there_is_one(tmp_path):
    url = f"sqlite:///{tmp_path}/mlflow.db"
    words = ("the first word", "the second word")
    for word in words:
        env = {
            **os.environ,
            "MLFLOW_BACKEND_STORE_URI": url,
            "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
            "MLFLOW_AUTH_ADMIN_PASSWORD": word,
        }
        command = [sys.executable, "-m", "pipeline.tracking.upgrade"]
        subprocess.run(command, env=env, cwd=ROOT, check=True, capture_output=True)
    asked = [sys.executable, "-c", RIGHT, url, *words]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
