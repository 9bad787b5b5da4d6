"""The plugin's listener for components of Airflow that start."""

from __future__ import annotations

from airflow.listeners import hookimpl


@hookimpl
def on_starting(component: object) -> None:
    """Make the pool of `ingest` where Airflow has none, when a scheduler or its like starts.

    A task waits for ever for a pool that does not exist, and only the scheduler's log says so. (A
    task that starts is a component, too, but has no database.)
    """
    from airflow.jobs.job import Job
    from airflow.utils.session import create_session

    from pipeline.scheduling.price_pool import make_price_pool

    if isinstance(component, Job):
        with create_session() as session:
            make_price_pool(session.connection())
