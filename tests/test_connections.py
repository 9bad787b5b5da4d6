"""Connections: where keys and databases' addresses are found, and what no message says."""

import pytest

from pipeline.connections import (
    KEYED_SERVICES,
    Connection,
    connections_of_environment,
    key_of,
    key_variables,
)
from pipeline.errors import SettingsError
from pipeline.settings import Settings
from pipeline.universes import SERVICE_SOURCES

SECRET = "p@ss/word"
WAREHOUSE = Connection(
    "postgres", "db.example", 5433, "reader", SECRET, "prices", {"sslmode": "require"}
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            "postgres://reader:p%40ss%2Fword@db.example:5433/prices?sslmode=require",
            WAREHOUSE,
        ),
        (
            '{"conn_type": "postgres", "host": "db.example", "port": 5433, "login": "reader", '
            '"password": "p@ss/word", "schema": "prices", '
            '"extra": {"sslmode": "require", "timeout": 5}}',
            WAREHOUSE,
        ),
        ("sqlite:////data/prices.db", Connection("sqlite", schema="/data/prices.db")),
        ("http://:abc@", Connection("http", password="abc")),
        ('{"password": "abc", "extra": "{}"}', Connection(password="abc")),
        ("  ", None),
    ],
)
def test_a_variable_has_a_connection_as_airflow_writes_it(monkeypatch, value, expected):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", value)
    assert connections_of_environment("warehouse") == expected


@pytest.mark.parametrize("value", ["p@ss/word", "{p@ss/word", '["p@ss/word"]'])
def test_what_cannot_be_read_names_the_variable_and_not_its_value(monkeypatch, value):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", value)
    with pytest.raises(SettingsError) as caught:
        connections_of_environment("warehouse")
    assert str(caught.value).startswith("AIRFLOW_CONN_WAREHOUSE cannot be read; a URL such as ")
    assert "word" not in str(caught.value).replace("user:password", "")
    assert SECRET not in repr(WAREHOUSE)


def test_a_key_of_its_own_is_taken_before_a_connections_password(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_STOCKCAST_TIINGO", "http://:of-the-connection@")
    assert key_of("tiingo", connections_of_environment) == "of-the-connection"
    monkeypatch.setenv("STOCKCAST_TIINGO_KEY", " its-own\n")
    assert key_of("tiingo", connections_of_environment) == "its-own"
    assert key_of("alphavantage", connections_of_environment) == ""


def test_keys_are_no_settings_and_reach_no_record_of_them(monkeypatch):
    assert set(KEYED_SERVICES) == set(SERVICE_SOURCES)
    for variable in key_variables():
        monkeypatch.setenv(variable, SECRET)
    settings = Settings()
    assert SECRET not in repr(settings)
    assert SECRET not in "".join(settings.to_environ().values())
