"""The workflows and forms of `.github/`: their schemas, and what they run of this project."""

from __future__ import annotations

import json
import re
from importlib.resources import files as resources_of
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
#: The schema of each kind of file.
SCHEMAS = {
    "workflows/*.yml": "github-workflows",
    "ISSUE_TEMPLATE/*.yml": "github-issue-forms",
    "dependabot.yml": "dependabot",
}
WORKFLOWS = {path.stem: path.read_text("utf-8") for path in GITHUB.glob("workflows/*.yml")}


def parsed(text: str) -> Any:
    """Return YAML 1.2, as GitHub reads it: in 1.1, the key `on` is a truth value."""
    return YAML(typ="safe").load(text)


def faults_of(text: str, schema: str) -> list[str]:
    from jsonschema.validators import validator_for

    folder = resources_of("check_jsonschema") / "builtin_schemas" / "vendor"
    rules = json.loads((folder / f"{schema}.json").read_text(encoding="utf-8"))
    errors = validator_for(rules)(rules).iter_errors(parsed(text))
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]


@pytest.mark.parametrize(("files", "schema"), SCHEMAS.items())
def test_every_file_fits_its_schema(files, schema):
    found = sorted(GITHUB.glob(files))
    assert found
    assert {path.name: faults_of(path.read_text("utf-8"), schema) for path in found} == {
        path.name: [] for path in found
    }
    assert faults_of("unknown: true", schema) != []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_target_of_make_exists(name):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    named = set(re.findall(r"\bmake ([a-z-]+)", WORKFLOWS[name]))
    matrix = re.search(r"target: \[(.+)\]", WORKFLOWS[name])
    named |= set(matrix[1].split(", ")) if matrix else set()
    assert named - targets == set()


def test_the_parts_of_the_slow_tests_are_all_of_them_once():
    jobs: dict[str, Any] = parsed(WORKFLOWS["checks"])["jobs"]
    parts = " ".join(jobs["slow"]["strategy"]["matrix"]["part"]).split()
    folders = [path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")]
    assert sorted(parts) == sorted([*(f"tests/{name}" for name in set(folders)), "tests/test_*.py"])


def test_the_quick_tests_run_on_every_python_that_the_package_allows():
    jobs: dict[str, Any] = parsed(WORKFLOWS["checks"])["jobs"]
    setup = (ROOT / "setup.py").read_text("utf-8")
    allowed = re.findall(r"Python :: (3\.\d+)", setup)
    assert jobs["unit"]["strategy"]["matrix"]["python"] == allowed
    assert re.search(r'python_requires=">=(.+),<3\.14"', setup)[1] == allowed[0]


def test_nothing_may_write_but_what_publishes():
    for name, text in WORKFLOWS.items():
        workflow = parsed(text)
        assert workflow["permissions"] == {"contents": "read"}
        writing = {job for job, each in workflow["jobs"].items() if "write" in str(each)}
        assert writing == ({"pypi", "image"} if name == "release" else set())
        assert all("timeout-minutes" in job for job in workflow["jobs"].values())
