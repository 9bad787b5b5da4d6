"""The names that the daily DAGs, their pages and their notes share."""

from __future__ import annotations

from pipeline.universes import declared_name

DAILY_PREFIX = "daily_forecast_"
#: The key (XCom) under which `report` leaves the day in a few sentences.
VERDICT_KEY = "verdict"


def daily_dag_id(universe: str) -> str:
    """Return the id of a universe's daily DAG, which its rehearsals run in too."""
    return f"{DAILY_PREFIX}{declared_name(universe)}"


def is_daily(dag_id: str) -> bool:
    """Return whether a DAG is a universe's daily DAG."""
    return dag_id.startswith(DAILY_PREFIX)
