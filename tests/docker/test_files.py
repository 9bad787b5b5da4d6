"""The container files themselves: what is installed, and whose images they are."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tests.docker.container_files import (
    CLUSTER,
    IMAGES,
    ROOT,
    SHARED,
    SINGLE,
    Files,
    all_services,
    dockerfile,
    files,
    holds,
    services,
    values,
)
from tests.documents import documentation, page

GUIDE = page("docs/how-to/run-in-containers.md")


@pytest.mark.slow
def test_hadolint_finds_nothing():
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"

    def faults(texts: Files) -> list[str]:
        command = [hadolint, "--no-color", "-"]
        done = subprocess.run(command, input=texts["Dockerfile"], capture_output=True, text=True)
        lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        return lines or ([f"exit {done.returncode}"] if done.returncode else [])

    holds(
        faults,
        ("Dockerfile", "# hadolint ignore=DL3008\n", ""),
        ("Dockerfile", "WORKDIR /opt/build", "WORKDIR build"),
        ("Dockerfile", "USER 10001:10001", "USER root"),
    )


def python_faults(texts: Files) -> list[str]:
    text = (ROOT / "setup.py").read_text()
    allowed = SpecifierSet(re.search(r'python_requires="([^"]+)"', text)[1])
    [image] = base_images(texts)
    version = re.fullmatch(r"python:(3\.\d+)-slim-\w+", image)
    faults = []
    if not version or version[1] not in allowed:
        faults.append(f"{image} is no Python that setup.py allows")
    elif f"/lib/python{version[1]}/" not in texts["Dockerfile"]:
        faults.append("what is removed from packages is looked for elsewhere")
    options = "--no-deps --require-hashes --only-binary :all: --requirement"
    for lock in ("requirements.lock", "requirements.slim.lock"):
        if f"{options} {lock} " not in texts["Dockerfile"]:
            faults.append(f"what is installed is not checked by {lock}")
    return faults


def base_images(texts: Files) -> set[str]:
    """Return the images of others that ours are made from, not the stages of the file itself."""
    lines = [line.split() for line in dockerfile(texts, "FROM")]
    stages = {words[2] for words in lines if words[1:2] == ["AS"]}
    return {words[0] for words in lines} - stages - {"${PACKAGES}"}


def test_python_is_one_of_setup_and_packages_are_those_of_the_locks():
    stage = "FROM python:3.12-slim-bookworm AS"
    holds(
        python_faults,
        ("Dockerfile", stage, "FROM python:3.9-slim-bookworm AS"),
        ("Dockerfile", stage, "FROM python:3.13-slim-bookworm AS"),
        ("Dockerfile", "--require-hashes ", ""),
        ("Dockerfile", "--requirement requirements.lock", "--requirement ../requirements.lock"),
        ("Dockerfile", "--requirement requirements.slim.lock", "pandas"),
    )


def image_faults(texts: Files) -> list[str]:
    images = {service["image"] for _, _, service in all_services(texts)} - IMAGES
    images |= base_images(texts)
    images.add("{repository}:{tag}".format(**values(texts)["images"]["airflow"]))
    return [image for image in images if not re.search(r":v?\d+[\w.-]*$", image)]


def test_images_of_others_are_pinned():
    holds(
        image_faults,
        (CLUSTER, "versitygw:v1.8.0", "versitygw:latest"),
        (SHARED, "postgres:18-bookworm", "postgres"),
        ("values.yaml", "tag: 0.2.0", "tag: latest"),
    )


def test_the_documentation_starts_what_there_is():
    lines = re.findall(r"^docker compose .*?(?=  |$)", documentation(), re.MULTILINE)
    started = {
        re.search(r"--file docker/(\S+)", line)[1]: re.findall(r"--scale (\w+)=", line)
        for line in lines
    }
    assert started == {SINGLE: [], CLUSTER: ["worker"]}
    assert "worker" in services(files(), CLUSTER)


def test_the_store_of_one_host_may_be_a_file_in_its_volume():
    for text in (files()[".env.example"], GUIDE):
        [path] = re.findall(r"sqlite:///(/[\w/.]+)", text)
        [_, volume] = services(files(), SINGLE)["scheduler"]["volumes"]
        assert Path(path).parent == Path(volume.split(":")[1])
    assert "${STOCKCAST_STORE_URL:-" in files()[SHARED]
