"""The checks of what Helm renders find what they are for, in made objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.helm.faults import (
    door_faults,
    image_faults,
    link_faults,
    option_faults,
    password_faults,
    probe_faults,
    reference_faults,
    right_faults,
    secret_faults,
    variable_faults,
)
from tests.helm.objects import Object, configuration, pods

IMAGE, USER = "registry.example.com/stockcast:1", 10001
CREATED = {"keys": {"fernet-key"}, "all": {"A", "B"}}
GIVEN = {"STOCKCAST_HOME": "/tmp/stockcast"}
CONTAINER: Object = {
    "name": "base",
    "image": IMAGE,
    "args": ["airflow", "scheduler"],
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
    "ports": [{"name": "web", "containerPort": 8080}],
    "livenessProbe": {"httpGet": {"path": "/", "port": 8080}},
    "startupProbe": {"exec": {"command": ["airflow", "jobs", "check"]}},
    "envFrom": [{"secretRef": {"name": "all"}}],
    "env": [
        {"name": "STOCKCAST_HOME", "value": "/tmp/stockcast"},
        {"name": "AIRFLOW__KUBERNETES_ENVIRONMENT_VARIABLES__STOCKCAST_HOME", "value": "/tmp"},
        {
            "name": "AIRFLOW__CORE__FERNET_KEY",
            "valueFrom": {"secretKeyRef": {"name": "keys", "key": "fernet-key"}},
        },
    ],
}
SPEC: Object = {
    "serviceAccountName": "worker",
    "enableServiceLinks": False,
    "securityContext": {"runAsUser": USER, "runAsNonRoot": True},
    "volumes": [{"name": "config", "configMap": {"name": "config"}}],
    "initContainers": [{**CONTAINER, "name": "wait"}],
    "containers": [CONTAINER],
}


def made_objects(change: Callable[[Object], Any] = lambda spec: None) -> list[Object]:
    """Return the objects of a small deployment, with a change of its pod."""
    spec = json.loads(json.dumps(SPEC))  # nothing shared
    change(spec)
    task = {"kind": "Pod", "metadata": {"name": "task"}, "spec": SPEC}
    data = {
        "airflow.cfg": "[core]\nparallelism = 64\n",
        "pod_template_file.yaml": yaml.safe_dump(task),
    }
    return [
        {
            "kind": "Deployment",
            "metadata": {"name": "scheduler"},
            "spec": {"template": {"spec": spec}},
        },
        {"kind": "ConfigMap", "metadata": {"name": "config"}, "data": data},
        {"kind": "ServiceAccount", "metadata": {"name": "worker"}},
        {"kind": "Service", "metadata": {"name": "web"}, "spec": {"type": "ClusterIP"}},
    ]


def all_faults(objects: list[Object]) -> list[str]:
    return [
        *image_faults(objects, IMAGE),
        *right_faults(objects, USER),
        *secret_faults(objects, CREATED),
        *reference_faults(objects),
        *door_faults(objects),
        *variable_faults(objects, {"AIRFLOW__CORE__FERNET_KEY"}, GIVEN),
        *link_faults(objects),
        *password_faults(objects),
        *option_faults(objects, {"core": {"parallelism": 64}}),
        *probe_faults(objects),
    ]


def test_a_deployment_as_it_should_be_has_no_faults():
    objects = made_objects()
    assert [pod.name for pod in pods(objects)] == ["Deployment/scheduler", "Pod/task"]
    assert configuration(objects) == {"core": {"parallelism": "64"}}
    assert all_faults(objects) == []


def first(spec: Object) -> Object:
    container: Object = spec["containers"][0]
    return container


PLACE = "Deployment/scheduler: base"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            lambda spec: spec["initContainers"][0].update(image="apache/airflow:3.2.2"),
            "Deployment/scheduler: wait runs apache/airflow:3.2.2",
        ),
        (
            lambda spec: spec["securityContext"].update(runAsUser=50000),
            "Deployment/scheduler runs as 50000",
        ),
        (lambda spec: spec.update(securityContext={}), "Deployment/scheduler runs as anybody"),
        (
            lambda spec: first(spec)["securityContext"].update(runAsUser=0),
            f"{PLACE} runs as 0",
        ),
        (
            lambda spec: first(spec)["securityContext"].update(readOnlyRootFilesystem=False),
            f"{PLACE} may do more than it needs",
        ),
        (
            lambda spec: first(spec)["env"][2]["valueFrom"]["secretKeyRef"].update(key="fernet"),
            f"{PLACE} asks for fernet of keys",
        ),
        (
            lambda spec: spec["volumes"].append({"secret": {"secretName": "certificates"}}),
            "Deployment/scheduler asks for all of certificates",
        ),
        (
            lambda spec: spec["volumes"][0]["configMap"].update(name="other"),
            "Deployment/scheduler asks for ConfigMap/other",
        ),
        (
            lambda spec: spec.update(serviceAccountName="default"),
            "Deployment/scheduler asks for ServiceAccount/default",
        ),
        (
            lambda spec: first(spec)["ports"][0].update(hostPort=80),
            f"{PLACE} can be reached from outside",
        ),
        (
            lambda spec: first(spec)["env"].append({"name": "STOCKCAST_HOMES", "value": "x"}),
            f"{PLACE} has STOCKCAST_HOMES, which nothing reads",
        ),
        (
            lambda spec: first(spec)["env"][0].update(value="/var"),
            "Deployment/scheduler has another STOCKCAST_HOME",
        ),
        (
            lambda spec: first(spec)["env"][2].update(value="secret"),
            f"{PLACE} has AIRFLOW__CORE__FERNET_KEY written down",
        ),
        (
            lambda spec: spec.pop("enableServiceLinks"),
            "Deployment/scheduler has the namespace's services as variables",
        ),
        (lambda spec: first(spec).pop("livenessProbe"), f"{PLACE} has no livenessProbe"),
        (
            lambda spec: first(spec)["livenessProbe"]["httpGet"].update(port="http"),
            f"{PLACE}: livenessProbe asks at port http, which is not open",
        ),
        (
            lambda spec: first(spec)["startupProbe"]["exec"].update(command=["sh", "/entrypoint"]),
            f"{PLACE}: startupProbe is ['sh', '/entrypoint']",
        ),
    ],
)
def test_a_fault_of_a_pod_is_found(change, fault):
    assert all_faults(made_objects(change)) == [fault]


@pytest.mark.parametrize(
    ("extra", "fault"),
    [
        (
            {"kind": "Secret", "metadata": {"name": "password"}},
            "Secret/password is rendered",
        ),
        (
            {"kind": "Ingress", "metadata": {"name": "web"}},
            "Ingress/web can be reached from outside",
        ),
        (
            {"kind": "Service", "metadata": {"name": "lb"}, "spec": {"type": "LoadBalancer"}},
            "Service/lb can be reached from outside",
        ),
    ],
)
def test_a_fault_of_another_object_is_found(extra, fault):
    assert all_faults([*made_objects(), extra]) == [fault]


def test_what_is_created_or_set_for_nothing_is_found():
    objects = made_objects()
    created = {**CREATED, "more": {"password"}}
    assert secret_faults(objects, created) == ["more is asked for by nothing"]
    given = {"core": {"parallelism": 32}, "api": {"base_url": "https://airflow.example.com"}}
    assert option_faults(objects, given) == [
        "[core] parallelism is '64', not '32'",
        "[api] base_url is None, not 'https://airflow.example.com'",
    ]
