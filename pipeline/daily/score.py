"""Step `score`: compare earlier forecasts with the prices of their sessions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily.admission import INGEST_FAILED, note_failures
from pipeline.daily.check import READ_TOGETHER
from pipeline.daily.kept_sums import KeptSums
from pipeline.daily.plan import to_ingest
from pipeline.daily.replaying import baseline_model
from pipeline.daily.score_bases import bases_of
from pipeline.daily.shards import chunks
from pipeline.measures import scores
from pipeline.models import EWMA, HAR
from pipeline.outcomes import joined, outcome_together, raise_together
from pipeline.prices import histories_as_of
from pipeline.quality import BASIS_RULES
from pipeline.run import Run
from pipeline.storage import Span
from pipeline.tables import (
    CHECKS,
    DATASETS,
    FINDINGS,
    PREDICTIONS,
    PRICE_COLUMNS,
    PUBLICATIONS,
    SCORES,
)

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "score"
#: Days over which scores are computed again, to follow corrected bars.
RESCORED_DAYS = 21
#: Days over which forecasts without a score are looked for.
UNSCORED_DAYS = 400
#: Days before the first forecast from which prices are read: they say which of its are wrong.
DAYS_BEFORE = 40


def score(parts: Parts, run: Run) -> None:
    """Give each forecast of this series its realised error, once its session has closed.

    A price that the gate has masked or condemned gives no score, and takes back the one that it has
    given; once it is corrected, or has proved right, the score is made. So does a forecast from
    one side of a change of the basis of prices for a session on its other side. Where the source
    has restated the prices that a forecast was made from, its outcome is brought to their level;
    where only a part of them was, there is none.

    The forecast that counts is the first one published before its session opened; see
    `measures.scores.counted`. It looks at all sessions that have been run, not at this one alone,
    so that a backfill leaves the same scores in any order.
    """
    newest = parts.store.greatest(PUBLICATIONS, "cutoff", **run.series)
    until = max(run.session, newest or run.session)
    due = _due(parts, run, until)
    counted = scores.counted(due, parts.calendar(run.universe).opens_of(due["session"]))
    tickers = [str(ticker) for ticker in due["ticker"].unique()]
    counts: list[tuple[int, int, int]] = []

    def score_some(some: list[str]) -> dict[str, None]:
        counts.append(_score_together(parts, run, until, due, counted, some))
        return dict.fromkeys(some)

    sums = KeptSums(parts.store, parts.artifacts, run.series)
    with sums.changing(due["session"].dt.date.unique()):
        scored = joined(
            outcome_together(some, score_some) for some in chunks(tickers, READ_TOGETHER)
        )
    note_failures(parts, run, STEP, scored.failures, tickers)
    changed, withheld, restated = map(sum, zip(*counts, strict=True)) if counts else (0, 0, 0)
    message = f"{len(counted)} forecasts whose session has closed, {changed} scores new or changed"
    if restated:
        message += f", {restated} withheld: a part of the prices they were made from is restated"
    if withheld:
        message += f", {withheld} withheld: their price is masked or condemned"
    parts.progress(STEP, "", message)


def _score_together(
    parts: Parts,
    run: Run,
    until: dt.date,
    due: pd.DataFrame,
    counted: pd.DataFrame,
    tickers: list[str],
) -> tuple[int, int, int]:
    """Store the scores of these tickers.

    Returns:
        How many are new or changed, how many withheld for their price, and how many as the prices
        that they were made from are restated in part.

    Args:
        due: the PUBLICATIONS to score.
        counted: those of them that count; see `measures.scores.counted`.
    """
    revisions, rows = (each[each["ticker"].isin(tickers)] for each in (due, counted))
    first = revisions["cutoff"].min().date() - dt.timedelta(days=DAYS_BEFORE)
    histories = histories_as_of(
        parts.store.prices,
        run.universe.source_id,
        tickers,
        until,
        None,
        first,
        run.universe.repair,
    )
    for unadjusted in (histories.failures(until), histories.failures(until, masked=False)):
        raise_together(unadjusted)
    cutoffs = list(revisions["cutoff"].unique())
    baselines = _baseline_predictions(parts, run, tickers, cutoffs)
    history = histories.all_of(until, masked=False)
    condemned = _condemned(parts, run, until, tickers)
    usable = _without(condemned, histories.all_of(until))
    across = _across_basis_changes(condemned, rows)
    target = run.universe.target
    same_basis = rows[~across]
    bases = bases_of(parts, run, same_basis, histories.bars)
    scored = scores.score(same_basis, baselines, history, usable, histories.bars, target, bases)
    withheld = scores.count_withheld(same_basis, history, usable, target) + int(across.sum())
    return parts.store.replace_keys(SCORES, scored, revisions), withheld, int(bases.isna().sum())


def _due(parts: Parts, run: Run, until: dt.date) -> pd.DataFrame:
    """Return the PUBLICATIONS of forecasts to score, of sessions up to `until`.

    They are this run's own, those that have no score, and those whose prices have changed since, or
    are no longer trusted.
    """
    tickers, store = to_ingest(parts, run), parts.store
    own = store.load(PUBLICATIONS, **run.key, ticker=tickers, session=Span(last=until))
    waiting = store.publications.unscored(
        run.session - dt.timedelta(days=UNSCORED_DAYS), until, **run.series, ticker=tickers
    )
    first = run.session - dt.timedelta(days=RESCORED_DAYS)
    # When the forecasts of `first` were made, at the earliest.
    made_first = first - dt.timedelta(days=3 * run.universe.horizon + 10)
    corrected = store.prices.corrected(run.universe.source_id, tickers, made_first, until)
    doubted = _findings(parts, run, tickers, Span(run.session, until), Span(first, until))
    again = store.load(
        PUBLICATIONS,
        **run.series,
        ticker=sorted({*corrected, *doubted["ticker"]}),
        cutoff=Span(made_first, run.session),
        session=Span(first, until),
    )
    due = pd.concat([own, waiting, again]).drop_duplicates(list(PUBLICATIONS.key))
    return PUBLICATIONS.conform(due)


def _findings(
    parts: Parts, run: Run, tickers: Sequence[str], cutoffs: Span, sessions: Span
) -> pd.DataFrame:
    """Return the FINDINGS of these cutoffs that mask or condemn a price of these sessions."""
    return parts.store.load(
        FINDINGS,
        **run.series,
        ticker=list(tickers),
        cutoff=cutoffs,
        session=sessions,
        severity=["mask", "quarantine"],
    )


def _condemned(parts: Parts, run: Run, until: dt.date, tickers: Sequence[str]) -> pd.DataFrame:
    """Return the FINDINGS for which the newest verdict holds a ticker back.

    Only the next session shows whether a jump was a wrong print, which is masked then, or genuine:
    until then, the gate holds the ticker back for it.
    """
    recent = Span(until - dt.timedelta(RESCORED_DAYS))
    checks = parts.store.load(CHECKS, **run.series, ticker=list(tickers), cutoff=recent)
    judged = checks[~checks["reasons"].str.startswith(INGEST_FAILED)]
    newest = judged.groupby("ticker", as_index=False)["cutoff"].max()
    found = _findings(parts, run, tickers, recent, Span(last=until))
    return found[found["severity"] == "quarantine"].merge(newest, on=["ticker", "cutoff"])


def _without(condemned: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Return a HISTORY with NaN in the cells that FINDINGS condemn."""
    of_finding = pd.MultiIndex.from_frame(condemned[["ticker", "session", "column"]])
    usable = history.copy()
    rows = pd.MultiIndex.from_frame(usable[["ticker", "session"]])
    for name in PRICE_COLUMNS:
        cells = of_finding[of_finding.get_level_values("column") == name].droplevel("column")
        affected = [name, "adj_close"] if name == "close" else [name]
        usable.loc[rows.isin(cells), affected] = float("nan")
    return usable


