"""The commands, ports and addresses of the container files: each exists, and leads somewhere."""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import json
import re
import shlex
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipeline.scheduling import preloaded_airflow
from pipeline.tracking import server, upgrade
from tests.docker.container_files import (
    CLUSTER,
    COMPOSE,
    IMAGES,
    SHARED,
    SINGLE,
    Files,
    Service,
    all_services,
    commands,
    dockerfile,
    environment,
    files,
    has_celery,
    holds,
    locked,
    services,
    strings,
    values,
)
from tests.made_settings import settings_of

#: What a service listens on that does not say so in its command.
OWN_PORTS = {"postgres": 5432, "redis": 6379}
#: Commands of the base image that the files use.
BASE_COMMANDS = {"sh", "python", "tini"}


# Commands


def _scripts(texts: Files) -> set[str]:
    """Return the commands that the Dockerfile puts into the image."""
    lines = dockerfile(texts, "COPY")
    matches = (re.search(r"(\S+) /usr/local/bin/(\S+)$", line) for line in lines)
    return {match[2] for match in matches if match}


@cache
def _airflow_parser() -> Any:
    from airflow.cli.cli_parser import get_parser

    return get_parser()


def _refused(texts: Files, words: list[str]) -> str:
    """Return why the image would not run a command; "" where it would."""
    name, *arguments = words
    if name == "python":
        return _refused_python(arguments)
    if name in BASE_COMMANDS:
        return ""
    if name in _scripts(texts):
        is_server = name == "stockcast-api-server"
        return _refused(texts, ["airflow", "api-server", *arguments]) if is_server else ""
    if name == "stockcast":
        return _refused_stockcast(arguments)
    if name == "airflow":
        if arguments[:1] == ["celery"] and not has_celery():
            return ""
        return _refused_by(_airflow_parser(), arguments)
    if name == "celery" and not has_celery():
        return "" if "celery" in locked() else "celery is not in the lock"
    if name in ("mlflow", "celery"):
        return _refused_click(name, arguments)
    return f"the image has no command {name}"


def _refused_by(parser: argparse.ArgumentParser, arguments: list[str]) -> str:
    try:
        parser.parse_args(arguments)
    except SystemExit as end:  # 0: help was asked for
        return f"{parser.prog} has no such command: {shlex.join(arguments)}" if end.code else ""
    return ""


def _refused_stockcast(arguments: list[str]) -> str:
    from pipeline.cli import main

    try:
        code = main([*arguments, "--help"])
    except SystemExit as end:
        code = end.code
    return f"stockcast has no such command: {shlex.join(arguments)}" if code else ""


def _refused_python(arguments: list[str]) -> str:
    if arguments[:2] == ["-m", preloaded_airflow.__name__]:
        return _refused(files(), ["airflow", *arguments[2:]])
    if arguments == ["-m", upgrade.__name__]:
        return ""
    if arguments[:2] == ["-m", server.__name__]:
        return _refused_click("mlflow", ["server", *arguments[2:]])
    if arguments[0] != "-c":
        return f"python runs no such module: {shlex.join(arguments)}"
    try:
        compile(arguments[1], "-c", "exec")
    except SyntaxError as error:
        return f"python -c: {error}"
    return ""


def _refused_click(name: str, arguments: list[str]) -> str:
    import click

    try:
        _parse_click(name, list(arguments))
    except click.ClickException as error:
        return f"{name} {shlex.join(arguments)}: {error.format_message()}"
    return ""


def _parse_click(name: str, arguments: list[str]) -> None:
    import click

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
    while hasattr(command, "get_command"):
        word = arguments.pop(0)
        command = command.get_command(None, word)
        if command is None:
            raise click.UsageError(f"no command {word}")
    command.make_context(name, arguments)


def _all_commands(texts: Files) -> Iterator[tuple[str, list[str]]]:
    """Yield place and words of every command that runs in the image."""
    for file, name, service in all_services(texts):
        if service["image"] in IMAGES:
            yield from ((f"{file}: {name}", words) for words in commands(service))
    chart = values(texts)
    for name in ("scheduler", "dagProcessor", "triggerer", "apiServer"):
        probes = (chart[name].get(probe, {}) for probe in ("livenessProbe", "startupProbe"))
        for words in (chart[name].get("args"), *(probe.get("command") for probe in probes)):
            if words:
                yield f"values.yaml: {name}", words
    for instruction in ("ENTRYPOINT", "CMD"):
        for line in dockerfile(texts, instruction):
            yield f"Dockerfile: {instruction}", json.loads(line)


