"""A DAG run as an owner; that a real one ends its runs is tried in `tests/dags`."""

from __future__ import annotations

import pytest

from pipeline.scheduling.dag_run_owner import is_over, owner_of
from pipeline.tracking import this_process


def test_an_owner_that_is_no_dag_run_is_not_judged():
    assert [is_over(owner) for owner in (this_process(), "", "airflow", "airflow dag")] == [
        False,
        False,
        False,
        False,
    ]


@pytest.mark.slow
def test_a_dag_run_is_not_over_where_airflow_cannot_be_asked():
    assert not is_over(owner_of("daily_forecast_sample", "manual__2013-03-01"))
