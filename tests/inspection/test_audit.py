"""The audit finds every published leak, and finds nothing in what is honest."""

import datetime as dt

import pytest

from pipeline.errors import NotEnoughHistory
from pipeline.inspection import AuditReport, ComparedOutput, audit, nothing_to_audit
from pipeline.inspection.audit import AUDITED_TRAINING_WINDOWS, shortened
from pipeline.models import DEFAULT, RECIPES
from tests.made_audits import audited_universe, made_bars, moved_outputs, small_audit

SPLIT_OUTPUTS = {"training files", "network files", "losses by epoch"}
WINDOW_OUTPUTS = {"inputs", "forecasts", "weights", "calibrated forecasts"}
CUTOFF = dt.date(2012, 7, 2)


def report_of(*moves):
    """Return a report with an output of 1,500 cells for each of these moves ("": none)."""
    lines = [ComparedOutput("split", CUTOFF, "inputs", 1500, moved) for moved in moves]
    return AuditReport("castilla", tuple(lines))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES.price_modes, ids=lambda recipe: recipe.name)
def test_an_honest_recipe_moves_nothing_and_a_faithful_one_is_caught(parts, recipe):
    report = small_audit(parts, recipe, "split", "window")
    assert {(line.level, line.what) for line in report.compared} == {
        *(("split", what) for what in SPLIT_OUTPUTS | WINDOW_OUTPUTS),
        *(("window", what) for what in WINDOW_OUTPUTS),
    }
    assert all(line.cells > 0 for line in report.compared)
    if not recipe.leak:
        assert report.moved == []
    else:  # all published leaks are of the normalisation, which every input shows
        assert "inputs" in moved_outputs(report, "window")
        caught = {"training files", "inputs", "losses by epoch"}
        assert caught <= moved_outputs(report, "split")


@pytest.mark.parametrize("recipe", RECIPES.for_exercises, ids=lambda recipe: recipe.name)
def test_a_recipe_that_makes_its_own_examples_has_nothing_to_audit(recipe):
    verdict = nothing_to_audit(recipe).verdict()
    assert verdict.startswith(f"{recipe.name}: nothing to audit. It makes its own examples")


def test_the_verdict_counts_what_moved():
    honest, leaking = report_of("", ""), report_of("", "AAA: 1.0 -> 2.0")
    assert honest.verdict() == "castilla: nothing moved in 2 outputs of 3,000 cells."
    assert leaking.verdict() == "castilla looks ahead: 1 of 2 outputs moved (split)."
    assert [line.moved for line in leaking.moved] == ["AAA: 1.0 -> 2.0"]


def test_the_table_has_a_row_per_output():
    table = report_of("", "AAA: 1.0 -> 2.0").table()
    assert table.to_dict("list") == {
        "level": ["split"] * 2,
        "cutoff": [CUTOFF] * 2,
        "what": ["inputs"] * 2,
        "cells": [1500] * 2,
        "moved": ["nothing", "AAA: 1.0 -> 2.0"],
    }


@pytest.mark.parametrize("level", ["session", "split"])
def test_too_little_history_names_the_ticker_and_what_is_needed(parts, level):
    recipe = RECIPES.for_price("sezer-dis")
    universe, bars = audited_universe(recipe, "AAA"), made_bars("AAA", count=300)
    with pytest.raises(NotEnoughHistory, match=r"AAA: 300 sessions.* needed to audit sezer-dis"):
        audit(parts, recipe, universe, bars, levels=[level])


def test_training_is_shortened_and_windows_are_not():
    short = shortened(DEFAULT, 2)
    assert (short.epochs, short.fine_tuning.epochs) == (2, 1)
    assert short.split.min_train_windows == AUDITED_TRAINING_WINDOWS
    for part in ("window", "normalisation", "network"):
        assert getattr(short, part) == getattr(DEFAULT, part)
    assert shortened(RECIPES.for_price("ganegedara-average"), 2).epochs == 0


@pytest.mark.slow
def test_remarks_name_the_tickers_and_what_was_left_out(parts):
    report = small_audit(parts, RECIPES.for_price("castilla"), "split")
    assert report.remarks[0] == "tickers: AAA"
    assert "training: 1 of " in report.remarks[1] and "--epochs" in report.remarks[1]
    assert report.remarks[2].startswith("split and window level: the newest ")
