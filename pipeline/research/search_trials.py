"""Trials of a search: their measuring on the folds, and their rows in the store (table TRIALS)."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.errors import RunError, TryAgain
from pipeline.models import PriceRecipe
from pipeline.research.network_forecasts import network_forecasts
from pipeline.research.search import Params, ReportLoss, Trial, TrialState, next_trial
from pipeline.research.search_plan import STEP, Fold, SearchPlan
from pipeline.research.search_spaces import applied
from pipeline.tables import TRIALS

if TYPE_CHECKING:
    from pipeline.parts import Parts


def kept_trials(parts: Parts, plan: SearchPlan) -> list[Trial]:
    """Return the trials of a search that the store has, in order."""
    rows = parts.store.load(TRIALS, study=plan.name, fingerprint=plan.fingerprint)
    return [
        Trial(
            row["number"],
            TrialState(row["state"]),
            _params_of(row["params"]),
            tuple(json.loads(row["intermediate"])),
            row["seconds"],
        )
        for row in rows.sort_values("number").to_dict("records")
    ]


def run_trial(parts: Parts, plan: SearchPlan, done: Sequence[Trial]) -> Trial:
    """Carry out the trial after those that are done, and keep it in the store.

    Raises:
        RunError: the recipe with its own values cannot be measured, so there is nothing to compare
            with.
        TryAgain: something outside is in the way.
    """
    trial = next_trial(
        plan.space,
        plan.own_values,
        done,
        plan.seed,
        lambda params, report: _measure(parts, plan, params, report),
    )
    parts.store.save(TRIALS, pd.DataFrame([_row(plan, trial)]))
    return trial


def _measure(
    parts: Parts, plan: SearchPlan, params: Params, report: ReportLoss
) -> tuple[TrialState, float]:
    """Measure values on one fold after the other; return the state and the seconds.

    The mean loss of the folds so far is reported after each.
    """
    began = time.monotonic()

    def ended(state: TrialState) -> tuple[TrialState, float]:
        return state, round(time.monotonic() - began, 1)

    recipe, ratios = applied(plan.recipe, params), []
    for number, fold in enumerate(plan.folds, start=1):
        place = f"fold {number} of {len(plan.folds)}"
        try:
            ratios.append(_loss(parts, plan, recipe, fold))
        except TryAgain:
            raise
        except RunError as error:
            if params == plan.own_values:  # without it there is nothing to compare with
                raise
            parts.progress(STEP, "", f"{place} failed: {error}")
            return ended(TrialState.FAILED)
        mean = float(np.mean(ratios))
        message = f"{place} ({fold}): {ratios[-1]:.4f} of ewma's loss, mean {mean:.4f}"
        parts.progress(STEP, "", message)
        if report(mean) and number < len(plan.folds):
            return ended(TrialState.PRUNED)
    return ended(TrialState.COMPLETE)


def _loss(parts: Parts, plan: SearchPlan, recipe: PriceRecipe, fold: Fold) -> float:
    """Return the recipe's pinball loss relative to the EWMA random walk's, mean over tickers."""
    forecasts = network_forecasts(parts, STEP, recipe, fold.files, plan.seed)
    for error in forecasts.failures.values():
        raise error
    ratios = [
        fold.benchmarks[ticker].ratio_of(quantiles.test)
        for ticker, quantiles in forecasts.results.items()
    ]
    return float(np.mean(ratios))


# Rows


def _row(plan: SearchPlan, trial: Trial) -> dict[str, object]:
    return {
        "study": plan.name,
        "fingerprint": plan.fingerprint,
        "number": trial.number,
        "state": trial.state.value,
        "value": trial.value,
        "params": json.dumps(dict(trial.params)),
        "intermediate": json.dumps(list(trial.steps)),
        "seconds": trial.seconds,
    }


def _params_of(text: str) -> dict[str, Any]:
    """Return the values that a row has as JSON, which knows no tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in json.loads(text).items()
    }
