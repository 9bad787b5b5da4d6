"""Step `report`: write the day's page, and finish the session in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.daily.admission import EVENT_AHEAD, passed
from pipeline.daily.currencies import with_currency
from pipeline.daily.joint_forecasts import published_margins
from pipeline.daily.known_events import event_texts
from pipeline.daily.page_tables import RECORD_GROUPS
from pipeline.daily.portfolio_risk import risk_table
from pipeline.daily.scenarios import paths_file, stored_paths
from pipeline.daily.tracked_session import open_session, session_files, session_metrics
from pipeline.daily.unfinished import unfinished_steps
from pipeline.daily.window_cuts import histories_of
from pipeline.joint import gains_of
from pipeline.measures import realised
from pipeline.outcomes import outcome_of_each
from pipeline.reporting import (
    Day,
    charts,
    day_markdown,
    day_page,
    day_text,
    forecast_table,
    shown_in_full,
    summary_of,
)
from pipeline.run import Run
from pipeline.storage import Span
from pipeline.tables import (
    CALIBRATIONS,
    CHECKS,
    DRIFT,
    FINDINGS,
    FORECASTS,
    PROMOTIONS,
)

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "report"
#: Levels of the risk of all stocks together.
REPORTED_LEVELS = (0.95, 0.99)


def report(parts: Parts, run: Run) -> str:
    """Write the page and finish the session's run; return where the page is."""
    passed(parts, run)
    name, day = report_file(run), day_of(parts, run)
    watched = _watched(parts, run)
    pictures = _pictures(day, watched)
    page = day_page(run, day, _ticker_charts(parts, run, day), pictures).encode()
    parts.artifacts.write(name, page)
    parent, files = open_session(parts, run), session_files(parts, run, day, page, pictures)
    tracker = parts.tracker(run.universe.name)
    tracker.finish(parent, session_metrics(day), files, day_markdown(day))
    parts.progress(STEP, "", parts.artifacts.url(name))
    return parts.artifacts.url(name)


def report_file(run: Run) -> str:
    """Return the artifact that is the day's page."""
    return page_file(run.key)


def page_file(key: Mapping[str, object]) -> str:
    """Return the artifact that is the page of a session.

    Args:
        key: universe, recipe, target, cutoff.
    """
    return f"reports/{key['universe']}/{key['cutoff']}-{key['recipe']}-{key['target']}.html"


def reading_commands(run: Run) -> str:
    """Return the commands that print what a run has left in the store, as a sentence's end."""
    named = f" --universe {run.universe.name}" if run.universe.is_rehearsal else ""
    return f"read it with `stockcast forecasts{named}` and `stockcast scores{named}`"


def verdict_of(parts: Parts, run: Run) -> str:
    """Return a session that has been reported in a few sentences."""
    return str(summary_of(day_of(parts, run)))


def report_text(parts: Parts, run: Run) -> str:
    """Return the day's page for a terminal."""
    return day_text(run, day_of(parts, run))


def forecasts_text(parts: Parts, run: Run) -> str:
    """Return the table that a person reads when the day is done."""
    forecasts, findings = priced_forecasts(parts, run), parts.rows(FINDINGS, run)
    events = _events_by_ticker(findings[findings["rule"] == EVENT_AHEAD])
    return forecast_table(forecasts, parts.rows(PROMOTIONS, run), parts.rows(CHECKS, run), events)


def _events_by_ticker(findings: pd.DataFrame) -> dict[str, str]:
    """Return by ticker what findings of `EVENT_AHEAD` say, in the order of the sessions."""
    ordered = findings.sort_values(["ticker", "session"])
    texts = event_texts(ordered).groupby(ordered["ticker"]).agg("; ".join)
    return {str(ticker): text for ticker, text in texts.items()}


def priced_forecasts(parts: Parts, run: Run) -> pd.DataFrame:
    """Return what stands of a run's tickers: FORECASTS with their currency."""
    return with_currency(parts.store, parts.rows(FORECASTS, run), **run.key)


def day_of(parts: Parts, run: Run) -> Day:
    """Read what the day's page is made of; its record is of the sessions up to this one."""
    of_run, of_series = ({**key, **_shown_tickers(run)} for key in (run.key, run.series))
    load = parts.store.load
    forecasts, findings = load(FORECASTS, **of_run), load(FINDINGS, **of_run)
    is_event = findings["rule"] == EVENT_AHEAD
    day = Day(
        forecasts=with_currency(parts.store, forecasts, **run.key),
        promotions=load(PROMOTIONS, **of_run),
        calibrations=load(CALIBRATIONS, **of_run),
        findings=findings[~is_event].reset_index(drop=True),
        checks=load(CHECKS, **of_run),
        record=realised(
            parts.store.score_sums(RECORD_GROUPS, **of_series, session=Span(last=run.session))
        ),
        drift=load(DRIFT, **of_run),
        together=_together(parts, run) if len(forecasts) else pd.DataFrame(),
        events=_events_by_ticker(findings[is_event]),
    )
    return replace(day, unfinished=unfinished_steps(parts, run, day.missing))


def _together(parts: Parts, run: Run) -> pd.DataFrame:
    """Return what all stocks with the same part may lose; no rows where no paths were drawn."""
    if not parts.artifacts.exists(paths_file(run.key)):
        return pd.DataFrame()
    margins = published_margins(parts, run.key)
    values = stored_paths(parts, margins)
    if values is None:
        return pd.DataFrame()
    same_part = np.full(len(margins.last), 1 / len(margins.last))
    gains = gains_of(values, margins.last, same_part)
    return risk_table(gains, margins.sessions, REPORTED_LEVELS)


def _shown_tickers(run: Run) -> dict[str, object]:
    """Return the filter of the tickers that the page is about.

    They are all that the session has been published for, also by other runs; of a rehearsal its
    own.
    """
    return {"ticker": list(run.universe.tickers)} if run.universe.is_rehearsal else {}


def _watched(parts: Parts, run: Run) -> pd.DataFrame:
    """Return the DRIFT rows that are drawn: of the newest sessions up to this one."""
    until: dict[str, object] = {**run.series, "cutoff": Span(last=run.session)}
    sessions = parts.store.ends(DRIFT, "cutoff", charts.DRIFT_CHART_SESSIONS, newest=True, **until)
    return parts.store.load(DRIFT, **run.series, **_shown_tickers(run), cutoff=sessions)


def _pictures(day: Day, watched: pd.DataFrame) -> dict[str, bytes]:
    """Return "calibration" and "drift" as PNG, where there is something to draw."""
    pictures = {}
    if len(day.calibrations):
        pictures["calibration"] = charts.calibration_chart(day.calibrations)
    if watched["coverage_80"].notna().any():
        pictures["drift"] = charts.drift_chart(watched)
    return pictures


def _ticker_charts(parts: Parts, run: Run, day: Day) -> Mapping[str, bytes]:
    """Return by ticker the PNG of its prices and forecasts, where it can be drawn."""
    tickers = shown_in_full(day)
    histories = histories_of(parts, run, tickers)

    def chart(ticker: str) -> bytes:
        history = histories.of(ticker, run.session, masked=False)
        own: bytes = charts.forecast_chart(
            history, day.forecasts[day.forecasts["ticker"] == ticker]
        )
        return own

    drawn = outcome_of_each(tickers, chart)
    for ticker, error in drawn.failures.items():
        parts.progress(STEP, ticker, f"the page has no chart of it: {error}")
    return drawn.results
