"""A command line in a home of its own."""

import shlex
from pathlib import Path

import pytest

from tests.made_prices import random_walk


@pytest.fixture
def folder(tmp_path):
    """Files of made prices, as a user may have them."""
    made = tmp_path / "prices"
    made.mkdir()
    for seed, ticker in enumerate(("IBM", "KO")):
        random_walk(seed, 120).to_csv(made / f"{ticker}.csv", index=False)
    return made


class CommandLine:
    """Runs a command line in this process; returns (exit code, stdout, stderr)."""

    def __init__(self, home: Path, capsys) -> None:
        self.home = home
        self._capsys = capsys

    def __call__(self, line: str) -> tuple[int, str, str]:
        from pipeline.cli import main

        code = main(shlex.split(line))
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err


@pytest.fixture
def call(tmp_path, capsys, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("STOCKCAST_HOME", str(home))
    monkeypatch.setenv("STOCKCAST_STORE_URL", f"sqlite:///{home}/store.db")
    monkeypatch.setenv("STOCKCAST_TRACKING_URI", f"sqlite:///{home}/mlflow.db")
    return CommandLine(home, capsys)
