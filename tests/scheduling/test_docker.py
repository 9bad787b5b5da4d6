"""The container files, held to the code: no engine runs them here, so every name they use must be one that exists.

A check takes the files and returns what it finds. It must find nothing in the files as they are, and something in each of
`MISTAKES`, which are the files with one line wrong.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.resources
import importlib.util
import json
import os
import re
import shlex
import stat
import subprocess
import sys
import sysconfig
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pipeline import cli
from pipeline.settings import PREFIX, Settings, variables

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
SINGLE, CLUSTER, SHARED = "compose.single.yaml", "compose.cluster.yaml", "services.yaml"
COMPOSE = (SINGLE, CLUSTER)
IMAGE = "stockcast:latest"
PLACEHOLDER = "placeholder"
#: What a service listens on that does not say so in its command.
OWN_PORTS = {"postgres": 5432, "redis": 6379}
#: Commands of the base image that the files use.
BASE_COMMANDS = {"sh", "python", "tini"}
CHART_KEYS = [
    line for line in (Path(__file__).parent / "airflow_chart_keys.txt").read_text().splitlines() if not line.startswith("#")
]

Files = dict[str, str]
Service = dict[str, Any]


def files() -> Files:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(DOCKER.iterdir()) if path.is_file()}


@cache
def _parsed(text: str) -> dict[str, Any]:
    return yaml.safe_load(text)


# Reading them as docker compose does


def services(found: Files, name: str) -> dict[str, Service]:
    """The services of a compose file with what they extend, and every ${VARIABLE} replaced by its default or a placeholder."""
    return {key: _filled(_extended(found, name, service)) for key, service in _parsed(found[name])["services"].items()}


def _extended(found: Files, file: str, service: Service) -> Service:
    if "extends" not in service:
        return service
    base = service["extends"] if isinstance(service["extends"], dict) else {"service": service["extends"]}
    origin = base.get("file", file)
    whole = _extended(found, origin, _parsed(found[origin])["services"][base["service"]])
    return _merged(whole, {key: value for key, value in service.items() if key != "extends"})


def _merged(base: Service, own: Service) -> Service:
    merged = dict(base)
    for key, value in own.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merged[key] = _merged(base[key], value)
        elif isinstance(value, list) and key in ("ports", "volumes"):
            merged[key] = [*base.get(key, []), *value]
        else:
            merged[key] = value
    return merged


def _filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item) for item in value]
    return _interpolated(value) if isinstance(value, str) else value


def _interpolated(text: str) -> str:
    innermost = re.compile(r"(?<!\$)\$\{\w+(?::(?P<kind>[-?])(?P<rest>[^${}]*))?\}")
    while match := innermost.search(text):
        text = text[: match.start()] + (match["rest"] if match["kind"] == "-" else PLACEHOLDER) + text[match.end() :]
    return text.replace("$$", "$")


def _interpolations(text: str) -> Iterator[tuple[str, str]]:
    """Every variable that docker compose fills in, with what follows its name: ":?..." (required), ":-default" or nothing."""
    for match in re.finditer(r"(?<!\$)\$\{?(\w+)((?::[-?][^${}]*)?)", re.sub(r"(?m)(^|\s)#.*", "", text)):
        yield match[1], match[2]


def _all_services(found: Files) -> Iterator[tuple[str, str, Service]]:
    for file in COMPOSE:
        for name, service in services(found, file).items():
            yield file, name, service


def _environment(service: Service) -> dict[str, str]:
    return service.get("environment", {})


def _words(command: list[str] | str) -> Iterator[list[str]]:
    """The commands of a `command`, a health check's `test` or a shell's argument, each as its words."""
    if isinstance(command, str):
        for part in re.split(r"&&|\||;", command):
            words = [word for word in shlex.split(part) if word not in ("exec", "{", "}")]
            if words:
                yield words
    elif command[0] == "CMD-SHELL" or command[:2] == ["sh", "-c"]:
        yield from _words(command[-1])
    else:
        yield command[1:] if command[0] == "CMD" else command


def _commands(service: Service) -> Iterator[list[str]]:
    for command in (service.get("command"), service.get("healthcheck", {}).get("test")):
        if command:
            yield from _words(command)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)
    elif value is not None:
        yield str(value)


def _values(found: Files) -> dict[str, Any]:
    return _parsed(found["values.yaml"])


def _chart_environment(found: Files) -> dict[str, str]:
    values = _values(found)
    return {entry["name"]: entry.get("value", "") for entry in [*values["env"], *values["apiServer"]["env"]]}


def _dockerfile(found: Files, instruction: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", "", found["Dockerfile"])
    return re.findall(rf"^{instruction} (.*)$", joined, re.MULTILINE)


def _image_environment(found: Files) -> dict[str, str]:
    return {key: value for line in _dockerfile(found, "ENV") for key, _, value in (word.partition("=") for word in line.split())}


def _locked() -> dict[str, str]:
    pins = (line.split(";")[0].strip().partition("==") for line in (ROOT / "requirements.lock").read_text().splitlines())
    return {name: version for name, _, version in pins}


def _has_celery() -> bool:
    """Whether the `cluster` extra is installed here: `make test` does without it."""
    return importlib.util.find_spec("airflow.providers.celery") is not None


# The checks: files


def compose_files_fit_the_compose_schema(found: Files) -> list[str]:
    file = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(file.read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    return [
        f"{name}: {error.json_path}: {error.message[:200]}"
        for name in (*COMPOSE, SHARED)
        for error in validator.iter_errors(_parsed(found[name]))
    ]


def hadolint_has_nothing_to_say(found: Files) -> list[str]:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    told = subprocess.run([hadolint, "--no-color", "-"], input=found["Dockerfile"], capture_output=True, text=True)
    return [*told.stdout.splitlines(), *told.stderr.splitlines()] or ([] if told.returncode == 0 else [f"exit {told.returncode}"])


def what_the_dockerfile_copies_is_there_and_sent(found: Files) -> list[str]:
    copied = [
        source
        for line in _dockerfile(found, "COPY")
        if "--from=" not in line
        for source in [word for word in line.split() if not word.startswith("--")][:-1]
    ]
    sent = re.findall(r"^!(\S+)$", found["Dockerfile.dockerignore"], re.MULTILINE)
    return [
        *(f"{source} is not in the repository" for source in {*copied, *sent} if not (ROOT / source).exists()),
        *(f"{source} is not sent" for source in copied if source not in sent),
        *(f"{source} is sent for nothing" for source in sent if source not in copied),
    ]


def python_and_extras_are_those_of_setup(found: Files) -> list[str]:
    text = (ROOT / "setup.py").read_text()
    allowed = SpecifierSet(re.search(r'python_requires="([^"]+)"', text)[1])
    extras = set(re.findall(r'^        "(\w+)": \[', text, re.MULTILINE))
    stages = [line.split()[0] for line in _dockerfile(found, "FROM")]
    versions = [re.fullmatch(r"python:(3\.\d+)-slim-\w+", image) for image in stages]
    installed = re.findall(r'"\.\[([\w,]+)\]"', found["Dockerfile"])
    return [
        *(
            f"{image} is no Python that setup.py allows"
            for image, v in zip(stages, versions, strict=True)
            if not v or v[1] not in allowed
        ),
        *(["the stages differ"] if len(set(stages)) != 1 else []),
        *(f"setup.py has no extra {extra}" for names in installed for extra in names.split(",") if extra not in extras),
        *(
            ["nothing is installed from the lock"]
            if not installed or "--constraint requirements.lock" not in found["Dockerfile"]
            else []
        ),
    ]


# The checks: variables


def every_stockcast_variable_is_a_setting(found: Files) -> list[str]:
    """Also outside variables: a name in a comment misleads as well."""
    return [
        f"{name}: {variable}"
        for name, text in found.items()
        for variable in set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", text)) - set(variables())
    ]


def _example(text: str) -> list[tuple[str, str, str]]:
    """Variable, value and # where it is not set, of every line of .env.example that is no text."""
    return [(name, value, mark) for mark, name, value in re.findall(r"^(#?)([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE)]


def the_example_lists_every_setting_once_with_its_default(found: Files) -> list[str]:
    listed = [(name, value) for name, value, mark in _example(found[".env.example"]) if name.startswith(PREFIX) and mark]
    defaults = {PREFIX + name.upper(): "" if value is None else str(value) for name, value in vars(Settings()).items()}
    defaults["STOCKCAST_HOME"] = "var"  # relative to where it is run
    names = [name for name, _ in listed]
    return [
        *(f"{name} is listed {names.count(name)} times" for name in variables() if names.count(name) != 1),
        *(f"{name} is said to be {value!r}" for name, value in listed if defaults.get(name) != value),
    ]


def every_variable_of_the_example_is_explained_and_used(found: Files) -> list[str]:
    text = found[".env.example"]
    used = {name for file in (*COMPOSE, SHARED) for name, _ in _interpolations(found[file])}
    names = [name for name, _, _ in _example(text)]
    explained = re.findall(r"^# [^-\n].*\n#?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE)
    return [
        *(f"{name} is listed twice" for name in {name for name in names if names.count(name) > 1}),
        *(f"{name} is not explained" for name in names if name not in explained),
        *(f"{name} is used by nothing" for name in names if name not in used and name not in variables()),
        *(f"{name} is not listed" for name in used if name not in names),
    ]


def secrets_are_required_and_have_no_default(found: Files) -> list[str]:
    example = {name: (value, mark) for name, value, mark in _example(found[".env.example"])}
    asked = [(name, rest) for file in (*COMPOSE, SHARED) for name, rest in _interpolations(found[file])]
    required = {name for name, rest in asked if rest.startswith(":?")}
    secret = {name for name, _ in asked if re.search("PASSWORD|KEY|SECRET", name)}
    return [
        *(f"{name} has a default" for name, rest in asked if name in secret and rest.startswith(":-")),
        *(f"{name} may be left out" for name in secret - required),
        *(f"{name} is required but not empty in the example" for name in required if example.get(name) != ("", "")),
        *(f"{name} is set in the example" for name, (_, mark) in example.items() if not mark and name not in required),
    ]


def defaults_in_the_example_are_those_of_the_compose_files(found: Files) -> list[str]:
    defaults: dict[str, set[str]] = {}
    for file in (*COMPOSE, SHARED):
        for name, rest in _interpolations(found[file]):
            if rest.startswith(":-"):
                defaults.setdefault(name, set()).add(rest[2:])
    return [
        f"{name} is said to be {value!r}, not one of {sorted(defaults[name])}"
        for name, value, _ in _example(found[".env.example"])
        if name in defaults and value and value not in defaults[name]
    ]


def every_airflow_variable_is_an_option_of_airflow(found: Files) -> list[str]:
    from airflow.configuration import retrieve_configuration_description

    described = retrieve_configuration_description(include_airflow=True, include_providers=True)
    of_providers = () if _has_celery() else ("celery", "celery_broker_transport_options", "kubernetes_executor")
    named = {
        name.split("__")[1].lower() + "." + name.split("__")[2].lower()
        for environment in (
            _image_environment(found),
            _chart_environment(found),
            *(_environment(service) for _, _, service in _all_services(found)),
        )
        for name in environment
        if name.startswith("AIRFLOW__")
    }
    named |= {f"{section}.{option}" for section, options in _values(found)["config"].items() for option in options}
    known = {f"{section}.{option}" for section, described in described.items() for option in described["options"]}
    return [f"Airflow has no option {name}" for name in named - known if name.split(".")[0] not in of_providers]


def every_component_has_the_settings_that_it_must_share(found: Files) -> list[str]:
    """One that signs with another key, or logs elsewhere, is not understood by the rest."""
    shared = ("AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__CORE__EXECUTOR")
    apart = []
    for file in COMPOSE:
        ours = {name: _environment(service) for name, service in services(found, file).items() if service["image"] == IMAGE}
        keys = [
            *shared,
            *(key for key in ours["scheduler"] if re.match("AIRFLOW__(CELERY|LOGGING|DATABASE)__|STOCKCAST_|AWS_", key)),
        ]
        apart += [
            f"{file}: {name} has {key}={environment.get(key)!r}"
            for name, environment in ours.items()
            for key in keys
            if environment.get(key) != ours["scheduler"][key]
        ]
    return apart


# The checks: commands, ports, addresses


def _scripts(found: Files) -> dict[str, str]:
    """Commands that the Dockerfile puts into the image, and the file of each."""
    pairs = (re.search(r"(\S+) /usr/local/bin/(\S+)$", line) for line in _dockerfile(found, "COPY"))
    return {pair[2]: pair[1] for pair in pairs if pair}


@cache
def _airflow_parser() -> Any:
    from airflow.cli.cli_parser import get_parser

    return get_parser()


def _refused(found: Files, words: list[str]) -> str:
    """Why the image would not run the command; "" where it would."""
    import click

    name, *arguments = words
    if name in BASE_COMMANDS:
        return "" if name != "python" else _refused_python(arguments)
    if name in _scripts(found):
        return _refused(found, ["airflow", "api-server", *arguments]) if name == "stockcast-api-server" else ""
    if name == "stockcast":
        return _refused_by(cli.parser(), arguments)
    if name == "airflow":
        if arguments[:1] == ["celery"] and not _has_celery():
            return ""
        return _refused_by(_airflow_parser(), arguments)
    if name in ("mlflow", "celery"):
        if name == "celery" and not _has_celery():
            return "" if "celery" in _locked() else "celery is not in the lock"
        try:
            _parse_click(name, arguments)
        except click.ClickException as error:
            return f"{shlex.join(words)}: {error.format_message()}"
        return ""
    return f"the image has no command {name}"


def _refused_by(parser: argparse.ArgumentParser, arguments: list[str]) -> str:
    try:
        parser.parse_args(arguments)
    except SystemExit as end:  # 0: help was asked for
        return f"{parser.prog} has no such command: {shlex.join(arguments)}" if end.code else ""
    return ""


def _refused_python(arguments: list[str]) -> str:
    try:
        compile(arguments[arguments.index("-c") + 1], "-c", "exec")
    except SyntaxError as error:
        return f"python -c: {error}"
    return ""


def _parse_click(name: str, arguments: list[str]) -> None:
    if name == "mlflow":
        with warnings.catch_warnings(action="ignore"):  # of its own types
            from mlflow.cli import cli as group
    else:
        from celery.bin.celery import celery as group

        application = arguments.pop(arguments.index("--app") + 1)
        arguments.remove("--app")
        module, _, attribute = application.rpartition(".")
        getattr(importlib.import_module(module), attribute)
    command: Any = group
    context = None
    while hasattr(command, "get_command"):
        command, arguments = command.get_command(context, arguments[0]) or _no_command(arguments[0]), arguments[1:]
    command.make_context(name, list(arguments))


def _no_command(name: str) -> None:
    import click

    raise click.UsageError(f"no command {name}")


def every_command_exists_in_the_image(found: Files) -> list[str]:
    asked = [
        (f"{file}: {name}", words)
        for file, name, service in _all_services(found)
        if service["image"] == IMAGE
        for words in _commands(service)
    ]
    values = _values(found)
    for name in ("scheduler", "dagProcessor", "triggerer", "apiServer"):
        probes = [values[name].get(probe, {}).get("command") for probe in ("livenessProbe", "startupProbe")]
        asked += [(f"values.yaml: {name}", words) for words in (values[name].get("args"), *probes) if words]
    for instruction in ("ENTRYPOINT", "CMD"):
        asked += [(f"Dockerfile: {instruction}", json.loads(line)) for line in _dockerfile(found, instruction)]
    return [f"{where}: {why}" for where, words in asked if (why := _refused(found, words))]


def heartbeats_are_asked_of_what_airflow_reports(found: Files) -> list[str]:
    from airflow.api_fastapi.core_api.datamodels.monitor import HealthInfoResponse

    return [
        f"{file}: {name} asks for {words[1:]}"
        for file, name, service in _all_services(found)
        for words in _commands(service)
        if words[0] == "stockcast-heartbeat"
        and (len(words) != 2 or words[1] not in HealthInfoResponse.model_fields or words[1] != name.replace("-", "_"))
    ]


def _listens_on(name: str, service: Service) -> int | None:
    told = re.search(r"--port[ =]:?(\d+)", " ".join(map(str, service.get("command", []))))
    return int(told[1]) if told else OWN_PORTS.get(name)


def ports_are_published_on_loopback_and_listened_on(found: Files) -> list[str]:
    wrong = []
    for file, name, service in _all_services(found):
        for port in service.get("ports", []):
            address = re.fullmatch(r"127\.0\.0\.1:(\d+):(\d+)", str(port))
            if not address:
                wrong.append(f"{file}: {name} publishes {port}")
            elif int(address[2]) != _listens_on(name, service):
                wrong.append(f"{file}: {name} publishes {address[2]} but listens on {_listens_on(name, service)}")
    return wrong


def addresses_are_services_and_their_ports(found: Files) -> list[str]:
    address = re.compile(r"(?:http|redis|postgresql\+psycopg2)://(?:\w*:\w*@)?([\w.-]+)(?::(\d+))?")
    wrong = []
    for file, name, service in _all_services(found):
        there = services(found, file)
        itself = {"127.0.0.1": service}
        for texts, hosts in (
            ([_environment(service), service.get("command")], there),
            (service.get("healthcheck"), {**there, **itself}),
        ):
            for host, port in address.findall("\n".join(_strings(texts))):
                if host in itself and host not in hosts:  # for browsers, outside
                    continue
                if host not in hosts:
                    wrong.append(f"{file}: {name} speaks to {host}, which is no service")
                elif port and int(port) != _listens_on(name if host in itself else host, hosts[host]):
                    wrong.append(f"{file}: {name} speaks to {host}:{port}, where nothing listens")
    [(host, port)] = re.findall(r'^URL = "http://([\w-]+):(\d+)/', found["heartbeat.py"], re.MULTILINE)
    return wrong + [
        f"{file}: heartbeat.py asks {host}:{port}, where nothing listens"
        for file in COMPOSE
        if _listens_on(host, services(found, file).get(host, {})) != int(port)
    ]


def mlflow_lets_in_those_who_ask(found: Files) -> list[str]:
    return [
        f"{file}: {service['environment']['STOCKCAST_TRACKING_URI']} is not among MLflow's allowed hosts"
        for file, name, service in _all_services(found)
        if name == "mlflow"
        and service["environment"]["STOCKCAST_TRACKING_URI"].removeprefix("http://")
        not in re.search(r"--allowed-hosts=(\S+)", " ".join(service["command"]))[1].split(",")
    ]


def databases_and_buckets_are_made(found: Files) -> list[str]:
    created = set(re.findall(r"^CREATE DATABASE (\w+);$", found["databases.sql"], re.MULTILINE))
    wrong = []
    for file in COMPOSE:
        there = services(found, file)
        made = created | {there["postgres"]["environment"]["POSTGRES_DB"]}
        texts = list(_strings(list(there.values())))
        asked = {name for text in texts for name in re.findall(r"@postgres/(\w+)", text)}
        asked |= {name for text in texts for name in re.findall(r"--dbname (\w+)", text)}
        wrong += [f"{file}: nobody makes the database {name}" for name in asked - made]
        buckets = {name for text in texts for name in re.findall(r"Bucket='(\w+)'", text)}
        wrong += [
            f"{file}: nobody makes the bucket {name}"
            for text in texts
            for name in re.findall(r"s3://(\w+)", text)
            if name not in buckets
        ]
    return wrong


def urls_name_a_driver_that_is_installed(found: Files) -> list[str]:
    """SQLAlchemy's default driver for PostgreSQL is another one, which is not installed; the result backend's URL counts as well."""
    import sqlalchemy as sa

    wrong = []
    for file, name, service in _all_services(found):
        for key, text in _environment(service).items():
            if "postgresql" in str(text):
                try:
                    sa.make_url(text.removeprefix("db+")).get_dialect().import_dbapi()
                except (ImportError, sa.exc.ArgumentError) as error:
                    wrong.append(f"{file}: {name}: {key}: {error}")
    return wrong


# The checks: volumes, order, health, rights


def volumes_are_declared_used_and_where_the_image_writes(found: Files) -> list[str]:
    home = _image_environment(found)["STOCKCAST_HOME"]
    wrong = []
    for file in COMPOSE:
        declared = set(_parsed(found[file])["volumes"])
        users: dict[str, list[str]] = {}
        for name, service in services(found, file).items():
            for volume in service.get("volumes", []):
                source, target = volume.split(":")[:2]
                if source.startswith("."):
                    wrong += [] if (DOCKER / source).exists() else [f"{file}: there is no {source}"]
                    continue
                users.setdefault(source, []).append(name)
                if service["image"] == IMAGE and target != home:
                    wrong.append(f"{file}: {name} writes to {home}, not to {target}")
            folder = _environment(service).get("STOCKCAST_HOME", home)
            wrong += [f"{file}: {name} has another home, {folder}"] if folder != home else []
        wrong += [f"{file}: {name} is not declared" for name in set(users) - declared]
        wrong += [f"{file}: {name} is used by nothing" for name in declared - set(users)]
        if file == CLUSTER:
            wrong += [f"{file}: {name} is shared by {', '.join(by)}" for name, by in users.items() if len(by) > 1]
    return wrong


def paths_in_the_image_are_below_its_folders(found: Files) -> list[str]:
    folders = (_image_environment(found)["STOCKCAST_HOME"], *_dockerfile(found, "WORKDIR"))
    environments = [_image_environment(found), _chart_environment(found)]
    environments += [_environment(service) for _, _, service in _all_services(found) if service["image"] == IMAGE]
    texts = {
        text for environment in environments for text in environment.values() if re.match(r"/(var|opt|home|tmp|srv)\b", str(text))
    }
    texts |= {_values(found)["airflowHome"], _values(found)["config"]["core"]["dags_folder"]}
    return [
        *(f"{text} is no folder of the image" for text in texts if not text.startswith((*folders, "/opt/stockcast/bin"))),
        *(
            f"{where} looks for the DAGs in {path}"
            for where, path in (
                ("the image", _image_environment(found)["AIRFLOW__CORE__DAGS_FOLDER"]),
                ("values.yaml", _values(found)["config"]["core"]["dags_folder"]),
            )
            if path != f"{folders[-1]}/dags" or "COPY dags dags" not in found["Dockerfile"]
        ),
    ]


def who_waits_waits_for_something_that_comes(found: Files) -> list[str]:
    wrong = []
    for file in COMPOSE:
        there = services(found, file)
        for name, service in there.items():
            for other, how in service.get("depends_on", {}).items():
                condition = how["condition"]
                if other not in there:
                    wrong.append(f"{file}: {name} waits for {other}, which is no service")
                elif condition == "service_healthy" and "healthcheck" not in there[other]:
                    wrong.append(f"{file}: {name} waits for the health of {other}, which has no check")
                elif condition == "service_completed_successfully" and there[other].get("restart") != "no":
                    wrong.append(f"{file}: {name} waits for the end of {other}, which is started again")
    return wrong


def every_service_that_stays_has_a_health_check(found: Files) -> list[str]:
    return [
        f"{file}: {name}"
        for file, name, service in _all_services(found)
        if ("healthcheck" in service) == (service.get("restart") == "no")
    ]


def nothing_of_ours_runs_as_root_or_may_become_root(found: Files) -> list[str]:
    [user] = _dockerfile(found, "USER") or [""]
    numbers = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", user)
    values = _values(found)
    pod, container = values["securityContexts"]["pod"], values["securityContexts"]["containers"]
    wrong = [] if numbers else [f"Dockerfile: USER is {user or 'root'}"]
    if numbers and not (f"--uid {numbers[1]} " in found["Dockerfile"] and f"--gid {numbers[2]} " in found["Dockerfile"]):
        wrong.append(f"Dockerfile: nobody makes user {user}")
    if numbers and {values["uid"], pod["runAsUser"], values["gid"], pod["runAsGroup"], pod["fsGroup"]} != {
        *map(int, numbers.groups())
    }:
        wrong.append(f"values.yaml: other users than {user}")
    if pod["runAsNonRoot"] is not True or container != {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}:
        wrong.append("values.yaml: a pod may become root")
    for file, name, service in _all_services(found):
        if service.get("privileged") or str(service.get("user", "")).split(":")[0] in ("0", "root"):
            wrong.append(f"{file}: {name} runs as root")
        bound = service.get("cap_drop") == ["ALL"] and service.get("security_opt") == ["no-new-privileges:true"]
        if not bound and name != "postgres":  # whose image begins as root and then becomes postgres
            wrong.append(f"{file}: {name} keeps its capabilities")
    return wrong


def images_of_others_are_pinned(found: Files) -> list[str]:
    images = {service["image"] for _, _, service in _all_services(found)} - {IMAGE}
    images |= {line.split()[0] for line in _dockerfile(found, "FROM")}
    images.add("{repository}:{tag}".format(**_values(found)["images"]["airflow"]))
    return [image for image in images if not re.search(r":v?\d+[\w.-]*$", image)]


# The checks: Kubernetes


def the_chart_has_every_value(found: Files) -> list[str]:
    def leaves(value: Any, path: str) -> Iterator[str]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from leaves(item, f"{path}.{key}" if path else key)
        else:
            yield path

    known = {key for key in CHART_KEYS if not key.endswith(".*")}
    prefixes = tuple(key.removesuffix("*") for key in CHART_KEYS if key.endswith(".*"))
    return [path for path in leaves(_values(found), "") if path not in known and not path.startswith(prefixes)]


def the_chart_runs_what_is_locked(found: Files) -> list[str]:
    values, locked = _values(found), _locked()
    [version] = re.findall(r'version="([^"]+)"', (ROOT / "setup.py").read_text())
    return [
        *([f"airflowVersion is {values['airflowVersion']}"] if values["airflowVersion"] != locked["apache-airflow"] else []),
        *([f"the image is {values['images']['airflow']['tag']}"] if values["images"]["airflow"]["tag"] != version else []),
        *([f"executor is {values['executor']}"] if values["executor"] != "KubernetesExecutor" else []),
    ]


def every_secret_of_the_chart_is_one_that_the_file_says_to_create(found: Files) -> list[str]:
    created = dict(re.findall(r"kubectl create secret generic (\S+) --from-literal=([\w-]+)=", found["values.yaml"]))
    values = _values(found)
    asked = {
        values["data"]["metadataSecretName"]: "connection",
        values["fernetKeySecretName"]: "fernet-key",
        values["apiSecretKeySecretName"]: "api-secret-key",
        values["jwtSecretName"]: "jwt-secret",
    }
    for entry in values["apiServer"]["env"]:
        if "valueFrom" in entry:
            asked[entry["valueFrom"]["secretKeyRef"]["name"]] = entry["valueFrom"]["secretKeyRef"]["key"]
    [whole] = yaml.safe_load(values["extraEnvFrom"])
    asked[whole["secretRef"]["name"]] = created.get(whole["secretRef"]["name"], "")
    written = [
        entry["name"]
        for entry in [*values["env"], *values["apiServer"]["env"]]
        if re.search("PASSWORD|SECRET|ACCESS_KEY|STORE_URL", entry["name"])
        and "valueFrom" not in entry
        and not entry["name"].endswith("_FILE")
    ]
    return [
        *(f"{name} with {key} is asked for, but not created" for name, key in asked.items() if created.get(name) != key),
        *(f"{name} is created for nothing" for name in created if name not in asked),
        *(f"{name} is written down" for name in written),
    ]


#: Each check, and mistakes that it must find: file, what stands there, what stands there instead.
MISTAKES: dict[Callable[[Files], list[str]], list[tuple[str, str, str]]] = {
    compose_files_fit_the_compose_schema: [
        (SINGLE, "    depends_on:", "    depend_on:"),
        (CLUSTER, "condition: service_healthy", "condition: healthy"),
        (SHARED, "retries: 30", "retires: 30"),
    ],
    hadolint_has_nothing_to_say: [
        ("Dockerfile", "# hadolint ignore=DL3008\n", ""),
        ("Dockerfile", "WORKDIR /src", "WORKDIR src"),
        ("Dockerfile", "USER 10001:10001", "USER root"),
    ],
    what_the_dockerfile_copies_is_there_and_sent: [
        ("Dockerfile", "COPY expectations expectations", "COPY expectation expectations"),
        ("Dockerfile.dockerignore", "!dags\n", ""),
        ("Dockerfile.dockerignore", "!dags\n", "!dags\n!benchmarks\n"),
    ],
    python_and_extras_are_those_of_setup: [
        ("Dockerfile", "FROM python:3.12-slim-bookworm AS", "FROM python:3.9-slim-bookworm AS"),
        ("Dockerfile", "FROM python:3.12-slim-bookworm AS", "FROM python:3.13-slim-bookworm AS"),
        ("Dockerfile", '".[cluster]"', '".[clusters]"'),
    ],
    every_stockcast_variable_is_a_setting: [
        (SINGLE, "STOCKCAST_ARTIFACTS:", "STOCKCAST_ARTEFACTS:"),
        ("values.yaml", "name: STOCKCAST_WORKERS", "name: STOCKCAST_WORKER"),
        (".env.example", "#STOCKCAST_SEED=7", "#STOCKCAST_SEEDS=7"),
    ],
    the_example_lists_every_setting_once_with_its_default: [
        (".env.example", "#STOCKCAST_SEED=7", "#STOCKCAST_SEED=8"),
        (".env.example", "#STOCKCAST_SEED=7\n", ""),
        (".env.example", "#STOCKCAST_SEED=7\n", "#STOCKCAST_SEED=7\n#STOCKCAST_SEED=7\n"),
    ],
    every_variable_of_the_example_is_explained_and_used: [
        (".env.example", "# The password of Airflow's user `admin`.\n", ""),
        (".env.example", "S3_SECRET_KEY=", "S3_SECRET="),
        (SHARED, "${AIRFLOW_ADMIN_PASSWORD:?", "${AIRFLOW_PASSWORD:?"),
    ],
    secrets_are_required_and_have_no_default: [
        (CLUSTER, "redis://:${REDIS_PASSWORD:?set it in docker/.env}@", "redis://:${REDIS_PASSWORD:-redis}@"),
        (SHARED, "${AIRFLOW_JWT_SECRET:?set it in docker/.env}", "${AIRFLOW_JWT_SECRET}"),
        (".env.example", "POSTGRES_PASSWORD=", "POSTGRES_PASSWORD=postgres"),
        (".env.example", "#AIRFLOW_PARALLELISM=4", "AIRFLOW_PARALLELISM=4"),
    ],
    defaults_in_the_example_are_those_of_the_compose_files: [
        (".env.example", "#AIRFLOW_PARALLELISM=4", "#AIRFLOW_PARALLELISM=5"),
        (SHARED, "${STOCKCAST_MLFLOW_PORT:-5000}", "${STOCKCAST_MLFLOW_PORT:-5001}"),
    ],
    every_airflow_variable_is_an_option_of_airflow: [
        (SHARED, "AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__CORE__FERNET"),
        (CLUSTER, "AIRFLOW__LOGGING__REMOTE_LOGGING", "AIRFLOW__LOGGING__REMOTE"),
        ("Dockerfile", "AIRFLOW__CORE__DAGS_FOLDER", "AIRFLOW__CORE__DAG_FOLDER"),
        ("values.yaml", "remote_base_log_folder:", "remote_log_folder:"),
    ],
    every_component_has_the_settings_that_it_must_share: [
        (
            SHARED,
            "      AIRFLOW_ADMIN_PASSWORD:",
            "      AIRFLOW__API__SECRET_KEY: other\n      AIRFLOW_ADMIN_PASSWORD:",
        ),
        (
            CLUSTER,
            "    command: [airflow, celery, worker]\n    environment: *environment\n",
            "    command: [airflow, celery, worker]\n",
        ),
    ],
    every_command_exists_in_the_image: [
        (SHARED, "airflow db migrate", "airflow db upgrade-all"),
        (SHARED, "[airflow, dag-processor]", "[airflow, dag_processor]"),
        (SINGLE, "--skip-serve-logs]", "--without-logs]"),
        (CLUSTER, "--artifacts-destination=", "--artifact-destination="),
        (CLUSTER, "import boto3;", "import boto3 and"),
        (SHARED, "[CMD, stockcast-heartbeat, scheduler]", "[CMD, stockcast-heart, scheduler]"),
        (SHARED, "[stockcast-api-server, --host", "[stockcast-api-server, --hosts"),
        ("values.yaml", "--job-type, TriggererJob", "--job-type, Triggerer"),
        ("Dockerfile", '["stockcast", "--help"]', '["stockast", "--help"]'),
    ],
    heartbeats_are_asked_of_what_airflow_reports: [
        (SHARED, "stockcast-heartbeat, dag_processor]", "stockcast-heartbeat, dag-processor]"),
        (SHARED, "stockcast-heartbeat, triggerer]", "stockcast-heartbeat, scheduler]"),
    ],
    ports_are_published_on_loopback_and_listened_on: [
        (SHARED, "127.0.0.1:${STOCKCAST_AIRFLOW_PORT:-8080}:8080", "${STOCKCAST_AIRFLOW_PORT:-8080}:8080"),
        (SHARED, ":-5000}:5000", ":-5000}:5001"),
        (CLUSTER, "  s3:\n    image", "  s3:\n    ports: [7070]\n    image"),
    ],
    addresses_are_services_and_their_ports: [
        (SHARED, "http://api-server:8080/execution/", "http://airflow:8080/execution/"),
        (SHARED, "http://127.0.0.1:5000/health", "http://127.0.0.1:5001/health"),
        (CLUSTER, "http://s3:7070", "http://s3:9000"),
        (CLUSTER, "@redis:6379", "@redis:6378"),
        ("heartbeat.py", "http://api-server:8080", "http://api-server:8081"),
    ],
    mlflow_lets_in_those_who_ask: [(CLUSTER, "--allowed-hosts=mlflow:5000,", "--allowed-hosts=")],
    databases_and_buckets_are_made: [
        ("databases.sql", "CREATE DATABASE mlflow;", ""),
        (CLUSTER, "s3://stockcast/logs", "s3://logs"),
    ],
    urls_name_a_driver_that_is_installed: [
        (CLUSTER, "db+postgresql+psycopg2://", "db+postgresql://"),
        (SHARED, "SQL_ALCHEMY_CONN: postgresql+psycopg2://", "SQL_ALCHEMY_CONN: postgresql+pg8000://"),
    ],
    volumes_are_declared_used_and_where_the_image_writes: [
        (SINGLE, "  - state:/var/lib/stockcast", "  - data:/var/lib/stockcast"),
        (SINGLE, "  - state:/var/lib/stockcast", "  - state:/opt/stockcast"),
        (SHARED, "./databases.sql:", "./database.sql:"),
        (CLUSTER, "- redis:/data", "- objects:/data"),
    ],
    paths_in_the_image_are_below_its_folders: [
        (SHARED, "BASE_LOG_FOLDER: /var/lib/stockcast/logs", "BASE_LOG_FOLDER: /var/log/stockcast"),
        ("values.yaml", "dags_folder: /opt/app/dags", "dags_folder: /opt/airflow/dags"),
    ],
    who_waits_waits_for_something_that_comes: [
        (SINGLE, "      mlflow:\n        condition: service_healthy", "      tracking:\n        condition: service_healthy"),
        (CLUSTER, "      s3:\n        condition: service_healthy", "      migrate:\n        condition: service_healthy"),
        (SHARED, 'restart: "no"', "restart: always"),
    ],
    every_service_that_stays_has_a_health_check: [
        (SHARED, "    healthcheck:\n      <<: *heartbeat\n      test: [CMD, stockcast-heartbeat, triggerer]\n", ""),
        (CLUSTER, "    stop_grace_period: 5m", '    restart: "no"\n    stop_grace_period: 5m'),
    ],
    nothing_of_ours_runs_as_root_or_may_become_root: [
        ("Dockerfile", "USER 10001:10001\n", ""),
        ("Dockerfile", "--uid 10001 ", "--uid 10002 "),
        ("values.yaml", "runAsUser: 10001", "runAsUser: 0"),
        ("values.yaml", "runAsNonRoot: true", "runAsNonRoot: false"),
        (CLUSTER, "    user: redis", "    user: root"),
        (SHARED, "    cap_drop: [ALL]\n", ""),
    ],
    images_of_others_are_pinned: [
        (CLUSTER, "versitygw:v1.8.0", "versitygw:latest"),
        (SHARED, "postgres:18-bookworm", "postgres"),
        ("values.yaml", "tag: 0.1.0", "tag: latest"),
    ],
    the_chart_has_every_value: [
        ("values.yaml", "metadataSecretName:", "metadataSecret:"),
        ("values.yaml", "dagProcessor:\n", "dagProcessors:\n"),
    ],
    the_chart_runs_what_is_locked: [
        ("values.yaml", "airflowVersion: 3", "airflowVersion: 2"),
        ("values.yaml", "tag: 0.1.0", "tag: 0.0.1"),
        ("values.yaml", "executor: KubernetesExecutor", "executor: LocalExecutor"),
    ],
    every_secret_of_the_chart_is_one_that_the_file_says_to_create: [
        ("values.yaml", "jwtSecretName: stockcast-jwt-secret", "jwtSecretName: stockcast-jwt"),
        ("values.yaml", "--from-literal=password=", "--from-literal=pass="),
        ("values.yaml", "name: STOCKCAST_WORKERS\n", "name: STOCKCAST_STORE_URL\n"),
    ],
}


@pytest.mark.parametrize("check", MISTAKES, ids=lambda check: check.__name__)
def test_the_container_files_hold(check):
    assert check(files()) == []


@pytest.mark.parametrize(
    ("check", "name", "right", "wrong"),
    [
        pytest.param(check, *mistake, id=f"{check.__name__}-{n}")
        for check, all_ in MISTAKES.items()
        for n, mistake in enumerate(all_)
    ],
)
def test_each_check_finds_a_mistake(check, name, right, wrong):
    found = files()
    assert right in found[name]
    try:
        told = check({**found, name: found[name].replace(right, wrong)})
    except KeyError as error:  # what a check needs is not there under its name
        told = [str(error)]
    assert told != []


def test_the_settings_of_every_container_are_read_without_complaint():
    for _, _, service in _all_services(files()):
        environment = {key: str(value) for key, value in _environment(service).items()}
        if environment.get("STOCKCAST_HOME"):
            assert Settings.from_env(environment).home == Path("/var/lib/stockcast")
    settings = {name: value for name, value in _chart_environment(files()).items() if name.startswith(PREFIX)}
    assert Settings.from_env(settings).artifacts == "s3://stockcast/artifacts"


def test_the_cluster_is_one_of_celery_and_keeps_nothing_on_a_workers_disk():
    worker = services(files(), CLUSTER)["worker"]
    environment = worker["environment"]
    assert "volumes" not in worker and "container_name" not in worker and "ports" not in worker  # or it could not be scaled
    assert (
        environment["AIRFLOW__CORE__EXECUTOR"],
        services(files(), SINGLE)["scheduler"]["environment"]["AIRFLOW__CORE__EXECUTOR"],
    ) == (
        "CeleryExecutor",
        "LocalExecutor",
    )
    places = ("STOCKCAST_ARTIFACTS", "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER")
    assert all(environment[place].startswith("s3://") for place in places)


def test_the_store_of_one_host_may_be_a_file_in_its_volume():
    for text in (files()[".env.example"], (ROOT / "README.md").read_text(encoding="utf-8")):
        [path] = re.findall(r"sqlite:///(/[\w/.]+)", text)
        [volume] = services(files(), SINGLE)["scheduler"]["volumes"]
        assert Path(path).parent == Path(volume.split(":")[1])
    assert "${STOCKCAST_STORE_URL:-" in files()[SHARED]


def test_the_readme_starts_what_there_is():
    lines = re.findall(r"^docker compose .*?(?=  |$)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    started = {re.search(r"--file docker/(\S+)", line)[1]: re.findall(r"--scale (\w+)=", line) for line in lines}
    assert started == {SINGLE: [], CLUSTER: ["worker"]}
    assert "worker" in services(files(), CLUSTER)


def test_every_package_of_the_cluster_is_locked():
    text = (ROOT / "setup.py").read_text()
    wanted = [Requirement(line) for line in re.findall(r'"([^"]+)"', re.search(r'"cluster": \[(.*?)\]', text, re.DOTALL)[1])]
    assert [str(need) for need in wanted if _locked().get(need.name, "0") not in need.specifier] == []


# The two programs of ours in the image


def test_the_api_servers_command_writes_the_password_for_its_user_alone_and_starts_airflow(tmp_path):
    airflow = tmp_path / "airflow"
    airflow.write_text('#!/bin/sh\necho "$@"\n')
    airflow.chmod(0o755)
    (tmp_path / "python").symlink_to(sys.executable)
    passwords = tmp_path / "passwords.json"
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "AIRFLOW_ADMIN_PASSWORD": """it's "any" \\ $HOME""",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }
    command = [DOCKER / "api-server.sh", "--port", "8080"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "api-server --port 8080\n"
    assert json.loads(passwords.read_text()) == {"admin": environment["AIRFLOW_ADMIN_PASSWORD"]}
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    refused = subprocess.run(command, env={**environment, "AIRFLOW_ADMIN_PASSWORD": ""}, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "AIRFLOW_ADMIN_PASSWORD: is the password of the user admin; set it" in refused.stderr


@pytest.mark.parametrize(("status", "code"), [("healthy", 0), ("unhealthy", 1)])
def test_a_heartbeat_is_what_the_api_server_says_of_it(status, code):
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"scheduler": {"status": status}, "triggerer": {"status": "healthy"}}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/"
            command = [sys.executable, DOCKER / "heartbeat.py", "scheduler", url]
            told = subprocess.run(command, capture_output=True, text=True, timeout=30)
        finally:
            server.shutdown()
            thread.join()
    assert (told.returncode, told.stderr) == (code, "" if code == 0 else "scheduler is unhealthy\n")
