"""Faults of what Helm renders: every check takes objects, and returns a line for each fault."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.connections import key_variables
from pipeline.settings import variables
from tests.helm.chart import TOOLS
from tests.helm.objects import Object, configuration, name_of, pods

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
#: Variables of an image or of a library: neither settings nor options of Airflow.
OTHER_VARIABLES = {
    "AIRFLOW_ADMIN_PASSWORD",  # stockcast-api-server's
    "AIRFLOW_HOME",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "PYTHONUNBUFFERED",
}
#: How the chart gives a variable to the pods of tasks as well.
HANDED_ON = "AIRFLOW__KUBERNETES_ENVIRONMENT_VARIABLES__"


# Kubernetes' schemas


def schema_faults(objects: list[Object], version: str) -> list[str]:
    """Hold objects to a version's schemas, with no key that it does not know."""
    return [fault for each in objects for fault in _object_faults(each, version)]


def _object_faults(each: Object, version: str) -> Iterator[str]:
    from jsonschema.validators import Draft202012Validator

    # rbac.authorization.k8s.io/v1 is rbac-v1 there
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", each["apiVersion"])
    file = _schemas(version) / f"{each['kind'].lower()}-{group}.json"
    if not file.exists():
        yield f"Kubernetes {version} has no {each['kind']} of {each['apiVersion']}"
        return
    validator = Draft202012Validator(_parsed(file), registry=_definitions(version))
    for error in validator.iter_errors(each):
        yield f"Kubernetes {version}: {name_of(each)}: {error.json_path}: {error.message[:200]}"


def _schemas(version: str) -> Path:
    return TOOLS / "kubernetes_validate" / "kubernetes-json-schema" / f"v{version}.0-local-strict"


