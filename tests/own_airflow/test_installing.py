"""What docs/how-to/use-your-own-airflow.md says to install beside an Airflow that is there."""

from __future__ import annotations

import re
import subprocess
from importlib.metadata import metadata

from tests.documents import ROOT, page

PAGE = page("docs/how-to/use-your-own-airflow.md")
#: As `pip freeze`, `uv pip freeze` and others write names.
FROZEN = """apache-airflow==3.3.2
cachetools==8.0.2
cachetools-extra==1.0
Importlib-Metadata==10.2.0
importlib-metadata==10.2.0
importlib-resources==7.0
importlib_metadata==10.2.0
"""


def test_the_command_of_the_page_leaves_out_what_mlflow_wants_older(tmp_path):
    (tmp_path / "constraints-3.12.txt").write_text(FROZEN)
    [command] = re.findall(r"^ *(grep .*)$", PAGE, re.MULTILINE)
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    left = [line.split("==")[0] for line in (tmp_path / "constraints.txt").read_text().split()]
    assert left == ["apache-airflow", "cachetools-extra", "importlib-resources"]


def test_make_airflow_test_leaves_the_same_out():
    [pattern] = re.findall(r"grep -v -i -E ('\S+')", PAGE)
    assert f"grep -v -i -E {pattern}" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_extras_that_the_page_installs_are_ours():
    ours = set(metadata("stockcast").get_all("Provides-Extra"))
    named = re.findall(r"(?:\.whl|stockcast)\[([\w,]+)\]", PAGE)
    assert len(named) >= 4
    assert {extra for each in named for extra in each.split(",")} <= ours


def test_an_image_whose_lines_name_an_object_store_has_its_extra():
    [lines] = [
        each for each in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL) if "s3://" in each
    ]
    assert re.search(r"\.whl\[[\w,]*\bcluster\b", lines)
