"""Addresses at which Airflow and MLflow show a ticker's session."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.models.dagrun import DagRun
from airflow.models.xcom import XCOM_RETURN_KEY, XComModel
from sqlalchemy import select

from pipeline.daily import page_tables
from pipeline.errors import NothingStored
from pipeline.parts import Parts, mlflow_url
from pipeline.scheduling.daily_names import daily_dag_id
from pipeline.scheduling.environment import run_page
from pipeline.scheduling.run_moments import run_moment
from pipeline.tables import PROMOTIONS, PUBLICATIONS
from pipeline.universes import Universe

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: Airflow's newest runs of a DAG, among which that of a session is looked for.
NEWEST_RUNS = 500


def mlflow_address(parts: Parts, series: page_tables.Series, ticker: str, session: dt.date) -> str:
    """Return the address of the ticker's run in MLflow.

    Raises:
        NothingStored: nothing has been published for it, or MLflow has no run of it.
    """
    universe = _requested_universe(parts, series, ticker, session)
    at = {**series.key, "ticker": ticker, "cutoff": session}
    if universe is None or parts.store.load(PROMOTIONS, **at).empty:
        raise NothingStored(
            f"{ticker}: nothing has been published for it at {session} in {series}."
        )
    # Without a network of its own it was measured at the session; else where this session's
    # networks were trained, whichever is published.
    trained, _ = parts.calendar(universe).training_cutoffs(session, universe.retrain)
    tracker = parts.tracker(series.universe)
    for cutoff in (session, trained):
        address = tracker.address_of(f"{cutoff} {series.recipe} {series.target} {ticker}")
        if address is not None:
            return f"{mlflow_url(parts.settings)}/{address}"
    raise NothingStored(
        f"{ticker}: MLflow has no run of it any more. Repeat evaluate of {session}, which makes it "
        "again."
    )


def airflow_address(
    parts: Parts, airflow: Session, series: page_tables.Series, ticker: str, session: dt.date
) -> str | None:
    """Return the path at which Airflow shows a session's run, at the ticker's task if it has one.

    It is the run that published what stands, or else the newest of the session.

    Args:
        airflow: a session of Airflow's database.

    Returns:
        None: Airflow has not run the session.
    """
    universe = _requested_universe(parts, series, ticker, session)
    if universe is None:
        return None
    dag_id = daily_dag_id(series.universe)
    moment = run_moment(parts.calendar(universe), session)
    newest = select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.queued_at.desc())
    runs = [
        run
        for run in airflow.scalars(newest.limit(NEWEST_RUNS))
        if run.logical_date == moment or (run.conf or {}).get("session") == str(session)
    ]
    if not runs:
        return None
    # A session may have been rehearsed since.
    at = {**series.key, "ticker": ticker, "cutoff": session}
    publishers = set(parts.store.load(PUBLICATIONS, **at)["published_by"])
    run = next((run for run in runs if run.run_id in publishers), runs[0])
    address = urlsplit(run_page(dag_id, run.run_id)).path
    index = _task_index(airflow, dag_id, run.run_id, ticker)
    return address if index is None else f"{address}/tasks/evaluate/mapped/{index}"


def _requested_universe(
    parts: Parts, series: page_tables.Series, ticker: str, session: dt.date
) -> Universe | None:
    """Return the universe as it was asked for when the session was published."""
    at = {**series.key, "ticker": ticker, "cutoff": session}
    runs = parts.store.publications.run_of(**at)
    return None if runs.empty else Universe.from_json(json.loads(runs["request"].iloc[0]))


def _task_index(airflow: Session, dag_id: str, run_id: str, ticker: str) -> int | None:
    """Return which mapped task of a run had a ticker; None where that is not known.

    `check` returns the tickers of each mapped task; an XCom backend of a deployment's own may keep
    them elsewhere.
    """
    query = XComModel.get_many(run_id=run_id, dag_ids=dag_id, task_ids="check", key=XCOM_RETURN_KEY)
    stored = airflow.scalars(query).first()
    shards: Any = XComModel.deserialize_value(stored) if stored else None
    if not isinstance(shards, list):
        return None
    return next((index for index, tickers in enumerate(shards) if ticker in tickers), None)
