"""The DAG of the search for better hyper-parameters. It runs only when asked."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from pipeline.models import DEFAULT, RECIPES
from pipeline.parts import overridden
from pipeline.scheduling.dag_options import artifacts_below, dag_on_demand
from pipeline.scheduling.environment import computing_tasks
from pipeline.scheduling.tasks import errors_for_airflow, parts_of_task
from pipeline.settings import Settings
from pipeline.universes import load_universes

#: What the form proposes.
FORM_TRIALS, FORM_FOLDS = 20, 3
#: The most that one run of the DAG may take; the next goes on where it stopped.
SEARCH_TIME_LIMIT = dt.timedelta(hours=12)

TUNE_PAGE = """\
# Tune

Are there better hyper-parameters for a recipe? `search` tries some on years that all end before \
the recipe's test sessions: networks learn from the sessions before each year, and are measured on \
it by their pinball loss relative to the EWMA random walk's. Trial 0 is the recipe as it is. The \
test sessions are never looked at.

Trials that are done are kept in the store: a run that is stopped or retried goes on where it was, \
and asking for more trials adds to those that are done.

- **Winner**: a recipe as a Python module, below `{files}`
- **Trials**: MLflow, experiment `tuning`
- **Without Airflow**: `stockcast tune --recipe default --trials 20 --folds 3`
"""


def build_tune_dag(settings: Settings) -> DAG:
    """Return the DAG `tune`: one task, for the recipe and universe that were asked for."""
    with dag_on_demand(
        settings,
        "tune",
        "A search for better hyper-parameters of a recipe, on years before its test sessions",
        TUNE_PAGE.format(files=artifacts_below(settings, "tuning")),
        tune_form(list(load_universes(settings.universes))),
        SEARCH_TIME_LIMIT,
    ) as dag:
        search()
    return dag


@task(max_active_tis_per_dag=computing_tasks())
def search() -> dict[str, Any]:
    """Carry out the trials that are missing and write the winner.

    Returns the loss of the recipe as it is, that of the winner, and where the winner is.
    """
    from pipeline.research import SearchRequest, tune

    params = get_current_context()["params"]
    with errors_for_airflow(), parts_of_task() as parts:
        universe = load_universes(parts.settings.universes).of(params["universe"])
        result = tune(
            parts,
            overridden(universe, recipe=params["recipe"]),
            parts.recipes.for_price(params["recipe"]),
            SearchRequest(params["trials"], params["folds"]),
            dt.datetime.now(dt.UTC),
        )
        return {
            "as_it_is": result.trials[0].value,
            "winner": result.best.value,
            "definition": parts.artifacts.url(result.definition),
        }


def tune_form(universes: list[str]) -> dict[str, Param]:
    """Return the trigger form, with the names of universes that it offers."""
    recipes = [recipe.name for recipe in RECIPES.for_prices if recipe.epochs]
    return {
        "recipe": Param(
            DEFAULT.name,
            type="string",
            enum=recipes,
            title="Recipe",
            description="Whose values are searched.",
        ),
        "universe": Param(
            "sample" if "sample" in universes else universes[0],
            type="string",
            enum=universes,
            title="Universe",
            description="On whose prices.",
        ),
        "trials": Param(
            FORM_TRIALS,
            type="integer",
            minimum=1,
            title="Trials",
            description="Their number in the end; those that are done count.",
        ),
        "folds": Param(
            FORM_FOLDS,
            type="integer",
            minimum=1,
            title="Folds",
            description="Years that each trial is measured on.",
        ),
    }
