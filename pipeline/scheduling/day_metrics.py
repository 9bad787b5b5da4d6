"""Metrics for operations: what a day has published, how its intervals hold, how long steps take.

They go where Airflow's own go, to StatsD or OpenTelemetry, once its settings say so
(`[metrics] statsd_on` or `otel_on`). One that cannot be sent is a warning in the log, and changes
nothing else.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pipeline.run import Run

#: The gauges with what they say, by the step that sends them. Each is sent as
#: stockcast.<universe>.<name>, by the run of the newest session alone.
GAUGES: Final = {
    "publish": {
        "tickers_published": "tickers with a published forecast",
        "tickers_quarantined": "tickers that sit the session out",
        "tickers_left_out": "tickers without a forecast that are not quarantined",
        "forecasts_published": "published forecasts: tickers times sessions ahead",
        "newest_session": "the session, in seconds since 1970 (its midnight in UTC)",
    },
    "watch": {
        "coverage_80": "share of outcomes inside the 80% interval, newest scored sessions",
        "coverage_95": "the same for the 95% interval",
        "tickers_drifted": "tickers with a figure outside its band",
    },
}
#: The timer of a task, in milliseconds: stockcast.<universe>.step_duration.<step>.
STEP_DURATION: Final = "step_duration"
#: Milliseconds that a collector of OpenTelemetry may take.
FLUSH_TIMEOUT: Final = 5000

log = logging.getLogger(__name__)


def send_gauges(run: Run, figures: Callable[[], Mapping[str, float]]) -> None:
    """Send figures by the names of `GAUGES`.

    Args:
        figures: is called where Airflow sends metrics at all.
    """
    with _without_errors(run):
        from airflow.sdk.observability import stats

        for name, value in figures().items() if _are_sent() else ():
            stats.gauge(metric_name(run, name), value, tags=_tags(run))


def send_duration(run: Run, step: str, seconds: float) -> None:
    """Send how long a task of a step has taken."""
    with _without_errors(run):
        from airflow.sdk.observability import stats

        name, duration = metric_name(run, STEP_DURATION, step), dt.timedelta(seconds=seconds)
        stats.timing(name, duration, tags={**_tags(run), "step": step})


def metric_name(run: Run, *names: str) -> str:
    """Return a metric's name, to which Airflow adds its own prefix."""
    return ".".join(["stockcast", run.universe.name, *names])


def _tags(run: Run) -> dict[str, str]:
    """Return what tells series apart; plain StatsD leaves tags out."""
    return {name: str(value) for name, value in run.series.items()}


@contextmanager
def _without_errors(run: Run) -> Iterator[None]:
    """Let nothing that sending does become an error of the day."""
    try:
        yield
        _flush()
    except Exception as error:
        log.warning("Metrics of %s could not be sent: %s", run.universe.name, error)


def _are_sent(*switches: str) -> bool:
    """Return whether Airflow sends metrics, or those of some switches in its configuration."""
    from airflow.sdk.configuration import conf

    names = switches or ("statsd_on", "statsd_datadog_enabled", "otel_on")
    return any(conf.getboolean("metrics", name) for name in names)


def _flush() -> None:
    """Hand over what OpenTelemetry gathers: a task's process ends without the hooks of exits."""
    if _are_sent("otel_on"):
        from opentelemetry import metrics

        flush = getattr(metrics.get_meter_provider(), "force_flush", None)  # StatsD goes first
        if flush is not None:
            flush(timeout_millis=FLUSH_TIMEOUT)
