"""The DAG of the recipes that need no prices."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from pipeline.models import RECIPES
from pipeline.scheduling import boundary
from pipeline.scheduling.documentation import artifacts_below
from pipeline.scheduling.environment import computing_tasks
from pipeline.scheduling.factory import on_demand
from pipeline.settings import Settings

PAGE = """\
# Exercises

Do the networks learn what they should, where the answer is known? Each recipe makes its own examples, so no prices are needed:
{recipes}

`choose` says which recipes are asked for; `exercise` is mapped, one task per recipe: it trains the networks that are not there yet, measures
them beside the naive forecast and tracks them. Repeating a run changes nothing.

- **Tables, pictures, texts**: `{files}`
- **Training runs**: MLflow, experiment `exercises`
- **Without Airflow**: `stockcast exercise`, which can also read a text of your own
"""


def exercises(settings: Settings) -> DAG:
    """The DAG `exercises`: no schedule, one mapped task per recipe that was asked for."""
    names = [recipe.name for recipe in RECIPES if recipe.exercises]
    page = PAGE.format(recipes=", ".join(f"`{name}`" for name in names), files=artifacts_below(settings, "exercises"))
    with on_demand(
        settings,
        "exercises",
        "Recipes that need no prices, each beside its naive forecast",
        page,
        params(names, settings.seed),
        dt.timedelta(hours=1),
    ) as dag:
        exercise.override(doc_md=exercise.function.__doc__).expand(recipe=choose())
    return dag


def params(names: list[str], seed: int) -> dict[str, Param]:
    """The trigger form."""
    return {
        "recipes": Param(
            names,
            type="array",
            items={"type": "string", "enum": names},
            examples=names,
            minItems=1,
            title="Recipes",
            description="Which recipes are trained.",
        ),
        "seed": Param(seed, type="integer", minimum=0, title="Seed", description="Of every random number."),
    }


@task
def choose() -> list[str]:
    """The recipes that are asked for, each once."""
    return list(dict.fromkeys(get_current_context()["params"]["recipes"]))


@task(map_index_template="{{ task.op_kwargs['recipe'] }}", max_active_tis_per_dag=computing_tasks())
def exercise(recipe: str) -> list[dict[str, Any]]:
    """Train one recipe's exercises and measure them beside the naive forecast; returns a row per exercise."""
    from pipeline import exercises as work

    with boundary.errors_for_airflow(), boundary.open_parts() as parts:
        rows = work.train(parts, work.chosen([recipe]), get_current_context()["params"]["seed"])
        return work.for_people(rows).to_dict("records")
