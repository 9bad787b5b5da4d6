"""Volumes, order, health and rights of the containers."""

from __future__ import annotations

import re

from tests.docker.container_files import (
    CLUSTER,
    COMPOSE,
    DOCKER,
    IMAGES,
    SHARED,
    SINGLE,
    Files,
    all_services,
    chart_environment,
    dockerfile,
    environment,
    holds,
    image_environment,
    parsed,
    services,
    values,
)


def volume_faults(texts: Files) -> list[str]:
    home = image_environment(texts)["STOCKCAST_HOME"]
    faults = []
    for file in COMPOSE:
        declared = set(parsed(texts[file])["volumes"])
        users: dict[str, list[str]] = {}
        for name, service in services(texts, file).items():
            for volume in service.get("volumes", []):
                if volume == home:  # its own, without a name: nobody else has it
                    continue
                source, target = volume.split(":")[:2]
                if source.startswith("."):
                    if not (DOCKER / source).exists():
                        faults.append(f"{file}: there is no {source}")
                    continue
                users.setdefault(source, []).append(name)
                if service["image"] in IMAGES and target != home:
                    faults.append(f"{file}: {name} writes to {home}, not to {target}")
            folder = environment(service).get("STOCKCAST_HOME", home)
            if folder != home:
                faults.append(f"{file}: {name} has another home, {folder}")
        faults += [f"{file}: {name} is not declared" for name in set(users) - declared]
        faults += [f"{file}: {name} is used by nothing" for name in declared - set(users)]
        if file == CLUSTER:
            shared = {name: by for name, by in users.items() if len(by) > 1}
            faults += [f"{file}: {name} is shared by {by}" for name, by in shared.items()]
    return faults


def test_volumes_are_declared_used_and_where_the_image_writes():
    holds(
        volume_faults,
        (SINGLE, "  - state:/var/lib/stockcast", "  - data:/var/lib/stockcast"),
        (SINGLE, "  - state:/var/lib/stockcast", "  - state:/opt/stockcast"),
        (SHARED, "./databases.sql:", "./database.sql:"),
        (CLUSTER, "- redis:/data", "- objects:/data"),
    )


def path_faults(texts: Files) -> list[str]:
    workdirs = dockerfile(texts, "WORKDIR")
    home = image_environment(texts)["STOCKCAST_HOME"]
    folders = (home, *workdirs, "/opt/stockcast/bin", "/tmp")
    environments = [image_environment(texts), chart_environment(texts)]
    environments += [
        environment(service) for _, _, service in all_services(texts) if service["image"] in IMAGES
    ]
    chart = values(texts)
    dags = {
        "the image": image_environment(texts)["AIRFLOW__CORE__DAGS_FOLDER"],
        "values.yaml": chart["config"]["core"]["dags_folder"],
    }
    paths = {
        text
        for each in environments
        for text in map(str, each.values())
        if re.match(r"/(var|opt|home|tmp|srv)\b", str(text))
    }
    paths |= {chart["airflowHome"], dags["values.yaml"]}
    return [
        *(f"{path} is no folder of the image" for path in paths if not path.startswith(folders)),
        *(
            f"{place} looks for the DAGs in {path}"
            for place, path in dags.items()
            if path != f"{workdirs[-1]}/dags" or "COPY dags dags" not in texts["Dockerfile"]
        ),
    ]


def test_paths_in_the_image_are_below_its_folders():
    logs = "BASE_LOG_FOLDER: /var/lib/stockcast/logs"
    holds(
        path_faults,
        (SHARED, logs, "BASE_LOG_FOLDER: /var/log/stockcast"),
        ("values.yaml", "dags_folder: /opt/app/dags", "dags_folder: /opt/airflow/dags"),
    )


def order_faults(texts: Files) -> list[str]:
    faults = []
    for file in COMPOSE:
        there = services(texts, file)
        for name, service in there.items():
            for other, how in service.get("depends_on", {}).items():
                waits = f"{file}: {name} waits for"
                if other not in there:
                    faults.append(f"{waits} {other}, which is no service")
                    continue
                awaited, condition = there[other], how["condition"]
                ends = awaited.get("restart") == "no"
                if condition == "service_healthy" and "healthcheck" not in awaited:
                    faults.append(f"{waits} the health of {other}, which has no check")
                elif condition == "service_completed_successfully" and not ends:
                    faults.append(f"{waits} the end of {other}, which is started again")
    return faults


def test_who_waits_waits_for_something_that_happens():
    healthy = "\n        condition: service_healthy"
    holds(
        order_faults,
        (SINGLE, f"      mlflow:{healthy}", f"      tracking:{healthy}"),
        (CLUSTER, f"      s3:{healthy}", f"      migrate:{healthy}"),
        (SHARED, 'restart: "no"', "restart: always"),
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