def _across_basis_changes(condemned: pd.DataFrame, forecasts: pd.DataFrame) -> pd.Series:
    """Return whether a forecast's cutoff is before, and its session after, a change of the basis.

    Such a pair of prices says nothing about the forecast.
    """
    changes = condemned.loc[condemned["rule"].isin(BASIS_RULES), ["ticker", "session"]]
    pairs = forecasts[["ticker", "cutoff", "session"]].reset_index()
    pairs = pairs.merge(changes, on="ticker", suffixes=("", "_of_change"))
    change = pairs["session_of_change"]
    crossing = pairs.loc[(pairs["cutoff"] < change) & (change <= pairs["session"]), "index"]
    return pd.Series(forecasts.index.isin(crossing), index=forecasts.index)


def _baseline_predictions(
    parts: Parts, run: Run, tickers: Sequence[str], cutoffs: list[pd.Timestamp]
) -> dict[str, pd.DataFrame]:
    """Return the PREDICTIONS of `EWMA` and `HAR` of these tickers, with ticker and cutoff."""
    rows = parts.store.load(
        DATASETS, **run.series, ticker=list(tickers), role=["live", "training"], cutoff=cutoffs
    )
    by_role = rows.pivot(index=["ticker", "cutoff"], columns="role", values="dataset")
    both = by_role.reindex(columns=["live", "training"]).dropna().reset_index()
    wanted = both.rename(columns={"live": "dataset"})
    predictions = {}
    for name in (EWMA, HAR):
        wanted["model"] = [baseline_model(name, dataset) for dataset in wanted["training"]]
        found = parts.store.load(
            PREDICTIONS,
            dataset=sorted(set(wanted["dataset"])),
            model=sorted(set(wanted["model"])),
        )
        named = found.merge(wanted.drop(columns="training"), on=["dataset", "model"])
        predictions[name] = named.drop(columns=["dataset", "model"])
    return predictions
