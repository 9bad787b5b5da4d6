"""The Airflow DAG `prune`: what nobody needs any more is removed, once a week. It is off at first.

Its task is in `pipeline/scheduling/prune_dag.py`, its work in `pipeline/scheduling/pruning.py`.
"""

from pipeline.scheduling import build_prune_dag, settings_of_airflow

dag = build_prune_dag(settings_of_airflow())
