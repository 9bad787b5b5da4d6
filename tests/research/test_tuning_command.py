"""`tune` on the command line."""

import datetime as dt
import shlex

import pytest

from pipeline.research import SearchRequest, SearchResult


@pytest.fixture
def call(tmp_path, monkeypatch):
    from pipeline.cli import main

    monkeypatch.setenv("STOCKCAST_HOME", str(tmp_path))
    return lambda line: main(shlex.split(line))


def test_the_command_asks_for_what_its_flags_say(call, monkeypatch, capsys):
    asked = []

    def tune(parts, universe, recipe, request, now):
        asked.append((universe.tickers, universe.target, recipe.name, request, parts.settings.seed))
        return SearchResult((), recipe, "The result.", "tuning/x", "tuning/x/castilla_tuned.py")

    monkeypatch.setattr("pipeline.research.tune", tune)
    flags = "--recipe castilla --tickers IBM --trials 4 --folds 2 --seed 3"
    assert call(f"tune {flags} --from 2005-01-03 --to 2012-12-31") == 0
    request = SearchRequest(4, 2, dt.date(2005, 1, 3), dt.date(2012, 12, 31))
    assert asked == [(("IBM",), "close", "castilla", request, 3)]
    printed = capsys.readouterr().out
    assert "The result." in printed and "tuning/x/castilla_tuned.py" in printed


def test_no_trials_are_refused(call):
    assert call("tune --trials 0") == 2
