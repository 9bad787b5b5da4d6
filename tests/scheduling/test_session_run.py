"""`stockcast run --airflow` of one DAG at a time; that it runs is tried in `test_services.py`."""

from __future__ import annotations

import pytest

from pipeline.errors import RunError
from pipeline.scheduling.session_run import only_run

DAG = "daily_forecast_sample"


def test_a_second_run_of_a_dag_is_refused_while_the_first_lasts(tmp_path):
    refused = pytest.raises(
        RunError, match=f"{DAG} is being run by another `stockcast run --airflow`"
    )
    with only_run(tmp_path, DAG):
        with refused, only_run(tmp_path, DAG):
            pass
        with only_run(tmp_path, "daily_forecast_crypto"):
            pass
    with only_run(tmp_path, DAG):
        pass
