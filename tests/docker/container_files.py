"""The container files, read as docker compose, docker and Helm read them.

That they work on a real engine is shown by `make containers-test`; here stands what no engine
tells, such as who is given which secret. A check takes the files and returns the faults that it
finds; `holds` asks for none in the files as they are, and for some with one line wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
SINGLE, CLUSTER, SHARED = "compose.single.yaml", "compose.cluster.yaml", "services.yaml"
COMPOSE = (SINGLE, CLUSTER)
#: With what tasks need, and without.
IMAGES = {"stockcast:latest", "stockcast:latest-slim"}
PLACEHOLDER = "placeholder"

Files = dict[str, str]
Service = dict[str, Any]


def files() -> Files:
    """Return the text of each file, by name."""
    paths = sorted(path for path in DOCKER.iterdir() if path.is_file())
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def holds(check: Callable[[Files], list[str]], *mistakes: tuple[str, str, str]) -> None:
    """Assert that a check finds nothing in the files as they are, and each of these mistakes.

    Args:
        mistakes: a file, a text of it, and the wrong text in its place.
    """
    right = files()
    assert check(right) == []
    for name, text, wrong in mistakes:
        assert text in right[name], (name, text)
        try:
            faults = check({**right, name: right[name].replace(text, wrong)})
        except KeyError as error:  # what a check needs is not there under its name
            faults = [str(error)]
        assert faults != [], (name, wrong)


@cache
def parsed(text: str) -> dict[str, Any]:
    """Return the YAML of a text."""
    document: dict[str, Any] = yaml.safe_load(text)
    return document


# Compose files


def services(texts: Files, name: str) -> dict[str, Service]:
    """Return the services of a compose file with what they extend.

    Every ${VARIABLE} is replaced by its default or a placeholder.
    """
    return {key: _filled(service) for key, service in unfilled_services(texts, name).items()}


def unfilled_services(texts: Files, name: str) -> dict[str, Service]:
    """Return the services of a compose file with what they extend, and with their variables."""
    listed = parsed(texts[name])["services"]
    return {key: _extended(texts, name, service) for key, service in listed.items()}


def all_services(texts: Files) -> Iterator[tuple[str, str, Service]]:
    """Yield file, name and service of both compose files."""
    for file in COMPOSE:
        for name, service in services(texts, file).items():
            yield file, name, service


def environment(service: Service) -> dict[str, str]:
    """Return a service's own variables."""
    variables: dict[str, str] = service.get("environment", {})
    return variables


def interpolations(text: str) -> Iterator[tuple[str, str]]:
    """Yield every variable that docker compose fills in, with what follows its name.

    That is ":?..." (required), ":-default" or nothing.
    """
    code = re.sub(r"(?m)(^|\s)#.*", "", text)
    for match in re.finditer(r"(?<!\$)\$\{?(\w+)((?::[-?][^${}]*)?)", code):
        yield match[1], match[2]


def strings(value: Any) -> Iterator[str]:
    """Yield every text of a YAML value."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)
    elif value is not None:
        yield str(value)


def _extended(texts: Files, file: str, service: Service) -> Service:
    if "extends" not in service:
        return service
    extended = service["extends"]
    base = extended if isinstance(extended, dict) else {"service": extended}
    origin = base.get("file", file)
    whole = _extended(texts, origin, parsed(texts[origin])["services"][base["service"]])
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
        value = match["rest"] if match["kind"] == "-" else PLACEHOLDER
        text = text[: match.start()] + value + text[match.end() :]
    return text.replace("$$", "$")


# The Dockerfile and the chart


def dockerfile(texts: Files, instruction: str) -> list[str]:
    """Return the arguments of every instruction of a kind."""
    joined = re.sub(r"\\\n\s*", "", texts["Dockerfile"])
    return re.findall(rf"^{instruction} (.*)$", joined, re.MULTILINE)


def image_environment(texts: Files) -> dict[str, str]:
    """Return the variables that the image sets."""
    words = (word for line in dockerfile(texts, "ENV") for word in line.split())
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def values(texts: Files) -> dict[str, Any]:
    """Return the values for the Helm chart."""
    return parsed(texts["values.yaml"])


def chart_keys() -> list[str]:
    """Return the names of the chart's values that the file may use.

    A name that ends in .* may have anything below it.
    """
    lines = Path(__file__).with_name("airflow_chart_keys.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def chart_environment(texts: Files) -> dict[str, str]:
    """Return the variables that the chart gives to pods."""
    entries = [*values(texts)["env"], *values(texts)["apiServer"]["env"]]
    return {entry["name"]: entry.get("value", "") for entry in entries}


def example(text: str) -> list[tuple[str, str, str]]:
    """Return variable, value and mark of every line of .env.example that is no text.

    The mark is "#" where the variable is not set.
    """
    lines = re.findall(r"^(#?)([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE)
    return [(name, value, mark) for mark, name, value in lines]


# What is installed


def locked() -> dict[str, str]:
    """Return the versions that the image's lock pins."""
    text = (DOCKER / "requirements.lock").read_text()
    return dict(re.findall(r"^([\w.\[\]-]+)==([^\s;]+)", text, re.MULTILINE))


def has_celery() -> bool:
    """Return whether the `cluster` extra is installed here: `make test` does without it."""
    return find_spec("airflow.providers.celery") is not None
