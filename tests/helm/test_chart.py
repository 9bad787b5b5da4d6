"""The pinned chart, and the promises of docker/values.yaml that need no chart."""

from __future__ import annotations

import re

import pytest

from tests.helm.chart import (
    ADDRESS,
    KUBERNETES,
    SHA256,
    VALUES,
    VERSION,
    NotReady,
    commands,
    fetch_chart,
    own_values,
)


def test_the_file_names_the_versions_that_are_tested():
    first, second = VALUES.read_text(encoding="utf-8").splitlines()[:2]
    assert f"chart of Airflow, {VERSION} (" in first
    assert re.findall(r"\d\.\d+", second) == [KUBERNETES[0], KUBERNETES[-1]]
    [install] = [words for words in commands() if words[:2] == ["helm", "upgrade"]]
    assert install[install.index("--version") + 1] == VERSION
    assert ADDRESS.endswith(f"/{VERSION}/airflow-{VERSION}.tgz")


def test_two_values_are_the_users_own():
    assert own_values() == [
        "--set=images.airflow.repository=registry.example.com/stockcast",
        "--set=config.api.base_url=https://airflow.example.com",
    ]


def test_a_chart_of_other_bytes_is_refused_and_nothing_is_written(tmp_path):
    other = tmp_path / "other.tgz"
    other.write_bytes(b"another chart")
    target = tmp_path / "chart.tgz"
    with pytest.raises(NotReady) as refused:
        fetch_chart(other.as_uri(), target)
    assert re.fullmatch(
        rf"{other.as_uri()} has sha256 [0-9a-f]{{64}}, {SHA256} is pinned\. "
        rf"Fetch airflow-{VERSION}\.tgz where there is a network, and name it: "
        rf"make helm-test CHART=/path/airflow-{VERSION}\.tgz",
        str(refused.value),
    )
    assert [path.name for path in tmp_path.iterdir()] == ["other.tgz"]
    with pytest.raises(NotReady, match="No such file"):
        fetch_chart((tmp_path / "none.tgz").as_uri(), target)
