"""Passwords in settings reach no command line and no page."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pipeline.errors import SettingsError
from pipeline.parts import experiments_url, mlflow_url, store_name, universes_of
from pipeline.scheduling import databases
from pipeline.scheduling.environment import (
    admin_password,
    airflow_environment,
    load_secrets,
    mlflow_password,
)
from pipeline.scheduling.services import password_of, services_of
from pipeline.settings import Settings

SECRET = "Xy7-open-sesame"
DATABASE = f"postgresql+psycopg2://stockcast:{SECRET}@db.example/airflow"


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(
        home=tmp_path,
        store_url=DATABASE,
        tracking_uri=f"https://stockcast:{SECRET}@mlflow.example/mlflow",
        artifacts=f"ftp://stockcast:{SECRET}@files.example/artifacts",
    )


def test_places_for_people_have_no_login(settings):
    assert mlflow_url(settings) == "https://mlflow.example/mlflow"
    for text in (experiments_url(settings), store_name(settings)):
        assert SECRET not in text


def test_links_lead_to_the_address_by_which_people_reach_mlflow(settings):
    public = settings.replaced(mlflow_public_url=f"https://ann:{SECRET}@runs.example/mlflow/")
    assert mlflow_url(public) == "https://runs.example/mlflow"
    assert experiments_url(public).startswith("https://runs.example/mlflow/#/experiments")


def test_a_password_is_asked_of_a_deployment_that_has_it(settings):
    with pytest.raises(SettingsError, match=r"^MLflow at https://mlflow\.example/mlflow is not of"):
        password_of(settings, "mlflow")
    with pytest.raises(SettingsError, match=r"^There is no password under .* `stockcast up`"):
        password_of(settings, "airflow")
    load_secrets(settings.home)
    assert password_of(settings, "airflow") == admin_password(settings.home)
    own = settings.replaced(tracking_uri="")
    assert password_of(own, "mlflow") == mlflow_password(settings.home)


def test_no_command_that_is_started_has_a_password_and_its_environment_does(
    settings, tmp_path, monkeypatch
):
    started = []

    def popen(command, env, **_):
        started.append((command, env))
        return SimpleNamespace(wait=lambda: 0)

    monkeypatch.setattr(databases.subprocess, "Popen", popen)
    own = settings.replaced(tracking_uri=DATABASE.replace("/airflow", "/mlflow"))
    env = airflow_environment(own, DATABASE)
    migrations = databases.migrations_of(env, tmp_path, with_mlflow=True)
    databases.run_migrations(migrations, env, tmp_path)
    commands = [command for command, _ in started]
    assert len(commands) == 2
    assert all(SECRET in str(environment) for _, environment in started)
    commands += [service.command for service in services_of(own)]
    assert [command for command in commands if SECRET in str(command)] == []


@pytest.mark.slow
def test_no_page_of_a_dag_has_a_password(settings, tmp_path, monkeypatch):
    from pipeline.scheduling import (
        build_backtest_dag,
        build_daily_dag,
        build_exercises_dag,
        build_tune_dag,
    )

    file = tmp_path / "universes.toml"
    file.write_text(
        "".join(
            f'[{source}]\nsource = "{source}"\ntickers = ["IBM"]\n'
            f'data = "https://ann:{SECRET}@{source}.example/prices"\n'
            for source in ("csv", "lake", "tiingo")
        )
    )
    monkeypatch.setenv("STOCKCAST_TIINGO_KEY", SECRET)
    settings = settings.replaced(universes=str(file))
    dags = [build_daily_dag(universe, settings) for universe in universes_of(settings)]
    dags += [build(settings) for build in (build_backtest_dag, build_exercises_dag, build_tune_dag)]
    texts = [
        str(text)
        for dag in dags
        for text in (
            dag.doc_md,
            dag.owner_links,
            *(task.doc_md for task in dag.tasks),
            *(param.serialize() for param in dag.params.values()),
        )
    ]
    assert any("mlflow.example" in text for text in texts)
    assert any("files.example" in text for text in texts)
    for source in ("csv", "lake", "tiingo"):
        assert any(f"https://{source}.example/prices" in text for text in texts)
    assert [text for text in texts if SECRET in text] == []
