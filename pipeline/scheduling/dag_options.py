"""Options that several DAGs share: retries, owners, and DAGs without a schedule."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import DAG, Param

from pipeline.addresses import without_login
from pipeline.parts import artifact_root
from pipeline.scheduling.environment import airflow_page
from pipeline.scheduling.pages import PAGES_VIEW_PATH
from pipeline.scheduling.tasks import log_failure
from pipeline.settings import Settings

#: Every step uses a database that may restart. Only `TryAgain` is retried (see
#: `tasks.errors_for_airflow`).
RETRY: dict[str, Any] = {
    "retries": 3,
    "retry_delay": dt.timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": dt.timedelta(minutes=10),
}
#: A price source may be away for an hour.
RETRY_SOURCE: dict[str, Any] = {
    **RETRY,
    "retries": 6,
    "retry_delay": dt.timedelta(minutes=1),
    "max_retry_delay": dt.timedelta(minutes=30),
}
NO_RETRY: dict[str, Any] = {"retries": 0}


def dag_on_demand(
    settings: Settings,
    name: str,
    description: str,
    page: str,
    params: dict[str, Param],
    time_limit: dt.timedelta,
) -> DAG:
    """Return a DAG without a schedule, which may run as soon as someone asks.

    Args:
        page: its documentation in Airflow, as Markdown.
        params: its trigger form.
        time_limit: what a task of it may take.
    """
    return DAG(
        name,
        description=description,
        doc_md=page,
        schedule=None,
        start_date=dt.datetime(2000, 1, 1, tzinfo=dt.UTC),
        catchup=False,
        params=params,
        tags=["stockcast"],
        is_paused_upon_creation=False,
        default_args={**RETRY, **owned_tasks(settings), "execution_timeout": time_limit},
        owner_links=owner_links(settings),
    )


def owned_tasks(settings: Settings) -> dict[str, Any]:
    """Return the owner of tasks, and what is called when one has failed for good."""
    return {"owner": settings.owner, "on_failure_callback": log_failure}


def owner_links(settings: Settings) -> dict[str, str]:
    """Return the address that the owner's name leads to in Airflow.

    It is the one of the settings, or else the Forecasts pages; none where Airflow's own address is
    not known.
    """
    link = settings.owner_link or airflow_page(PAGES_VIEW_PATH)
    return {} if link.startswith("/") else {settings.owner: link}


def artifacts_below(settings: Settings, folder: str) -> str:
    """Return the place of one kind of files, for people."""
    return f"{without_login(artifact_root(settings)).rstrip('/')}/{folder}"
