"""Admission: which tickers of a session go on, and why the others do not (table CHECKS)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.errors import NothingStored, QualityGateFailed
from pipeline.reporting import counted
from pipeline.run import Run
from pipeline.tables import CALIBRATIONS, CHECKS, PROMOTIONS, RUNS

if TYPE_CHECKING:
    from pipeline.parts import Parts

PASSED, QUARANTINED = "passed", "quarantined"
#: What the reason of a ticker begins with that could not be fetched.
INGEST_FAILED = "ingest: "


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


def require_enough_admitted(parts: Parts, run: Run, quarantined: Mapping[str, str]) -> None:
    """Require that no larger share of the tickers is quarantined than a run may lose.

    Args:
        quarantined: the reasons by ticker.

    Raises:
        QualityGateFailed: more are; the message names them all.
    """
    count, total = len(quarantined), len(run.universe.tickers)
    limit = parts.settings.max_quarantined
    if count > limit * total:
        named = "; ".join(f"{ticker}: {reason}" for ticker, reason in quarantined.items())
        raise QualityGateFailed(
            f"{run.session}: {count} of {total} tickers quarantined ({count / total:.0%}), the "
            f"limit is {limit:.0%} (--max-quarantined). {named}"
        )


def still_admitted(parts: Parts, run: Run, tickers: Sequence[str]) -> list[str]:
    """Return those of a shard that no step before this one has quarantined."""
    admitted = set(passed(parts, run))
    return [ticker for ticker in tickers if ticker in admitted]


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
    beside = [(table, table.empty()) for table in (PROMOTIONS, CALIBRATIONS, RUNS)]
    count = parts.store.publications.withdraw(reasons, beside, parts.asked_by, **run.key)
    if count:
        parts.progress(step, "", f"{counted(count, 'published forecast')} withdrawn")
