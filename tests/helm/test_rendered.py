"""What the official chart makes of docker/values.yaml, with Helm itself: `make helm-test`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
import yaml

from tests.docker.container_files import chart_keys, files, values
from tests.helm.chart import (
    KUBERNETES,
    chart_file,
    commands,
    is_ready,
    own_values,
    rendered,
    run,
    template,
)
from tests.helm.faults import (
    door_faults,
    image_faults,
    link_faults,
    option_faults,
    password_faults,
    probe_faults,
    reference_faults,
    right_faults,
    schema_faults,
    secret_faults,
    variable_faults,
)
from tests.helm.objects import configuration, task_pod

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_ready(), reason="`make helm-test` fetches the chart, and Helm"),
]
#: The values that the file has given, by the command in its comment.
REGISTRY, ADDRESS = (flag.partition("=")[2].partition("=")[2] for flag in own_values())


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_fits_kubernetes(version):
    objects = rendered(version)
    kinds = {each["kind"] for each in objects}
    assert kinds >= {"Deployment", "Job", "Service", "ConfigMap", "Role", "ServiceAccount"}
    assert schema_faults([*objects, task_pod(objects)], version) == []


def test_a_key_that_kubernetes_does_not_know_is_found():
    objects = json.loads(json.dumps(rendered()))
    deployment = next(each for each in objects if each["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["restartPolice"] = "Always"
    [fault] = schema_faults(objects, KUBERNETES[-1])
    assert "'restartPolice' was unexpected" in fault


def test_every_container_runs_our_image_as_its_user():
    chart = values(files())
    tag = chart["images"]["airflow"]["tag"]
    assert image_faults(rendered(), f"{REGISTRY}:{tag}") == []
    assert right_faults(rendered(), chart["uid"]) == []


def test_the_secrets_are_those_that_the_commands_of_the_file_create():
    created = {name: set(data) for name, data in _created_secrets()}
    assert secret_faults(rendered(), created) == []
    assert password_faults(rendered()) == []
    assert reference_faults(rendered()) == []


def _created_secrets() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield what kubectl makes of each command in the file, without a cluster."""
    for words in commands():
        if words[0] == "kubectl" and "secret" in words:
            done = run(*words, "--dry-run=client", "--output=json")
            assert done.returncode == 0, done.stderr
            secret = json.loads(done.stdout)
            assert secret["metadata"]["namespace"] == "stockcast"
            yield secret["metadata"]["name"], secret["data"]


def test_nothing_listens_outside_the_cluster():
    assert door_faults(rendered()) == []


def test_the_command_for_a_first_look_names_the_service_of_the_api_server():
    [words] = [words for words in commands() if "port-forward" in words]
    services = {
        f"service/{each['metadata']['name']}": [port["port"] for port in each["spec"]["ports"]]
        for each in rendered()
        if each["kind"] == "Service"
    }
    assert int(words[-1].partition(":")[2]) in services[words[-2]]


def test_every_variable_is_read_and_every_pod_has_the_files():
    from airflow.configuration import retrieve_configuration_description

    described = retrieve_configuration_description(include_airflow=True, include_providers=True)
    options = {
        f"AIRFLOW__{section}__{option}".upper()
        for section, each in described.items()
        for option in each["options"]
    }
    of_chart = yaml.safe_load(chart_file("values.yaml"))["enableBuiltInSecretEnvVars"]
    given = {each["name"]: each["value"] for each in values(files())["env"]}
    assert variable_faults(rendered(), options | of_chart.keys(), given) == []
    assert link_faults(rendered()) == []


def test_the_configuration_of_airflow_has_every_option_of_the_file():
    given = json.loads(json.dumps(values(files())["config"]))
    given["api"]["base_url"] = ADDRESS
    assert option_faults(rendered(), given) == []


def test_probes_and_commands_are_those_of_our_image():
    assert probe_faults(rendered()) == []


def test_nothing_is_installed_without_the_address_of_airflow():
    done = template(*(flag for flag in own_values() if "base_url" not in flag))
    assert done.returncode != 0
    assert (
        "config.api.base_url is not set, and links in MLflow and in messages need it: "
        "--set config.api.base_url=https://airflow.example.com, "
        "with the address at which people reach Airflow" in done.stderr
    )


def test_a_path_in_the_address_is_one_in_the_address_for_tasks_too():
    done = template(*own_values(), f"--set=config.api.base_url={ADDRESS}/airflow")
    options = configuration([each for each in yaml.safe_load_all(done.stdout) if each])
    where = options["core"]["execution_api_server_url"]
    assert where == "http://stockcast-api-server:8080/airflow/execution/"


def test_helm_refuses_a_misspelt_value_below_the_top():
    done = template(*own_values(), "--set=apiServer.argz[0]=x")
    assert done.returncode != 0 and "argz" in done.stderr


def test_the_list_of_keys_is_the_charts():
    """Helm lets a misspelt key at the top pass, which is why there is a list of our own."""
    done = template(*own_values(), "--set=dagProcesor.enabled=true")
    assert done.returncode == 0
    schema = json.loads(chart_file("values.schema.json"))
    assert [key for key in chart_keys() if not _is_key(schema, key.removesuffix(".*"))] == []
    assert not _is_key(schema, "dagProcesor.enabled")


def _is_key(schema: dict[str, Any], path: str) -> bool:
    """Return whether a schema knows a key, looking into what it refers to."""
    here: Any = schema
    for name in path.split("."):
        while "$ref" in here:
            here = schema["definitions"][here["$ref"].rpartition("/")[2]]
        known, others = here.get("properties", {}), here.get("additionalProperties")
        here = known.get(name, others if isinstance(others, dict) and not known else None)
        if here is None:
            return False
    return True


def test_the_pod_of_a_task_is_ours_as_airflow_makes_it(tmp_path):
    import kubernetes.client
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator

    options = configuration(rendered())["kubernetes_executor"]
    image = f"{options['worker_container_repository']}:{options['worker_container_tag']}"
    assert image == f"{REGISTRY}:{values(files())['images']['airflow']['tag']}"
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump(task_pod(rendered())))
    words = ["python", "-m", "airflow.sdk.execution_time.execute_workload", "--json-string", "{}"]
    made = PodGenerator.construct_pod(
        dag_id="daily_forecast_sample",
        task_id="train",
        pod_id="train-1",
        try_number=1,
        kube_image=image,
        date=None,
        args=words,
        pod_override_object=None,
        base_worker_pod=PodGenerator.deserialize_model_file(str(file)),
        namespace="stockcast",
        scheduler_job_id="1",
    )
    pod = kubernetes.client.ApiClient().sanitize_for_serialization(made)
    assert schema_faults([pod], KUBERNETES[-1]) == []
    assert pod["spec"]["securityContext"]["runAsUser"] == values(files())["uid"]
    [container] = pod["spec"]["containers"]
    assert (container["image"], container["args"]) == (image, words)
    assert "command" not in container  # the image's own: tini passes signals on
    assert container["resources"] == values(files())["workers"]["kubernetes"]["resources"]
    assert find_spec(words[2])
