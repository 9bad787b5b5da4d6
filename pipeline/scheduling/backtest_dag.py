"""The DAG of walk-forward backtests, one mapped task per forecaster and block.

It runs only when asked.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param, get_current_context, task

from pipeline.errors import SettingsError
from pipeline.models import BASELINES, PUBLISHED, RECIPES, har, statistical
from pipeline.parts import overridden, universes_of
from pipeline.scheduling.dag_options import artifacts_below, dag_on_demand
from pipeline.scheduling.environment import computing_tasks
from pipeline.scheduling.tasks import errors_for_airflow, parts_of_task
from pipeline.settings import Settings
from pipeline.universes import TARGETS, TICKER_PATTERN, Universe

if TYPE_CHECKING:
    from pipeline.research import BacktestRequest

BACKTEST_PAGE = """\
# Backtest

Forecasts as they are published, at past cutoffs, next to baselines. One session in several is a \
cutoff; networks are fitted at some of the cutoffs and see nothing after them; their forecasts \
are blended with a baseline's and calibrated as a day does it; baselines are used as \
they are. published is what the universe's days would have published at the cutoffs. All \
forecasters are measured on exactly the same tickers and cutoffs. naive and ewma \
always take part.

`plan` decides cutoffs and blocks and keeps the prices; `shard` is mapped, one task per \
forecaster and block: forecasts that exist already are not made again, so clear failed tasks, or \
trigger the same backtest again, and it goes on; `leaderboard` compares. Repeating a run changes \
nothing.

