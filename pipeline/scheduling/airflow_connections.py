"""Connections that Airflow keeps: its own (Admin, Connections), and its secrets backends'."""

from __future__ import annotations

from pipeline.connections import Connection, connection_of, connections_of_environment


def connections_of_airflow(name: str) -> Connection | None:
    """Return the connection of a name, inside a task; None: there is none.

    A variable of the environment wins, as in Airflow. Airflow hides the password in its logs.
    """
    from airflow.sdk import Connection as AirflowConnection
    from airflow.sdk.exceptions import AirflowNotFoundException

    if own := connections_of_environment(name):
        return own
    try:
        found = AirflowConnection.get(name)
    except AirflowNotFoundException:
        return None
    names = ("conn_type", "host", "port", "login", "password", "schema", "extra")
    return connection_of({each: getattr(found, each) for each in names})
