"""Style, formatting and types, as `make lint` checks them, for CI."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("command", ["ruff check .", "ruff format --check ."])
def test_the_code_is_in_style(command):
    assert problems_of(command) == ""


@pytest.mark.slow
def test_types_are_right():
    assert problems_of("mypy") == ""


def test_make_lint_checks_the_same():
    rule = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nlint:")[2]
    commands = [line.strip() for line in rule.partition("\n\n")[0].splitlines()[1:]]
    assert commands == [
        f"$(PY) -m {each}" for each in ("ruff check .", "ruff format --check .", "mypy")
    ]


def problems_of(command: str) -> str:
    """Return what a checker prints about the project, or nothing where all is well."""
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout + done.stderr if done.returncode else ""
