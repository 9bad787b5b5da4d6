"""The Airflow DAG `backtest`: recipes and baselines over rolling cutoffs. It runs only when asked.

Its tasks are in `pipeline/scheduling/backtest_dag.py`, their work in `pipeline/research`.
"""

from pipeline.scheduling import build_backtest_dag, settings_of_airflow

dag = build_backtest_dag(settings_of_airflow())
