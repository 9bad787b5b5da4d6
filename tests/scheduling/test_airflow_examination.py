"""What the doctor finds in an Airflow of one's own, and what makes it what the DAGs need."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.inspection import Diagnosis
from pipeline.settings import Settings
from tests.airflow_homes import use_empty_home

pytestmark = pytest.mark.slow

use_empty_home()

#: Airflow's table of pools, as far as it matters here.
TABLE = """
CREATE TABLE slot_pool (
    id INTEGER PRIMARY KEY, pool VARCHAR(256) UNIQUE, slots INTEGER, description TEXT,
    include_deferred BOOLEAN NOT NULL, team_name VARCHAR(50)
)
"""


@pytest.fixture
def database(tmp_path, monkeypatch) -> sa.Engine:
    """A database that Airflow's configuration names, without tables."""
    url = f"sqlite:///{tmp_path}/airflow.db"
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", url)
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path / "dags"))
    monkeypatch.setenv("STOCKCAST_HOME", str(tmp_path))
    return sa.create_engine(url, poolclass=sa.NullPool)


def examined(**settings: str) -> dict[str, Diagnosis]:
    from pipeline.scheduling import examine_airflow

    return {each.what: each for each in examine_airflow(Settings(**settings))}


def test_a_pool_that_is_missing_is_named_with_the_command_that_makes_it(database, monkeypatch):
    assert examined()["airflow pool"].message == (
        "Airflow's database has no tables yet. Make them: airflow db migrate."
    )
    with database.begin() as connection:
        connection.execute(sa.text(TABLE))
    assert examined()["airflow pool"] == Diagnosis(
        "airflow pool",
        False,
        "Airflow has no pool 'prices', for which every task ingest waits. Restart its scheduler, "
        "which makes it, or: airflow pools set prices 2 'ingest tasks that ask a price source at "
        "the same time'.",
    )
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "sqlite:////nowhere/airflow.db")
    assert "(unable to open database file)" in examined()["airflow pool"].message


def test_what_starts_makes_the_pool_once_and_a_task_does_not(database, monkeypatch):
    from airflow.jobs.job import Job
    from airflow.utils import session
    from sqlalchemy.orm import Session

    from pipeline.scheduling.component_starts import on_starting

    @contextmanager
    def create_session():
        with Session(database) as opened, opened.begin():
            yield opened

    monkeypatch.setattr(session, "create_session", create_session)
    with database.begin() as connection:
        connection.execute(sa.text(TABLE))
    on_starting(component=object())  # a task: it has no database
    assert not examined()["airflow pool"].is_well
    scheduler = Job.__new__(Job)
    on_starting(component=scheduler)
    assert examined()["airflow pool"] == Diagnosis("airflow pool", True, "prices has 2 slots")
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE slot_pool SET slots = 5"))
    on_starting(component=scheduler)
    assert examined()["airflow pool"].message == "prices has 5 slots"


def test_the_plugin_listens_to_what_starts():
    from pipeline.scheduling import component_starts
    from pipeline.scheduling.plugin import StockcastPlugin

    assert component_starts in StockcastPlugin.listeners


def test_a_relative_home_and_a_package_of_the_same_name_are_named(database, tmp_path, monkeypatch):
    (tmp_path / "dags").mkdir()
    found = examined()
    assert found["airflow home"] == Diagnosis(
        "airflow home", True, f"{tmp_path}, for all processes"
    )
    assert found["airflow dags"].is_well
    (own := tmp_path / "dags" / "pipeline").mkdir()
    monkeypatch.delenv("STOCKCAST_HOME")
    found = examined()
    assert "Set STOCKCAST_HOME to one absolute folder" in found["airflow home"].message
    package = Path(__file__).parents[2] / "pipeline"
    assert found["airflow dags"] == Diagnosis(
        "airflow dags",
        False,
        f"{own} has the name of this program's package, {package}, which hides it from other DAG "
        "files. Give it another name, or put it into a folder of its own below a package.",
    )


def test_connections_are_looked_for_where_messages_go_over_them(database, monkeypatch):
    assert "messages" not in examined()
    asked = {"notify_webhook": "team_chat"}
    assert examined(**asked)["messages"] == Diagnosis(
        "messages",
        False,
        "Airflow has no connection 'team_chat', over which STOCKCAST_NOTIFY_WEBHOOK sends. Make "
        "it: airflow connections add team_chat --conn-type http --conn-host HOST.",
    )
    monkeypatch.setenv("AIRFLOW_CONN_TEAM_CHAT", "http://chat.example.com")
    assert examined(**asked)["messages"] == Diagnosis("messages", True, "connection team_chat")
    missing = examined(notify_email="ops@example.com")["messages"].message
    assert missing.startswith("Airflow has no connection 'smtp_default', over which STOCKCAST_")
