"""The DAG of a universe's day: one run a session.

A task here is a name and a call; `pipeline/daily` has one file per step.
"""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    Param,
    TaskGroup,
    TriggerRule,
    get_current_context,
    task,
    task_group,
)

from pipeline.models import RECIPES
from pipeline.scheduling import tasks
from pipeline.scheduling.dag_options import (
    NO_RETRY,
    RETRY,
    RETRY_SOURCE,
    owned_tasks,
    owner_links,
)
from pipeline.scheduling.dag_page import daily_page
from pipeline.scheduling.dag_run_owner import end_runs_of_failed
from pipeline.scheduling.daily_names import VERDICT_KEY, daily_dag_id
from pipeline.scheduling.environment import PRICE_POOL, computing_tasks
from pipeline.scheduling.notifications import notify_done
from pipeline.scheduling.tasks import Shard
from pipeline.scheduling.timetable import SessionTimetable
from pipeline.settings import Settings
from pipeline.universes import TARGETS, TICKER_PATTERN, Universe


def _day(universe: Universe, settings: Settings, retry_source: dict[str, Any]) -> None:
    """Put the tasks of the day into their order.

    A shard that fails does not stop the others: `check` and `promote` go on with those that
    succeeded.
    """
    shards = _plan_of(universe, retry_source)
    run = shards["run"]
    with _group("prices", "Prices are fetched and checked"):
        admitted = check(run)
        fetched = _documented(ingest, **retry_source).partial(run=run).expand(tickers=shards)
        fetched >> admitted
    with _group("networks", "Networks are trained, and measured next to the baselines"):
        evaluated: Any = models.partial(run=run).expand(tickers=admitted)
        # A default network corrects what `pretrain` has fitted on all stocks, so windows have it.
        admitted >> pretrain(run) >> evaluated.operator.task_group.children["build_windows"]
    with _group("forecasts", "The best on the evidence is chosen, calibrated and published"):
        published = publish(run)
        evaluated >> promote(run) >> published
        # A leaf, as a rehearsal skips it.
        announced = announce.override(outlets=[forecasts_asset(universe.name)])(run)
        published >> announced
        drawn = scenarios(run) if settings.paths else None
    with _group("review", "Earlier forecasts are compared with prices, and drift is looked for"):
        watched = watch(run)
        reported = report(run)
        scored = score(run)
        published >> scored >> watched >> reported
        if settings.export_to:  # whoever is told finds the files
            scored >> export(run) >> announced
        if drawn is not None:
            published >> drawn >> reported
        # A leaf: without a warning it is skipped, and nothing waits for it.
        _documented(drift_warning).expand(warning=watched)


@task_group(prefix_group_id=False)
def models(run: dict[str, Any], tickers: Shard) -> Any:
    """Cut the shard's windows, train on them, measure the result."""
    return (
        build_windows(run=run, tickers=tickers)
        >> train(run=run, tickers=tickers)
        >> evaluate(run=run, tickers=tickers)
    )


def build_daily_dag(universe: Universe, settings: Settings, retry: bool = True) -> DAG:
    """Return the DAG `daily_forecast_<universe>`, mapped over shards of tickers up to `evaluate`.

    Args:
        retry: False where a person waits for the run: the sources' own tries remain, minutes of
            waiting do not.
    """
    defaults = {
        **(RETRY if retry else NO_RETRY),
        **owned_tasks(settings),
        "execution_timeout": dt.timedelta(hours=2),
    }
    with DAG(
        daily_dag_id(universe.name),
        description=f"{_tickers_in_words(universe)} from {universe.source}, "
        f"{universe.horizon} sessions ahead",
        doc_md=daily_page(universe, settings),
        schedule=SessionTimetable(
            universe.calendar, universe.scheduled, universe.closures, universe.extra_sessions
        ),
        start_date=dt.datetime.combine(universe.start, dt.time(), dt.UTC),
        catchup=False,
        max_active_runs=4,
        params=daily_form(universe),
        tags=["stockcast", universe.source, universe.calendar],
        # A universe that nothing schedules may run as soon as someone asks.
        is_paused_upon_creation=universe.scheduled,
        default_args=defaults,
        on_failure_callback=partial(end_runs_of_failed, universe.name),
        owner_links=owner_links(settings),
    ) as dag:
        _day(universe, settings, RETRY_SOURCE if retry else NO_RETRY)
    return dag


def _tickers_in_words(universe: Universe) -> str:
    by_date = ", by date," if universe.members else ""
    return f"{len(universe.tickers)} tickers{by_date}"


def forecasts_asset(universe: str) -> Asset:
    """Return what `announce` updates: a DAG scheduled on it runs when new forecasts are out."""
    return Asset(name=f"forecasts_{universe}", uri=f"stockcast://forecasts/{universe}")


def _group(name: str, tooltip: str) -> TaskGroup:
    """Return a part of the day: it folds up in Airflow, and its tasks keep their names."""
    return TaskGroup(name, tooltip=tooltip, prefix_group_id=False)


def _documented(decorated: Any, **options: Any) -> Any:
    """Return a mapped task with its docstring as its page, which Airflow gives only the others."""
    return decorated.override(doc_md=decorated.function.__doc__, **options)


# The tasks, in the order of the day

#: A mapped task's name in the grid: its tickers, or their number when the shard is large.
SHARD_NAME = (
    "{% set t = task.op_kwargs['tickers'] %}"
    "{{ t | join(', ') if t | length <= 4 else t[0] ~ ' and ' ~ (t | length - 1) ~ ' more' }}"
)
#: A warning's name in the grid.
WARNING_NAME = "{{ task.op_kwargs['warning']['ticker'] }} {{ task.op_kwargs['warning']['kind'] }}"


