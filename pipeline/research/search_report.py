"""The text of a search: its progress, its table and sentences, and the command that repeats it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pipeline.models import CPU, PriceRecipe
from pipeline.reporting import counted
from pipeline.research.search import Trial, TrialState, best_trial
from pipeline.research.search_plan import SearchPlan, SearchRequest
from pipeline.universes import Universe


def value_text(value: object) -> str:
    """Return a value that was tried as people read it."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"


def trial_line(trials: Sequence[Trial]) -> str:
    """Return the line of progress on the newest of the trials that are done."""
    trial, best = trials[-1], best_trial(trials)
    complete = trial.state == TrialState.COMPLETE
    result = f"{trial.value:.4f} of ewma's loss" if complete else trial.state.value
    values = ", ".join(f"{name} {value_text(value)}" for name, value in trial.params.items())
    return (
        f"trial {trial.number} ({values}): {result}, {trial.seconds:.1f} s; "
        f"best so far trial {best.number}, {best.value:.4f}"
    )


def trial_table(trials: Sequence[Trial]) -> pd.DataFrame:
    """Return one row per trial: its state, its loss relative to EWMA's, and its values."""
    return pd.DataFrame([_trial_row(trial) for trial in trials])


def _trial_row(trial: Trial) -> dict[str, object]:
    return {
        "trial": trial.number,
        "state": trial.state.value,
        "ratio": trial.value,
        "folds": len(trial.steps),
        **{name: value_text(value) for name, value in trial.params.items()},
        "seconds": round(trial.seconds),
    }


def search_sentences(plan: SearchPlan, trials: Sequence[Trial]) -> list[str]:
    """Return what a search did, its result, and how little that result proves."""
    universe, own, best = plan.universe, trials[0], best_trial(trials)
    counts = {state: sum(trial.state == state for trial in trials) for state in TrialState}
    states = ", ".join(f"{count} {state.value}" for state, count in counts.items() if count)
    folds = "; ".join(f"{fold} ({counted(len(fold.files), 'ticker')})" for fold in plan.folds)
    gain = (
        f"trial {best.number} is the best at {best.value:.4f}, {best.value / own.value - 1:+.2%}"
        if best.number
        else "no trial was better"
    )
    return [
        f"{counted(len(trials), 'trial')} of {plan.recipe.name} ({states}) for the "
        f"{universe.target} of {', '.join(universe.tickers)}, 1 to {universe.horizon} sessions "
        f"ahead, seed {plan.seed}.",
        f"Folds: {folds}.",
        "Mean pinball loss relative to the EWMA random walk's, not calibrated and not mixed with "
        f"it: the recipe as it is {own.value:.4f}; {gain}.",
        "The winner was chosen on these folds, so its figure flatters it: the best of many trials "
        "is partly the luckiest.",
        f"The test sessions, from {plan.untouched} on, have not been looked at. Look at them once, "
        "when you have decided.",
    ]


def search_command(
    universe: Universe, recipe: PriceRecipe, request: SearchRequest, seed: int
) -> str:
    """Return the command line that repeats a search."""
    # A universe that no file names was made from its source.
    named = universe.name != universe.source or universe.source == "sample"
    flags = {
        "recipe": recipe.name,
        "universe" if named else "source": universe.name,
        "tickers": ",".join(universe.tickers),
        "target": universe.target,
        "horizon": universe.horizon,
        "trials": request.trials,
        "folds": request.folds,
        "from": request.first,
        "to": request.last,
        "seed": seed,
        "device": None if recipe.device == CPU else recipe.device,
    }
    if universe.source == "csv":
        flags["data"] = universe.data
    words = [f"--{name} {value}" for name, value in flags.items() if value is not None]
    return " ".join(["stockcast tune", *words])
