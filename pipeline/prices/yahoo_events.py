"""Yahoo's answers about what is ahead: the next report, and the ex-date of the next dividend.

They are read off Yahoo's own answer, not off yfinance's `calendar`: that gives dates in the time
zone of the machine, by which an ex-date is a day early in New York, and leaves out the hour of a
report and whether its day is Yahoo's own estimate. (Read against yfinance 1.7.)
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pandas as pd

from pipeline.errors import LookAtTheData, RateLimited, SourceUnavailable
from pipeline.prices.event_files import DIVIDEND, REPORT, REPORTED
from pipeline.sessions import Calendar
from pipeline.tables import EVENTS

_ONE_DAY = dt.timedelta(days=1)


def announced_events(ticker: str, answer: tuple[int, str] | None) -> dict[str, Any]:
    """Return `calendarEvents` of an answer; {}: Yahoo knows of none, as of a coin.

    Args:
        answer: HTTP status and body; None: there was no answer.

    Raises:
        RateLimited, SourceUnavailable: it is none that can be trusted.
    """
    if answer is None:
        raise SourceUnavailable(
            f"Yahoo gave no answer about the events of {ticker}. Try again later."
        )
    status, body = answer
    if status == 429 or "Too Many Requests" in body[:200]:
        raise RateLimited(f"Yahoo asks for fewer requests (at the events of {ticker}).")
    summary = _summary(body)
    error, results = summary.get("error"), summary.get("result")
    if status == 404 and isinstance(error, dict) and error.get("code") == "Not Found":
        return {}
    result = results[0] if isinstance(results, list) and results else None
    events = result.get("calendarEvents") if isinstance(result, dict) else None
    if status != 200 or not isinstance(events, dict):
        raise SourceUnavailable(
            f"Yahoo answered about the events of {ticker} with HTTP {status} and none of them. Try "
            "again later."
        )
    return events


def _summary(body: str) -> dict[str, Any]:
    """Return an answer's summary; {}: it is something else, such as a page of HTML."""
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    summary = answer.get("quoteSummary") if isinstance(answer, dict) else None
    return summary if isinstance(summary, dict) else {}


def coming_events(ticker: str, announced: dict[str, Any], calendar: Calendar) -> pd.DataFrame:
    """Return `calendarEvents` as EVENTS; the value of a dividend is NaN: Yahoo has no amount.

    A report whose day is an estimate, or one of several, is not known. One after the close is
    traded on from the next day on.

    Raises:
        LookAtTheData: it cannot be read.
    """
    try:
        days = {REPORT: _report_day(announced, calendar), DIVIDEND: _ex_date(announced)}
    except (TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
        raise LookAtTheData(
            f"{ticker}: Yahoo's answer about its events cannot be read ({error}). Compare it with "
            "an older version's."
        ) from error
    values = {REPORT: REPORTED, DIVIDEND: float("nan")}
    rows = [
        {"ticker": ticker, "session": day, "kind": kind, "value": values[kind]}
        for kind, day in days.items()
        if day is not None
    ]
    if not rows:
        return EVENTS.empty()
    return EVENTS.conform(pd.DataFrame(rows).assign(announced_at=None))


def _report_day(announced: dict[str, Any], calendar: Calendar) -> dt.date | None:
    earnings = announced.get("earnings") or {}
    if earnings.get("isEarningsDateEstimate"):
        return None
    moments = [_moment(each) for each in earnings.get("earningsDate") or ()]
    days = {_first_traded(moment, calendar) for moment in moments}
    return days.pop() if len(days) == 1 else None


def _first_traded(moment: dt.datetime, calendar: Calendar) -> dt.date:
    """Return the first day that trades on what is out at a moment."""
    day = moment.astimezone(calendar.timezone).date()
    is_late = calendar.is_session(day) and moment >= calendar.close_of(day)
    return day + _ONE_DAY if is_late else day


def _ex_date(announced: dict[str, Any]) -> dt.date | None:
    """Return the ex-date, which is stamped with its midnight in UTC."""
    stamp = announced.get("exDividendDate")
    return None if stamp is None else _moment(stamp).date()


def _moment(stamp: Any) -> dt.datetime:
    return dt.datetime.fromtimestamp(stamp, dt.UTC)
