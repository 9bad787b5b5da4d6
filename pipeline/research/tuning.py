"""`stockcast tune`: a search for better hyper-parameters of a recipe.

Trials are measured on years that all end before the recipe's test sessions. For each of these
folds, networks learn from the sessions before it, stop early on the newest validation part of
those, and are measured on the fold. A trial's loss is its mean pinball loss relative to that of the
EWMA random walk, mean over stocks, then over folds.

Trial 0 is the recipe as it is, so on the folds the winner is never worse. Every trial that is done
is kept in the store (table TRIALS). A search that was stopped goes on there, and ends as it would
have ended in one go.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.models import PriceRecipe
from pipeline.reporting import counted, format_rows, sentences
from pipeline.research.recipe_module import identifier, recipe_module
from pipeline.research.search import Trial, best_trial
from pipeline.research.search_plan import STEP, TUNING_FOLDER, SearchPlan, SearchRequest
from pipeline.research.search_planning import plan_search
from pipeline.research.search_report import (
    search_command,
    search_sentences,
    trial_line,
    trial_table,
    value_text,
)
from pipeline.research.search_spaces import applied
from pipeline.research.search_trials import kept_trials, run_trial
from pipeline.tracking import TrackedRun
from pipeline.training import SHARED
from pipeline.universes import Universe

if TYPE_CHECKING:
    from pipeline.parts import Parts


@dataclass(frozen=True)
class SearchResult:
    """A finished search.

    Attributes:
        winner: the best recipe, under the name that it is written with.
        text: for people.
        folder: of its files, among the artifacts.
        definition: the file with the winner as a Python module.
    """

    trials: tuple[Trial, ...]
    winner: PriceRecipe
    text: str
    folder: str
    definition: str

    @property
    def best(self) -> Trial:
        """The winner's trial."""
        return best_trial(self.trials)


def tune(
    parts: Parts, universe: Universe, recipe: PriceRecipe, request: SearchRequest, now: dt.datetime
) -> SearchResult:
    """Carry out the trials that are missing and write the winner; repeating it changes nothing.

    Raises:
        SettingsError: the recipe cannot be tuned, or there is no session in the range.
        NotEnoughHistory: a fold has no ticker to learn from.
        RunError: the recipe as it is cannot be measured.
    """
    plan = plan_search(parts, universe, recipe, request, now)
    parent = _open_parent(parts, plan)
    trials = kept_trials(parts, plan)[: request.trials]
    if trials:
        done = f"{counted(len(trials), 'trial')} of {request.trials} are done already"
        parts.progress(STEP, "", done)
    for trial in trials:
        _record(parts, plan, parent, trial)
    while len(trials) < request.trials:
        trials.append(run_trial(parts, plan, trials))
        _record(parts, plan, parent, trials[-1])
        parts.progress(STEP, "", trial_line(trials))
    return _finish(
        parts, plan, parent, trials, search_command(universe, recipe, request, plan.seed)
    )


def _finish(
    parts: Parts, plan: SearchPlan, parent: str, trials: Sequence[Trial], command: str
) -> SearchResult:
    """Write the winner and the table, and finish the run in MLflow."""
    best = best_trial(trials)
    winner, table = _winner(plan.recipe, best), trial_table(trials)
    lines = search_sentences(plan, trials)
    module = f"{identifier(winner.name)}.py"
    files = {
        module: recipe_module(winner, [*lines, f"Command: {command}"]).encode(),
        "trials.csv": format_rows(table, "csv").encode(),
    }
    for name, content in files.items():
        parts.artifacts.write(f"{plan.folder}/{name}", content)
    metrics = {
        "pinball_ratio_as_it_is": trials[0].value,
        "pinball_ratio_winner": best.value,
        "trials": float(len(trials)),
    }
    parts.tracker(TUNING_FOLDER).finish(parent, metrics, files)
    text = "\n\n".join([format_rows(table, "table"), sentences(lines)])
    return SearchResult(tuple(trials), winner, text, plan.folder, f"{plan.folder}/{module}")


def _winner(recipe: PriceRecipe, best: Trial) -> PriceRecipe:
    """Return the recipe with the best trial's values, under another name.

    It is without the figures and claims of its source, which are of other values.
    """
    return replace(
        applied(recipe, best.params),
        name=f"{recipe.name}-tuned",
        summary=f"The recipe {recipe.name} with hyper-parameters that `stockcast tune` found.",
        faithful=None,
        study="",
        tested=None,
        published={},
        published_loss={},
    )


# Runs in MLflow


def _open_parent(parts: Parts, plan: SearchPlan) -> str:
    """Open the search's run; return its id."""
    title = f"{STEP} {plan.name}"
    return parts.tracker(TUNING_FOLDER).open_parent(
        f"{title} {plan.fingerprint}",
        title,
        {"study": plan.name, "recipe": plan.recipe.name},
        plan.params(),
    )


def _record(parts: Parts, plan: SearchPlan, parent: str, trial: Trial) -> None:
    """Track a trial below its search's run; recorded again, it stays as it is."""
    recipe = applied(plan.recipe, trial.params)
    run = TrackedRun(
        ticker=SHARED,
        title=f"trial {trial.number}",
        params={
            **{name: value_text(value) for name, value in trial.params.items()},
            **{f"recipe.{name}": value for name, value in recipe.parameters().items()},
        },
        metrics={"pinball_ratio_to_ewma": trial.value, "seconds": trial.seconds},
        history={"mean_ratio_by_fold": list(trial.steps)},
        tags={
            "study": plan.name,
            "recipe": plan.recipe.name,
            "state": trial.state.value,
            "as_it_is": str(trial.number == 0).lower(),
        },
    )
    parts.tracker(TUNING_FOLDER).record(parent, run)
