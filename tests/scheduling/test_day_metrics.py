"""Metrics: where Airflow's own go, and no error of theirs is one of the day."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.airflow_homes import clean_environment
from tests.made_publications import KNOWN_AT, LAST, UNIVERSE

pytestmark = pytest.mark.slow

#: Sends as the process of a task does, which ends without the hooks of an exit.
SEND = """
import os
from airflow.sdk.configuration import conf
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils
from pipeline.scheduling.day_metrics import send_duration, send_gauges
from tests.scheduling.test_day_metrics import run

stats.initialize(
    factory=stats_utils.get_stats_factory(),
    export_legacy_names=conf.getboolean("metrics", "legacy_names_on"),
)
send_gauges(run(), lambda: {"tickers_published": 3, "coverage_80": 0.81})
send_duration(run(), "publish", 1.5)
os._exit(0)
"""


def run() -> Any:
    from pipeline.run import Run

    return Run(UNIVERSE, LAST, LAST, LAST, LAST, LAST, (), KNOWN_AT)


class Collector(BaseHTTPRequestHandler):
    """Keeps what is sent to a collector of OpenTelemetry."""

    received: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.received.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[HTTPServer]:
    Collector.received.clear()
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


def sent_values(messages: list[bytes]) -> dict[str, tuple[float, dict[str, str]]]:
    """Return value (of a histogram its sum) and attributes of each metric."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    found = {}
    for message in messages:
        request = ExportMetricsServiceRequest.FromString(message)
        for resource in request.resource_metrics:
            for metric in (each for scope in resource.scope_metrics for each in scope.metrics):
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points:
                    value = point.as_double or point.as_int if kind == "gauge" else point.sum
                    tags = {each.key: each.value.string_value for each in point.attributes}
                    found[metric.name] = (value, tags)
    return found


def test_opentelemetry_gets_figures_with_their_series_before_the_process_ends(
    tmp_path: Path, collector: HTTPServer
):
    environment = clean_environment(
        tmp_path,
        AIRFLOW__METRICS__OTEL_ON="true",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}",
        PYTHONPATH=os.pathsep.join([str(Path(__file__).parents[2]), *sys.path]),
    )
    done = subprocess.run(
        [sys.executable, "-c", SEND], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    series = {"universe": "made", "recipe": "default", "target": "close"}
    found = sent_values(Collector.received)
    assert {name: each for name, each in found.items() if ".stockcast." in name} == {
        "airflow.stockcast.made.tickers_published": (3, series),
        "airflow.stockcast.made.coverage_80": (0.81, series),
        "airflow.stockcast.made.step_duration.publish": (1500, {**series, "step": "publish"}),
    }


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged, although Airflow has put its own handlers in the place of pytest's."""
    logger = logging.getLogger("pipeline.scheduling.day_metrics")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def metrics_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "true")


def test_what_cannot_be_sent_is_a_warning(monkeypatch, metrics_on, warnings):
    from airflow.sdk.observability import stats

    from pipeline.scheduling.day_metrics import send_duration, send_gauges

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(stats, "gauge", refuse)
    monkeypatch.setattr(stats, "timing", refuse)
    send_gauges(run(), lambda: {"tickers_published": 3})
    send_duration(run(), "publish", 1.5)
    assert set(warnings.messages) == {"Metrics of made could not be sent: no route to host"}
    assert {record.levelname for record in warnings.records} == {"WARNING"}


def test_figures_that_cannot_be_read_are_a_warning(metrics_on, warnings):
    from pipeline.errors import StoreUnavailable
    from pipeline.scheduling.day_metrics import send_gauges

    def figures() -> dict[str, float]:
        raise StoreUnavailable("the store does not answer")

    send_gauges(run(), figures)
    assert "could not be sent: the store does not answer" in warnings.messages[0]


def test_where_airflow_sends_no_metrics_nothing_is_read_or_sent(warnings):
    from pipeline.scheduling.day_metrics import send_gauges

    send_gauges(run(), lambda: pytest.fail("read for nobody"))
    assert warnings.messages == []
