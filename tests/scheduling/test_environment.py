"""The variables of a deployment, and the secrets it makes for itself."""

from __future__ import annotations

import stat

import pytest
from cryptography.fernet import Fernet

from pipeline import assembly
from pipeline.scheduling import environment
from pipeline.settings import Settings


@pytest.fixture
def settings(postgres_home) -> Settings:
    return Settings(home=postgres_home, airflow_port=18080, mlflow_port=15000, workers=3)


def test_children_get_the_databases_by_url(settings):
    env = environment.environment(settings)
    child = Settings.from_env(env)
    assert (child.home, child.airflow_port, child.workers) == (settings.home, 18080, 3)
    databases = [env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], child.store_url, child.tracking_uri]
    assert [url.split("?")[0].rpartition("/")[2] for url in databases] == ["airflow", "stockcast", "mlflow"]


def test_databases_that_the_settings_name_are_left_alone(postgres_home):
    settings = Settings(home=postgres_home, store_url="postgresql+psycopg2://a@b/c", tracking_uri="http://mlflow.example")
    env = environment.environment(settings)
    assert (env["STOCKCAST_STORE_URL"], env["MLFLOW_TRACKING_URI"]) == (settings.store_url, settings.tracking_uri)
    assert assembly.mlflow_url(settings) == "http://mlflow.example"


def test_what_listens_listens_on_loopback(settings):
    env = environment.environment(settings)
    assert (env["AIRFLOW__API__HOST"], env["AIRFLOW__API__PORT"]) == ("127.0.0.1", "18080")
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:18080/execution/"


def test_secrets_are_made_once_and_readable_by_their_owner_only(tmp_path):
    first = environment.load_secrets(tmp_path)
    password = environment.admin_password(tmp_path)
    assert environment.load_secrets(tmp_path) == first
    assert environment.admin_password(tmp_path) == password
    assert len(password) >= 16
    Fernet(first["fernet_key"])  # raises for a key of another form
    files = [tmp_path / "airflow" / "secrets.json", environment.passwords_file(tmp_path)]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]


def test_two_deployments_share_no_secret(tmp_path):
    one, two = environment.load_secrets(tmp_path / "one"), environment.load_secrets(tmp_path / "two")
    assert not set(one.values()) & set(two.values())


@pytest.mark.parametrize(("executor", "expected"), [("LocalExecutor", 2), ("CeleryExecutor", None), ("KubernetesExecutor", None)])
def test_only_one_machine_alone_limits_how_many_tasks_train_at_once(monkeypatch, executor, expected):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    assert environment.computing_tasks() == expected