def command_faults(texts: Files) -> list[str]:
    reasons = ((place, _refused(texts, words)) for place, words in _all_commands(texts))
    return [f"{place}: {reason}" for place, reason in reasons if reason]


@pytest.mark.slow
def test_every_command_exists_in_the_image():
    holds(
        command_faults,
        (SHARED, "airflow db migrate", "airflow db upgrade-all"),
        (SHARED, "preloaded_airflow, dag-processor]", "preloaded_airflow, dag_processor]"),
        (SINGLE, "--skip-serve-logs]", "--without-logs]"),
        (CLUSTER, "--artifacts-destination=", "--artifact-destination="),
        (CLUSTER, "import boto3;", "import boto3 and"),
        (SHARED, "preloaded_airflow, celery", "preloading_airflow, celery"),
        (SHARED, "[CMD, stockcast-heartbeat, scheduler]", "[CMD, stockcast-heart, scheduler]"),
        (SHARED, "[stockcast-api-server, --host", "[stockcast-api-server, --hosts"),
        ("values.yaml", "--job-type, TriggererJob", "--job-type, Triggerer"),
        ("Dockerfile", '["stockcast", "--help"]', '["stockast", "--help"]'),
        ("Dockerfile", '["stockcast", "--help"]', '["stockcast", "forecats"]'),
    )


def heartbeat_faults(texts: Files) -> list[str]:
    from airflow.api_fastapi.core_api.datamodels.monitor import HealthInfoResponse

    reported = set(HealthInfoResponse.model_fields)
    faults = []
    for file, name, service in all_services(texts):
        for program, *asked in commands(service):
            right = asked == [name.replace("-", "_")] and set(asked) <= reported
            if program == "stockcast-heartbeat" and not right:
                faults.append(f"{file}: {name} asks for {asked}")
    return faults


@pytest.mark.slow
def test_heartbeats_are_asked_of_what_airflow_reports():
    holds(
        heartbeat_faults,
        (SHARED, "stockcast-heartbeat, dag_processor]", "stockcast-heartbeat, dag-processor]"),
        (SHARED, "stockcast-heartbeat, triggerer]", "stockcast-heartbeat, scheduler]"),
    )


# Ports and addresses


def _listens_on(name: str, service: Service) -> int | None:
    words = " ".join(map(str, service.get("command", [])))
    match = re.search(r"--port[ =]:?(\d+)", words)
    return int(match[1]) if match else OWN_PORTS.get(name)


def port_faults(texts: Files) -> list[str]:
    faults = []
    for file, name, service in all_services(texts):
        own = _listens_on(name, service)
        for port in service.get("ports", []):
            address = re.fullmatch(r"127\.0\.0\.1:(\d+):(\d+)", str(port))
            if not address:
                faults.append(f"{file}: {name} publishes {port}")
            elif int(address[2]) != own:
                faults.append(f"{file}: {name} publishes {address[2]} but listens on {own}")
    return faults


def test_ports_are_published_on_loopback_and_listened_on():
    port = "${STOCKCAST_AIRFLOW_PORT:-8080}:8080"
    holds(
        port_faults,
        (SHARED, f"127.0.0.1:{port}", port),
        (SHARED, ":-5000}:5000", ":-5000}:5001"),
        (CLUSTER, "  s3:\n    image", "  s3:\n    ports: [7070]\n    image"),
    )


