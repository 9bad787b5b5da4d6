"""The Airflow DAGs: one per universe, `daily_forecast_<universe>`:

    plan -> ingest per shard -> check -> pretrain -> (build_windows -> train -> evaluate) per shard
         -> promote -> publish -> score -> watch -> report
                                             -> drift_warning per warning

and between publish and report, where STOCKCAST_PATHS asks for paths, scenarios; after score, where
STOCKCAST_EXPORT_TO names a folder, export.

The tasks are in `pipeline/scheduling/daily_dag.py`, their work in `pipeline/daily`, the universes
in `pipeline/universes.toml` or in the file that STOCKCAST_UNIVERSES names.
"""

from pipeline.parts import universes_of
from pipeline.scheduling import build_daily_dag, settings_of_airflow

settings = settings_of_airflow()

for universe in universes_of(settings):
    globals()[f"daily_forecast_{universe.name}"] = build_daily_dag(universe, settings)
