"""The DAG of the recipes that need no prices, one mapped task each. It runs only when asked."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from pipeline.models import RECIPES
from pipeline.scheduling.dag_options import artifacts_below, dag_on_demand
from pipeline.scheduling.environment import computing_tasks
from pipeline.scheduling.tasks import errors_for_airflow, parts_of_task
from pipeline.settings import Settings

EXERCISES_PAGE = """\
# Exercises

Do the networks learn what they should, where the answer is known? Each recipe makes its own \
examples, so no prices are needed:
{recipes}

`choose` names the recipes that are asked for; `exercise` is mapped, one task per recipe: it \
trains the networks that do not exist yet, measures them next to the naive forecast and tracks \
them. Repeating a run changes nothing.

- **Tables, pictures, texts**: `{files}`
- **Training runs**: MLflow, experiment `exercises`
- **Without Airflow**: `stockcast exercise`, which can also read a text of your own
"""


def build_exercises_dag(settings: Settings) -> DAG:
    """Return the DAG `exercises`: one mapped task per recipe that was asked for."""
    names = [recipe.name for recipe in RECIPES.for_exercises]
    page = EXERCISES_PAGE.format(
        recipes=", ".join(f"`{name}`" for name in names),
        files=artifacts_below(settings, "exercises"),
    )
    with dag_on_demand(
        settings,
        "exercises",
        "Recipes that need no prices, each next to its naive forecast",
        page,
        exercises_form(names, settings.seed),
        dt.timedelta(hours=1),
    ) as dag:
        exercise.override(doc_md=exercise.function.__doc__).expand(recipe=choose())
    return dag


@task
def choose() -> list[str]:
    """Return the recipes that are asked for, each once."""
    return list(dict.fromkeys(get_current_context()["params"]["recipes"]))


@task(map_index_template="{{ task.op_kwargs['recipe'] }}", max_active_tis_per_dag=computing_tasks())
def exercise(recipe: str) -> list[dict[str, Any]]:
    """Train one recipe's exercises and measure them next to the naive forecast.

    Returns a row per exercise.
    """
    from pipeline.research import exercise_recipes, exercise_table, train_exercises

    seed = get_current_context()["params"]["seed"]
    with errors_for_airflow(), parts_of_task() as parts:
        report = train_exercises(parts, exercise_recipes(parts.recipes, [recipe]), seed)
        report.raise_failures()
        rows = exercise_table(report.rows).to_dict("records")
        return [{str(name): value for name, value in row.items()} for row in rows]


def exercises_form(names: list[str], seed: int) -> dict[str, Param]:
    """Return the trigger form.

    Args:
        names: the recipes that it offers.
        seed: the one that it proposes.
    """
    return {
        "recipes": Param(
            names,
            type="array",
            items={"type": "string", "enum": names},
            examples=names,
            minItems=1,
            title="Recipes",
            description="Recipes to train.",
        ),
        "seed": Param(
            seed, type="integer", minimum=0, title="Seed", description="Of every random number."
        ),
    }
