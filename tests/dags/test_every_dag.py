"""DAG files of one's own: two lines, or the shipped ones by a setting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.shipped_files import shipped_folder
from tests.made_dags import parsed_dags
from tests.servers import ROOT

pytestmark = pytest.mark.slow

TWO_LINES = "from pipeline.scheduling import airflow_dags\nglobals().update(airflow_dags({}))\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    (made := tmp_path / "dags").mkdir()
    return made


def test_two_lines_have_every_dag_that_the_shipped_files_have(folder, tmp_path, parsed):
    (folder / "stocks.py").write_text(TWO_LINES.format(""))
    found = parsed_dags(tmp_path, folder)
    assert (found["errors"], found["heavy"]) == ({}, [])
    pages = {dag_id: dag.pop("page").split("\n")[0] for dag_id, dag in found["dags"].items()}
    assert pages["daily_forecast_sample"] == "# Daily forecast: sample"
    for dag_id, dag in parsed["dags"].items():
        expected = {name: value for name, value in dag.items() if name != "page"}  # has the home
        assert found["dags"].pop(dag_id) == {**expected, "file": "stocks.py"}
    assert found["dags"] == {}


def test_the_page_about_ones_own_airflow_shows_such_a_file():
    page = (ROOT / "docs" / "how-to" / "use-your-own-airflow.md").read_text(encoding="utf-8")
    shown = [line.strip() for line in page.partition("```python\n")[2].splitlines()[:3]]
    assert [line for line in shown if line] == TWO_LINES.format('"sample"').splitlines()


def test_universes_that_are_named_have_their_dag_and_a_wrong_name_is_an_import_error(
    folder, tmp_path
):
    (folder / "stocks.py").write_text(TWO_LINES.format('"sample", "crypto"'))
    (folder / "wrong.py").write_text(TWO_LINES.format('"sampel"'))
    found = parsed_dags(tmp_path, folder)
    assert sorted(found["dags"]) == ["daily_forecast_crypto", "daily_forecast_sample"]
    [(file, error)] = found["errors"].items()
    assert file.endswith("wrong.py") and "There is no universe 'sampel'. The universes " in error


def test_a_relative_home_is_an_import_error_of_each_file(folder, tmp_path):
    (folder / "stocks.py").write_text(TWO_LINES.format(""))
    for place, files in ((folder, 1), (shipped_folder("dags"), 5)):
        found = parsed_dags(tmp_path, place, STOCKCAST_HOME="var")
        assert found["dags"] == {} and len(found["errors"]) == files
        assert all("Set STOCKCAST_HOME to one" in error for error in found["errors"].values())


def test_the_shipped_files_are_a_bundle_of_airflow(monkeypatch):
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    bundle = {"name": "stockcast", "classpath": "pipeline.scheduling.dag_bundle.ShippedDags"}
    monkeypatch.setenv(
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([{**bundle, "kwargs": {}}])
    )
    [made] = DagBundlesManager().get_all_dag_bundles()
    assert (made.name, made.path) == ("stockcast", shipped_folder("dags"))
