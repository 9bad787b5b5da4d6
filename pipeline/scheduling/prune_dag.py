"""The DAG that prunes a deployment once a week. It is off until somebody switches it on."""

from __future__ import annotations

import datetime as dt

from airflow.sdk import DAG, task

from pipeline.scheduling.dag_options import RETRY, owned_tasks, owner_links
from pipeline.scheduling.tasks import errors_for_airflow, parts_of_task
from pipeline.settings import Settings

PRUNE_PAGE = """\
# Prune

Removes what nobody has made or used for {days} days (`STOCKCAST_KEEP_DAYS`), what can be made \
again and explains no publication: replays, the windows of single sessions, networks that no \
published forecast was compared with, measurements, pages of days, Data Docs, logs of tasks, what \
was deleted in MLflow, and Airflow's own records of old runs. Forecasts, publications, scores, \
decisions and prices stay for ever.

Switch it on to have that done on Sundays; it may run while everything else does, and repeating a \
run changes nothing.

- **What it would remove**: `stockcast prune`, which changes nothing
- **Without Airflow**: `stockcast prune --yes`
"""
#: Sunday, when few exchanges are open.
WEEKLY = "0 6 * * 0"


def build_prune_dag(settings: Settings) -> DAG:
    """Return the DAG `prune`, which has one task."""
    with DAG(
        "prune",
        description="What nobody needs any more is removed, once a week",
        doc_md=PRUNE_PAGE.format(days=settings.keep_days),
        schedule=WEEKLY,
        start_date=dt.datetime(2000, 1, 1, tzinfo=dt.UTC),
        catchup=False,
        max_active_runs=1,
        tags=["stockcast"],
        is_paused_upon_creation=True,
        default_args={
            **RETRY,
            **owned_tasks(settings),
            "execution_timeout": dt.timedelta(hours=6),
        },
        owner_links=owner_links(settings),
    ) as dag:
        remove_unneeded.override(doc_md=remove_unneeded.function.__doc__)()
    return dag


@task
def remove_unneeded() -> dict[str, str]:
    """Remove what nobody needs any more; return how much that was, by kind."""
    from pipeline.scheduling.pruning import prune

    with errors_for_airflow(), parts_of_task() as parts:
        pruned = prune(parts, dt.datetime.now(dt.UTC), is_rehearsed=False)
        for each in pruned:
            parts.progress("prune", "", f"{each.kind}: {each.goes or 'nothing goes'}")
        return {each.kind: each.goes for each in pruned}
