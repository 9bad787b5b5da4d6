"""The Airflow DAG `tune`: a search for better hyper-parameters. It runs only when asked.

Its task is in `pipeline/scheduling/tune_dag.py`, its work in `pipeline/research`.
"""

from pipeline.scheduling import build_tune_dag, settings_of_airflow

dag = build_tune_dag(settings_of_airflow())
