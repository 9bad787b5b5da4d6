"""Step `build_windows`: cut each ticker's windows, and write them as dataset files.

See `dataset_files` for the roles of the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.daily.admission import save_checks, withdraw_forecasts
from pipeline.daily.dataset_files import OWN_ROLES, save_datasets
from pipeline.daily.shards import chunks
from pipeline.daily.window_cuts import (
    BUILT_TOGETHER,
    HistoryCut,
    cut_at,
    histories_of,
    spec_of,
    write_cut,
)
from pipeline.errors import NotEnoughHistory, StockcastError
from pipeline.models import DEFAULT, PriceRecipe
from pipeline.outcomes import Outcomes, raise_together
from pipeline.prices import Histories
from pipeline.run import Run
from pipeline.windows import Since, encode, first_test_session, live_part, load_dataset

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "build_windows"


def build_windows(parts: Parts, run: Run, tickers: Sequence[str]) -> None:
    """Write the datasets of both training cutoffs and of the session.

    A ticker on whose history not even the naive forecast can be measured is quarantined; it does
    not stop the others.

    Raises:
        NotEnoughHistory: all tickers of this call have too little history.
    """
    recipe = parts.recipes.for_price(run.universe.recipe)
    refused: dict[str, StockcastError] = {}
    for batch in chunks(tickers, BUILT_TOGETHER):
        built = _build_each(parts, run, recipe, batch)
        reasons = {ticker: f"{STEP}: {error}" for ticker, error in built.failures.items()}
        save_checks(parts, run, reasons)
        withdraw_forecasts(parts, run, STEP, reasons)
        rows = [row for own in built.results.values() for row in own]
        save_datasets(parts, run, rows, list(built.results), OWN_ROLES)
        refused |= built.failures
    if len(refused) == len(tickers):
        raise_together(refused)


def _build_each(
    parts: Parts, run: Run, recipe: PriceRecipe, tickers: Sequence[str]
) -> Outcomes[list[dict[str, object]]]:
    """Write the datasets of tickers that may be in memory together; return their rows."""
    histories = histories_of(parts, run, tickers)
    results: dict[str, list[dict[str, object]]] = {}
    failures: dict[str, StockcastError] = {}
    for ticker in tickers:
        try:
            rows = _own_rows(parts, run, recipe, histories, ticker)
        except NotEnoughHistory as error:
            failures[ticker] = error
            parts.progress(STEP, ticker, str(error))
            continue
        results[ticker] = rows
        training = next(row for row in rows if row["role"] == "training")
        until = f"{training['sessions']} sessions up to {training['dataset_cutoff']}"
        dataset = str(training["dataset"])[:12]
        parts.progress(STEP, ticker, f"dataset {dataset}: {training['reason'] or until}")
    return Outcomes(results, failures)


def _own_rows(
    parts: Parts, run: Run, recipe: PriceRecipe, histories: Histories, ticker: str
) -> list[dict[str, object]]:
    """Write the datasets of a ticker's own networks; return their DATASETS rows.

    Raises:
        NotEnoughHistory: not even a baseline can be measured.
    """
    live = cut_at(parts, run, recipe, histories, ticker, run.session)
    current = live
    if run.training_cutoff != run.session:
        current = cut_at(parts, run, recipe, histories, ticker, run.training_cutoff)
    previous = cut_at(parts, run, recipe, histories, ticker, run.previous_cutoff)
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
    rows = [
        write_cut(parts, run, recipe, histories, ticker, role, cut) for role, cut in cuts.items()
    ]
    if not current.reason and recipe.name != DEFAULT.name:
        default = parts.recipes.for_price(DEFAULT.name)
        cut = _default_cut(run, default, current)
        rows.append(write_cut(parts, run, default, histories, ticker, "default", cut))
    return rows


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
