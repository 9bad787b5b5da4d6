"""The objects that Helm renders, and the pods that they start."""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

Object = dict[str, Any]
#: Where the pod is in an object that starts some.
POD_PLACES = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Pod": (),
}
#: The file by which Airflow starts the pod of a task.
TASK_POD, CONFIGURATION = "pod_template_file.yaml", "airflow.cfg"


@dataclass(frozen=True)
class Pod:
    """A pod that an object starts.

    Attributes:
        name: kind and name of the object.
        spec: as in Kubernetes.
        stays: whether it runs until it is stopped.
    """

    name: str
    spec: Object
    stays: bool

    def containers(self) -> Iterator[tuple[str, Object]]:
        """Yield place and definition of each container, the ones that run first among them."""
        for container in [*self.spec.get("initContainers", []), *self.spec["containers"]]:
            yield f"{self.name}: {container['name']}", container


def pods(objects: list[Object]) -> list[Pod]:
    """Return the pods of objects, with that of a task."""
    found = []
    for each in [*objects, task_pod(objects)]:
        if (places := POD_PLACES.get(each["kind"])) is not None:
            inner = each
            for place in places:
                inner = inner[place]
            stays = each["kind"] in ("Deployment", "StatefulSet")
            found.append(Pod(name_of(each), inner["spec"], stays))
    return found


def task_pod(objects: list[Object]) -> Object:
    """Return the pod that Airflow makes a task's from."""
    pod: Object = yaml.safe_load(_configured(objects, TASK_POD))
    return pod


def configuration(objects: list[Object]) -> dict[str, dict[str, str]]:
    """Return the options of airflow.cfg, by section."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(_configured(objects, CONFIGURATION))
    return {name: dict(parser[name]) for name in parser.sections()}


def _configured(objects: list[Object], file: str) -> str:
    maps = (each.get("data") or {} for each in objects if each["kind"] == "ConfigMap")
    [text] = [data[file] for data in maps if file in data]
    return text


def name_of(each: Object) -> str:
    """Return kind and name of an object."""
    return f"{each['kind']}/{each['metadata'].get('name', '')}"
