"""The split and the window level: leaks into training, and into single windows, are found."""

import dataclasses
import re

import pytest

from pipeline.models import RECIPES, Optimiser
from pipeline.models.optimisation import HalvedOnPlateau
from pipeline.windows import BlockMinMax
from tests.made_audits import moved_outputs, small_audit

WATCHING = Optimiser("SGD", HalvedOnPlateau(2.0, least=1e-6, patience=1, watches="test"))


@pytest.mark.slow
@pytest.mark.parametrize(("watches", "is_caught"), [("test", True), ("validation", False)])
def test_a_learning_rate_that_watches_the_test_loss_is_caught(parts, watches, is_caught):
    schedule = dataclasses.replace(WATCHING.schedule, watches=watches)
    recipe = dataclasses.replace(
        RECIPES.for_price("castilla"),
        name="peeking",
        optimiser=dataclasses.replace(WATCHING, schedule=schedule),
    )
    report = small_audit(parts, recipe, "split", "window", epochs=6)
    moved = moved_outputs(report, "split")
    assert ("training files" in moved) == is_caught
    assert ("network files" in moved) == is_caught
    assert "inputs" not in moved and moved_outputs(report, "window") == set()


@pytest.mark.slow
def test_a_training_part_that_reaches_into_the_test_part_is_caught(parts, monkeypatch):
    monkeypatch.setattr("pipeline.training.network_cache.training_part", lambda dataset: dataset)
    report = small_audit(parts, RECIPES.for_price("castilla"), "split")
    assert "training files" in moved_outputs(report, "split")
    assert "looks ahead" in report.verdict()


@pytest.mark.slow
def test_a_normalisation_that_knows_the_session_forecast_is_caught(parts):
    recipe = dataclasses.replace(
        RECIPES.for_price("ganegedara-average"),
        name="peeking",
        normalisation=BlockMinMax(40, known="own"),
    )
    report = small_audit(parts, recipe, "window")
    assert {"inputs", "forecasts"} <= moved_outputs(report, "window")
    [line] = [line for line in report.moved if line.what == "inputs"]
    assert re.match(r"AAA (validation|test) past\[\d+, \d+, \d+\]: \S+ -> \S+", line.moved)
