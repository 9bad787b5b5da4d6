"""Health, rights and ports of the containers; that they work, `make containers-test` shows."""

from __future__ import annotations

import re

from tests.docker.container_files import (
    CLUSTER,
    SHARED,
    Files,
    all_services,
    chart_environment,
    dockerfile,
    holds,
    values,
)


def health_faults(texts: Files) -> list[str]:
    return [
        f"{file}: {name}"
        for file, name, service in all_services(texts)
        if ("healthcheck" in service) == (service.get("restart") == "no")
    ]


def test_every_service_that_stays_has_a_health_check():
    test = "      <<: *heartbeat\n      test: [CMD, stockcast-heartbeat, triggerer]\n"
    period = "    stop_grace_period: 5m"
    holds(
        health_faults,
        (SHARED, f"    healthcheck:\n{test}", ""),
        (CLUSTER, period, f'    restart: "no"\n{period}'),
    )


#: Rights to give folders to a user, and to become that user.
BECOMING_POSTGRES = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}


def right_faults(texts: Files) -> list[str]:
    [user] = dockerfile(texts, "USER") or [""]
    return [*_image_user_faults(texts, user), *_pod_faults(texts), *_service_faults(texts)]


def _image_user_faults(texts: Files, user: str) -> list[str]:
    numbers = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", user)
    if not numbers:
        return [f"Dockerfile: USER is {user or 'root'}"]
    faults = []
    made = [f"--uid {numbers[1]} ", f"--gid {numbers[2]} "]
    if not all(option in texts["Dockerfile"] for option in made):
        faults.append(f"Dockerfile: nobody makes user {user}")
    chart = values(texts)
    pod = chart["securityContexts"]["pod"]
    named = {chart["uid"], chart["gid"], pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"]}
    if named != {int(number) for number in numbers.groups()}:
        faults.append(f"values.yaml: other users than {user}")
    return faults


def _pod_faults(texts: Files) -> list[str]:
    contexts = values(texts)["securityContexts"]
    bound = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    faults = []
    if contexts["pod"]["runAsNonRoot"] is not True or contexts["containers"] != bound:
        faults.append("values.yaml: a pod may become root, or write to its image")
    places = {mount["name"]: mount["mountPath"] for mount in values(texts)["volumeMounts"]}
    written = {volume["name"] for volume in values(texts)["volumes"] if "emptyDir" in volume}
    if places != dict.fromkeys(written, "/tmp"):
        faults.append("values.yaml: a pod has nowhere to write")
    for name in ("STOCKCAST_HOME", "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"):
        if not chart_environment(texts)[name].startswith("/tmp/"):
            faults.append(f"values.yaml: {name} cannot be written")
    return faults


def _service_faults(texts: Files) -> list[str]:
    faults = []
    for file, name, service in all_services(texts):
        user = str(service.get("user", "")).split(":")[0]
        if service.get("privileged") or user in ("0", "root"):
            faults.append(f"{file}: {name} runs as root")
        options, dropped = service.get("security_opt"), service.get("cap_drop")
        bound = dropped == ["ALL"] and options == ["no-new-privileges:true"]
        kept = set(service.get("cap_add", []))
        # PostgreSQL's image begins as root, owns its folders, and becomes another user.
        if not bound or kept - (BECOMING_POSTGRES if name == "postgres" else set()):
            faults.append(f"{file}: {name} keeps its capabilities")
        if service.get("read_only") is not True or "/tmp" not in service.get("tmpfs", []):
            faults.append(f"{file}: {name} may write to its image, or to nothing")
    return faults


def test_nothing_of_ours_runs_as_root_or_may_become_root():
    holds(
        right_faults,
        ("Dockerfile", "USER 10001:10001\n", ""),
        ("Dockerfile", "--uid 10001 ", "--uid 10002 "),
        ("values.yaml", "runAsUser: 10001", "runAsUser: 0"),
        ("values.yaml", "runAsNonRoot: true", "runAsNonRoot: false"),
        (CLUSTER, "    user: redis", "    user: root"),
        (SHARED, "    cap_drop: [ALL]\n", ""),
        (SHARED, "    cap_add: [CHOWN,", "    cap_add: [SYS_ADMIN, CHOWN,"),
        (SHARED, "    read_only: true\n    tmpfs: [/tmp]\n", "    tmpfs: [/tmp]\n"),
        (CLUSTER, "    tmpfs: [/tmp]\n", ""),
        ("values.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
        ("values.yaml", "mountPath: /tmp", "mountPath: /var/tmp"),
        ("values.yaml", "value: /tmp/stockcast", "value: /var/lib/stockcast"),
    )


def port_faults(texts: Files) -> list[str]:
    return [
        f"{file}: {name} publishes {port}"
        for file, name, service in all_services(texts)
        for port in service.get("ports", [])
        if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", str(port))
    ]


def test_ports_are_published_on_loopback():
    port = "${STOCKCAST_AIRFLOW_PORT:-8080}:8080"
    holds(
        port_faults,
        (SHARED, f"127.0.0.1:{port}", port),
        (CLUSTER, "  s3:\n    image", "  s3:\n    ports: [7070]\n    image"),
    )