- **Tables, leaderboard, pictures**: `{files}`
- **Side by side**: MLflow, experiment `backtests`
- **Without Airflow**: `stockcast backtest --recipes default,naive,ewma --from 2010-01-04 \
--to 2011-12-30`
"""
#: A mapped task's name in the grid.
BLOCK_NAME = "{{ task.op_kwargs['shard']['forecaster'] }} {{ task.op_kwargs['shard']['name'] }}"


def build_backtest_dag(settings: Settings) -> DAG:
    """Return the DAG `backtest`: plan -> mapped shards -> leaderboard."""
    with dag_on_demand(
        settings,
        "backtest",
        "Recipes, baselines and statistical models over rolling cutoffs",
        BACKTEST_PAGE.format(files=artifacts_below(settings, "backtests")),
        backtest_form(settings),
        dt.timedelta(hours=6),
    ) as dag:
        shards: Any = plan()
        made = shard.override(doc_md=shard.function.__doc__).expand(shard=shards)
        made >> leaderboard(shards["digest"])
    return dag


@task
def plan() -> list[dict[str, Any]]:
    """Decide cutoffs and blocks, and keep the prices that they will see.

    Refuses what cannot be done.
    """
    from pipeline.research import plan_backtest

    with errors_for_airflow(), parts_of_task() as parts:
        context = get_current_context()
        universe, request = request_of(parts.settings, context["params"])
        planned = plan_backtest(parts, universe, request, dt.datetime.now(dt.UTC))
        names = [forecaster.name for forecaster in planned.forecasters]
        context["ti"].xcom_push("digest", planned.digest)
        shards = shards_of(names, len(planned.blocks))
        return [{"digest": planned.digest, **shard} for shard in shards]


@task(map_index_template=BLOCK_NAME, max_active_tis_per_dag=computing_tasks())
def shard(shard: dict[str, Any]) -> list[str]:
    """Fit one forecaster for a block where that has not been done, and keep its forecasts.

    Returns the tables' names.
    """
    from pipeline.research import make_shard, read_backtest_plan

    with errors_for_airflow(), parts_of_task() as parts:
        planned = read_backtest_plan(parts, shard["digest"])
        [forecaster] = [each for each in planned.forecasters if each.name == shard["forecaster"]]
        return [
            make_shard(parts, planned, forecaster, planned.blocks[number])
            for number in shard["blocks"]
        ]


@task
def leaderboard(digest: str) -> str:
    """Compare all forecasters on the cutoffs that they share.

    Writes the table, the leaderboard, pictures and runs in MLflow; returns where they are.
    """
    from pipeline.research import compare_forecasters, read_backtest_plan

    with errors_for_airflow(), parts_of_task() as parts:
        result = compare_forecasters(parts, read_backtest_plan(parts, digest))
        parts.progress("backtest", "", f"\n{result.text}")
        return parts.artifacts.url(result.folder)


def shards_of(forecasters: list[str], blocks: int) -> list[dict[str, Any]]:
    """Return what each mapped task makes: a forecaster, its blocks and their name.

    A task has one block, or several where there would be more tasks than Airflow maps.
    """
    from pipeline.daily import MOST_SHARDS

    size = -(-blocks * len(forecasters) // MOST_SHARDS)
    word = "block" if size == 1 else "blocks from"
    return [
        {
            "forecaster": name,
            "blocks": list(range(start, min(start + size, blocks))),
            "name": f"{word} {start + 1} of {blocks}",
        }
        for name in forecasters
        for start in range(0, blocks, size)
    ]


def request_of(settings: Settings, params: Mapping[str, Any]) -> tuple[Universe, BacktestRequest]:
    """Return what the trigger form asks for.

    Raises:
        SettingsError: it cannot be done.
    """
    from pipeline.research import BacktestRequest

    universes = {universe.name: universe for universe in universes_of(settings)}
    name = params["universe"]
    if name not in universes:
        raise SettingsError(
            f"There is no universe {name!r}. The universes are: {', '.join(universes)}."
        )
    changes = {key: params[key] for key in ("tickers", "target", "horizon") if params.get(key)}
    keys = ("baselines", "step", "refit", "warm_start", "embargo", "seeds")
    first, last = (dt.date.fromisoformat(params[key]) for key in ("from", "to"))
    options = {key: params[key] for key in keys}
    request = BacktestRequest(recipes=params["recipes"], first=first, last=last, **options)
    return overridden(universes[name], **changes), request


def backtest_form(settings: Settings) -> dict[str, Param]:
    """Return the trigger form. An empty field means what the universe has."""
    return {**_forecasters_form(settings), **_cutoffs_form(), **_universe_form()}


def _forecasters_form(settings: Settings) -> dict[str, Param]:
    universes = [universe.name for universe in universes_of(settings)]
    statistical_models = list(statistical.STATISTICAL_NAMES)
    names = [recipe.name for recipe in RECIPES.for_prices]
    names += [PUBLISHED, *BASELINES, *har.HAR_NAMES, *statistical_models]
    return {
        "universe": Param(
            "sample" if "sample" in universes else universes[0],
            type="string",
            enum=universes,
            title="Universe",
            description="Whose stocks, source and calendar.",
        ),
        "recipes": Param(
            ["default"],
            type="array",
            items={"type": "string", "enum": names},
            examples=names,
            minItems=1,
            title="Forecasters",
            description="Recipes, baselines and statistical models; naive and ewma always take "
            "part. published: what the universe's days would have published.",
        ),
        "baselines": Param(
            settings.baseline_list or statistical_models,
            type="array",
            items={"type": "string", "enum": statistical_models},
            examples=statistical_models,
            title="Statistical models",
            description="They take part too, fitted at every cutoff: less than a second for a "
            "stock and all of them.",
        ),
    }


def _cutoffs_form() -> dict[str, Param]:
    return {
        "from": Param(
            "2010-01-04",
            type="string",
            format="date",
            title="From",
            description="The first cutoff.",
        ),
        "to": Param(
            "2011-12-30",
            type="string",
            format="date",
            title="To",
            description="No cutoff after this day.",
        ),
        "step": Param(
            5,
            type="integer",
            minimum=1,
            title="Step",
            description="Sessions from one cutoff to the next.",
        ),
        "refit": Param(
            25,
            type="integer",
            minimum=0,
            title="Refit",
            description="Cutoffs from one fit of the networks to the next. 0: one fit, at the "
            "first.",
        ),
        "warm_start": Param(
            False,
            type="boolean",
            title="Warm start",
            description="Networks of later fits go on from those of the first.",
        ),
        "embargo": Param(
            None,
            type=["null", "integer"],
            minimum=0,
            title="Embargo",
            description="Sessions between what networks know and what they forecast. Empty: the "
            "horizon.",
        ),
        "seeds": Param(
            1,
            type="integer",
            minimum=1,
            maximum=20,
            title="Seeds",
            description="Each is a line of the leaderboard of its own.",
        ),
    }


def _universe_form() -> dict[str, Param]:
    return {
        "tickers": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "pattern": f"^{TICKER_PATTERN.pattern}$"},
            title="Tickers",
            description="Stocks to forecast. Empty: all of the universe.",
        ),
        "target": Param(
            None,
            type=["null", "string"],
            examples=list(TARGETS),
            title="Target",
            description="Column to forecast. Empty: the universe's.",
        ),
        "horizon": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=60,
            title="Horizon",
            description="Sessions to forecast ahead. Empty: the universe's.",
        ),
    }
