"""The Airflow DAG `exercises`: recipes that need no prices, one mapped task each. It runs only when asked.

Its tasks are in `pipeline/scheduling/exercises.py`, their work in `pipeline/exercises.py`.
"""

from pipeline.scheduling.exercises import exercises
from pipeline.settings import Settings

dag = exercises(Settings.from_env())
