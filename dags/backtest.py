"""The Airflow DAG `backtest`: recipes and baselines over rolling cutoffs, one mapped task per forecaster and block. It runs only when asked.

Its tasks are in `pipeline/scheduling/backtest.py`, their work in `pipeline/backtest.py`.
"""

from pipeline.scheduling.backtest import backtest
from pipeline.settings import Settings

dag = backtest(Settings.from_env())
