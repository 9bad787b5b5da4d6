"""Drawing up lineups: which datasets and networks a session compares for each ticker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.daily import lineup
from pipeline.daily.admission import passed
from pipeline.daily.dataset_files import (
    POOL_ROLES,
    DatasetEntry,
    OwnDatasets,
    members_of,
    pool_members,
    read_dataset,
    require_datasets,
    stored_datasets,
)
from pipeline.daily.lineup import (
    CURRENT,
    DEFAULT_RIVAL,
    POOLED,
    PREVIOUS,
    Lineup,
    NetworkEntry,
    contestant,
)
from pipeline.daily.network_requests import request_of
from pipeline.decisions import choice_identity
from pipeline.errors import NothingStored
from pipeline.models import DEFAULT, PriceRecipe
from pipeline.outcomes import Outcomes, outcome_of_each
from pipeline.run import Run
from pipeline.storage import digest_of
from pipeline.training import SHARED
from pipeline.windows import decode

if TYPE_CHECKING:
    from pipeline.parts import Parts


@dataclass(frozen=True)
class _Surroundings:
    """All that the lineups of a session's tickers share.

    Attributes:
        default: the default recipe, which another recipe is measured against.
        pools: what all stocks train or fit together; None: nothing is there.
        everyone: the datasets of all tickers, where one network learns from all.
    """

    run: Run
    recipe: PriceRecipe
    default: PriceRecipe
    pools: Lineup | None
    everyone: Mapping[str, OwnDatasets]


def draw_up(parts: Parts, run: Run, tickers: Sequence[str]) -> Outcomes[Lineup]:
    """Decide what a session compares for these tickers.

    A ticker whose recipe is tuned per stock, but whose history is too short for a network of its
    own, has the pooled one.

    Returns:
        By ticker; one without windows, or with damaged ones, has failed.

    Raises:
        NothingStored: the pooled networks are missing.
    """
    recipe = parts.recipes.for_price(run.universe.recipe)
    default = parts.recipes.for_price(DEFAULT.name)
    datasets = stored_datasets(parts, run, tickers)
    everyone: Mapping[str, OwnDatasets] = {}
    if recipe.pooled or default.pooled:
        everyone = stored_datasets(parts, run, passed(parts, run))
    pools = lineup.shared(parts, run)
    if recipe.fine_tuning and pools is None and datasets:
        raise NothingStored(
            f"{run.universe.name} {run.session}: the pooled networks that the stocks' own go on "
            "from are not there. Run `pretrain` for this session first."
        )
    surroundings = _Surroundings(run, recipe, default, pools, everyone)

    def drawn(ticker: str) -> Lineup:
        require_datasets(run, datasets, ticker)
        return _lineup_of(parts, surroundings, ticker, datasets[ticker])

    return outcome_of_each(tickers, drawn)


def draw_up_pools(parts: Parts, run: Run) -> Lineup:
    """Decide which networks all stocks train together: of both pool cutoffs, each once.

    A recipe without any has none. They do not depend on whether the default recipe is measured next
    to another one: its networks begin from random weights there, as the other's do.
    """
    recipe = parts.recipes.for_price(run.universe.recipe)
    networks: dict[str, NetworkEntry] = {}
    for role, members in pool_members(parts, run).items():
        if members and recipe.fine_tuning:
            request = request_of(parts, SHARED, "", recipe.pool, members)
            entry = NetworkEntry(
                role=role,
                label=SHARED,
                recipe=recipe.pool.name,
                model_id=request.model_id,
                dataset=_digest_of_members(members),
                training_cutoff=getattr(run, POOL_ROLES[role]),
                members=len(members),
            )
            networks.setdefault(entry.model_id, entry)
    return Lineup(SHARED, (), tuple(networks.values()))


def _lineup_of(parts: Parts, surroundings: _Surroundings, ticker: str, own: OwnDatasets) -> Lineup:
    drawn = Lineup(ticker, own, _networks_of(parts, surroundings, ticker, own))
    if pools := surroundings.pools:
        # A stock without a network is measured up to the session.
        is_measured_then = drawn.training.cutoff == surroundings.run.training_cutoff
        har = pools.har if is_measured_then else pools.live_har
        drawn = replace(drawn, har=har, live_har=pools.live_har)
    identity = choice_identity(
        drawn.training.dataset,
        drawn.training.reason,
        [contestant(network) for network in drawn.compared],
        surroundings.recipe.leak,
        parts.settings.test_floor,
        drawn.har,
    )
    return replace(drawn, choice=identity)


def _networks_of(
    parts: Parts, surroundings: _Surroundings, ticker: str, own: OwnDatasets
) -> tuple[NetworkEntry, ...]:
    datasets = {entry.role: entry for entry in own}
    networks = []
    for role, name in ((CURRENT, "training"), (PREVIOUS, "previous"), (DEFAULT_RIVAL, "default")):
        entry = datasets.get(name)
        if entry is not None and not entry.reason:
            networks.append(_network_of(parts, surroundings, ticker, role, entry))
    pools = surroundings.pools
    if not networks and pools and pools.networks and _keeps_window(parts, own, surroundings.recipe):
        return (replace(pools.networks[0], role=POOLED),)
    return tuple(networks)


def _network_of(
    parts: Parts, surroundings: _Surroundings, ticker: str, role: str, entry: DatasetEntry
) -> NetworkEntry:
    """Return the network that learns from a dataset of a ticker, or from everybody's."""
    recipe = surroundings.default if role == DEFAULT_RIVAL else surroundings.recipe
    is_tuned = recipe.fine_tuning is not None and role != DEFAULT_RIVAL
    base = _base(surroundings, entry) if is_tuned else ""
    members = {ticker: entry}
    if recipe.pooled:
        members = members_of(surroundings.everyone, entry.role)
    return NetworkEntry(
        role=role,
        label=SHARED if recipe.pooled else ticker,
        recipe=recipe.name,
        model_id=request_of(parts, ticker, "", recipe, members, base).model_id,
        dataset=entry.dataset,
        training_cutoff=entry.cutoff,
        members=len(members),
        base=base,
    )


def _base(surroundings: _Surroundings, entry: DatasetEntry) -> str:
    """Return the pooled network that a stock's own goes on from.

    "": no stock's history reached up to a pooled network.
    """
    run, pools = surroundings.run, surroundings.pools
    cutoff = run.pool_cutoff if entry.role == "training" else run.previous_pool_cutoff
    networks = pools.networks if pools else ()
    return next((each.model_id for each in networks if each.training_cutoff == cutoff), "")


def _keeps_window(parts: Parts, own: OwnDatasets, recipe: PriceRecipe) -> bool:
    """Return whether a dataset that no network can learn from is cut as the recipe cuts.

    Then the network that other stocks have trained can be measured on it.
    """
    training = next(entry for entry in own if entry.role == "training")
    spec, _ = decode(read_dataset(parts, training.dataset))
    return spec.window == recipe.window and spec.normalisation == recipe.normalisation


def _digest_of_members(members: Mapping[str, DatasetEntry]) -> str:
    return digest_of(sorted((ticker, entry.dataset) for ticker, entry in members.items()))
