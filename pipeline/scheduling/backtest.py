"""The DAG of walk-forward backtests: one mapped task per forecaster and block."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param, get_current_context, task

from pipeline import assembly
from pipeline.errors import SettingsError
from pipeline.models import RECIPES
from pipeline.models.baselines import BASELINES
from pipeline.scheduling import boundary
from pipeline.scheduling.documentation import artifacts_below
from pipeline.scheduling.environment import computing_tasks
from pipeline.scheduling.factory import on_demand, universes
from pipeline.settings import Settings
from pipeline.statistical import NAMES
from pipeline.universes import TARGETS, TICKER, Universe

if TYPE_CHECKING:
    from pipeline.backtest import Asked

PAGE = """\
# Backtest

Forecasts as they are published, at past cutoffs, beside baselines. Every so many sessions is a cutoff; networks are fitted anew at every so
many-th cutoff and see nothing after it; what they say is mixed with the EWMA random walk and calibrated as what is published is; baselines
are as they are. All forecasters are measured on exactly the same tickers and cutoffs. naive and ewma always take part.

`plan` decides cutoffs and blocks and keeps the prices; `shard` is mapped, one task per forecaster and block: what is there already is not made
again, so clear failed tasks, or trigger the same backtest anew, and it goes on; `leaderboard` compares. Repeating a run changes nothing.

- **Tables, leaderboard, pictures**: `{files}`
- **Side by side**: MLflow, experiment `backtests`
- **Without Airflow**: `stockcast backtest --recipes default,naive,ewma --from 2010-01-04 --to 2011-12-30`
"""
#: A mapped task's name in the grid.
SHARD = "{{ task.op_kwargs['shard']['forecaster'] }} {{ task.op_kwargs['shard']['told'] }}"


def backtest(settings: Settings) -> DAG:
    """The DAG `backtest`: no schedule; plan -> mapped shards -> leaderboard."""
    page = PAGE.format(files=artifacts_below(settings, "backtests"))
    with on_demand(
        settings,
        "backtest",
        "Recipes, baselines and statistical models over rolling cutoffs",
        page,
        params(settings),
        dt.timedelta(hours=6),
    ) as dag:
        shards = plan()
        shard.override(doc_md=shard.function.__doc__).expand(shard=shards) >> leaderboard(shards["digest"])
    return dag


def params(settings: Settings) -> dict[str, Param]:
    """The trigger form. An empty field means what the universe says."""
    every = {universe.name: universe for universe in universes(settings)}
    names = [recipe.name for recipe in RECIPES if recipe.targets] + [*BASELINES, *NAMES]
    return {
        "universe": Param(
            "sample" if "sample" in every else next(iter(every)),
            type="string",
            enum=list(every),
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
            description="Recipes, baselines and statistical models; naive and ewma always take part.",
        ),
        "baselines": Param(
            settings.baseline_list or list(NAMES),
            type="array",
            items={"type": "string", "enum": list(NAMES)},
            examples=list(NAMES),
            title="Statistical models",
            description="They take part too, fitted at every cutoff: less than a second for a stock and all of them.",
        ),
        "from": Param("2010-01-04", type="string", format="date", title="From", description="The first cutoff."),
        "to": Param("2011-12-30", type="string", format="date", title="To", description="No cutoff after this day."),
        "step": Param(5, type="integer", minimum=1, title="Step", description="Every so many-th session is a cutoff."),
        "refit": Param(
            25,
            type="integer",
            minimum=0,
            title="Refit",
            description="Networks are fitted at every so many-th cutoff. 0: once, at the first.",
        ),
        "warm_start": Param(
            False, type="boolean", title="Warm start", description="Networks of later fits go on from those of the first."
        ),
        "embargo": Param(
            None,
            type=["null", "integer"],
            minimum=0,
            title="Embargo",
            description="Sessions between what networks know and what they forecast. Empty: the horizon.",
        ),
        "seeds": Param(
            1, type="integer", minimum=1, maximum=20, title="Seeds", description="Each is a line of the leaderboard of its own."
        ),
        "tickers": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "pattern": f"^{TICKER.pattern}$"},
            title="Tickers",
            description="Which stocks. Empty: all of the universe.",
        ),
        "target": Param(
            None,
            type=["null", "string"],
            examples=list(TARGETS),
            title="Target",
            description="Which column. Empty: the universe's.",
        ),
        "horizon": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=60,
            title="Horizon",
            description="How many sessions ahead. Empty: the universe's.",
        ),
    }


def asked_of(settings: Settings, given: Mapping[str, Any]) -> tuple[Universe, Asked]:
    """What the trigger form asks for; `SettingsError` where it cannot be."""
    from pipeline.backtest import Asked

    every = {universe.name: universe for universe in universes(settings)}
    if given["universe"] not in every:
        raise SettingsError(f"There is no universe {given['universe']!r}. The universes are: {', '.join(every)}.")
    changes = {name: given[name] for name in ("tickers", "target", "horizon") if given.get(name)}
    names = ("baselines", "step", "refit", "warm_start", "embargo", "seeds")
    first, last = (dt.date.fromisoformat(given[name]) for name in ("from", "to"))
    return assembly.overridden(every[given["universe"]], **changes), Asked(
        recipes=given["recipes"], first=first, last=last, **{name: given[name] for name in names}
    )


def shards_of(forecasters: list[str], blocks: int) -> list[dict[str, Any]]:
    """What each mapped task makes: a forecaster and a block, or several blocks where there would be more tasks than Airflow maps."""
    from pipeline.steps import MOST_SHARDS

    together = -(-blocks * len(forecasters) // MOST_SHARDS)
    return [
        {
            "forecaster": name,
            "blocks": list(range(start, min(start + together, blocks))),
            "told": f"block {start + 1} of {blocks}" if together == 1 else f"blocks from {start + 1} of {blocks}",
        }
        for name in forecasters
        for start in range(0, blocks, together)
    ]


@task
def plan() -> list[dict[str, Any]]:
    """Decide cutoffs and blocks, and keep the prices that they will see; refuse what cannot be done."""
    from pipeline import backtest as work

    with boundary.errors_for_airflow(), boundary.open_parts() as parts:
        context = get_current_context()
        universe, asked = asked_of(parts.settings, context["params"])
        the = work.plan(parts, universe, asked, dt.datetime.now(dt.UTC))
        shards = shards_of([forecaster.name for forecaster in the.forecasters], len(the.blocks))
        context["ti"].xcom_push("digest", the.digest)
        return [{"digest": the.digest, **each} for each in shards]


@task(map_index_template=SHARD, max_active_tis_per_dag=computing_tasks())
def shard(shard: dict[str, Any]) -> list[str]:
    """Fit one forecaster for a block where that has not been done, and keep what it says at the block's cutoffs; returns the tables' names."""
    from pipeline import backtest as work

    with boundary.errors_for_airflow(), boundary.open_parts() as parts:
        the = work.read_plan(parts, shard["digest"])
        forecaster = next(each for each in the.forecasters if each.name == shard["forecaster"])
        return [work.make(parts, the, forecaster, the.blocks[number]) for number in shard["blocks"]]


@task
def leaderboard(digest: str) -> str:
    """Compare all forecasters on the cutoffs that they share: table, leaderboard, pictures, runs in MLflow; returns where they are."""
    from pipeline import backtest as work

    with boundary.errors_for_airflow(), boundary.open_parts() as parts:
        outcome = work.compare(parts, work.read_plan(parts, digest))
        parts.progress(work.STEP, "", "\n" + outcome.text)
        return parts.artifacts.url(outcome.folder)