@cache
def _parsed(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


@cache
def _definitions(version: str) -> Any:
    from referencing import Registry, Resource

    return Resource.from_contents(_parsed(_schemas(version) / "_definitions.json")) @ Registry()


# Image, user and rights


def image_faults(objects: list[Object], image: str) -> list[str]:
    """Leave a task's pod out: Airflow puts the image in when it makes one."""
    return [
        f"{place} runs {container['image']}"
        for pod in pods(objects)
        if not pod.name.startswith("Pod/")
        for place, container in pod.containers()
        if container["image"] != image
    ]


def right_faults(objects: list[Object], user: int) -> list[str]:
    bound = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    faults = []
    for pod in pods(objects):
        context = pod.spec.get("securityContext", {})
        if context.get("runAsUser") != user or context.get("runAsNonRoot") is not True:
            faults.append(f"{pod.name} runs as {context.get('runAsUser', 'anybody')}")
        for place, container in pod.containers():
            own = container.get("securityContext", {})
            if own.get("runAsUser", user) != user:
                faults.append(f"{place} runs as {own['runAsUser']}")
            if {key: own.get(key) for key in bound} != bound or own.get("privileged"):
                faults.append(f"{place} may do more than it needs")
    return faults


# Secrets and other objects that are asked for by name


def secret_faults(objects: list[Object], created: dict[str, set[str]]) -> list[str]:
    """Compare what is asked for with what is created, by secret and its keys."""
    asked = dict(_asked_secrets(objects))
    missing = [
        f"{place} asks for {key or 'all'} of {name}"
        for (name, key), place in asked.items()
        if name not in created or (key and key not in created[name])
    ]
    held = [f"{name_of(each)} is rendered" for each in objects if each["kind"] == "Secret"]
    unused = created.keys() - {name for name, _ in asked}
    return [*missing, *held, *(f"{name} is asked for by nothing" for name in sorted(unused))]


def _asked_secrets(objects: list[Object]) -> Iterator[tuple[tuple[str, str], str]]:
    for pod in pods(objects):
        for volume in pod.spec.get("volumes", []):
            if "secret" in volume:
                yield (volume["secret"]["secretName"], ""), pod.name
        for each in pod.spec.get("imagePullSecrets") or []:
            yield (each["name"], ""), pod.name
        for place, container in pod.containers():
            for source in container.get("envFrom") or []:
                if "secretRef" in source:
                    yield (source["secretRef"]["name"], ""), place
            for variable in container.get("env") or []:
                if reference := (variable.get("valueFrom") or {}).get("secretKeyRef"):
                    yield (reference["name"], reference["key"]), place


def reference_faults(objects: list[Object]) -> list[str]:
    there = {name_of(each) for each in objects}
    faults = []
    for pod in pods(objects):
        asked = {f"ServiceAccount/{pod.spec.get('serviceAccountName', 'none')}"}
        for volume in pod.spec.get("volumes", []):
            if "configMap" in volume:
                asked.add(f"ConfigMap/{volume['configMap']['name']}")
            if "persistentVolumeClaim" in volume:
                asked.add(f"PersistentVolumeClaim/{volume['persistentVolumeClaim']['claimName']}")
        faults += [f"{pod.name} asks for {name}" for name in sorted(asked - there)]
    return faults


# Doors


def link_faults(objects: list[Object]) -> list[str]:
    """Look for pods that are told every service of their namespace by variables."""
    return [
        f"{pod.name} has the namespace's services as variables"
        for pod in pods(objects)
        if pod.spec.get("enableServiceLinks") is not False
    ]


def door_faults(objects: list[Object]) -> list[str]:
    """Look for what listens outside the cluster."""
    closed = ("ClusterIP", None)
    faults = [
        name_of(each)
        for each in objects
        if each["kind"] in ("Ingress", "HTTPRoute", "Gateway")
        or (each["kind"] == "Service" and each["spec"].get("type") not in closed)
    ]
    for pod in pods(objects):
        if pod.spec.get("hostNetwork"):
            faults.append(pod.name)
        for place, container in pod.containers():
            if any("hostPort" in port for port in container.get("ports") or []):
                faults.append(place)
    return [f"{place} can be reached from outside" for place in faults]


# Variables


def variable_faults(objects: list[Object], known: set[str], given: dict[str, str]) -> list[str]:
    """Look for variables that nobody reads, and for containers without the given ones.

    Args:
        known: options of Airflow as variables, and the chart's own.
        given: what each container of ours must have, an init container aside.
    """
    known = known | OTHER_VARIABLES | {*variables(), *key_variables()}
    faults = []
    for pod in pods(objects):
        for place, container in pod.containers():
            names = {each["name"] for each in container.get("env") or []}
            unread = {name.removeprefix(HANDED_ON) for name in names} - known
            faults += [f"{place} has {name}, which nothing reads" for name in sorted(unread)]
        for container in pod.spec["containers"]:
            values = {each["name"]: each.get("value") for each in container.get("env") or []}
            without = [name for name, value in given.items() if values.get(name) != value]
            faults += [f"{pod.name} has another {name}" for name in without]
    return faults


def password_faults(objects: list[Object]) -> list[str]:
    """Look for passwords that stand in an object, instead of in a secret."""
    pattern = re.compile(r"PASSWORD$|SECRET|ACCESS_KEY|FERNET_KEY|STORE_URL|SQL_ALCHEMY_CONN")
    return [
        f"{place} has {variable['name']} written down"
        for pod in pods(objects)
        for place, container in pod.containers()
        for variable in container.get("env") or []
        if pattern.search(variable["name"]) and variable.get("value")
    ]


def option_faults(objects: list[Object], given: dict[str, dict[str, Any]]) -> list[str]:
    """Compare airflow.cfg with the options that the values have given."""
    found = configuration(objects)
    return [
        f"[{section}] {option} is {found.get(section, {}).get(option)!r}, not {str(value)!r}"
        for section, options in given.items()
        for option, value in options.items()
        if found.get(section, {}).get(option) != str(value)
    ]


# Commands


def probe_faults(objects: list[Object]) -> list[str]:
    """Look for what stays without a probe, and for commands that only the official image has."""
    faults = []
    for pod in pods(objects):
        for place, container in pod.containers():
            probes = {name: container[name] for name in PROBES if name in container}
            if pod.stays and container in pod.spec["containers"] and "livenessProbe" not in probes:
                faults.append(f"{place} has no livenessProbe")
            asked = {name: probe.get("exec", {}).get("command") for name, probe in probes.items()}
            asked |= {word: container.get(word) for word in ("command", "args")}
            faults += [
                f"{place}: {word} is {command}"
                for word, command in asked.items()
                if command and "/entrypoint" in " ".join(command)
            ]
            faults += _http_faults(place, container, probes)
    return faults


def _http_faults(place: str, container: Object, probes: dict[str, Object]) -> Iterator[str]:
    for name, probe in probes.items():
        if (asked := probe.get("httpGet")) and asked["port"] not in {
            port[key] for port in container.get("ports") or [] for key in ("name", "containerPort")
        }:
            yield f"{place}: {name} asks at port {asked['port']}, which is not open"
