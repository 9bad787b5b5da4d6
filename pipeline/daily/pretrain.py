"""Step `pretrain`: what all stocks learn together: pooled networks, and the regression `har`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pipeline.daily import lineup
from pipeline.daily.dataset_files import POOL_ROLES, save_datasets
from pipeline.daily.lineup_drawing import draw_up_pools
from pipeline.daily.network_requests import pool_requests
from pipeline.daily.regressions import (
    Anchoring,
    HarFits,
    fit_regressions,
    fitted_cutoffs,
)
from pipeline.daily.seen_histories import SeenHistories
from pipeline.daily.shards import chunks
from pipeline.daily.train import fit_networks
from pipeline.daily.window_cuts import BUILT_TOGETHER, HistoryCut, cut_at, histories_of
from pipeline.daily.written_cuts import WrittenCuts
from pipeline.errors import NotEnoughHistory, StockcastError
from pipeline.models import PriceRecipe
from pipeline.outcomes import outcome_of_each, raise_together, worth_trying
from pipeline.prices import Histories
from pipeline.run import Run

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "pretrain"


def pretrain(parts: Parts, run: Run) -> None:
    """Fit `har`, and the pooled networks of both pool cutoffs, where the recipe has any."""
    recipe = parts.recipes.for_price(run.universe.recipe)
    fitted = fitted_cutoffs(run, recipe).values()
    pooled = _pool_cutoffs(run).values()
    unfitted = {*fitted}.difference(HarFits(parts, run).cutoffs)
    seen = SeenHistories(parts, run, recipe, {run.session, *unfitted}, {*fitted, *pooled})
    names = fit_regressions(parts, run, recipe, seen)
    if recipe.fine_tuning:
        anchoring = Anchoring(parts, run, names)
        for tickers in chunks(run.universe.tickers, BUILT_TOGETHER):
            _save_shares(parts, run, recipe, anchoring, seen, tickers)
    pools = draw_up_pools(parts, run)
    har, live_har = names.get("training", ""), names.get("live", "")
    pools = replace(pools, har=har, live_har=live_har, anchors=tuple(names.items()))
    lineup.save(parts, run, [pools])
    if not recipe.fine_tuning:
        parts.progress(STEP, "", f"{recipe.name} trains no network that others go on from")
        return
    if not pools.networks:
        parts.progress(STEP, "", f"no ticker has enough history up to {run.pool_cutoff}")
    requests = pool_requests(parts, run, pools)
    failures = fit_networks(parts, run, STEP, requests)
    titles = {request.model_id: request.title for request in requests}
    raise_together({titles[model_id]: error for model_id, error in failures.items()})


def _save_shares(
    parts: Parts,
    run: Run,
    recipe: PriceRecipe,
    anchoring: Anchoring,
    seen: SeenHistories,
    tickers: Sequence[str],
) -> None:
    """Write what these tickers give to the pooled networks.

    Raises:
        StockcastError: trying again may help.
    """
    written = WrittenCuts(parts, run, STEP, tickers, anchoring)
    rows = {ticker: _found_rows(run, recipe, written, seen, ticker) for ticker in tickers}
    changed = [ticker for ticker, own in rows.items() if own is None]
    histories = histories_of(parts, run, changed)
    shares = outcome_of_each(
        changed,
        partial(_pool_rows, parts, run, recipe, histories, seen, written),
        partial(_tell, parts),
    )
    if worth_trying(shares.failures):
        raise_together(shares.failures)  # without them, it would be another network
    rows |= shares.results
    saved = [row for own in rows.values() for row in own or []]
    save_datasets(parts, run, saved, tickers, list(POOL_ROLES))
    written.keep()


def _found_rows(
    run: Run, recipe: PriceRecipe, written: WrittenCuts, seen: SeenHistories, ticker: str
) -> list[dict[str, object]] | None:
    """Return the DATASETS rows of a share that is written; None: some of it has to be cut."""
    return written.all_found(
        ticker,
        [
            (recipe, role, cutoff, seen.facts(cutoff)[ticker])
            for role, cutoff in _pool_cutoffs(run).items()
        ],
    )


def _pool_cutoffs(run: Run) -> dict[str, dt.date]:
    """Return by role where what is given to the pooled networks ends."""
    return {role: getattr(run, name) for role, name in POOL_ROLES.items()}


def _tell(parts: Parts, ticker: str, error: StockcastError) -> None:
    parts.progress(STEP, ticker, f"it gives nothing to the network of all: {error}")


def _pool_rows(
    parts: Parts,
    run: Run,
    recipe: PriceRecipe,
    histories: Histories,
    seen: SeenHistories,
    written: WrittenCuts,
    ticker: str,
) -> list[dict[str, object]]:
    """Write what a ticker gives to the pooled networks; return its DATASETS rows.

    There is none where a network can learn nothing from it. A ticker that is quarantined today
    gives its share all the same: it ends at the pool's cutoff, and a pooled network is not trained
    again for a bad bar that is masked a week later.
    """
    cutoffs = _pool_cutoffs(run)
    shares = {
        cutoff: _pool_share(parts, run, recipe, histories, ticker, cutoff)
        for cutoff in dict.fromkeys(cutoffs.values())
    }
    return [
        written.row(recipe, role, share, seen.facts(cutoff)[ticker], role)
        for role, cutoff in cutoffs.items()
        if (share := shares[cutoff]) is not None
    ]


def _pool_share(
    parts: Parts,
    run: Run,
    recipe: PriceRecipe,
    histories: Histories,
    ticker: str,
    cutoff: dt.date,
) -> HistoryCut | None:
    try:
        cut = cut_at(parts, run, recipe, histories, ticker, cutoff)
    except NotEnoughHistory:  # `build_windows` reports it; the others train without this ticker
        return None
    return None if cut.reason else cut
