"""Step `check`: validate what was ingested; a ticker that breaks the rules is quarantined."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily.admission import (
    INGEST_FAILED,
    NOTED_BY_INGEST,
    QUARANTINED,
    is_everyones,
    known_at_of,
    note,
    passed,
    reasons_of,
    require_enough_admitted,
    save_checks,
    withdraw_forecasts,
)
from pipeline.daily.gone_tickers import gone_tickers
from pipeline.daily.known_events import newest_event
from pipeline.daily.plan import leavers
from pipeline.daily.shards import chunks
from pipeline.daily.window_cuts import first_read, spec_of
from pipeline.errors import NothingStored
from pipeline.outcomes import outcome_together, raise_together
from pipeline.quality import GONE, REPAIRED, on_one_day
from pipeline.run import Run
from pipeline.tables import CHECKS, FINDINGS

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "check"
#: The rule of a finding about a ticker that is no member any more.
LEFT = "left"
#: Tickers that are read at once, and the bars from which no more of them are validated together: a
#: million take a gigabyte.
READ_TOGETHER = 100
BARS_CHECKED_TOGETHER = 1_000_000
#: Sessions over which tickers that are not validated together are compared.
COMPARED_SESSIONS = 20


def check(parts: Parts, run: Run) -> list[str]:
    """Validate all that was ingested; return the tickers that go on.

    One task does it for all tickers: Great Expectations is imported once, tickers can be compared
    with each other, and the share of those that fail is known. Later steps read prices, and events
    that are known beforehand, as of the moment at which it read them.

    Raises:
        QualityGateFailed: more tickers are quarantined than the settings allow.
    """
    tickers = list(run.universe.tickers)
    reasons = reasons_of(parts, run, tickers)
    ingested = [t for t in tickers if not reasons.get(t, "").startswith(INGEST_FAILED)]
    source_id = run.universe.source_id
    moment = parts.store.prices.newest_revision(source_id, tickers, run.session, known_at_of(run))
    if ingested and moment is None:
        raise NothingStored(
            f"{run.universe.name} {run.session}: there are no prices to check, of this session or "
            "before. Run `ingest` for this session first; where it finds 0 bars, take a later one "
            "(flag --session)."
        )
    event = newest_event(parts, run)
    moment = max(moment, event) if moment and event else moment
    _note_leavers(parts, run)
    recent = _recent_bars(parts, run, moment)
    gone = {} if recent is None else gone_tickers(parts, run, ingested, recent, moment)
    _leave_out(parts, run, gone)
    listed = [ticker for ticker in ingested if ticker not in gone]
    for batch, bars in _bars_in_batches(parts, run, listed, moment):
        _check_together(parts, run, batch, bars, recent, moment)
    quarantined = _quarantined(parts, run)
    for ticker in tickers:
        verdict = f"quarantined: {quarantined[ticker]}" if ticker in quarantined else "passed"
        parts.progress(STEP, ticker, gone.get(ticker, verdict))
    findings = parts.rows(FINDINGS, run)
    repairs = findings[findings["rule"] == REPAIRED]
    for ticker, message in zip(repairs["ticker"], repairs["message"], strict=True):
        parts.progress(STEP, ticker, message.removeprefix(f"{ticker} "))
    for message in on_one_day(findings):
        parts.progress(STEP, "", message)
    withdraw_forecasts(parts, run, STEP, quarantined | gone)
    require_enough_admitted(parts, run, quarantined, len(tickers) - len(gone))
    return passed(parts, run)


def _leave_out(parts: Parts, run: Run, gone: Mapping[str, str]) -> None:
    """Replace what is stored of tickers that are gone by a finding.

    Args:
        gone: by ticker, since when.
    """
    if not gone:
        return
    of_tickers = {**run.key, "ticker": list(gone)}
    parts.store.replace(CHECKS, CHECKS.empty(), **of_tickers)
    noted = parts.store.load(FINDINGS, **of_tickers, rule=NOTED_BY_INGEST)
    parts.store.replace(FINDINGS, noted, **of_tickers)
    note(parts, run, GONE, gone)


def _note_leavers(parts: Parts, run: Run) -> None:
    """Say which members have left since the session before, once."""
    before = parts.calendar(run.universe).last_session_until(run.session - dt.timedelta(days=1))
    for ticker in leavers(parts, run, before):
        message = "has left the universe; its last forecasts are scored as their sessions close"
        note(parts, run, LEFT, {ticker: message})
        parts.progress(STEP, ticker, message)


def _quarantined(parts: Parts, run: Run) -> dict[str, str]:
    """Return the reasons by quarantined ticker."""
    checks = parts.rows(CHECKS, run)
    rows = checks[checks["verdict"] == QUARANTINED]
    return dict(zip(rows["ticker"], rows["reasons"], strict=True))


def _bars_in_batches(
    parts: Parts, run: Run, tickers: Sequence[str], moment: dt.datetime | None
) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """Yield tickers that are validated together, with their bars up to the session.

    These are all of them, unless that is too much for the memory.
    """
    source_id, first = run.universe.source_id, first_read(parts, run)
    together: list[str] = []
    tables: list[pd.DataFrame] = []
    for batch in chunks(tickers, READ_TOGETHER):
        together += batch
        tables.append(parts.store.prices.bars(source_id, batch, run.session, moment, first))
        if sum(map(len, tables)) >= BARS_CHECKED_TOGETHER:
            yield together, pd.concat(tables, ignore_index=True)
            together, tables = [], []
    if together:
        yield together, pd.concat(tables, ignore_index=True)


def _recent_bars(parts: Parts, run: Run, moment: dt.datetime | None) -> pd.DataFrame | None:
    """Return the last sessions of all tickers; None: there is no session.

    They find two tickers with the same prices among those that are not validated together.
    """
    universe = run.universe
    sessions = parts.calendar(universe).sessions(universe.start, run.session)
    if not sessions:
        return None
    first = sessions[-COMPARED_SESSIONS:][0]
    return parts.store.prices.bars(
        universe.source_id, list(universe.tickers), run.session, moment, first
    )


def _check_together(
    parts: Parts,
    run: Run,
    tickers: list[str],
    bars: pd.DataFrame,
    recent: pd.DataFrame | None,
    moment: dt.datetime | None,
) -> None:
    """Validate these tickers together, unless the same evidence was judged before."""
    universe = run.universe
    actions = parts.store.prices.actions(universe.source_id, tickers, run.session, moment)
    recipe = parts.recipes.for_price(universe.recipe)
    needed = spec_of(run, recipe, "", run.training_cutoff).needed_sessions
    unrepaired = [] if universe.repair else ["unrepaired"]
    rules = parts.gate.rules_hash, str(needed), *universe.amendments, *unrepaired
    evidence = _evidence(bars, actions, *rules)
    before = parts.rows(CHECKS, run, tickers)
    if len(before) == len(tickers) and set(before["evidence"]) == {evidence}:
        verdicts = dict(zip(before["ticker"], before["reasons"], strict=True))
        save_checks(parts, run, verdicts, evidence, moment)
        return
    first = first_read(parts, run) or universe.start
    sessions = parts.calendar(universe).sessions(first, run.session)
    # The first session trains, too, and who looks for its pages must find some.
    trains = run.session == run.training_cutoff or not parts.gate.is_documented(universe.name)
    documented = trains or parts.settings.data_docs == "always"

    def judge(some: list[str]) -> dict[str, tuple[str, pd.DataFrame]]:
        verdict = parts.gate.check_prices(
            bars,
            actions,
            some,
            sessions,
            run.session,
            needed,
            universe.name,
            others=recent,
            target=universe.target,
            is_repaired=universe.repair,
            documented=documented,
        )
        found = {str(ticker): rows for ticker, rows in verdict.findings.groupby("ticker")}
        nothing = verdict.findings[:0]
        return {t: (verdict.quarantined.get(t, ""), found.get(t, nothing)) for t in some}

    judged = outcome_together(tickers, judge)
    if judged.failures and all(map(is_everyones, judged.failures.values())):
        raise_together(judged.failures)
    found = [rows for _, rows in judged.results.values() if len(rows)]
    # What `ingest` has noted of these tickers stays.
    found.append(parts.store.load(FINDINGS, **run.key, ticker=tickers, rule=NOTED_BY_INGEST))
    findings = pd.concat(found, ignore_index=True).assign(
        universe=universe.name,
        recipe=universe.recipe,
        target=universe.target,
        cutoff=pd.Timestamp(run.session),
    )
    parts.store.replace(FINDINGS, findings, **run.key, ticker=tickers)
    reasons = {ticker: reason for ticker, (reason, _) in judged.results.items()}
    save_checks(parts, run, reasons, evidence, moment)
    # Without the evidence: what could not be judged is judged again when the step is repeated.
    failed = {ticker: str(error) for ticker, error in judged.failures.items()}
    save_checks(parts, run, failed, known_at=moment)


def _evidence(bars: pd.DataFrame, actions: pd.DataFrame, *rules: str) -> str:
    digest = hashlib.sha256("|".join(rules).encode())
    for frame in (bars, actions):
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]
