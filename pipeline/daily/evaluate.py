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
from pipeline.daily.admission import still_admitted
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
from pipeline.errors import StockcastError
from pipeline.models import PriceRecipe
from pipeline.outcomes import Outcomes, raise_together
from pipeline.run import Run
from pipeline.tables import EVALUATIONS

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "evaluate"


def evaluate(parts: Parts, run: Run, tickers: Sequence[str]) -> None:
    """Measure, choose and track where that has not been done, and replay each ticker's choice.

    Raises:
        StockcastError: what failed, after all others are done.
    """
    recipe = parts.recipes.for_price(run.universe.recipe)
    tickers = still_admitted(parts, run, tickers)
    lineups = lineup.load(parts, run, tickers)
    parents = open_sessions(parts, run)
    failures: dict[str, StockcastError] = {}
    for batch in chunks(tickers, BUILT_TOGETHER):
        own = [lineups[ticker] for ticker in batch]
        chosen = _choices(parts, run, recipe, own, parents)
        with_choice = [each for each in own if each.ticker in chosen.results]
        failed = replay_choices(parts, run, recipe, with_choice, chosen.results)
        failures |= {**chosen.failures, **failed}
    raise_together(failures)


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
    missing = [each for each in lineups if not _is_done(parts, each, parent_of[each.ticker])]
    measured = measure(parts, run, missing)
    if measured.results:
        rows = [evaluation.rows for evaluation in measured.results.values()]
        parts.store.save(EVALUATIONS, pd.concat(rows))
    choices = {
        own.ticker: _choose(
            parts, run, recipe, own, measured.results[own.ticker], parent_of[own.ticker]
        )
        for own in missing
        if own.ticker in measured.results
    }
    for own in lineups:
        if own.ticker not in choices and own.ticker not in measured.failures:
            choices[own.ticker] = decode_choice(parts.artifacts.read(own.choice_file))
    for ticker, choice in sorted(choices.items()):
        parts.progress(STEP, ticker, choice.headline)
    return Outcomes(choices, measured.failures)


def _choose(
    parts: Parts, run: Run, recipe: PriceRecipe, own: Lineup, evaluation: Evaluation, parent: str
) -> Choice:
    """Track what a ticker's networks are worth below a parent, and keep the choice among them."""
    record = stock_run(parts, run, recipe, own, evaluation)
    parts.tracker(run.universe.name).record(parent, record)
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
    parts.artifacts.write(own.choice_file, encode_choice(choice))
    parts.artifacts.write(own.tracked_file, parent.encode())
    return choice


def _is_done(parts: Parts, own: Lineup, parent: str) -> bool:
    """Return whether a choice is made and tracked below this parent run.

    A lost or new MLflow has another parent.
    """
    artifacts = parts.artifacts
    return (
        artifacts.exists(own.tracked_file)
        and artifacts.read(own.tracked_file) == parent.encode()
        and artifacts.exists(own.choice_file)
        and not statistical_metrics.are_missing(parts, own.training.dataset)
    )
