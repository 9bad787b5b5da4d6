"""`audit` on the command line prints the first cell that moved, and fails."""

import json
import re
import shlex

import pytest

from pipeline.models import RECIPES
from tests.made_prices import random_walk


@pytest.fixture
def call(tmp_path, capsys, monkeypatch):
    """Return a function that runs `audit`; it returns the code and the output."""
    from pipeline.cli import main

    files = tmp_path / "prices"
    files.mkdir()
    random_walk(3, 700).to_csv(files / "IBM.csv", index=False)
    monkeypatch.setenv("STOCKCAST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STOCKCAST_WORKERS", "1")
    monkeypatch.setenv("STOCKCAST_SOURCE", "csv")
    monkeypatch.setenv("STOCKCAST_DATA", str(files))

    def run(line):
        code = main(shlex.split(f"audit {line}"))
        return code, capsys.readouterr().out

    return run


def test_a_recipe_that_makes_its_own_examples_has_nothing_to_audit(call):
    name = RECIPES.for_exercises[0].name
    code, output = call(name)
    assert code == 0
    assert output.startswith(f"{name}: nothing to audit. It makes its own examples")


@pytest.mark.slow
def test_the_command_prints_the_first_cell_that_moved_and_fails(call):
    code, output = call("ganegedara-average --cutoffs 1 --horizon 1")
    assert code == 0 and re.search(r"nothing moved in \d+ outputs of [\d,]+ cells", output)
    assert "session level: the newest" in output and "tickers: IBM" in output
    code, output = call("ganegedara-average.faithful --cutoffs 1 --horizon 1 --format json")
    rows = {(row["level"], row["what"]): row["moved"] for row in json.loads(output)}
    assert code == 1
    # A dataset ends at its session, so a leak inside it cannot reach beyond.
    assert rows["session", "datasets"] == "nothing"
    assert " -> " in rows["split", "inputs"] and " -> " in rows["window", "inputs"]
