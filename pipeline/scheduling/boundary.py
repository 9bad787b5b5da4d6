"""Where Airflow ends and the pipeline begins: which session a run means, which errors are worth a retry, what the log says last."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from airflow.sdk.exceptions import AirflowFailException

from pipeline.errors import SettingsError, StockcastError, TryAgain
from pipeline.models import find_recipe
from pipeline.run import Run
from pipeline.scheduling import notifications
from pipeline.scheduling.environment import COMPUTING_TASKS, run_page
from pipeline.settings import Settings
from pipeline.universes import Universe

if TYPE_CHECKING:
    from pipeline.assembly import Parts
    from pipeline.tracking import Origin


class Listener(Protocol):
    """Hears what tasks say where they run in this very process."""

    def progress(self, task_instance: Any, step: str, ticker: str, message: str) -> None: ...

    def failed(self, task_instance: Any, line: str) -> None: ...

    def logged(self, task_instance: Any, line: str, level: str) -> None: ...


#: None: what tasks say goes to standard output, which Airflow keeps as their log.
listener: Listener | None = None

log = logging.getLogger(__name__)


def plan(universe: Universe, context: Mapping[str, Any]) -> tuple[Run, list[list[str]]]:
    """What this DAG run is asked to do, and the tickers of each mapped task."""
    from pipeline import steps

    with errors_for_airflow(), open_parts() as parts:
        now = dt.datetime.now(dt.UTC)
        asked = with_params(universe, context["params"])
        session = session_of(asked, context["params"], context["dag_run"])
        if context["dag_run"].run_type == "manual" and not asked.scheduled:
            session = _until_the_end(parts, asked, session, now)
        run = steps.plan(parts, asked, session, now)
        steps.reach(parts, run)
        return run, steps.shards(list(asked.tickers), parts.settings.shard_size, parts.settings.workers)


def check(run: Mapping[str, Any]) -> list[list[str]]:
    """The tickers that go on, by mapped task."""
    from pipeline import steps

    asked = Run.from_json(run)
    with errors_for_airflow(), open_parts(len(asked.universe.tickers)) as parts:
        recipe, tickers = find_recipe(asked.universe.recipe), steps.check(parts, asked)
        costs = steps.costs(parts, asked, tickers)
        return steps.shards(tickers, parts.settings.shard_size, parts.settings.workers, recipe, costs)


def call(step: Callable[..., Any], run: Mapping[str, Any], *tickers: list[str], alone: bool = False) -> Any:
    """Calls one of `steps.py` with real parts and the run that `plan` wrote.

    Args:
        alone: no other task trains meanwhile, so it has the workers of all tasks that otherwise do so at once.
    """
    asked = Run.from_json(run)
    with errors_for_airflow(), heard():
        settings = Settings.from_env()
        if alone:
            settings = dataclasses.replace(settings, workers=max(settings.workers, COMPUTING_TASKS))
        with open_parts(len(tickers[0] if tickers else asked.universe.tickers), settings) as parts:
            return step(parts, asked, *tickers)


def report(run: Mapping[str, Any]) -> tuple[str, str]:
    """Where the day's page is, and the day in some sentences."""
    from pipeline import steps

    return call(steps.report, run), call(steps.verdict, run)


def watch(run: Mapping[str, Any]) -> list[dict[str, str]]:
    """What has left its band: ticker, kind and warning; no more of it than Airflow maps tasks over, the store and the page have it all."""
    from pipeline import steps

    return call(steps.watch, run)[: steps.MOST_SHARDS]


def warn(warning: Mapping[str, str]) -> None:
    """Logs one of what `watch` returned."""
    with heard():
        log.warning("DRIFT %s %s: %s", warning["ticker"], warning["kind"], warning["warning"])


@contextmanager
def heard() -> Iterator[None]:
    """Lets the listener keep what is logged, such as a decision's reasons, where no Airflow keeps it as the task's log."""
    if listener is None:
        yield
        return
    from airflow.sdk import get_current_context

    logger, handler = logging.getLogger("pipeline"), _ToListener(get_current_context()["ti"])
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _ToListener(logging.Handler):
    def __init__(self, task_instance: Any) -> None:
        super().__init__(logging.INFO)
        self.task_instance = task_instance

    def emit(self, record: logging.LogRecord) -> None:
        listener.logged(self.task_instance, record.getMessage(), record.levelname.lower())


def open_parts(tickers: int = 0, settings: Settings | None = None) -> Parts:
    """Parts for a task that goes through so many tickers, which the lines of its log count."""
    from pipeline import assembly
    from pipeline.progress import Lines

    return assembly.parts(settings or Settings.from_env(), _tell if listener else Lines(tickers), _origin())


def _origin() -> Origin:
    """The DAG run that asks, for what is tracked."""
    from airflow.sdk import get_current_context

    from pipeline.tracking import Origin

    dag_run = get_current_context()["dag_run"]
    return Origin(dag_run.run_id, run_page(dag_run.dag_id, dag_run.run_id))


def session_of(universe: Universe, params: Mapping[str, Any], dag_run: Any) -> dt.date:
    """The session a DAG run is about: the one its params name, else the newest whose run was due at its logical date.

    A run triggered by hand may have no logical date; then its `run_after` counts. `ds` and the data interval are not used: in UTC,
    an evening in New York is the next day.
    """
    if params.get("session"):
        if dag_run.run_type == "backfill":
            raise SettingsError("A backfill takes its sessions from its dates: leave the session empty, or trigger a single run.")
        return _date(params["session"])
    from pipeline.scheduling.timetable import session_at
    from pipeline.sessions import Calendar

    return session_at(Calendar(universe.calendar), dag_run.logical_date or dag_run.run_after)


def with_params(universe: Universe, params: Mapping[str, Any]) -> Universe:
    """The universe with what the trigger form changed; what it left empty stays."""
    from pipeline import assembly

    asked = ("tickers", "recipe", "target", "horizon")
    changes = {name: params[name] for name in asked if params.get(name)}
    return assembly.overridden(universe, **changes)


@contextmanager
def errors_for_airflow() -> Iterator[None]:
    """Lets Airflow retry what waiting can mend (`TryAgain`), and fails the task at once for everything else."""
    try:
        yield
    except TryAgain:
        raise
    except StockcastError as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from None
    except Exception as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error


def say_why(context: Mapping[str, Any]) -> None:
    """Failure callback: the log's last line names the step, its tickers and the reason; whoever wants a message gets one."""
    line = failure_line(context)
    log.error(line)
    if listener:
        listener.failed(context["task_instance"], line)
    notifications.failed(context, line)


def failure_line(context: Mapping[str, Any]) -> str:
    task_instance = context["task_instance"]
    arguments = getattr(task_instance.task, "op_kwargs", None) or {}
    tickers = arguments.get("tickers")
    of_tickers = f" of {', '.join(tickers)}" if isinstance(tickers, (list, tuple)) else ""
    reason = " ".join(str(context.get("exception") or "the process was killed").split())
    return f"FAILED {task_instance.task_id}{of_tickers}: {reason}"


def _tell(step: str, ticker: str, message: str) -> None:
    from airflow.sdk import get_current_context

    listener.progress(get_current_context()["ti"], step, ticker, message)


def _until_the_end(parts: Parts, universe: Universe, session: dt.date, now: dt.datetime) -> dt.date:
    """A history that nothing adds to may have ended long ago; triggered "now", such a universe means its last session."""
    from pipeline.prices.source import newest_session

    return min(session, newest_session(parts.source(universe), list(universe.tickers), parts.calendar(universe), now))


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"The session {text!r} is no date; year-month-day is expected, such as 2013-03-01.") from None
