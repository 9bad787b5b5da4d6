"""The example dashboard and its mapping ask for the metrics that the code sends, and no others."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml

from pipeline.daily import STEPS
from pipeline.run import Run
from pipeline.scheduling.day_metrics import GAUGES, STEP_DURATION, metric_name
from tests.docker.container_files import DOCKER, ROOT
from tests.made_publications import KNOWN_AT, LAST, UNIVERSE

#: What Airflow puts before each name (`[metrics] statsd_prefix`).
PREFIX = "airflow."
#: The series that a statsd_exporter makes of a timer.
SUMMARY = ("_sum", "_count")


@pytest.fixture
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DOCKER / "grafana" / "dashboard.json").read_text("utf-8"))
    return found


def mapped(name: str) -> tuple[str, dict[str, str]]:
    """Return name and labels that the mapping gives a metric: the first match's.

    A star stands for a part between dots, and $1 for what the first star stood for.
    """
    document = yaml.safe_load((DOCKER / "grafana" / "statsd-mapping.yaml").read_text("utf-8"))
    for rule in document["mappings"]:
        pattern = re.escape(rule["match"]).replace(r"\*", "([^.]+)")
        if match := re.fullmatch(pattern, name):

            def filled(text: str, match: re.Match[str] = match) -> str:
                return re.sub(r"\$(\d)", lambda number: match[int(number[1])], text)

            labels = {label: filled(text) for label, text in rule["labels"].items()}
            return filled(rule["name"]), labels
    raise AssertionError(f"nothing maps {name}")


def sent() -> list[str]:
    """Return all metrics that a run sends, with Airflow's prefix."""
    run = Run(UNIVERSE, LAST, LAST, LAST, LAST, LAST, (), KNOWN_AT)
    gauges = [name for figures in GAUGES.values() for name in figures]
    return [
        *(PREFIX + metric_name(run, name) for name in gauges),
        *(PREFIX + metric_name(run, STEP_DURATION, step) for step in STEPS),
    ]


def queried(dashboard: dict[str, Any]) -> set[str]:
    """Return all metrics that the dashboard asks for."""
    texts = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    texts += [
        each["definition"] for each in dashboard["templating"]["list"] if "definition" in each
    ]
    return {name for text in texts for name in re.findall(r"\bstockcast_\w+", text)}


def test_the_dashboard_asks_for_each_metric_that_is_sent_and_for_no_other(dashboard):
    names = {mapped(name)[0] for name in sent()}
    assert {re.sub(f"({'|'.join(SUMMARY)})$", "", name) for name in queried(dashboard)} == names


def test_the_mapping_keeps_universe_and_step_as_labels():
    assert mapped("airflow.stockcast.made.coverage_80") == (
        "stockcast_coverage_80",
        {"universe": "made"},
    )
    assert mapped("airflow.stockcast.made.step_duration.build_windows") == (
        "stockcast_step_duration_seconds",
        {"universe": "made", "step": "build_windows"},
    )
    labels = {label for name in sent() for label in mapped(name)[1]}
    assert labels == {"universe", "step"}


def test_each_panel_has_its_place_its_source_and_what_it_says(dashboard):
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    variables = {each["name"] for each in dashboard["templating"]["list"]}
    for panel in panels:
        assert panel["title"] and panel["description"].endswith(".")
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        used = set(re.findall(r"\$\{?(\w+)", json.dumps(panel)))
        assert used <= variables
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y


def test_the_page_names_each_metric_with_what_it_says():
    page = (ROOT / "docs" / "how-to" / "watch-in-grafana.md").read_text("utf-8")
    for figures in GAUGES.values():
        for name, meaning in figures.items():
            assert f"| `{name}` | {meaning} |" in page
    assert f"`{STEP_DURATION}.STEP`" in page
