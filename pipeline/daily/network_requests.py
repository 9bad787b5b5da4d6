"""Requests for the networks of lineups, as the cache of fitted networks takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pipeline.daily.admission import passed
from pipeline.daily.dataset_files import (
    DatasetEntry,
    OwnDatasets,
    members_of,
    pool_members,
    read_dataset,
    stored_datasets,
)
from pipeline.daily.lineup import CURRENT, DEFAULT_RIVAL, POOLED, PREVIOUS, Lineup
from pipeline.models import DEFAULT, PriceRecipe
from pipeline.run import Run
from pipeline.training import SHARED, LearntFrom, PriceNetworkRequest

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: Role of a network -> the role of the dataset that it learns from.
DATASET_ROLES = {CURRENT: "training", PREVIOUS: "previous", DEFAULT_RIVAL: "default"}


def pool_requests(parts: Parts, run: Run, pools: Lineup) -> list[PriceNetworkRequest]:
    """Return the requests for the pooled networks."""
    recipe = parts.recipes.for_price(run.universe.recipe).pool
    members = pool_members(parts, run)
    return [
        request_of(
            parts, SHARED, f"{SHARED} {network.training_cutoff}", recipe, members[network.role]
        )
        for network in pools.networks
    ]


def network_requests(
    parts: Parts, run: Run, lineups: Sequence[Lineup]
) -> list[PriceNetworkRequest]:
    """Return the requests for the stocks' own networks."""
    recipe = parts.recipes.for_price(run.universe.recipe)
    default = parts.recipes.for_price(DEFAULT.name)
    everyone: Mapping[str, OwnDatasets] = {}
    if recipe.pooled or default.pooled:
        everyone = stored_datasets(parts, run, passed(parts, run))
    requests = []
    for each in lineups:
        for network in each.networks:
            if network.role == POOLED:
                continue
            trained_by = default if network.role == DEFAULT_RIVAL else recipe
            role = DATASET_ROLES[network.role]
            members = {each.ticker: each.dataset(role)}
            if trained_by.pooled:
                members = members_of(everyone, role)
            title = f"{network.label} {network.training_cutoff}"
            requests.append(
                request_of(parts, each.ticker, title, trained_by, members, network.base)
            )
    return requests


def request_of(
    parts: Parts,
    label: str,
    title: str,
    recipe: PriceRecipe,
    members: Mapping[str, DatasetEntry],
    base: str = "",
) -> PriceNetworkRequest:
    """Return the request for a network that learns from these datasets.

    Args:
        title: see `PriceNetworkRequest`; "" where only the identity is asked for.
        members: the datasets by ticker.
        base: the model_id of the pooled network that it goes on from; "": random weights.
    """
    learnt_from = {
        ticker: LearntFrom(entry.learnt, partial(read_dataset, parts, entry.dataset))
        for ticker, entry in members.items()
    }
    return PriceNetworkRequest(label, title, recipe, learnt_from, parts.settings.seed, base)
