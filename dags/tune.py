"""The Airflow DAG `tune`: a search for better hyper-parameters of a recipe. It runs only when asked.

Its task is in `pipeline/scheduling/tune.py`, its work in `pipeline/tuning.py`.
"""

from pipeline.scheduling.tune import tune
from pipeline.settings import Settings

dag = tune(Settings.from_env())
