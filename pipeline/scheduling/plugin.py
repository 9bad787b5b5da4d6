"""Airflow's plugin of this project: timetable, Forecasts pages, and what is done when runs end.

Airflow finds it by the entry point in `setup.py`, and cannot read the stored DAGs without it.
"""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from pipeline.scheduling import component_starts, dag_run_ends
from pipeline.scheduling.environment import airflow_path
from pipeline.scheduling.pages import PAGES_PREFIX, PAGES_VIEW, app
from pipeline.scheduling.timetable import SessionTimetable


class StockcastPlugin(AirflowPlugin):
    """The parts of this project that Airflow loads."""

    name = "stockcast"
    listeners = [dag_run_ends, component_starts]  # noqa: RUF012 (Airflow's interface)
    timetables = [SessionTimetable]  # noqa: RUF012 (Airflow's interface)
    fastapi_apps = [  # noqa: RUF012 (Airflow's interface)
        {"name": "Forecasts", "app": app, "url_prefix": PAGES_PREFIX}
    ]
    external_views = [  # noqa: RUF012 (Airflow's interface)
        {
            "name": "Forecasts",
            "href": airflow_path(f"{PAGES_PREFIX}/"),
            "destination": "nav",
            "url_route": PAGES_VIEW,
            "nav_top_level": True,
        }
    ]
