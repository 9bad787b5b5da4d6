"""What a source distribution and its wheel hold, and where an installed wheel finds it."""

from __future__ import annotations

import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipeline.shipped_files import python_path, shipped_folder
from tests import wheels
from tests.made_once import MadeOnce
from tests.servers import ROOT

pytestmark = pytest.mark.slow

#: Folders of the checkout, and where a wheel has them.
SHIPPED = {"pipeline": "pipeline", "dags": "pipeline/shipped/dags"}
SHIPPED["expectations"] = "pipeline/shipped/expectations"


@pytest.fixture(scope="module")
def distributions(made_once: MadeOnce) -> Path:
    return wheels.distributions(made_once)


def files_below(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_wheel_has_every_file_of_the_package_its_dags_and_its_suites(distributions):
    [wheel] = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        f"{inside}/{name}"
        for folder, inside in SHIPPED.items()
        for name in files_below(ROOT / folder)
    }
    assert names == expected


def test_a_source_distribution_has_the_tests_and_what_they_and_the_images_need(distributions):
    [sdist] = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {
        "Makefile",
        "mkdocs.yml",
        "requirements.lock",
        "CHANGELOG.md",
        "docker/.env.example",
        ".ci/run",
    }
    for folder in ("benchmarks", "dags", "docker", "docs", "expectations", "pipeline", "tests"):
        needed |= {f"{folder}/{name}" for name in files_below(ROOT / folder)}
    needed -= {"docker/.env"}
    assert needed - names == set()


#: Where an installed package finds its folders, and what it leads other processes to.
FOUND = """
from pipeline.shipped_files import python_path, shipped_folder
print(*(path.name for path in sorted(shipped_folder("dags").glob("*.py"))))
print(*(path.name for path in sorted(shipped_folder("expectations").iterdir())))
print(repr(python_path()))
"""


def test_an_installed_wheel_finds_them_and_a_checkout_its_own(made_once, tmp_path, monkeypatch):
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [wheels.installed_python(made_once), "-c", FOUND]
    done = subprocess.run(
        command, cwd=tmp_path, env=outside, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    dags, suites, path = done.stdout.splitlines()
    assert dags.split() == sorted(file.name for file in (ROOT / "dags").glob("*.py"))
    assert suites.split() == sorted(file.name for file in (ROOT / "expectations").iterdir())
    assert path == "''"
    monkeypatch.setenv("PYTHONPATH", "/other")
    assert shipped_folder("dags") == ROOT / "dags"
    assert python_path() == f"{ROOT}:/other"
