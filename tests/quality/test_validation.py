"""Expectations that cannot be read or run are errors."""

import json

import pytest

from pipeline.errors import SettingsError
from pipeline.quality import Gate
from pipeline.quality.rules import load_suite
from tests.quality.made_bars import SUITES, clean, judge


def test_expectations_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(SettingsError, match=r"prices\.json cannot be read \(No such file"):
        load_suite(tmp_path / "prices.json")
    (tmp_path / "prices.json").write_text("[", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"prices\.json are no JSON"):
        load_suite(tmp_path / "prices.json")


def test_a_gate_without_its_expectations_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match=r"prices\.json cannot be read \(No such file"):
        judge(clean("GOOD"), gate=Gate(tmp_path))


@pytest.mark.slow
def test_a_rule_that_cannot_be_run_is_an_error_not_a_pass(tmp_path):
    suite = json.loads((SUITES / "prices.json").read_text(encoding="utf-8"))
    suite["expectations"][0]["kwargs"]["column"] = "no_such_column"
    (tmp_path / "prices.json").write_text(json.dumps(suite), encoding="utf-8")
    with pytest.raises(SettingsError, match="The rule session_missing cannot be run"):
        judge(clean("GOOD"), gate=Gate(tmp_path))
