"""The border between Airflow and the pipeline: how tasks call the steps of the day.

A task opens real parts, calls a step with the run that `plan` wrote, and leaves only those errors
to Airflow's retries that waiting can mend.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from pipeline.errors import StockcastError, TryAgain
from pipeline.run import Run
from pipeline.scheduling.airflow_connections import connections_of_airflow
from pipeline.scheduling.dag_requests import require_known_fields, session_to_run, with_params
from pipeline.scheduling.dag_run_owner import origin_of
from pipeline.scheduling.day_metrics import send_duration, send_gauges
from pipeline.scheduling.environment import COMPUTING_TASKS, settings_of_airflow
from pipeline.scheduling.failures import failure_line
from pipeline.scheduling.notifications import notify_failed
from pipeline.settings import Settings
from pipeline.universes import Universe

if TYPE_CHECKING:
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as TaskInstance

    from pipeline.parts import Parts, Progress
    from pipeline.tracking import Origin

Result = TypeVar("Result")
Shard = list[str]

log = logging.getLogger(__name__)


class TaskListener(Protocol):
    """Whoever shows and keeps the messages of tasks that run in this very process."""

    def progress(self, task: TaskInstance, step: str, ticker: str, message: str) -> None:
        """Take a line of progress."""

    def failed(self, task: TaskInstance, line: str) -> None:
        """Take the line of a task that has failed for good."""

    def logged(self, task: TaskInstance, line: str, level: str) -> None:
        """Take a line of the log."""


#: None: progress goes to standard output, which Airflow keeps as the task's log.
_listener: TaskListener | None = None
#: The handler of SIGTERM in the process of a listener.
_terminate: Any = signal.SIG_DFL


@contextmanager
def listening(listener: TaskListener) -> Iterator[None]:
    """Give a listener the messages of the tasks that run in this process meanwhile.

    SIGTERM does during them what it does now: Airflow's own handler would go on to the next task.
    """
    global _listener, _terminate
    _listener, _terminate = listener, signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, _terminate)
        _listener = None


# The steps


def plan(universe: Universe, context: Mapping[str, Any]) -> tuple[Run, list[Shard]]:
    """Return what this DAG run is asked to do, and the tickers of each mapped task."""
    from pipeline.daily import plan as plan_session
    from pipeline.daily import prepare_run, shards, to_ingest

    params, dag_run = context["params"], context["dag_run"]
    with errors_for_airflow(), parts_of_task() as parts:
        require_known_fields(dag_run)
        now = dt.datetime.now(dt.UTC)
        requested = with_params(universe, params)
        session = session_to_run(parts, requested, params, dag_run, now)
        run = plan_session(parts, requested, session, now, publish=bool(params.get("publish")))
        prepare_run(parts, run)
        settings, tickers = parts.settings, to_ingest(parts, run)
        return run, shards(tickers, settings.shard_size, settings.workers)


def check(run: Mapping[str, Any]) -> list[Shard]:
    """Check the tickers; return those that go on, by mapped task."""
    return call(_check, run)


def _check(parts: Parts, run: Run) -> list[Shard]:
    from pipeline.daily import STEPS, costs_of, shards

    recipe, settings = parts.recipes.for_price(run.universe.recipe), parts.settings
    tickers = STEPS["check"](parts, run)
    costs = costs_of(parts, run, tickers)
    return shards(tickers, settings.shard_size, settings.workers, recipe, costs)


def do_step(name: str, run: Mapping[str, Any], *tickers: Shard, alone: bool = False) -> Any:
    """Do a step of the day for all tickers or for a shard of them; see `call`."""
    from pipeline.daily import STEPS

    return call(STEPS[name], run, *tickers, alone=alone)


def publish(run: Mapping[str, Any]) -> None:
    """Write the forecasts, and send how many there are."""
    call(_publish, run)


def _publish(parts: Parts, run: Run) -> None:
    from pipeline.daily import STEPS, published_figures

    STEPS["publish"](parts, run)
    _send_figures(parts, run, published_figures)


def _send_figures(
    parts: Parts, run: Run, figures_of: Callable[[Parts, Run], dict[str, float]]
) -> None:
    """Send the figures of a run, unless they are of the past, or not what the universe declares."""
    from pipeline.daily import is_newest_session, speaks_for_universe

    def figures() -> dict[str, float]:
        own = speaks_for_universe(parts, run) and is_newest_session(parts, run)
        return figures_of(parts, run) if own else {}

    send_gauges(run, figures)


def announce(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the event of the task's asset tells, where forecasts were published."""
    universe = Run.from_json(dict(run)).universe
    if universe.is_rehearsal:
        raise AirflowSkipException(f"{universe.name}: a rehearsal publishes nothing.")
    return call(_announcement, run)


def _announcement(parts: Parts, run: Run) -> dict[str, Any]:
    from pipeline.daily import counts_of

    return {
        **run.series,
        "session": run.session.isoformat(),
        **dataclasses.asdict(counts_of(parts, run)),
        "export": parts.exports.url("") if parts.settings.export_to else None,
    }


