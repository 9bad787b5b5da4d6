"""The variables of a deployment, and the secrets it makes for itself."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pipeline.addresses import without_proxy
from pipeline.errors import SettingsError
from pipeline.parts import mlflow_url
from pipeline.scheduling.airflow_file import HEAD
from pipeline.scheduling.environment import (
    OWN_OPTIONS,
    admin_password,
    airflow_environment,
    computing_tasks,
    load_secrets,
    mlflow_password,
    mlflow_passwords_file,
    passwords_file,
    require_no_other_airflow,
    settings_of_airflow,
)
from pipeline.scheduling.services import up
from pipeline.settings import Settings
from tests.made_settings import settings_of


@pytest.fixture
def settings(postgres_home) -> Settings:
    return Settings(home=postgres_home, airflow_port=18080, mlflow_port=15000, workers=3)


@pytest.mark.slow
def test_children_get_the_databases_by_url(settings):
    env = airflow_environment(settings)
    child = settings_of(env)
    assert (child.home, child.airflow_port, child.workers) == (settings.home, 18080, 3)
    databases = [env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], child.store_url, child.tracking_uri]
    names = [url.split("?")[0].rpartition("/")[2] for url in databases]
    assert names == ["airflow", "stockcast", "mlflow"]


def test_databases_that_the_settings_name_are_left_alone(tmp_path):
    settings = Settings(
        home=tmp_path,
        store_url="postgresql+psycopg2://a@b/c",
        tracking_uri="http://mlflow.example",
    )
    env = airflow_environment(settings, "postgresql+psycopg2://a@b/airflow")
    assert (env["STOCKCAST_STORE_URL"], env["MLFLOW_TRACKING_URI"]) == (
        settings.store_url,
        settings.tracking_uri,
    )
    assert env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "postgresql+psycopg2://a@b/airflow"
    assert mlflow_url(settings) == "http://mlflow.example"
    assert not (tmp_path / "postgres").exists()


def test_another_airflows_configuration_is_refused_and_not_overridden(tmp_path, monkeypatch):
    settings = Settings(home=tmp_path)
    require_no_other_airflow(tmp_path)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://air.example/flow")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD", "cat a-secret-file")
    named = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD, AIRFLOW__API__BASE_URL: set in the env"
    with pytest.raises(SettingsError, match=named) as refused:
        up(settings)
    assert "a-secret-file" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    require_no_other_airflow(tmp_path)  # it is the deployment's own


def test_what_only_tunes_airflow_is_left_as_it_is(tmp_path, monkeypatch):
    own = {"store_url": "sqlite://", "tracking_uri": "http://mlflow.example"}
    settings = Settings(home=tmp_path, **own)
    before = airflow_environment(settings, "sqlite://")
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "7")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://air.example/flow")
    after = airflow_environment(settings, "sqlite://")
    assert after == before | {"AIRFLOW__CORE__PARALLELISM": "7"}
    assert set(OWN_OPTIONS) <= set(before)


def test_what_airflow_cfg_tunes_is_left_to_it_and_what_is_the_deployments_own_refused(
    tmp_path, monkeypatch
):
    own = {"store_url": "sqlite://", "tracking_uri": "http://mlflow.example"}
    settings, file = Settings(home=tmp_path, **own), tmp_path / "airflow" / "airflow.cfg"
    before = airflow_environment(settings, "sqlite://")
    assert file.read_text() == HEAD
    tuned = "[core]\nparallelism = 7\n[workers]\nexecution_api_retries = 3\n"
    file.write_text(tuned)
    monkeypatch.setenv("AIRFLOW__WORKERS__EXECUTION_API_RETRIES", "5")
    after = airflow_environment(settings, "sqlite://")
    assert after["AIRFLOW__WORKERS__EXECUTION_API_RETRIES"] == "5"  # Airflow prefers it, too
    assert set(before) - set(after) == {"AIRFLOW__CORE__PARALLELISM"}
    file.write_text(f"{tuned}[api]\nport = 9090\n[database]\nsql_alchemy_conn_cmd = cat url\n")
    message = (
        f"{file} sets [database] sql_alchemy_conn_cmd, [api] port, while `stockcast up` starts an "
        "Airflow with an address, users, keys and databases of its own. Remove it there (the port "
        "is STOCKCAST_AIRFLOW_PORT)."
    )
    for use in (up, airflow_environment):
        with pytest.raises(SettingsError) as refused:
            use(settings)
        assert str(refused.value) == message
    file.write_text("[core\n")
    with pytest.raises(SettingsError, match=r"airflow.cfg cannot be read \(.+line: 1"):
        up(settings)


def test_an_airflow_cfg_that_airflow_wrote_is_all_defaults(tmp_path):
    file = tmp_path / "airflow" / "airflow.cfg"
    file.parent.mkdir()
    file.write_text(
        "[core]\n# Variable: AIRFLOW__CORE__EXECUTOR\nexecutor = LocalExecutor\nparallelism = 32\n"
    )
    own = {"store_url": "sqlite://", "tracking_uri": "http://mlflow.example"}
    env = airflow_environment(Settings(home=tmp_path, workers=8, **own), "sqlite://")
    assert env["AIRFLOW__CORE__PARALLELISM"] == "16"


def test_a_home_that_depends_on_where_a_process_begins_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for named, home in (("", "var"), ("stock/var", "stock/var")):
        monkeypatch.setenv("STOCKCAST_HOME", named)
        with pytest.raises(SettingsError) as refused:
            settings_of_airflow()
        assert str(refused.value) == (
            f"The home is {home!r}, which is {tmp_path / home} for this process of Airflow and may "
            "be another folder for the next. Set STOCKCAST_HOME to one absolute folder for all of "
            "them; where forecasts are stored already, to theirs."
        )
    for home in (str(tmp_path), "~/stocks"):
        monkeypatch.setenv("STOCKCAST_HOME", home)
        assert settings_of_airflow().home == Path(home).expanduser()
    assert list(tmp_path.iterdir()) == []


def test_what_listens_listens_on_loopback(tmp_path):
    settings = Settings(
        home=tmp_path, store_url="sqlite://", tracking_uri="http://mlflow", airflow_port=18080
    )
    env = airflow_environment(settings, "sqlite://")
    assert (env["AIRFLOW__API__HOST"], env["AIRFLOW__API__PORT"]) == ("127.0.0.1", "18080")
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:18080/execution/"


def test_secrets_are_made_once_and_readable_by_their_owner_only(tmp_path):
    from cryptography.fernet import Fernet

    first = load_secrets(tmp_path)
    password = admin_password(tmp_path)
    assert load_secrets(tmp_path) == first
    assert admin_password(tmp_path) == password
    assert len(password) >= 16
    Fernet(first["fernet_key"])  # raises for a key of another form
    assert len({password, mlflow_password(tmp_path)}) == 2
    assert len(mlflow_password(tmp_path)) >= 16
    files = [passwords_file(tmp_path), mlflow_passwords_file(tmp_path)]
    files += [tmp_path / "airflow" / f"{name}.json" for name in ("secrets", "mlflow_secrets")]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_two_deployments_share_no_secret(tmp_path):
    one, two = load_secrets(tmp_path / "one"), load_secrets(tmp_path / "two")
    assert not set(one.values()) & set(two.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("executor", "expected"),
    [("LocalExecutor", 2), ("CeleryExecutor", None), ("KubernetesExecutor", None)],
)
def test_only_one_machine_alone_limits_how_many_tasks_train_at_once(
    monkeypatch, executor, expected
):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    assert computing_tasks() == expected


@pytest.mark.parametrize(
    ("named", "hosts"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"no_proxy": "intra.example, localhost"}, "intra.example,localhost,127.0.0.1"),
        ({"NO_PROXY": ".example", "no_proxy": "other"}, ".example,127.0.0.1,localhost"),
    ],
)
def test_tasks_ask_airflow_on_loopback_without_a_proxy(monkeypatch, named, hosts):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    assert without_proxy() == {"NO_PROXY": hosts, "no_proxy": hosts}
