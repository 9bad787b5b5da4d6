"""What Airflow must know before it can read the stored DAGs; found through the entry point in `setup.py`."""

from airflow.plugins_manager import AirflowPlugin

from pipeline.scheduling.timetable import SessionTimetable


class StockcastPlugin(AirflowPlugin):
    name = "stockcast"
    timetables = [SessionTimetable]  # noqa: RUF012 (Airflow's interface)
