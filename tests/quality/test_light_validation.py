"""Expectations without Great Expectations: what is not known here is left to it."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from pipeline.quality.light_validation import KNOWN_EXPECTATIONS, light_broken_rules
from tests.quality.made_bars import SUITES

META = {"rule": "made", "reason": "", "message": ""}
TABLE = pd.DataFrame(
    {"a": [1.0, 2.0, None, 2.0], "b": [0.0, 2.0, 3.0, None], "on": [True, True, True, False]},
    index=[10, 11, 12, 13],
)


def rows(expectation: str, **kwargs: object) -> list[int] | None:
    """Return the rows of the table that fail one expectation."""
    suite = {"expectations": [{"type": f"expect_{expectation}", "kwargs": kwargs, "meta": META}]}
    broken = light_broken_rules(TABLE, suite)
    return None if broken is None else broken[0].rows


def where(column: str, operator: str, parameter: object) -> dict[str, object]:
    return {
        "type": "comparison",
        "column": {"name": column},
        "operator": operator,
        "parameter": parameter,
    }


def test_a_missing_value_fails_only_what_is_about_missing_values():
    assert rows("column_values_to_be_between", column="a", min_value=1, strict_min=True) == [10]
    assert rows("column_values_to_be_between", column="a", max_value=1) == [11, 13]
    assert rows("column_values_to_be_in_set", column="a", value_set=[1]) == [11, 13]
    assert rows("column_values_to_not_be_in_set", column="a", value_set=[2]) == [11, 13]
    assert rows("column_values_to_not_be_null", column="a") == [12]
    assert rows("column_values_to_be_null", column="a") == [10, 11, 13]


def test_a_pair_with_one_missing_value_fails_unless_such_pairs_are_ignored():
    pair = {"column_A": "a", "column_B": "b"}
    greater = "column_pair_values_a_to_be_greater_than_b"
    assert rows(greater, **pair) == [11, 12, 13]
    assert rows(greater, **pair, or_equal=True) == [12, 13]
    assert rows(greater, **pair, ignore_row_if="either_value_is_missing") == [11]


def test_rows_that_the_condition_leaves_out_fail_nothing():
    shown = where("on", "==", True)
    assert rows("column_values_to_be_between", column="a", max_value=1, row_condition=shown) == [11]
    assert rows("compound_columns_to_be_unique", column_list=["a", "on"]) == []
    assert rows("compound_columns_to_be_unique", column_list=["a"]) == [11, 13]


@pytest.mark.parametrize(
    ("expectation", "kwargs"),
    [
        ("column_values_to_be_between", {"column": "no_such_column", "max_value": 1}),
        ("column_values_to_be_between", {"column": "a", "max_value": 1, "mostly": 0.9}),
        ("column_values_to_match_regex", {"column": "a", "regex": "1"}),
        ("column_values_to_be_null", {"column": "a", "row_condition": "a > 1"}),
        ("column_values_to_be_null", {"column": "a", "row_condition": where("a", "like", 1)}),
        ("column_values_to_be_null", {"column": "a", "row_condition": where("c", "==", 1)}),
    ],
)
def test_what_is_not_known_here_is_left_to_great_expectations(expectation, kwargs):
    assert rows(expectation, **kwargs) is None


@pytest.mark.parametrize("name", ["prices", "forecasts"])
def test_the_shipped_suites_are_known_in_full(name):
    suite = json.loads((SUITES / f"{name}.json").read_text(encoding="utf-8"))
    assert {each["type"] for each in suite["expectations"]} <= set(KNOWN_EXPECTATIONS)
    columns = {
        column
        for each in suite["expectations"]
        for key in ("column", "column_A", "column_B")
        if (column := each["kwargs"].get(key))
    }
    columns |= {"ticker", "session", "horizon", "is_shared_hole", "is_shared_extra", "has_range"}
    table = pd.DataFrame({column: [None] for column in sorted(columns)})
    assert light_broken_rules(table, suite) is not None


@pytest.mark.slow
def test_an_evening_without_training_does_not_import_great_expectations():
    program = (
        "import sys\n"
        "from tests.quality.made_bars import clean, judge\n"
        "assert judge(clean('GOOD')).findings.empty\n"
        "assert 'great_expectations' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
