"""The locks: a file that is installed is known by its hash, and setup.py allows each version."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
WHOLE, IMAGE = ROOT / "requirements.lock", ROOT / "docker" / "requirements.lock"
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
#: What markers ask about: each supported Python, and the one of Debian 12, on each system.
PLACES = [
    {
        "python_version": version.rpartition(".")[0],
        "python_full_version": version,
        "sys_platform": system,
        "platform_system": {"linux": "Linux", "darwin": "Darwin"}[system],
        "extra": "",
    }
    for version in ("3.11.2", "3.11.9", "3.12.3", "3.13.0")
    for system in ("linux", "darwin")
]


def entries(lock: Path) -> list[list[str]]:
    """Return each requirement of a lock with its options."""
    whole_lines = lock.read_text().replace("\\\n", " ").splitlines()
    return [re.split(r"\s+(?=--)", line.strip()) for line in whole_lines]


def pins(lock: Path, place: dict[str, str]) -> dict[str, str]:
    """Return the versions that a lock pins in a place."""
    requirements = [Requirement(entry[0]) for entry in entries(lock)]
    here = [each for each in requirements if not each.marker or each.marker.evaluate(place)]
    assert len({each.name for each in here}) == len(here)
    return {each.name: str(each.specifier).removeprefix("==") for each in here}


def wanted(*extras: str) -> list[Requirement]:
    """Return what setup.py asks for, and what builds the project."""
    [call] = [
        node.value
        for node in ast.parse((ROOT / "setup.py").read_text()).body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    arguments = {word.arg: word.value for word in call.keywords}
    of_extras = ast.literal_eval(arguments["extras_require"])
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    lines = [*ast.literal_eval(arguments["install_requires"]), *build]
    return [Requirement(line) for line in sum((of_extras[extra] for extra in extras), lines)]


@pytest.mark.parametrize("lock", [WHOLE, IMAGE], ids=["whole", "image"])
def test_every_package_is_pinned_with_hashes_and_no_host_is_named(lock):
    assert len(entries(lock)) > 200
    faults = [
        entry[0]
        for entry in entries(lock)
        if not re.match(r"[\w.-]+==[\w.]+( ;|$)", entry[0])
        or not entry[1:]
        or not all(HASH.fullmatch(option) for option in entry[1:])
    ]
    assert faults == []
    assert "://" not in lock.read_text()


@pytest.mark.parametrize(
    ("lock", "extras"),
    [(WHOLE, ("dev", "cluster", "metrics")), (IMAGE, ("cluster", "metrics"))],
    ids=["whole", "image"],
)
def test_what_is_pinned_is_what_setup_allows_in_every_place(lock, extras):
    faults = []
    for place in PLACES:
        pinned = pins(lock, place)
        for need in wanted(*extras):
            applies = not need.marker or need.marker.evaluate(place)
            if applies and pinned.get(need.name.lower(), "none") not in need.specifier:
                faults.append(f"{need} in {place}: {pinned.get(need.name.lower())}")
    assert faults == []


def test_the_image_has_a_part_of_the_whole_and_no_tools_of_developers():
    whole = entries(WHOLE)
    # What the image needs on one system only, developers may need on all.
    everywhere = [[need.partition(" ;")[0], *hashes] for need, *hashes in entries(IMAGE)]
    parts = zip(entries(IMAGE), everywhere, strict=True)
    assert [entry for entry, wider in parts if entry not in whole and wider not in whole] == []
    place = PLACES[0]
    for_developers = {need.name for need in wanted("dev")} - {need.name for need in wanted()}
    assert for_developers & pins(IMAGE, place).keys() == {"cryptography"}  # Airflow's own