def watch(run: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return ticker, kind and warning of all that has left its band.

    There are no more of them than Airflow maps tasks over; the store and the page have all.
    """
    from pipeline.daily import MOST_SHARDS

    return call(_watch, run)[:MOST_SHARDS]


def _watch(parts: Parts, run: Run) -> list[dict[str, str]]:
    from pipeline.daily import STEPS, watched_figures

    warnings: list[dict[str, str]] = STEPS["watch"](parts, run)
    _send_figures(parts, run, watched_figures)
    return warnings


def warn(warning: Mapping[str, str]) -> None:
    """Log one of the warnings that `watch` returned."""
    with _log_for_listener():
        log.warning("DRIFT %s %s: %s", warning["ticker"], warning["kind"], warning["warning"])


def report(run: Mapping[str, Any]) -> tuple[str, str]:
    """Write the day's page; return where it is, and the day in a few sentences."""
    return call(_report, run)


def _report(parts: Parts, run: Run) -> tuple[str, str]:
    from pipeline.daily import STEPS, verdict_of

    return STEPS["report"](parts, run), verdict_of(parts, run)


# A task


def call(
    work: Callable[..., Result], run: Mapping[str, Any], *tickers: Shard, alone: bool = False
) -> Result:
    """Call a function with real parts, the run that `plan` wrote, and a shard's tickers.

    Args:
        alone: no other task trains meanwhile, so it has the workers of all tasks that otherwise
            do so at once.
    """
    planned = Run.from_json(dict(run))
    with errors_for_airflow(), _log_for_listener():
        settings = settings_of_airflow()
        if alone:
            settings = settings.replaced(workers=max(settings.workers, COMPUTING_TASKS))
        count, began = len(tickers[0] if tickers else planned.universe.tickers), time.monotonic()
        with parts_of_task(count, settings) as parts:
            result = work(parts, planned, *tickers)
        if not planned.universe.is_rehearsal:
            send_duration(planned, _task_id(), time.monotonic() - began)
        return result


def _task_id() -> str:
    from airflow.sdk import get_current_context

    return str(get_current_context()["ti"].task_id)


def parts_of_task(tickers: int = 0, settings: Settings | None = None) -> Parts:
    """Return parts for a task.

    Args:
        tickers: how many tickers the task goes through, which the lines of its log count.
    """
    from pipeline.parts import Parts
    from pipeline.reporting import Lines

    if _listener:
        signal.signal(signal.SIGTERM, _terminate)
    progress: Progress = _progress_to_listener if _listener else Lines(tickers)
    return Parts(
        settings or settings_of_airflow(),
        progress,
        _origin(),
        tries_left=_has_tries_left(),
        connections=connections_of_airflow,
    )


def _has_tries_left() -> bool:
    """Return whether Airflow tries this task again when it fails with `TryAgain`."""
    from airflow.sdk import get_current_context

    task = get_current_context()["ti"]
    return task.try_number <= task.max_tries


def _origin() -> Origin:
    """Return this task's DAG run, as what asks for MLflow runs."""
    from airflow.sdk import get_current_context

    from pipeline.tracking import this_process

    dag_run = get_current_context()["dag_run"]
    # A DAG run in this very process cannot outlive it.
    return origin_of(dag_run.dag_id, dag_run.run_id, this_process() if _listener else "")


@contextmanager
def errors_for_airflow() -> Iterator[None]:
    """Let Airflow retry what waiting can mend (`TryAgain`), and fail the task for all else."""
    try:
        yield
    except TryAgain:
        raise
    except StockcastError as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from None
    except Exception as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error


def log_failure(context: Mapping[str, Any]) -> None:
    """Log why a task has failed for good, and send it to whom the settings name.

    As a failure callback it writes the log's last line: the step, its tickers and the reason.

    Raises:
        KeyboardInterrupt, SystemExit: this process was asked to end while the task ran in it.
            Airflow makes a task's failure of that, and would go on to the next task.
    """
    error = context.get("exception")
    if _listener and isinstance(error, KeyboardInterrupt | SystemExit):
        raise error
    line = failure_line(context)
    log.error(line)
    if _listener:
        _listener.failed(context["task_instance"], line)
    notify_failed(context, line)


# The listener


def _progress_to_listener(step: str, ticker: str, message: str) -> None:
    from airflow.sdk import get_current_context

    if _listener:
        _listener.progress(get_current_context()["ti"], step, ticker, message)


@contextmanager
def _log_for_listener() -> Iterator[None]:
    """Give the listener what is logged, such as a decision's reasons.

    Without a listener, Airflow keeps it as the task's log.
    """
    if _listener is None:
        yield
        return
    from airflow.sdk import get_current_context

    logger = logging.getLogger("pipeline")
    handler = _ListenerHandler(_listener, get_current_context()["ti"])
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _ListenerHandler(logging.Handler):
    """A handler that gives a task's log to the listener."""

    def __init__(self, listener: TaskListener, task: TaskInstance) -> None:
        super().__init__(logging.INFO)
        self._listener, self._task = listener, task

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on."""
        self._listener.logged(self._task, record.getMessage(), record.levelname.lower())
