"""The Airflow DAGs: one per universe, `daily_forecast_<universe>`:

    plan -> ingest per shard -> check -> pretrain -> (build_windows -> train -> evaluate) per shard
         -> promote -> publish -> score -> watch -> report
                                             -> drift_warning per warning

The tasks are in `pipeline/scheduling/factory.py`, their work in `pipeline/steps.py`, the universes in `pipeline/universes.toml`
or in the file that STOCKCAST_UNIVERSES names.
"""

from pipeline.scheduling.factory import daily_forecast, universes
from pipeline.settings import Settings

settings = Settings.from_env()

for universe in universes(settings):
    globals()[f"daily_forecast_{universe.name}"] = daily_forecast(universe, settings)
