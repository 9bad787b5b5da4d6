"""Figures of a day for those who operate it: what was published, and how well intervals hold."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.daily.admission import QUARANTINED
from pipeline.run import Run
from pipeline.tables import CHECKS, DRIFT, FORECASTS

if TYPE_CHECKING:
    from pipeline.parts import Parts


@dataclass(frozen=True)
class DayCounts:
    """The numbers of a session's tickers by how they ended.

    Attributes:
        published: tickers with a forecast that stands.
        quarantined: those that sit the session out.
        left_out: the run's others: without bars any more, or a step has failed for them.
        forecasts: published rows, one per ticker and session ahead.
    """

    published: int
    quarantined: int
    left_out: int
    forecasts: int


def counts_of(parts: Parts, run: Run) -> DayCounts:
    """Count the tickers of a run's session, also those of other runs of it."""
    key: dict[str, Any] = run.key
    forecasts = parts.store.distinct(FORECASTS, ["ticker", "horizon"], **key)
    checks = parts.store.distinct(CHECKS, ["ticker"], **key, verdict=QUARANTINED)
    published = {ticker for ticker, _ in forecasts}
    quarantined = {ticker for (ticker,) in checks} - published
    left_out = {*run.universe.tickers} - published - quarantined
    return DayCounts(len(published), len(quarantined), len(left_out), len(forecasts))


def published_figures(parts: Parts, run: Run) -> dict[str, float]:
    """Return what a run has published as figures by name."""
    counts = counts_of(parts, run)
    return {
        "tickers_published": counts.published,
        "tickers_quarantined": counts.quarantined,
        "tickers_left_out": counts.left_out,
        "forecasts_published": counts.forecasts,
        "newest_session": calendar.timegm(run.session.timetuple()),
    }


def watched_figures(parts: Parts, run: Run) -> dict[str, float]:
    """Return how well the intervals of a session's tickers hold; without scores, no coverage."""
    watched = parts.store.load(DRIFT, **run.key)
    figures: dict[str, float] = {"tickers_drifted": int((watched["warnings"] != "").sum())}
    scored = watched[watched["coverage_80"].notna() & (watched["sessions"] > 0)]
    if len(scored):
        weights = scored["sessions"] / scored["sessions"].sum()
        for name in ("coverage_80", "coverage_95"):
            figures[name] = float((scored[name] * weights).sum())
    return figures
