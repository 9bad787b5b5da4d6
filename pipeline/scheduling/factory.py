"""From a universe to its DAG. A task here is a name and a call; what it does is told in `pipeline/steps.py`."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import DAG, Asset, Param, TaskGroup, TriggerRule, get_current_context, task, task_group

from pipeline import assembly
from pipeline.models import with_modes
from pipeline.scheduling import boundary, notifications
from pipeline.scheduling.documentation import dag_page
from pipeline.scheduling.environment import PRICE_POOL, airflow_page, computing_tasks
from pipeline.scheduling.notes import VERDICT
from pipeline.scheduling.pages import FORECASTS_VIEW
from pipeline.scheduling.timetable import SessionTimetable
from pipeline.settings import Settings
from pipeline.universes import TARGETS, TICKER, Universe, load_universes

#: A mapped task's name in the grid: its tickers, or how many there are when the shard is large.
SHARD = "{% set t = task.op_kwargs['tickers'] %}{{ t | join(', ') if t | length <= 4 else t[0] ~ ' and ' ~ (t | length - 1) ~ ' more' }}"

#: The name of a warning in the grid.
WARNED = "{{ task.op_kwargs['warning']['ticker'] }} {{ task.op_kwargs['warning']['kind'] }}"

#: Every step uses a database that may restart. Only `TryAgain` is retried (see `boundary.errors_for_airflow`).
RETRY = {
    "retries": 3,
    "retry_delay": dt.timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": dt.timedelta(minutes=10),
}
#: A price source may be away for an hour.
RETRY_SOURCE = {**RETRY, "retries": 6, "retry_delay": dt.timedelta(minutes=1), "max_retry_delay": dt.timedelta(minutes=30)}
NO_RETRY = {"retries": 0}

Shard = list[str]


def daily_forecast(universe: Universe, settings: Settings, retry: bool = True) -> DAG:
    """The DAG `daily_forecast_<universe>`: one run a session, mapped over shards of tickers up to `evaluate`.

    Args:
        retry: False where a person waits for the run: the sources' own tries remain, minutes of waiting do not.
    """
    with DAG(
        f"daily_forecast_{universe.name}",
        description=f"{len(universe.tickers)} tickers from {universe.source}, {universe.horizon} sessions ahead",
        doc_md=dag_page(universe, settings),
        schedule=SessionTimetable(universe.calendar, scheduled=universe.scheduled),
        start_date=dt.datetime.combine(universe.start, dt.time(), dt.UTC),
        catchup=False,
        max_active_runs=4,
        params=params(universe),
        tags=["stockcast", universe.source, universe.calendar],
        is_paused_upon_creation=universe.scheduled,  # what nothing schedules may run as soon as someone asks
        default_args={
            **(RETRY if retry else NO_RETRY),
            **_owned(settings),
            "execution_timeout": dt.timedelta(hours=2),
        },
        owner_links=owner_links(settings),
    ) as dag:
        _wire(universe, RETRY_SOURCE if retry else NO_RETRY)
    return dag


def _owned(settings: Settings) -> dict[str, Any]:
    return {"owner": settings.owner, "on_failure_callback": boundary.say_why}


def owner_links(settings: Settings) -> dict[str, str]:
    """Where Airflow leads who asks for the owner: to where the settings say, or to what has been forecast, where its own address is known."""
    link = settings.owner_link or airflow_page(FORECASTS_VIEW)
    return {} if link.startswith("/") else {settings.owner: link}


def on_demand(settings: Settings, name: str, description: str, page: str, params: dict[str, Param], limit: dt.timedelta) -> DAG:
    """A DAG without a schedule, which may run as soon as someone asks. `limit`: what a task of it may take."""
    return DAG(
        name,
        description=description,
        doc_md=page,
        schedule=None,
        start_date=dt.datetime(2000, 1, 1, tzinfo=dt.UTC),
        catchup=False,
        params=params,
        tags=["stockcast"],
        is_paused_upon_creation=False,
        default_args={**RETRY, **_owned(settings), "execution_timeout": limit},
        owner_links=owner_links(settings),
    )


def universes(settings: Settings) -> list[Universe]:
    """All universes of the file; the one that the settings name with what they override."""
    chosen = assembly.universe_of(settings)
    return list({**load_universes(settings.universes), chosen.name: chosen}.values())


def published(universe: str) -> Asset:
    """What `publish` updates; schedule a DAG on it to run when new forecasts are out."""
    return Asset(name=f"forecasts_{universe}", uri=f"stockcast://forecasts/{universe}")


def params(universe: Universe) -> dict[str, Param]:
    """The trigger form. An empty field means what the universe says."""
    return {
        "session": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Session",
            description="The trading day to forecast from. Empty: the last complete session at the run's logical date.",
        ),
        "tickers": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "pattern": f"^{TICKER.pattern}$"},
            examples=list(universe.tickers),
            title="Tickers",
            description=f"Which stocks. Empty: all of {universe.name}.",
        ),
        "recipe": Param(
            universe.recipe,
            type="string",
            enum=[recipe.name for recipe in with_modes() if recipe.targets],
            title="Recipe",
            description='How a network is built and trained (`stockcast recipes` lists them). "faithful": as published, leak included.',
        ),
        "target": Param(
            None,
            type=["null", "string"],
            examples=list(TARGETS),
            title="Target",
            description=f"Which column. Empty: {universe.target}, or with another recipe the column of its source.",
        ),
        "horizon": Param(
            universe.horizon,
            type="integer",
            minimum=1,
            maximum=60,
            title="Horizon",
            description="How many sessions ahead. Networks are trained for one horizon, so another one trains anew.",
        ),
    }


def _wire(universe: Universe, retry_source: dict[str, Any]) -> None:
    """The day, in order. A shard that fails does not stop the others: `check` and `promote` go on with those that came through."""
    shards = plan_of(universe)
    run = shards["run"]
    with group("prices", "Prices are fetched and weighed"):
        admitted = check(run)
        # Airflow gives a task its docstring as its page, except a mapped one.
        ingest.override(doc_md=ingest.function.__doc__, **retry_source).partial(run=run).expand(tickers=shards) >> admitted
    with group("networks", "Networks are trained, and measured beside the baselines"):
        evaluated = models.partial(run=run).expand(tickers=admitted)
        trained = evaluated.operator.task_group.children["train"]
        admitted >> pretrain(run) >> trained  # windows are cut meanwhile
    with group("forecasts", "The best on the evidence is chosen, calibrated and published"):
        evaluated >> promote(run) >> (out := publish.override(outlets=[published(universe.name)])(run))
    with group("review", "What became of earlier forecasts, and what to look at"):
        out >> score(run) >> (watched := watch(run)) >> report(run)
        # A leaf: without a warning it is skipped, and nothing waits for it.
        drift_warning.override(doc_md=drift_warning.function.__doc__).expand(warning=watched)


def group(name: str, told: str) -> TaskGroup:
    """A part of the day: it folds up in Airflow, and its tasks keep their names."""
    return TaskGroup(name, tooltip=told, prefix_group_id=False)


def plan_of(universe: Universe) -> Any:
    @task
    def plan() -> list[Shard]:
        """Decide the session, its training cutoffs and the shards; refuse what cannot be run."""
        context = get_current_context()
        run, shards = boundary.plan(universe, context)
        context["ti"].xcom_push("run", run.to_json())
        return shards

    return plan()


@task(map_index_template=SHARD, pool=PRICE_POOL)
def ingest(run: dict, tickers: Shard) -> None:
    """Fetch new prices and corporate actions; they are kept as revisions, append only."""
    from pipeline import steps

    boundary.call(steps.ingest, run, tickers)


@task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
def check(run: dict) -> list[Shard]:
    """Run the quality rules; the shards of the tickers that go on. Fails when too many are quarantined."""
    return boundary.check(run)


@task(max_active_tis_per_dag=computing_tasks())
def pretrain(run: dict) -> None:
    """Fit the network that all stocks train together, from which each stock's own goes on; not for every recipe."""
    from pipeline import steps

    boundary.call(steps.pretrain, run, alone=True)


