"""The DAG of the search for better hyper-parameters."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from pipeline.models import DEFAULT, RECIPES
from pipeline.scheduling import boundary
from pipeline.scheduling.documentation import artifacts_below
from pipeline.scheduling.environment import computing_tasks
from pipeline.scheduling.factory import on_demand
from pipeline.settings import Settings
from pipeline.universes import load_universes

#: What the form proposes.
TRIALS, FOLDS = 20, 3
#: Most that one run of the DAG may take; the next goes on where it stopped.
LIMIT = dt.timedelta(hours=12)

PAGE = """\
# Tune

Are there better hyper-parameters for a recipe? `search` tries some on years that all end before the recipe's test sessions: networks learn from what
comes before each year, and are measured on it by their pinball loss relative to the EWMA random walk's. Trial 0 is the recipe as it is. The
test sessions are never looked at.

Trials that are done are kept in the store: a run that is stopped or retried goes on where it was, and asking for more trials adds to those
there are.

- **Winner**: a recipe as a Python module, below `{files}`
- **Trials**: MLflow, experiment `tuning`
- **Without Airflow**: `stockcast tune --recipe default --trials 20 --folds 3`
"""


def tune(settings: Settings) -> DAG:
    """The DAG `tune`: no schedule, one task for the recipe and universe that were asked for."""
    page = PAGE.format(files=artifacts_below(settings, "tuning"))
    with on_demand(
        settings,
        "tune",
        "A search for better hyper-parameters of a recipe, on years before its test sessions",
        page,
        params(list(load_universes(settings.universes))),
        LIMIT,
    ) as dag:
        search.override(doc_md=search.function.__doc__)()
    return dag


def params(universes: list[str]) -> dict[str, Param]:
    """The trigger form."""
    recipes = [recipe.name for recipe in RECIPES if recipe.targets and recipe.epochs]
    return {
        "recipe": Param(DEFAULT.name, type="string", enum=recipes, title="Recipe", description="Whose values are searched."),
        "universe": Param(
            "sample" if "sample" in universes else universes[0],
            type="string",
            enum=universes,
            title="Universe",
            description="On whose prices.",
        ),
        "trials": Param(
            TRIALS, type="integer", minimum=1, title="Trials", description="That there are to be in the end; those done count."
        ),
        "folds": Param(FOLDS, type="integer", minimum=1, title="Folds", description="Years that each trial is measured on."),
    }


@task(max_active_tis_per_dag=computing_tasks())
def search() -> dict[str, Any]:
    """Carry out the trials that are missing and write the winner; returns the loss of the recipe as it is, of the winner, and where that is."""
    from pipeline import assembly, tuning
    from pipeline.models import find_recipe

    asked = get_current_context()["params"]
    with boundary.errors_for_airflow(), boundary.open_parts() as parts:
        universe = assembly.overridden(load_universes(parts.settings.universes)[asked["universe"]], recipe=asked["recipe"])
        outcome = tuning.tune(
            parts, universe, find_recipe(asked["recipe"]), tuning.Asked(asked["trials"], asked["folds"]), dt.datetime.now(dt.UTC)
        )
        return {
            "as_it_is": outcome.trials[0].value,
            "winner": outcome.best.value,
            "definition": parts.artifacts.url(outcome.definition),
        }
