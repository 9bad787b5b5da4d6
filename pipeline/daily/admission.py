"""Admission: which tickers of a session go on, and why the others do not (table CHECKS).

A ticker that a step fails for is held back with the step's name and the reason, and the others go
on. Once that step, or one before it, is repeated, the ticker is tried again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.errors import (
    NothingStored,
    QualityGateFailed,
    SettingsError,
    StockcastError,
    TryAgain,
    UnknownTicker,
)
from pipeline.outcomes import raise_together, worth_trying
from pipeline.quality import WHOLE_TICKER
from pipeline.reporting import counted
from pipeline.run import Run
from pipeline.tables import CALIBRATIONS, CHECKS, FINDINGS, PROMOTIONS, RUN_TICKERS

if TYPE_CHECKING:
    from pipeline.parts import Parts

PASSED, QUARANTINED = "passed", "quarantined"
#: What the reason of a ticker begins with that could not be fetched.
INGEST_FAILED = "ingest: "
#: The rule of a finding about a source that has changed its old bars.
RESTATED = "restated"
#: The rule of a finding about a source that names another currency than before.
CURRENCY_CHANGED = "currency_changed"
#: The rule of a finding about events that could not be read.
EVENTS_UNREAD = "events_unread"
#: The rule of a finding about an event on a session that is forecast.
EVENT_AHEAD = "event_ahead"
#: The rules of what `ingest` notes, which no check takes back.
NOTED_BY_INGEST = (RESTATED, CURRENCY_CHANGED, EVENTS_UNREAD)
#: The steps after the gate that hold tickers back, in the order of the day.
HOLDING_STEPS = ("build_windows", "train", "evaluate", "promote", "publish")


def passed(parts: Parts, run: Run) -> list[str]:
    """Return the tickers that no step has quarantined, in the universe's order.

    Raises:
        NothingStored: no ticker has been checked.
    """
    checks = parts.rows(CHECKS, run)
    if checks.empty:
        raise NothingStored(
            f"{run.universe.name} {run.session}: no ticker has been checked. "
            "Run `ingest` and `check` for this session first."
        )
    admitted = set(checks[checks["verdict"] == PASSED]["ticker"])
    return [ticker for ticker in run.universe.tickers if ticker in admitted]


def admitted_by_gate(parts: Parts, run: Run) -> list[str]:
    """Return the tickers that the gate has passed, also those that a later step holds back.

    What all stocks say together stays the same when such a step is repeated.
    """
    reasons = reasons_of(parts, run, run.universe.tickers)
    later = _prefixes(HOLDING_STEPS)
    admitted = {t for t, reason in reasons.items() if not reason or reason.startswith(later)}
    return [ticker for ticker in run.universe.tickers if ticker in admitted]


def require_enough_admitted(
    parts: Parts, run: Run, quarantined: Mapping[str, str], total: int
) -> None:
    """Require that no larger share of the tickers is quarantined than a run may lose.

    Args:
        quarantined: the reasons by ticker.
        total: how many tickers have been judged.

    Raises:
        QualityGateFailed: more are; the message names them all.
    """
    count = len(quarantined)
    limit = parts.settings.max_quarantined
    if count > limit * total:
        named = "; ".join(f"{ticker}: {reason}" for ticker, reason in quarantined.items())
        raise QualityGateFailed(
            f"{run.session}: {count} of {total} tickers quarantined ({count / total:.0%}), the "
            f"limit is {limit:.0%} (--max-quarantined). {named}"
        )


def admit(parts: Parts, run: Run, tickers: Sequence[str], step: str) -> list[str]:
    """Return the tickers that a step works on: those that no earlier step holds back.

    What this step, or a later one, has held back before is tried again.

    Raises:
        NothingStored: no ticker has been checked.
    """
    admitted = set(passed(parts, run))
    again = HOLDING_STEPS[HOLDING_STEPS.index(step) :]
    reasons = reasons_of(parts, run, tickers)
    released = {t for t, reason in reasons.items() if reason.startswith(_prefixes(again))}
    _save_verdicts(parts, run, dict.fromkeys(released, ""))
    return [ticker for ticker in tickers if ticker in admitted | released]


def hold_back(
    parts: Parts,
    run: Run,
    step: str,
    failures: Mapping[str, StockcastError],
    tickers: Sequence[str],
) -> None:
    """Quarantine the tickers that a step has failed for, and withdraw what stands of them.

    Args:
        failures: by ticker.
        tickers: all that the step has worked on.

    Raises:
        StockcastError: trying again may help, or the step has failed for all tickers.
    """
    _report(parts, step, failures)
    is_all = len(failures) >= len(tickers)
    reasons = {
        ticker: f"{step}: {error}"
        for ticker, error in failures.items()
        if not (is_all and is_everyones(error))
    }
    _save_verdicts(parts, run, reasons)
    withdraw_forecasts(parts, run, step, reasons)
    if is_all:
        raise_together(failures)


def note_failures(
    parts: Parts,
    run: Run,
    step: str,
    failures: Mapping[str, StockcastError],
    tickers: Sequence[str],
) -> None:
    """Note as findings what a step after the publication could not do for some tickers.

    Their forecasts stand.

    Args:
        failures: by ticker.
        tickers: all that the step has worked on.

    Raises:
        StockcastError: trying again may help, or the step has failed for all tickers.
    """
    _report(parts, step, failures)
    if len(failures) == len(tickers):
        raise_together(failures)
    rule = f"{step}_failed"
    frame = _findings(run, rule, {ticker: str(error) for ticker, error in failures.items()})
    parts.store.replace(FINDINGS, frame, **run.key, ticker=list(run.universe.tickers), rule=rule)


def note(parts: Parts, run: Run, rule: str, messages: Mapping[str, str]) -> None:
    """Note as findings what is to be known about some tickers.

    Args:
        messages: by ticker.
    """
    if messages:
        lines = {ticker: f"{ticker}: {message}." for ticker, message in messages.items()}
        parts.store.save(FINDINGS, _findings(run, rule, lines))


def _findings(run: Run, rule: str, messages: Mapping[str, str]) -> pd.DataFrame:
    """Return FINDINGS that hold nobody back, about tickers as a whole."""
    rows = [
        {
            **run.key,
            "ticker": ticker,
            "rule": rule,
            "severity": "record",
            "session": pd.Timestamp(run.session),
            "column": WHOLE_TICKER,
            "message": message,
        }
        for ticker, message in messages.items()
    ]
    return FINDINGS.conform(pd.DataFrame(rows)) if rows else FINDINGS.empty()


def _report(parts: Parts, step: str, failures: Mapping[str, StockcastError]) -> None:
    """Print failures; raise them where the step is tried again and that may help."""
    for ticker, error in failures.items():
        parts.progress(step, ticker, str(error))
    if parts.tries_left and worth_trying(failures):
        raise_together(failures)


def _save_verdicts(parts: Parts, run: Run, reasons: Mapping[str, str]) -> None:
    """Store verdicts of a step after the gate, on the prices that the gate has judged."""
    if reasons:
        save_checks(parts, run, reasons, known_at=judged_as_of(parts, run))


def is_everyones(error: StockcastError) -> bool:
    """Return whether an error that all tickers have is about none of them."""
    if isinstance(error, UnknownTicker):
        return False
    return isinstance(error, TryAgain | SettingsError | NothingStored)


def step_that_failed(reason: str) -> str:
    """Return the step that holds a ticker back, as its reason says; "": the gate."""
    steps = ("ingest", *HOLDING_STEPS)
    return next((step for step in steps if reason.startswith(_prefixes([step]))), "")


def _prefixes(steps: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{step}: " for step in steps)


def reasons_of(parts: Parts, run: Run, tickers: Sequence[str]) -> dict[str, str]:
    """Return why the tickers that were judged are held back; "" where they are not."""
    checks = parts.rows(CHECKS, run, tickers)
    return dict(zip(checks["ticker"], checks["reasons"], strict=True))


def judged_as_of(parts: Parts, run: Run) -> dt.datetime | None:
    """Return as of when a run reads prices (UTC, no zone): as they were when they were judged.

    Bars and actions that arrive later, such as those of a run of another session at the same time,
    change nothing any more. None: all that is known by now.
    """
    tickers = list(run.universe.tickers)
    moment: dt.datetime | None = parts.store.greatest(CHECKS, "known_at", **run.key, ticker=tickers)
    return moment or known_at_of(run)


def known_at_of(run: Run) -> dt.datetime | None:
    """Return the moment that a replay was asked for as of; None: all that is known by now."""
    return run.known_at if run.replay else None


def save_checks(
    parts: Parts,
    run: Run,
    reasons: Mapping[str, str],
    evidence: str = "",
    known_at: dt.datetime | None = None,
) -> None:
    """Store verdicts.

    Args:
        reasons: by ticker; "": it passed.
        evidence: a hash of what was judged; while it stays the same, so does the verdict.
        known_at: when the newest of all that was judged became known; None: nothing was judged.
    """
    if not reasons:
        return
    rows = [
        {
            **run.key,
            "ticker": ticker,
            "verdict": QUARANTINED if reason else PASSED,
            "reasons": reason,
            "evidence": evidence,
            "known_at": known_at,
        }
        for ticker, reason in reasons.items()
    ]
    parts.store.save(CHECKS, CHECKS.conform(pd.DataFrame(rows)))


def withdraw_forecasts(parts: Parts, run: Run, step: str, reasons: Mapping[str, str]) -> None:
    """Take back what was published for tickers that this run, which repeats a session, holds back.

    Args:
        step: the step that held them back.
        reasons: by ticker.
    """
    if not reasons:
        return
    beside = [(table, table.empty()) for table in (PROMOTIONS, CALIBRATIONS, RUN_TICKERS)]
    count = parts.store.publications.withdraw(reasons, beside, parts.asked_by, **run.key)
    if count:
        parts.progress(step, "", f"{counted(count, 'published forecast')} withdrawn")
