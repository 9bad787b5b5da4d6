"""The session level of an audit: the whole day twice, with two futures in the store.

Prices, volumes, splits and dividends after the session, corrections that became known after the
run, and events that became known after the session are different in a second home. Not one byte of
what the run leaves may differ.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily import (
    Lineup,
    Sandbox,
    lineup,
    make_forecasts,
    read_dataset,
    regression_file,
    run_of,
    spec_of,
)
from pipeline.errors import NotEnoughHistory
from pipeline.inspection.audited_events import AUDITED_EVENTS, audited_events
from pipeline.inspection.audited_prices import SPARE_SESSIONS, TradedPrices, shared_sessions
from pipeline.inspection.comparing import ComparedOutput, Outputs, OutputValues, compare
from pipeline.inspection.perturbation import perturb_actions, perturb_prices
from pipeline.leftovers import TemporaryFolder
from pipeline.tables import (
    ACTION_REVISIONS,
    CALIBRATIONS,
    CHECKS,
    DATASETS,
    EVALUATIONS,
    EVENT_REVISIONS,
    FINDINGS,
    FORECASTS,
    LINEUPS,
    MODELS,
    PREDICTIONS,
    PRICE_COLUMNS,
    PRICE_REVISIONS,
    PROMOTIONS,
    RUNS,
)

if TYPE_CHECKING:
    from pipeline.models import PriceRecipe
    from pipeline.parts import Parts
    from pipeline.run import Run
    from pipeline.universes import Universe

#: Sessions between the cutoffs of the session level, and after the newest of them.
SESSIONS_APART = 15
#: Sessions up to a cutoff that are corrected; the corrections become known after the run.
CORRECTED_SESSIONS = 10
_ONE_DAY = dt.timedelta(days=1)
#: The tables of which all rows of the run are compared.
COMPARED_TABLES = (CHECKS, FINDINGS, PROMOTIONS, CALIBRATIONS, FORECASTS)


def needed_sessions(
    parts: Parts,
    recipe: PriceRecipe,
    universe: Universe,
    bars: Mapping[str, TradedPrices],
    cutoffs: int,
) -> int:
    """Return how many sessions the networks of the oldest cutoff can be trained on.

    Its previous networks and their pools are among them.

    Raises:
        NotEnoughHistory: a ticker has fewer.
    """
    sessions = shared_sessions(bars)
    oldest = sessions[max(len(sessions) - 1 - SESSIONS_APART * cutoffs, 0)]
    run = run_of(parts, universe, oldest, dt.datetime.now(dt.UTC), replay=True)
    first = run.previous_pool_cutoff if recipe.fine_tuning else run.previous_cutoff
    fewest = spec_of(run, recipe, "", first).needed_sessions
    needed = fewest + SPARE_SESSIONS + sum(session > first for session in sessions)
    for ticker, each in bars.items():
        if len(each.prices) < needed:
            raise NotEnoughHistory(
                f"{ticker}: {len(each.prices)} sessions, {needed} needed to audit {recipe.name} at "
                f"{cutoffs} sessions before its end. Name a ticker with a longer history "
                "(--tickers), or fewer sessions (--cutoffs)."
            )
    return needed


def audit_sessions(
    parts: Parts,
    step: str,
    recipe: PriceRecipe,
    universe: Universe,
    bars: Mapping[str, TradedPrices],
    cutoffs: int,
) -> Iterator[ComparedOutput]:
    """Run the day of each cutoff twice, and compare all that it leaves.

    Args:
        step: the name that progress is reported under.
        bars: as many sessions as `needed_sessions` says.
    """
    sessions = shared_sessions(bars)
    known_at = dt.datetime.combine(sessions[-1], dt.time(), dt.UTC) + 2 * _ONE_DAY
    universe = dataclasses.replace(universe, start=sessions[0], events=AUDITED_EVENTS)
    starts = [len(sessions) - 1 - SESSIONS_APART * back for back in range(cutoffs, 0, -1)]
    days = [sessions[start:] for start in starts]

    def fill(sandbox: Parts, cutoff: dt.date | None = None) -> None:
        _fill(sandbox, universe, bars, known_at, cutoff)
        about = universe.events_id, list(bars), days, known_at, cutoff
        sandbox.store.save(EVENT_REVISIONS, audited_events(*about))

    recipes = parts.recipes.replaced(recipe)
    with (
        TemporaryFolder("audit") as folder,
        Sandbox(folder / "before", parts.settings, recipes) as before,
    ):
        fill(before)
        for cutoff in [sessions[start] for start in starts]:
            run = run_of(before, universe, cutoff, known_at, replay=True)
            parts.progress(step, "", f"{recipe.name}: the day {cutoff}, twice")
            make_forecasts(before, run)
            with Sandbox(folder / f"after {cutoff}", parts.settings, recipes) as after:
                fill(after, cutoff)
                make_forecasts(after, run)
                outputs = [_outputs_of(each, run) for each in (before, after)]
            yield from compare("session", cutoff, *outputs)


def _fill(
    sandbox: Parts,
    universe: Universe,
    bars: Mapping[str, TradedPrices],
    known_at: dt.datetime,
    cutoff: dt.date | None = None,
) -> None:
    """Put the whole history, the future of any cutoff included, into a store.

    Args:
        cutoff: after it, the store gets another future, known at other moments; None: the real one.
    """
    for ticker, each in bars.items():
        prices = each.prices.assign(known_at=known_at - _ONE_DAY)
        actions = each.actions
        if cutoff:
            prices = _with_another_future(prices, cutoff, known_at)
            actions = perturb_actions(actions, ticker, each.prices["session"], cutoff)
        actions = actions.assign(known_at=known_at - _ONE_DAY)
        for table, rows in ((PRICE_REVISIONS, prices), (ACTION_REVISIONS, actions)):
            moments = pd.to_datetime(rows["known_at"], utc=True).dt.tz_localize(None)
            rows = rows.assign(known_at=moments, source_id=universe.source_id)
            sandbox.store.save(table, rows)


def _with_another_future(
    prices: pd.DataFrame, cutoff: dt.date, known_at: dt.datetime
) -> pd.DataFrame:
    """Return other prices after a cutoff, and corrections of those before it after the run."""
    prices = perturb_prices(prices, cutoff)
    later = prices["session"] > pd.Timestamp(cutoff)
    moments = [known_at - days * _ONE_DAY for days in range(int(later.sum()))]
    prices.loc[later.to_numpy(), "known_at"] = moments
    corrections = prices[~later].tail(CORRECTED_SESSIONS).assign(known_at=known_at + _ONE_DAY)
    corrections[PRICE_COLUMNS] *= 1.5
    return pd.concat([prices, corrections])


def _outputs_of(parts: Parts, run: Run) -> Outputs:
    """Return all that a run has left in the store and among the artifacts."""
    lineups = lineup.stored(parts, run, run.universe.tickers)
    pools = lineup.shared(parts, run)
    networks = _networks_of([*lineups.values(), *([pools] if pools else [])])
    datasets = parts.store.load(DATASETS, **run.key)
    # Earlier runs have measured their networks on the other datasets.
    measured = datasets[datasets["role"].isin(["training", "default"])]
    return {
        "datasets": {"datasets": datasets, **_dataset_files(parts, datasets)},
        "lineups": {"lineups": parts.store.load(LINEUPS, **run.key)},
        "regressions": _regression_files(parts, pools),
        "network files": {
            name: parts.networks.model(model_id) for name, model_id in networks.items()
        },
        "models": {"models": parts.store.load(MODELS, model_id=list(networks.values()))},
        "evaluations": {
            "evaluations": parts.store.load(EVALUATIONS, dataset=sorted(set(measured["dataset"])))
        },
        "predictions": {
            "predictions": parts.store.load(PREDICTIONS, dataset=sorted(set(datasets["dataset"]))),
            **_choice_files(parts, lineups),
        },
        "runs": {"runs": parts.store.load(RUNS, **run.key)},
        **{table.name: {table.name: parts.rows(table, run)} for table in COMPARED_TABLES},
    }


def _networks_of(lineups: list[Lineup]) -> dict[str, str]:
    """Return the model_ids of all networks by label and role."""
    return {
        f"{network.label} {network.role}": network.model_id
        for each in lineups
        for network in each.networks
    }


def _dataset_files(parts: Parts, datasets: pd.DataFrame) -> OutputValues:
    rows = zip(datasets["ticker"], datasets["role"], datasets["dataset"], strict=True)
    return {f"{ticker} {role}": read_dataset(parts, dataset) for ticker, role, dataset in rows}


def _regression_files(parts: Parts, pools: Lineup | None) -> OutputValues:
    """Return the files of the regression that all stocks are fitted by, by the field's name."""
    names = {"har": pools.har, "live_har": pools.live_har, **dict(pools.anchors)} if pools else {}
    return {
        field: parts.artifacts.read_derived(regression_file(name))
        for field, name in names.items()
        if name
    }


def _choice_files(parts: Parts, lineups: Mapping[str, Lineup]) -> OutputValues:
    files = {f"{ticker} choice": own.choice_file for ticker, own in lineups.items()}
    files |= {f"{ticker} replay": own.replay_file for ticker, own in lineups.items()}
    return {name: parts.artifacts.read_derived(file) for name, file in files.items()}
