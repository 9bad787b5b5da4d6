"""Step `evaluate`: measure networks and baselines on the same windows, choose, replay the choice.

Measuring, choosing and tracking are done once between two trainings. Each session the choice is
replayed over the sessions before it, and forecasts from the session itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily import lineup, statistical_metrics
from pipeline.daily.admission import admit, hold_back
from pipeline.daily.lineup import Lineup, contestant
from pipeline.daily.measuring import Evaluation, measure
from pipeline.daily.replaying import replay_choices
from pipeline.daily.shards import chunks
from pipeline.daily.stability import stability_reference
from pipeline.daily.tracked_session import open_sessions
from pipeline.daily.tracked_stock import stock_run
from pipeline.daily.tracked_stock_metrics import headline
from pipeline.daily.window_cuts import BUILT_TOGETHER
from pipeline.decisions import Choice, choose, decode_choice, encode_choice
from pipeline.models import PriceRecipe
from pipeline.outcomes import Outcomes, outcome_of_each, outcome_together
from pipeline.run import Run
from pipeline.tables import EVALUATIONS
from pipeline.tracking import TrackedRun

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "evaluate"


def evaluate(parts: Parts, run: Run, tickers: Sequence[str]) -> None:
    """Measure, choose and track where that has not been done, and replay each ticker's choice.

    A ticker for which that fails is held back.

    Raises:
        StockcastError: trying again may help, or all tickers of this call are held back.
    """
    recipe = parts.recipes.for_price(run.universe.recipe)
    tickers = admit(parts, run, tickers, STEP)
    lineups = lineup.load_each(parts, run, tickers)
    parents = open_sessions(parts, run)
    failures = dict(lineups.failures)
    for batch in chunks(list(lineups.results), BUILT_TOGETHER):
        own = [lineups.results[ticker] for ticker in batch]
        chosen = _choices(parts, run, recipe, own, parents)
        with_choice = [each for each in own if each.ticker in chosen.results]
        unreplayed = replay_choices(parts, run, recipe, with_choice, chosen.results)
        failures |= {**chosen.failures, **unreplayed}
    hold_back(parts, run, STEP, failures, tickers)


def _choices(
    parts: Parts,
    run: Run,
    recipe: PriceRecipe,
    lineups: Sequence[Lineup],
    parents: Mapping[dt.date, str],
) -> Outcomes[Choice]:
    """Return each ticker's choice.

    Where nobody has made it yet, or MLflow does not have it, the ticker is measured first.

    Args:
        parents: MLflow's run ids by training cutoff.
    """
    parent_of = {each.ticker: parents[each.training.cutoff] for each in lineups}
    missing = {
        each.ticker: each for each in lineups if not _is_done(parts, each, parent_of[each.ticker])
    }
    choice_files = {each.ticker: each.choice_file for each in lineups}
    for file in choice_files.values():
        parts.artifacts.renew(file)  # later steps read them
    measured = measure(parts, run, list(missing.values()))
    if measured.results:
        rows = [evaluation.rows for evaluation in measured.results.values()]
        parts.store.save(EVALUATIONS, pd.concat(rows))
    records = outcome_of_each(
        measured.results,
        lambda ticker: stock_run(parts, run, recipe, missing[ticker], measured.results[ticker]),
    )
    tracked = _track(parts, run, records.results, parent_of)
    chosen = outcome_of_each(
        tracked.results,
        lambda ticker: _choose(
            parts,
            recipe,
            missing[ticker],
            measured.results[ticker],
            records.results[ticker],
            parent_of[ticker],
        ),
    )
    kept = outcome_of_each(
        [each.ticker for each in lineups if each.ticker not in missing],
        lambda ticker: decode_choice(parts.artifacts.read_derived(choice_files[ticker])),
    )
    choices = {**chosen.results, **kept.results}
    for ticker, choice in sorted(choices.items()):
        parts.progress(STEP, ticker, choice.headline)
    untracked = {**records.failures, **tracked.failures}
    return Outcomes(choices, {**measured.failures, **untracked, **chosen.failures, **kept.failures})


def _track(
    parts: Parts, run: Run, records: Mapping[str, TrackedRun], parent_of: Mapping[str, str]
) -> Outcomes[str]:
    """Track what tickers' networks are worth, each below its parent; return the run ids."""
    tracker = parts.tracker(run.universe.name)

    def track(tickers: list[str]) -> dict[str, str]:
        below = [(parent_of[ticker], records[ticker]) for ticker in tickers]
        return dict(zip(tickers, tracker.record_together(below), strict=True))

    return outcome_together(list(records), track)


def _choose(
    parts: Parts,
    recipe: PriceRecipe,
    own: Lineup,
    evaluation: Evaluation,
    record: TrackedRun,
    parent: str,
) -> Choice:
    """Choose among a ticker's networks, and keep the choice.

    Args:
        record: what is tracked below the parent.
    """
    choice = choose(
        evaluation.stock,
        [(contestant(network), forecasts) for network, forecasts in evaluation.forecasts],
        parts.settings.test_floor,
        own.training.reason,
        recipe.leak,
        headline(record.metrics),
    )
    # While its windows are at hand.
    stability_reference(parts, own.training.dataset, evaluation.stock.dataset)
    # Last: where the choice is, all the rest is.
    parts.artifacts.write_derived(own.choice_file, encode_choice(choice))
    parts.artifacts.write_derived(own.tracked_file, parent.encode())
    return choice


def _is_done(parts: Parts, own: Lineup, parent: str) -> bool:
    """Return whether a choice is made and tracked below this parent run.

    A lost or new MLflow has another parent.
    """
    artifacts = parts.artifacts
    return (
        artifacts.find_derived(own.tracked_file) == parent.encode()
        and artifacts.has_derived(own.choice_file)
        and not statistical_metrics.are_missing(parts, own.training.dataset)
    )
