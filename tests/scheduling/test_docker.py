"""The container setup, as far as it can be checked by reading."""

import re
from pathlib import Path

import yaml

from pipeline.settings import variables

DOCKER = Path(__file__).parents[2] / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())


def test_the_example_lists_every_setting_once():
    listed = re.findall(r"^#?(STOCKCAST_[A-Z_]+)=", (DOCKER / ".env.example").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(variables())


def test_every_port_is_published_on_loopback_only():
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_secret_is_required_and_none_has_a_default():
    text = (DOCKER / "compose.yaml").read_text()
    secrets = re.findall(r"\$\{([A-Z_]*(?:PASSWORD|KEY|SECRET)[A-Z_]*)([^}]*)\}", text)
    assert {name for name, _ in secrets} == {
        "POSTGRES_PASSWORD",
        "AIRFLOW_ADMIN_PASSWORD",
        "AIRFLOW_FERNET_KEY",
        "AIRFLOW_API_SECRET_KEY",
        "AIRFLOW_JWT_SECRET",
    }
    assert all(rest.startswith(":?") for _, rest in secrets)
    empty = re.findall(r"^([A-Z_]+)=(.*)$", (DOCKER / ".env.example").read_text(), re.MULTILINE)
    assert dict(empty) == dict.fromkeys([name for name, _ in dict(secrets).items()], "")


def test_the_image_does_not_run_as_root():
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER ")] == ["USER stockcast"]