def _plan_of(universe: Universe, retry_source: dict[str, Any]) -> Any:
    @task
    def plan() -> list[Shard]:
        """Decide the session, its training cutoffs and the shards; refuse what cannot be run."""
        context = get_current_context()
        run, shards = tasks.plan(universe, context)
        context["ti"].xcom_push("run", run.to_json())
        return shards

    return plan.override(**retry_source)()


@task(map_index_template=SHARD_NAME, pool=PRICE_POOL)
def ingest(run: dict[str, Any], tickers: Shard) -> list[str]:
    """Fetch new prices and corporate actions; they are kept as revisions, append only.

    Returns the tickers that are given up though a later try may help.
    """
    given_up: list[str] = tasks.do_step("ingest", run, tickers)
    return given_up


@task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
def check(run: dict[str, Any]) -> list[Shard]:
    """Run the quality rules; return the shards of the tickers that go on.

    Fails when too many are quarantined.
    """
    return tasks.check(run)


@task(max_active_tis_per_dag=computing_tasks())
def pretrain(run: dict[str, Any]) -> None:
    """Fit `har` on all stocks, and the network that they train together, if the recipe has one."""
    tasks.do_step("pretrain", run, alone=True)


@task(map_index_template=SHARD_NAME)
def build_windows(run: dict[str, Any], tickers: Shard) -> None:
    """Write one dataset file per ticker and cutoff, from the prices as of the cutoffs."""
    tasks.do_step("build_windows", run, tickers)


@task(map_index_template=SHARD_NAME, max_active_tis_per_dag=computing_tasks())
def train(run: dict[str, Any], tickers: Shard) -> None:
    """Fit the networks that do not exist yet, in processes of their own."""
    tasks.do_step("train", run, tickers)


@task(map_index_template=SHARD_NAME, max_active_tis_per_dag=computing_tasks())
def evaluate(run: dict[str, Any], tickers: Shard) -> None:
    """Measure networks and baselines on the same sessions, and log them to MLflow."""
    tasks.do_step("evaluate", run, tickers)


@task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
def promote(run: dict[str, Any]) -> None:
    """Choose each ticker's champion, with the reasons."""
    tasks.do_step("promote", run)


@task
def publish(run: dict[str, Any]) -> None:
    """Write the champions' forecasts, in one transaction."""
    tasks.publish(run)


@task
def announce(run: dict[str, Any]) -> None:
    """Tell the DAGs that are scheduled on this universe's forecasts. Skipped in a rehearsal."""
    extra = tasks.announce(run)
    asset = forecasts_asset(Universe.from_json(run["universe"]).name)
    get_current_context()["outlet_events"][asset].extra = extra


@task
def scenarios(run: dict[str, Any]) -> str:
    """Draw joint paths of all stocks; return where they are. Only where settings ask for paths."""
    address: str = tasks.do_step("scenarios", run)
    return address


@task
def score(run: dict[str, Any]) -> None:
    """Compare earlier forecasts with the closes since then."""
    tasks.do_step("score", run)


@task
def export(run: dict[str, Any]) -> str:
    """Write results as Parquet; return where they are. Only where settings name a folder."""
    address: str = tasks.do_step("export", run)
    return address


@task
def watch(run: dict[str, Any]) -> list[dict[str, str]]:
    """Judge realised coverage, pinball skill and the networks' inputs by their bands.

    Returns what has left its band, by ticker and kind.
    """
    return tasks.watch(run)


@task(map_index_template=WARNING_NAME)
def drift_warning(warning: dict[str, str]) -> None:
    """Log what has left its band, and what to do about it. Skipped when nothing has."""
    tasks.warn(warning)


@task(on_success_callback=notify_done)
def report(run: dict[str, Any]) -> str:
    """Write the day's page; return where it is. The task's note says how the day went."""
    address, verdict = tasks.report(run)
    get_current_context()["ti"].xcom_push(VERDICT_KEY, verdict)
    return address


# The trigger form


def daily_form(universe: Universe) -> dict[str, Param]:
    """Return the trigger form. An empty field means what the universe has."""
    default_target = f"{universe.target}, or with another recipe the column of its source"
    return {
        "session": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Session",
            description="The trading day to forecast from. Empty: the last complete session at the "
            "run's logical date.",
        ),
        "tickers": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "pattern": f"^{TICKER_PATTERN.pattern}$"},
            examples=list(universe.tickers),
            title="Tickers",
            description=f"Stocks to forecast. Empty: all of {universe.name}.",
        ),
        "recipe": Param(
            universe.recipe,
            type="string",
            enum=[recipe.name for recipe in RECIPES.price_modes],
            title="Recipe",
            description="Recipe of the networks (`stockcast recipes` lists them). "
            '"faithful": as published, leak included.',
        ),
        "target": Param(
            None,
            type=["null", "string"],
            examples=list(TARGETS),
            title="Target",
            description=f"Column to forecast. Empty: {default_target}.",
        ),
        "horizon": Param(
            universe.horizon,
            type="integer",
            minimum=1,
            maximum=60,
            title="Horizon",
            description="Sessions to forecast ahead. Networks are trained for one horizon, so "
            "another one trains new networks.",
        ),
        "publish": Param(
            False,
            type="boolean",
            title="Publish",
            description="Publish also where tickers or horizon differ from the universe's "
            "declaration. Otherwise such a run is a rehearsal: its results are kept apart.",
        ),
    }
