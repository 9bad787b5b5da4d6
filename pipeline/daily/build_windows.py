"""Step `build_windows`: cut each ticker's windows, and write them as dataset files.

See `dataset_files` for the roles of the files.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pipeline.daily import lineup
from pipeline.daily.admission import admit, hold_back
from pipeline.daily.dataset_files import OWN_ROLES, save_datasets
from pipeline.daily.regressions import Anchoring
from pipeline.daily.window_cuts import (
    CutFacts,
    HistoryCut,
    batches_of,
    cut_at,
    cut_facts,
    seen_history,
    shared_histories_of,
    spec_of,
)
from pipeline.daily.written_cuts import WrittenCuts
from pipeline.errors import NotEnoughHistory, NothingStored, StockcastError
from pipeline.models import DEFAULT, PriceRecipe
from pipeline.outcomes import Outcomes, outcome_of_each
from pipeline.prices import Histories
from pipeline.run import Run
from pipeline.windows import Since, encode, first_test_session, live_part, load_dataset

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "build_windows"


def build_windows(parts: Parts, run: Run, tickers: Sequence[str]) -> None:
    """Write the datasets of both training cutoffs and of the session.

    A ticker whose history cannot be cut, or is too short to measure even the naive forecast on, is
    held back.

    Raises:
        StockcastError: trying again may help, or all tickers of this call are held back.
    """
    recipe = parts.recipes.for_price(run.universe.recipe)
    pools = lineup.shared(parts, run)
    if pools is None:
        raise NothingStored(
            f"{run.universe.name} {run.session}: what all stocks fit together is not there. "
            "Run `pretrain` for this session first."
        )
    anchoring = Anchoring(parts, run, dict(pools.anchors))
    tickers = admit(parts, run, tickers, STEP)
    failures: dict[str, StockcastError] = {}
    for batch in batches_of(run, tickers):
        written = WrittenCuts(parts, run, STEP, batch, anchoring)
        built = _build(parts, run, recipe, written, batch)
        for ticker, own in built.results.items():
            parts.progress(STEP, ticker, _message(own))
        rows = [row for own in built.results.values() for row in own]
        save_datasets(parts, run, rows, list(built.results), OWN_ROLES)
        written.keep()
        failures |= built.failures
    hold_back(parts, run, STEP, failures, tickers)


def _build(
    parts: Parts, run: Run, recipe: PriceRecipe, written: WrittenCuts, batch: list[str]
) -> Outcomes[list[dict[str, object]]]:
    """Write the datasets of some tickers; return their DATASETS rows."""
    histories = shared_histories_of(parts, run, batch, is_last=True)
    facts = {ticker: _facts(parts, run, recipe, histories, ticker) for ticker in batch}
    learnt = {
        ticker: rows
        for ticker in batch
        if (rows := _found_rows(parts, run, recipe, written, ticker, facts[ticker]))
    }
    live = partial(_live_row, parts, run, recipe, histories, written)
    # Only these are adjusted at all cutoffs.
    changed = histories.among(set(batch).difference(learnt))
    cut = partial(_own_rows, parts, run, recipe, changed, written)

    def rows_of(ticker: str) -> list[dict[str, object]]:
        own = facts[ticker]
        return [*learnt[ticker], live(ticker, own)] if ticker in learnt else cut(ticker, own)

    return outcome_of_each(batch, rows_of)


def _message(rows: list[dict[str, object]]) -> str:
    """Return what was built for a ticker, in words."""
    training = next(row for row in rows if row["role"] == "training")
    until = f"{training['sessions']} sessions up to {training['dataset_cutoff']}"
    return f"dataset {str(training['dataset'])[:12]}: {training['reason'] or until}"


def _own_rows(
    parts: Parts,
    run: Run,
    recipe: PriceRecipe,
    histories: Histories,
    written: WrittenCuts,
    ticker: str,
    facts: Mapping[str, CutFacts],
) -> list[dict[str, object]]:
    """Write the datasets of a ticker's own networks; return their DATASETS rows.

    Raises:
        NotEnoughHistory: not even a baseline can be measured.
    """
    live = cut_at(parts, run, recipe, histories, ticker, run.session)
    current = live
    if run.training_cutoff != run.session:
        current = cut_at(parts, run, recipe, histories, ticker, run.training_cutoff, live)
    previous = cut_at(parts, run, recipe, histories, ticker, run.previous_cutoff, live)
    # Where no network will learn, the baselines are best measured up to the session itself.
    training = live if current.reason else current
    _require_measurable(training)
    live_spec = replace(training.spec, cutoff=run.session)
    cuts = {
        "training": replace(training, reason=current.reason),
        "live": HistoryCut(live_spec, live_part(live.history, live_spec), ""),
    }
    if not (current.reason or previous.reason):
        cuts["previous"] = previous
    # What is measured up to the session is measured beside what `har` forecasts up to it.
    forecast_in = dict.fromkeys(cuts, "live") if current.reason else {}
    if current.reason:
        facts = {**facts, "training": facts["live"]}
    rows = [
        written.row(recipe, role, cut, facts[role], forecast_in.get(role, role))
        for role, cut in cuts.items()
    ]
    if not current.reason and recipe.name != DEFAULT.name:
        default = parts.recipes.for_price(DEFAULT.name)
        cut = _default_cut(run, default, current)
        rows.append(written.row(default, "default", cut, facts["training"], "default"))
    return rows


def _live_row(
    parts: Parts,
    run: Run,
    recipe: PriceRecipe,
    histories: Histories,
    written: WrittenCuts,
    ticker: str,
    facts: Mapping[str, CutFacts],
) -> dict[str, object]:
    """Write the dataset of a session whose networks learn from what is written; return its row."""
    spec = spec_of(run, recipe, ticker, run.session)
    history = seen_history(parts, run, histories, ticker, run.session)
    live = HistoryCut(spec, live_part(history, spec), "")
    return written.row(recipe, "live", live, facts["live"], "live")


def _facts(
    parts: Parts, run: Run, recipe: PriceRecipe, histories: Histories, ticker: str
) -> dict[str, CutFacts]:
    """Return the facts of the history that the datasets of each role are cut from."""
    return {
        role: cut_facts(parts, run, recipe, histories, ticker, cutoff)
        for role, cutoff in _cutoffs(run).items()
    }


def _cutoffs(run: Run) -> dict[str, dt.date]:
    """Return where the datasets of each role end."""
    return {
        "training": run.training_cutoff,
        "previous": run.previous_cutoff,
        "live": run.session,
    }


def _found_rows(
    parts: Parts,
    run: Run,
    recipe: PriceRecipe,
    written: WrittenCuts,
    ticker: str,
    facts: Mapping[str, CutFacts],
) -> list[dict[str, object]] | None:
    """Return the rows of what networks learn from; None: some of it has to be cut."""
    asked = [(recipe, "training", "training"), (recipe, "previous", "previous")]
    if recipe.name != DEFAULT.name:
        asked.append((parts.recipes.for_price(DEFAULT.name), "default", "training"))
    cutoffs = _cutoffs(run)
    return written.all_found(
        ticker,
        [(each, role, cutoffs[cut_as], facts[cut_as]) for each, role, cut_as in asked],
    )


def _require_measurable(cut: HistoryCut) -> None:
    if not cut.reason:
        return
    dataset = load_dataset(encode(cut.history, cut.spec))
    if not (len(dataset.validation) and len(dataset.test)):
        spec = cut.spec
        raise NotEnoughHistory(
            f"{spec.ticker}: {len(cut.history)} sessions up to {spec.cutoff}, of which too many "
            f"are without a price to measure a forecast of {spec.horizon} sessions on: "
            f"{dataset.usable}. Fetch from an earlier date, or ask for a shorter horizon "
            "(flag --horizon)."
        )


def _default_cut(run: Run, default: PriceRecipe, cut: HistoryCut) -> HistoryCut:
    """Return how the default recipe cuts the same history, tested on the same sessions."""
    spec = spec_of(run, default, cut.spec.ticker, cut.spec.cutoff)
    split = replace(spec.split, test=Since(first_test_session(cut.history, cut.spec)))
    # A smoothed price is easier to forecast: for both or for none.
    spec = replace(spec, split=split, smoothing=cut.spec.smoothing)
    few = len(cut.history) < spec.needed_sessions
    reason = "too little history before the test sessions for the default recipe"
    return HistoryCut(spec, cut.history, reason if few else "")