def address_faults(texts: Files) -> list[str]:
    address = re.compile(r"(?:http|redis|postgresql\+psycopg2)://(?:\w*:\w*@)?([\w.-]+)(?::(\d+))?")
    itself = "127.0.0.1"
    faults = []
    for file, name, service in all_services(texts):
        others = services(texts, file)
        inside = "\n".join(strings([environment(service), service.get("command")]))
        health = "\n".join(strings(service.get("healthcheck")))
        # Outside of a health check, 127.0.0.1 is for browsers.
        found = [pair for pair in address.findall(inside) if pair[0] != itself]
        for host, port in found + address.findall(health):
            target = name if host == itself else host
            if target not in others:
                faults.append(f"{file}: {name} speaks to {host}, which is no service")
            elif port and int(port) != _listens_on(target, others[target]):
                faults.append(f"{file}: {name} speaks to {host}:{port}, where nothing listens")
    pattern = r'^URL = "http://([\w-]+):(\d+)/'
    [(host, port)] = re.findall(pattern, texts["heartbeat.py"], re.MULTILINE)
    return faults + [
        f"{file}: heartbeat.py asks {host}:{port}, where nothing listens"
        for file in COMPOSE
        if _listens_on(host, services(texts, file).get(host, {})) != int(port)
    ]


def test_addresses_are_services_and_their_ports():
    holds(
        address_faults,
        (SHARED, "http://api-server:8080/execution/", "http://airflow:8080/execution/"),
        (SHARED, "http://127.0.0.1:5000/health", "http://127.0.0.1:5001/health"),
        (CLUSTER, "http://s3:7070", "http://s3:9000"),
        (CLUSTER, "@redis:6379", "@redis:6378"),
        ("heartbeat.py", "http://api-server:8080", "http://api-server:8081"),
    )


def host_faults(texts: Files) -> list[str]:
    faults = []
    for file, name, service in all_services(texts):
        if name == "mlflow":
            settings = settings_of(environment(service))
            for url in (settings.tracking_uri, settings.mlflow_public_url):
                if not any(
                    fnmatch.fnmatch(urlsplit(url).netloc, allowed)
                    for allowed in server.allowed_hosts(settings)
                ):
                    faults.append(f"{file}: {url} is not among MLflow's allowed hosts")
            if server.__name__ not in service["command"]:
                faults.append(f"{file}: MLflow has no login")
    return faults


def test_mlflow_lets_in_those_who_ask_and_have_its_login():
    holds(
        host_faults,
        (
            CLUSTER,
            f"      - python\n      - -m\n      - {server.__name__}",
            "      - mlflow\n      - server",
        ),
    )


def database_faults(texts: Files) -> list[str]:
    statement = r"^CREATE DATABASE (\w+) OWNER \1;$"
    created = set(re.findall(statement, texts["databases.sql"], re.MULTILINE))
    faults = []
    for file in COMPOSE:
        there = services(texts, file)
        text = "\n".join(strings(list(there.values())))
        asked = {*re.findall(r"@postgres/(\w+)", text), *re.findall(r"--dbname (\w+)", text)}
        faults += [f"{file}: nobody makes the database {name}" for name in asked - created]
        buckets = set(re.findall(r"Bucket='(\w+)'", text))
        used = set(re.findall(r"s3://(\w+)", text))
        faults += [f"{file}: nobody makes the bucket {name}" for name in used - buckets]
    return faults


def test_databases_and_buckets_are_made():
    holds(
        database_faults,
        ("databases.sql", "CREATE DATABASE mlflow OWNER mlflow;", ""),
        (CLUSTER, "s3://stockcast/logs", "s3://logs"),
    )


def driver_faults(texts: Files) -> list[str]:
    """SQLAlchemy's default driver for PostgreSQL is another one, which is not installed."""
    import sqlalchemy as sa

    faults = []
    for file, name, service in all_services(texts):
        for key, text in environment(service).items():
            if "postgresql" in str(text):
                url = text.removeprefix("db+")  # the result backend's URL counts as well
                try:
                    sa.make_url(url).get_dialect().import_dbapi()
                except (ImportError, sa.exc.ArgumentError) as error:
                    faults.append(f"{file}: {name}: {key}: {error}")
    return faults


def test_urls_name_a_driver_that_is_installed():
    url = "SQL_ALCHEMY_CONN: postgresql+psycopg2://"
    holds(
        driver_faults,
        (CLUSTER, "db+postgresql+psycopg2://", "db+postgresql://"),
        (SHARED, url, url.replace("psycopg2", "pg8000")),
    )
