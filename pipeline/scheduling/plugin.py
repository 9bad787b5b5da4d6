"""What Airflow must know to read the stored DAGs, the Forecasts pages in its navigation, who writes notes on runs.

Found by the entry point in `setup.py`.
"""

from airflow.plugins_manager import AirflowPlugin

from pipeline.scheduling import notes, pages
from pipeline.scheduling.timetable import SessionTimetable


class StockcastPlugin(AirflowPlugin):
    name = "stockcast"
    listeners = [notes]  # noqa: RUF012 (Airflow's interface)
    timetables = [SessionTimetable]  # noqa: RUF012 (Airflow's interface)
    fastapi_apps = [{"name": "Forecasts", "app": pages.app, "url_prefix": pages.PREFIX}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {"name": "Forecasts", "href": f"{pages.PREFIX}/", "destination": "nav", "url_route": pages.VIEW, "nav_top_level": True}
    ]
