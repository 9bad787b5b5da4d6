"""Step `watch`: warn where coverage, skill or the networks' inputs have left their bands."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily import lineup
from pipeline.daily.admission import note_failures, passed
from pipeline.daily.stability import stability_of
from pipeline.measures import drift
from pipeline.outcomes import outcome_of_each
from pipeline.reporting import counted
from pipeline.run import Run
from pipeline.storage import Span
from pipeline.tables import DRIFT, PROMOTIONS, SCORES

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "watch"


def watch(parts: Parts, run: Run) -> list[dict[str, str]]:
    """Judge each ticker's published forecasts and its network's inputs.

    Sessions after this one that have been run already are judged again, with the scores that this
    one has added, so that a backfill leaves the same rows in any order.

    Returns:
        What has left its band: ticker, kind and the warning in words.
    """
    promoted = list(parts.rows(PROMOTIONS, run, passed(parts, run))["ticker"])
    lineups = lineup.load_each(parts, run, promoted)
    stability = outcome_of_each(
        lineups.results, lambda ticker: stability_of(parts, lineups.results[ticker])
    )
    # What cannot be measured of a ticker is missing; the rest of it is judged all the same.
    note_failures(parts, run, STEP, {**lineups.failures, **stability.failures}, promoted)
    psi = [stability.results.get(ticker, float("nan")) for ticker in promoted]
    rows = pd.DataFrame({"ticker": promoted, "cutoff": pd.Timestamp(run.session), "psi": psi})
    own = _judged(parts, run, rows.astype({"psi": "float64"}))
    parts.store.replace(DRIFT, own, **run.key, ticker=list(run.universe.tickers))
    # Until nothing changes: another session may be scored at the same time.
    while parts.store.save(DRIFT, _judged(parts, run, _later_rows(parts, run))):
        pass
    warnings = [
        {"ticker": str(ticker), "kind": kind, "warning": warning}
        for ticker, stored in _warnings(parts, run, promoted)
        for kind, warning in drift.warnings_of(stored).items()
    ]
    for each in warnings:
        parts.progress(STEP, each["ticker"], f"WARNING {each['kind']}: {each['warning']}")
    if not warnings:
        watched = counted(len(promoted), "ticker")
        parts.progress(STEP, "", f"{watched} watched, none has left its bands")
    return warnings


def _warnings(parts: Parts, run: Run, tickers: list[str]) -> list[tuple[str, str]]:
    rows = parts.rows(DRIFT, run, tickers)
    return list(zip(rows["ticker"], rows["warnings"], strict=True))


def _later_rows(parts: Parts, run: Run) -> pd.DataFrame:
    """Return DRIFT rows of this and later sessions whose newest scores this session's affect."""
    reach = drift.DRIFT_SESSIONS + run.universe.horizon
    after = Span(run.session + dt.timedelta(days=1))
    later = parts.store.ends(SCORES, "session", reach, newest=False, **run.series, session=after)
    last = later[-1] if len(later) == reach else None
    tickers = list(run.universe.tickers)
    return parts.store.load(DRIFT, **run.series, ticker=tickers, cutoff=Span(run.session, last))


def _judged(parts: Parts, run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """Return DRIFT rows, by the scores of the newest sessions that had closed by each cutoff.

    Args:
        rows: ticker, cutoff, psi.
    """
    if rows.empty:
        return DRIFT.empty()
    oldest, newest = rows["cutoff"].min(), rows["cutoff"].max()
    before = Span(last=oldest)
    sessions = parts.store.ends(
        SCORES, "session", drift.DRIFT_SESSIONS, newest=True, **run.series, session=before
    )
    span = Span(sessions[0] if sessions else oldest, newest)
    tickers = list(run.universe.tickers)
    scores = parts.store.load(SCORES, **run.series, ticker=tickers, session=span)
    judged = drift.judge_each(scores, rows)
    keys = zip(rows["ticker"], rows["cutoff"], judged, strict=True)
    table = [
        {**run.series, "ticker": ticker, "cutoff": cutoff, **judgement.row()}
        for ticker, cutoff, judgement in keys
    ]
    return DRIFT.conform(pd.DataFrame(table))
