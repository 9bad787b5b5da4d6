"""Which errors of a task Airflow retries."""

from __future__ import annotations

import pytest

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