@task_group(prefix_group_id=False)
def models(run: dict, tickers: Shard) -> Any:
    """Cut the shard's windows, train on them, measure the result."""
    return build_windows(run=run, tickers=tickers) >> train(run=run, tickers=tickers) >> evaluate(run=run, tickers=tickers)


@task(map_index_template=SHARD)
def build_windows(run: dict, tickers: Shard) -> None:
    """Prices as of the cutoffs -> one dataset file per ticker and cutoff."""
    from pipeline import steps

    boundary.call(steps.build_windows, run, tickers)


@task(map_index_template=SHARD, max_active_tis_per_dag=computing_tasks())
def train(run: dict, tickers: Shard) -> None:
    """Fit the networks that are not there yet, in processes of their own."""
    from pipeline import steps

    boundary.call(steps.train, run, tickers)


@task(map_index_template=SHARD, max_active_tis_per_dag=computing_tasks())
def evaluate(run: dict, tickers: Shard) -> None:
    """Measure networks and baselines on the same sessions, and log them to MLflow."""
    from pipeline import steps

    boundary.call(steps.evaluate, run, tickers)


@task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
def promote(run: dict) -> None:
    """Choose each ticker's champion, with the reasons."""
    from pipeline import steps

    boundary.call(steps.promote, run)


@task
def publish(run: dict) -> None:
    """Write the champions' forecasts, in one transaction."""
    from pipeline import steps

    boundary.call(steps.publish, run)


@task
def score(run: dict) -> None:
    """Compare earlier forecasts with the closes that have come in."""
    from pipeline import steps

    boundary.call(steps.score, run)


@task
def watch(run: dict) -> list[dict[str, str]]:
    """Judge realised coverage, pinball skill and the networks' inputs by their bands; what has left them, by ticker and kind."""
    return boundary.watch(run)


@task(map_index_template=WARNED)
def drift_warning(warning: dict[str, str]) -> None:
    """Say in the log what has left its band, and what to do about it. Skipped when nothing has."""
    boundary.warn(warning)


@task(on_success_callback=notifications.done)
def report(run: dict) -> str:
    """Draw the day's page; returns where it is. Its note says how the day came out."""
    where, verdict = boundary.report(run)
    get_current_context()["ti"].xcom_push(VERDICT, verdict)
    return where
