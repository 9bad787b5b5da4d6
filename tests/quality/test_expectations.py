"""The shipped expectations are complete, readable and in step with the code that they rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.prices import masking
from pipeline.quality import BASIS_RULES, derived_columns
from pipeline.universes import TARGETS

FOLDER = Path(__file__).parents[2] / "expectations"
SEVERITIES = {"record", "mask", "quarantine"}


def rules(name: str) -> list[dict]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["expectations"]


@pytest.mark.parametrize("name", ["prices", "forecasts"])
def test_every_expectation_has_its_rule_reason_and_message(name):
    for expectation in rules(name):
        assert set(expectation) == {"type", "kwargs", "meta"}
        assert all(expectation["meta"].get(key) for key in ("rule", "reason", "message")), (
            expectation
        )


def test_every_price_rule_has_a_severity_and_the_sessions_that_count_as_recent():
    for expectation in rules("prices"):
        meta = expectation["meta"]
        assert {meta["severity"], meta.get("otherwise", "record")} <= SEVERITIES, meta
        assert ("recent_sessions" in meta) == (meta["severity"] == "quarantine"), meta


def test_one_rule_weighs_all_of_its_columns_alike():
    weights: dict[str, set[tuple]] = {}
    for meta in (expectation["meta"] for expectation in rules("prices")):
        weight = (
            meta["severity"],
            meta.get("otherwise"),
            meta.get("recent_sessions"),
            meta.get("recent_failures"),
            meta["reason"],
        )
        weights.setdefault(meta["rule"], set()).add(weight)
    assert {rule: len(distinct) for rule, distinct in weights.items()} == dict.fromkeys(weights, 1)


def test_every_mask_is_reported_by_a_rule_with_the_same_tolerance():
    by_rule = {expectation["meta"]["rule"]: expectation["meta"] for expectation in rules("prices")}
    assert {*masking.MASKING_RULES, *BASIS_RULES} <= set(by_rule)
    assert by_rule["outside_range"]["tolerance"] == masking.RANGE_TOLERANCE


def test_a_dividend_that_is_too_large_explains_no_jump():
    [rule] = [each for each in rules("prices") if each["meta"]["rule"] == "dividend_too_large"]
    assert rule["kwargs"]["max_value"] == derived_columns.MOST_PAID


def test_rules_name_targets_that_there_are():
    named = {target for each in rules("prices") for target in each["meta"].get("targets", [])}
    assert named <= set(TARGETS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prices", "forecasts"])
def test_great_expectations_loads_the_file_as_it_is(name):
    import logging

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx

    suite = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    loaded = gx.ExpectationSuite(name=suite["name"], expectations=suite["expectations"])
    types = [expectation["type"] for expectation in suite["expectations"]]
    assert [expectation.expectation_type for expectation in loaded.expectations] == types
