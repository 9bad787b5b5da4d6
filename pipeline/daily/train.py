"""Step `train`: draw up the lineup, and fit each stock's own networks that are not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily import lineup
from pipeline.daily.admission import still_admitted
from pipeline.daily.lineup import POOLED, Lineup, NetworkEntry
from pipeline.daily.lineup_drawing import draw_up
from pipeline.daily.network_requests import network_requests
from pipeline.outcomes import raise_together
from pipeline.run import Run
from pipeline.tables import MODELS
from pipeline.training import NetworkRequest, PriceNetworkRequest, TrainingRecord

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "train"


def train(parts: Parts, run: Run, tickers: Sequence[str]) -> None:
    """Fit the networks of both training cutoffs, and the default recipe's next to another.

    Raises:
        StockcastError: what failed, after all others are trained.
    """
    lineups = draw_up(parts, run, still_admitted(parts, run, tickers))
    lineup.save(parts, run, lineups)
    for own in lineups:
        if not any(network.role != POOLED for network in own.networks):
            parts.progress(STEP, own.ticker, "no network of its own to train")
    requests = network_requests(parts, run, lineups)
    fit_networks(parts, run, STEP, requests, lineups)


def fit_networks(
    parts: Parts,
    run: Run,
    step: str,
    requests: Sequence[PriceNetworkRequest],
    lineups: Sequence[Lineup] = (),
) -> None:
    """Fit the networks that are missing, and note each in table MODELS.

    Raises:
        StockcastError: what failed, after all others are trained.
    """
    entries = _entries(parts, run, lineups)
    noted = set(parts.store.load(MODELS, model_id=sorted(entries))["model_id"])

    def report(request: NetworkRequest, record: TrainingRecord, is_new: bool) -> None:
        network = entries[request.model_id]
        if network.model_id not in noted:
            _note(parts, run, network, request, record)
        message = f"{network.role}: model {network.model_id}"
        if is_new:
            best = f"best {record.best_epoch}, {record.seconds:.1f} s"
            parts.progress(step, network.label, f"{message}, {record.epochs} epochs, {best}")
        else:
            parts.progress(step, request.label, f"{message} is there already")

    fitted = parts.networks.fit(requests, report, run.universe.sectors)
    labels = {request.model_id: request.label for request in requests}
    raise_together({labels[model_id]: error for model_id, error in fitted.failures.items()})


def _entries(parts: Parts, run: Run, lineups: Sequence[Lineup]) -> dict[str, NetworkEntry]:
    """Return the networks of lineups and the pooled ones by their model_id."""
    pools = lineup.shared(parts, run)
    return {
        network.model_id: network
        for own in (*([pools] if pools else []), *lineups)
        for network in own.networks
    }


def _note(
    parts: Parts,
    run: Run,
    network: NetworkEntry,
    request: NetworkRequest,
    record: TrainingRecord,
) -> None:
    row = {
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
    parts.store.save(MODELS, pd.DataFrame([row]))
