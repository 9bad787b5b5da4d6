"""The gate's tests: without a network, and judged by Great Expectations and without it."""

from __future__ import annotations

import socket
from typing import Any

import pandas as pd
import pytest

from pipeline.quality import gate, light_validation, validation
from pipeline.quality.rules import BrokenRule


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections: Great Expectations has reported its use in earlier versions."""

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"a connection was tried: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(autouse=True)
def compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every table of these tests judged both ways: with the same rows for the same rules."""

    def broken_rules(table: pd.DataFrame, suite: dict[str, Any]) -> list[BrokenRule]:
        broken = validation.broken_rules(validation.validate(table, suite))
        assert light_validation.light_broken_rules(table, suite) == broken
        return broken

    monkeypatch.setattr(gate, "_broken_rules", broken_rules)
