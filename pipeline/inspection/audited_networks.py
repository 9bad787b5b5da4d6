"""The networks that an audit trains on dataset files, from a cache of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.inspection.comparing import Outputs
from pipeline.training import SHARED, LearntFrom, Networks, PriceNetworkRequest

if TYPE_CHECKING:
    from pipeline.models import PriceRecipe


@dataclass(frozen=True, eq=False)
class AuditedNetwork:
    """A fitted network.

    Attributes:
        model: its `.keras` file.
        history: losses by epoch, by name.
    """

    model: bytes
    history: Mapping[str, list[float]]


@dataclass(frozen=True, eq=False)
class AuditedNetworks:
    """The networks of dataset files.

    Attributes:
        training_files: by ticker, all that they were trained on.
        own: by ticker.
        shared: the network that the stocks' own go on from; None: they begin from random weights.
    """

    training_files: Mapping[str, bytes]
    own: Mapping[str, AuditedNetwork]
    shared: AuditedNetwork | None

    @property
    def outputs(self) -> Outputs:
        """The training files, the networks, and the losses that chose their epoch."""
        networks = {**self.own, **({SHARED: self.shared} if self.shared else {})}
        return {
            "training files": dict(self.training_files),
            "network files": {name: network.model for name, network in networks.items()},
            "losses by epoch": {
                f"{name} {loss}": np.array(values)
                for name, network in networks.items()
                for loss, values in network.history.items()
            },
        }


def train_on(
    networks: Networks, recipe: PriceRecipe, files: Mapping[str, bytes], seed: int
) -> AuditedNetworks:
    """Train a recipe's networks on dataset files, where they are not in the cache yet.

    Args:
        files: dataset files by ticker.
    """
    shared = None
    learnt_from = {ticker: LearntFrom.of(file, recipe) for ticker, file in files.items()}
    training_files = {t: each.training_file(recipe) for t, each in learnt_from.items()}
    if recipe.pooled:
        request = PriceNetworkRequest(SHARED, SHARED, recipe, learnt_from, seed)
        [pooled] = _fit(networks, [request])
        return AuditedNetworks(training_files, dict.fromkeys(files, pooled), None)
    base = ""
    if recipe.fine_tuning:
        request = PriceNetworkRequest(SHARED, SHARED, recipe.pool, learnt_from, seed)
        [shared], base = _fit(networks, [request]), request.model_id
    requests = [
        PriceNetworkRequest(ticker, ticker, recipe, {ticker: each}, seed, base)
        for ticker, each in learnt_from.items()
    ]
    own = dict(zip(files, _fit(networks, requests), strict=True))
    return AuditedNetworks(training_files, own, shared)


def _fit(networks: Networks, requests: Sequence[PriceNetworkRequest]) -> list[AuditedNetwork]:
    networks.fit(requests).raise_first()
    ids = [request.model_id for request in requests]
    return [AuditedNetwork(networks.model(each), networks.training(each).history) for each in ids]
