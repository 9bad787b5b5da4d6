"""All DAGs at once, for a DAG file of one's own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pipeline.parts import universes_of
from pipeline.scheduling.backtest_dag import build_backtest_dag
from pipeline.scheduling.daily_dag import build_daily_dag
from pipeline.scheduling.environment import settings_of_airflow
from pipeline.scheduling.exercise_dag import build_exercises_dag
from pipeline.scheduling.prune_dag import build_prune_dag
from pipeline.scheduling.tune_dag import build_tune_dag
from pipeline.universes import load_universes

if TYPE_CHECKING:
    from airflow.sdk import DAG

log = logging.getLogger(__name__)


def airflow_dags(*names: str) -> dict[str, DAG]:
    """Return the daily DAGs of these universes, or else all DAGs, by id.

    A DAG file is complete with two lines, of which Airflow reads the first for its words "airflow"
    and "dag":

        from pipeline.scheduling import airflow_dags
        globals().update(airflow_dags())

    Args:
        names: universes; none: all of the file, and the DAGs that run when asked. One that is
            declared wrongly is then left out, with a line in the log of the DAG processor.

    Raises:
        SettingsError: the home is relative, or there is no such universe.
    """
    settings = settings_of_airflow()
    universes = {universe.name: universe for universe in universes_of(settings)}
    declared = load_universes(settings.universes)
    chosen = [universes.get(name) or declared.of(name) for name in names]
    dags = [build_daily_dag(universe, settings) for universe in chosen or universes.values()]
    if not names:
        for error in declared.wrong.values():
            log.error("%s", error)
        builders = (build_backtest_dag, build_tune_dag, build_exercises_dag, build_prune_dag)
        dags += [build(settings) for build in builders]
    return {dag.dag_id: dag for dag in dags}
