"""Step `train`: draw up the lineup, and fit each stock's own networks that are not there yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily import lineup
from pipeline.daily.admission import admit, hold_back
from pipeline.daily.lineup import POOLED, Lineup, NetworkEntry
from pipeline.daily.lineup_drawing import draw_up
from pipeline.daily.network_requests import network_requests
from pipeline.errors import StockcastError
from pipeline.run import Run
from pipeline.tables import MODELS
from pipeline.training import NetworkRequest, PriceNetworkRequest, TrainingRecord

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "train"


def train(parts: Parts, run: Run, tickers: Sequence[str]) -> None:
    """Fit the networks of both training cutoffs, and the default recipe's next to another.

    A ticker of which one cannot be fitted is held back.

    Raises:
        StockcastError: trying again may help, or all tickers of this call are held back.
    """
    tickers = admit(parts, run, tickers, STEP)
    drawn = draw_up(parts, run, tickers)
    lineups = list(drawn.results.values())
    lineup.save(parts, run, lineups)
    for own in lineups:
        if not any(network.role != POOLED for network in own.networks):
            parts.progress(STEP, own.ticker, "no network of its own to train")
    requests = network_requests(parts, run, lineups)
    unfitted = fit_networks(parts, run, STEP, requests, lineups)
    failures = {
        own.ticker: unfitted[network.model_id]
        for own in lineups
        for network in own.networks
        if network.model_id in unfitted
    }
    hold_back(parts, run, STEP, {**drawn.failures, **failures}, tickers)


def fit_networks(
    parts: Parts,
    run: Run,
    step: str,
    requests: Sequence[PriceNetworkRequest],
    lineups: Sequence[Lineup] = (),
) -> Mapping[str, StockcastError]:
    """Fit the networks that are missing, and note each in table MODELS.

    Returns:
        By model_id, why a network could not be fitted.
    """
    entries = _entries(parts, run, lineups)
    noted = set(parts.store.load(MODELS, model_id=sorted(entries))["model_id"])
    rows: dict[str, dict[str, object]] = {}

    def report(request: NetworkRequest, record: TrainingRecord, is_new: bool) -> None:
        network = entries[request.model_id]
        if network.model_id not in noted:
            rows[network.model_id] = _row(run, network, request, record)
        message = f"{network.role}: model {network.model_id}"
        if is_new:
            best = f"best {record.best_epoch}, {record.seconds:.1f} s"
            parts.progress(step, network.label, f"{message}, {record.epochs} epochs, {best}")
        else:
            parts.progress(step, request.label, f"{message} is there already")

    try:
        return parts.networks.fit(requests, report, run.universe.sectors).failures
    finally:  # also of those that were there when something stopped the others
        if rows:
            parts.store.save(MODELS, pd.DataFrame(list(rows.values())))


def _entries(parts: Parts, run: Run, lineups: Sequence[Lineup]) -> dict[str, NetworkEntry]:
    """Return the networks of lineups and the pooled ones by their model_id."""
    pools = lineup.shared(parts, run)
    return {
        network.model_id: network
        for own in (*([pools] if pools else []), *lineups)
        for network in own.networks
    }


def _row(
    run: Run, network: NetworkEntry, request: NetworkRequest, record: TrainingRecord
) -> dict[str, object]:
    """Return the row of MODELS of a network."""
    return {
        "model_id": network.model_id,
        "recipe": network.recipe,
        "target": run.universe.target,
        "ticker": network.label,
        "training_cutoff": network.training_cutoff,
        "dataset": request.learnt_digest if network.members > 1 else network.dataset,
        "config_hash": request.recipe.config_hash(),
        "epochs": record.epochs,
        "best_epoch": record.best_epoch,
        "code_version": record.code_version,
    }
