"""Which errors of a task Airflow retries, and the connections that a task finds."""

from __future__ import annotations

import pytest

from pipeline.connections import Connection
from pipeline.errors import QualityGateFailed, RateLimited, StoreUnavailable, UnknownTicker

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("error", [RateLimited("slow down"), StoreUnavailable("no answer")])
def test_what_waiting_can_mend_is_left_to_airflow_to_retry(error):
    from pipeline.scheduling.tasks import errors_for_airflow

    with pytest.raises(type(error)), errors_for_airflow():
        raise error


@pytest.mark.parametrize(
    "error", [UnknownTicker("no XYZ"), QualityGateFailed("too many"), KeyError("a defect of ours")]
)
def test_nothing_else_is_retried(error):
    from airflow.sdk.exceptions import AirflowFailException

    from pipeline.scheduling.tasks import errors_for_airflow

    message = f"{type(error).__name__}: "
    with pytest.raises(AirflowFailException, match=message), errors_for_airflow():
        raise error


def test_a_task_finds_the_connections_of_airflow_and_of_the_environment(monkeypatch):
    from airflow.sdk import Connection as AirflowConnection
    from airflow.sdk.execution_time.context import _preset_connections

    from pipeline.scheduling.airflow_connections import connections_of_airflow

    kept = AirflowConnection(
        conn_id="stockcast_tiingo", conn_type="http", password="of-airflow", extra='{"a": "b"}'
    )
    token = _preset_connections.set({"stockcast_tiingo": kept})
    try:
        found = connections_of_airflow("stockcast_tiingo")
        assert found == Connection("http", password="of-airflow", options={"a": "b"})
        monkeypatch.setenv("AIRFLOW_CONN_STOCKCAST_TIINGO", "http://:of-the-environment@")
        found = connections_of_airflow("stockcast_tiingo")
        assert found == Connection("http", password="of-the-environment")
        assert connections_of_airflow("stockcast_stooq") is None
    finally:
        _preset_connections.reset(token)
