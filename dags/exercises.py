"""The Airflow DAG `exercises`: recipes that need no prices. It runs only when asked.

Its tasks are in `pipeline/scheduling/exercise_dag.py`, their work in `pipeline/research`.
"""

from pipeline.scheduling import build_exercises_dag, settings_of_airflow

dag = build_exercises_dag(settings_of_airflow())
