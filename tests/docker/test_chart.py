"""The values for the Helm chart of Airflow: names that the chart has, versions, secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.docker.container_files import ROOT, Files, chart_keys, holds, locked, values


def _leaves(value: Any, path: str = "") -> Iterator[str]:
    if not isinstance(value, dict):
        yield path
        return
    for key, item in value.items():
        yield from _leaves(item, f"{path}.{key}" if path else key)


def name_faults(texts: Files) -> list[str]:
    known = {key for key in chart_keys() if not key.endswith(".*")}
    prefixes = tuple(key.removesuffix("*") for key in chart_keys() if key.endswith(".*"))
    return [
        path
        for path in _leaves(values(texts))
        if path not in known and not path.startswith(prefixes)
    ]


def test_the_chart_has_every_value():
    holds(
        name_faults,
        ("values.yaml", "metadataSecretName:", "metadataSecret:"),
        ("values.yaml", "dagProcessor:\n", "dagProcessors:\n"),
    )


def version_faults(texts: Files) -> list[str]:
    chart = values(texts)
    [version] = re.findall(r'version="([^"]+)"', (ROOT / "setup.py").read_text())
    wanted = {
        "airflowVersion": (chart["airflowVersion"], locked()["apache-airflow"]),
        "the image": (chart["images"]["airflow"]["tag"], version),
        "executor": (chart["executor"], "KubernetesExecutor"),
    }
    return [f"{name} is {found}" for name, (found, right) in wanted.items() if found != right]


def test_the_chart_runs_what_is_locked():
    holds(
        version_faults,
        ("values.yaml", "airflowVersion: 3", "airflowVersion: 2"),
        ("values.yaml", "tag: 0.2.0", "tag: 0.0.1"),
        ("values.yaml", "executor: KubernetesExecutor", "executor: LocalExecutor"),
    )


def secret_faults(texts: Files) -> list[str]:
    [namespace] = re.findall(r"(?<=helm upgrade ).*--namespace (\S+)", texts["values.yaml"])
    command = (
        rf"kubectl --namespace {namespace} create secret generic (\S+) --from-literal=([\w-]+)="
    )
    created = dict(re.findall(command, texts["values.yaml"]))
    chart = values(texts)
    asked = {
        chart["data"]["metadataSecretName"]: "connection",
        chart["fernetKeySecretName"]: "fernet-key",
        chart["apiSecretKeySecretName"]: "api-secret-key",
        chart["jwtSecretName"]: "jwt-secret",
    }
    for entry in chart["apiServer"]["env"]:
        if "valueFrom" in entry:
            reference = entry["valueFrom"]["secretKeyRef"]
            asked[reference["name"]] = reference["key"]
    [whole] = yaml.safe_load(chart["extraEnvFrom"])
    name = whole["secretRef"]["name"]
    asked[name] = created.get(name, "")
    missing = [name for name, key in asked.items() if created.get(name) != key]
    return [
        *(f"{name} with {asked[name]} is asked for, but not created" for name in missing),
        *(f"{name} is created for nothing" for name in created if name not in asked),
        *(f"{name} is written down" for name in _written_secrets(chart)),
    ]


def _written_secrets(chart: dict[str, Any]) -> list[str]:
    entries = [*chart["env"], *chart["apiServer"]["env"]]
    plain = [entry["name"] for entry in entries if "valueFrom" not in entry]
    pattern = "PASSWORD|SECRET|ACCESS_KEY|STORE_URL"
    return [name for name in plain if re.search(pattern, name) and not name.endswith("_FILE")]


def test_every_secret_of_the_chart_is_one_that_the_file_names_to_create():
    secret = "jwtSecretName: stockcast-jwt-secret"
    holds(
        secret_faults,
        ("values.yaml", secret, "jwtSecretName: stockcast-jwt"),
        ("values.yaml", "--from-literal=password=", "--from-literal=pass="),
        ("values.yaml", "kubectl --namespace stockcast create", "kubectl create"),
        ("values.yaml", "name: STOCKCAST_WORKERS\n", "name: STOCKCAST_STORE_URL\n"),
    )
