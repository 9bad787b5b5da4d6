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
    SeenHistories,
    fit_regressions,
    fitted_cutoffs,
)
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
    cutoffs = dict.fromkeys([*fitted_cutoffs(run, recipe).values(), run.session])
    seen = SeenHistories(parts, run, cutoffs)
    for tickers in chunks(run.universe.tickers, BUILT_TOGETHER):
        seen.add(histories_of(parts, run, tickers), tickers)
    names = fit_regressions(parts, run, recipe, seen)
    if recipe.fine_tuning:
        anchoring = Anchoring(parts, run, names)
        for tickers in chunks(run.universe.tickers, BUILT_TOGETHER):
            _save_shares(parts, run, recipe, anchoring, tickers)
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
    parts: Parts, run: Run, recipe: PriceRecipe, anchoring: Anchoring, tickers: Sequence[str]
) -> None:
    """Write what these tickers give to the pooled networks.

    Raises:
        StockcastError: trying again may help.
    """
    histories = histories_of(parts, run, tickers)
    written = WrittenCuts(parts, run, STEP, tickers, histories, anchoring)
    shares = outcome_of_each(
        tickers,
        partial(_pool_rows, parts, run, recipe, histories, written),
        partial(_tell, parts),
    )
    if worth_trying(shares.failures):
        raise_together(shares.failures)  # without them, it would be another network
    rows = [row for own in shares.results.values() for row in own]
    save_datasets(parts, run, rows, tickers, list(POOL_ROLES))
    written.keep()


def _tell(parts: Parts, ticker: str, error: StockcastError) -> None:
    parts.progress(STEP, ticker, f"it gives nothing to the network of all: {error}")


def _pool_rows(
    parts: Parts,
    run: Run,
    recipe: PriceRecipe,
    histories: Histories,
    written: WrittenCuts,
    ticker: str,
) -> list[dict[str, object]]:
    """Write what a ticker gives to the pooled networks; return its DATASETS rows.

    There is none where a network can learn nothing from it. A ticker that is quarantined today
    gives its share all the same: it ends at the pool's cutoff, and a pooled network is not trained
    again for a bad bar that is masked a week later.
    """
    cutoffs = {role: getattr(run, name) for role, name in POOL_ROLES.items()}
    shares = {
        cutoff: _pool_share(parts, run, recipe, histories, ticker, cutoff)
        for cutoff in dict.fromkeys(cutoffs.values())
    }
    return [
        written.row(recipe, role, share, role)
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
