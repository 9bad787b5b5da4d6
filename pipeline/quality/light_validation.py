"""The same expectations without Great Expectations, which takes seconds to import and to ask.

Only the expectations and arguments that the shipped suites use are known here, as Great
Expectations documents them (its gallery of expectations): a missing value fails no rule but those
on missing values, and a row that the condition leaves out fails none. A suite that asks for
anything else is for Great Expectations. The tests of the gate compare the two on every table.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import pandas as pd

from pipeline.quality.rules import BrokenRule, Rule

#: (table, kwargs of an expectation) -> whether each row fails it, a series of its index.
CellCheck: TypeAlias = Callable[[pd.DataFrame, Mapping[str, Any]], Any]
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def light_broken_rules(table: pd.DataFrame, suite: dict[str, Any]) -> list[BrokenRule] | None:
    """Return the rules of a suite with the rows of a table that fail them.

    Args:
        table: with all columns that the suite names; each label of its index once.

    Returns:
        As `validation.broken_rules`; None: something in the suite is not known here, or the table
        lacks a column of it.
    """
    expectations = suite["expectations"]
    if not all(_is_known(each, table) for each in expectations):
        return None
    # In the order of Great Expectations' results, as the first of two messages on a cell stays:
    # those about one column stand together.
    together: dict[str, list[dict[str, Any]]] = {}
    for each in expectations:
        together.setdefault(each["kwargs"].get("column", ""), []).append(each)
    return [
        BrokenRule(Rule.of(each["meta"], each["kwargs"]), _failing(table, each))
        for about_column in together.values()
        for each in about_column
    ]


def _is_known(expectation: dict[str, Any], table: pd.DataFrame) -> bool:
    """Return whether an expectation can be judged here."""
    if expectation["type"] not in KNOWN_EXPECTATIONS or set(expectation) > {
        "type",
        "kwargs",
        "meta",
    }:
        return False
    _, arguments = KNOWN_EXPECTATIONS[expectation["type"]]
    kwargs = dict(expectation["kwargs"])
    condition = kwargs.pop("row_condition", None)
    columns = [kwargs.get(name) for name in ("column", "column_A", "column_B")]
    columns += kwargs.get("column_list", ())
    if condition is not None:
        try:
            columns.append(condition["column"]["name"])
            known = condition["type"] == "comparison" and condition["operator"] in COMPARISONS
            known = known and set(condition) == {"type", "column", "operator", "parameter"}
        except (KeyError, TypeError):  # of another form
            return False
        if not known:
            return False
    named = {name for name in columns if name is not None}
    return set(kwargs) <= arguments and bool(named) and named <= set(table.columns)


def _failing(table: pd.DataFrame, expectation: dict[str, Any]) -> list[int]:
    """Return the labels of the rows that fail an expectation."""
    check, _ = KNOWN_EXPECTATIONS[expectation["type"]]
    kwargs = expectation["kwargs"]
    if (condition := kwargs.get("row_condition")) is not None:
        values = table[condition["column"]["name"]]
        table = table[COMPARISONS[condition["operator"]](values, condition["parameter"])]
    fails = check(table, kwargs)
    return sorted(table.index[fails.to_numpy("bool")])


# The expectations


def _in_set(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> Any:
    values = table[kwargs["column"]]
    return values.notna() & ~values.isin(kwargs["value_set"])


def _not_in_set(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> Any:
    values = table[kwargs["column"]]
    return values.notna() & values.isin(kwargs["value_set"])


def _null(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> Any:
    return table[kwargs["column"]].notna()


def _not_null(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> Any:
    return table[kwargs["column"]].isna()


def _between(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> Any:
    values = table[kwargs["column"]]
    fails = pd.Series(False, index=table.index)
    if (least := kwargs.get("min_value")) is not None:
        fails |= values <= least if kwargs.get("strict_min") else values < least
    if (most := kwargs.get("max_value")) is not None:
        fails |= values >= most if kwargs.get("strict_max") else values > most
    return fails


def _greater(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> Any:
    larger, smaller = table[kwargs["column_A"]], table[kwargs["column_B"]]
    holds = larger >= smaller if kwargs.get("or_equal") else larger > smaller
    missing = larger.isna() & smaller.isna()
    if kwargs.get("ignore_row_if") == "either_value_is_missing":
        missing = larger.isna() | smaller.isna()
    return ~holds & ~missing


def _unique(table: pd.DataFrame, kwargs: Mapping[str, Any]) -> Any:
    cells = table[kwargs["column_list"]]
    return cells.duplicated(keep=False) & cells.notna().any(axis=1)


#: By expectation: the check, and the arguments that it knows next to `row_condition`.
KNOWN_EXPECTATIONS: dict[str, tuple[CellCheck, frozenset[str]]] = {
    "expect_column_values_to_be_in_set": (_in_set, frozenset({"column", "value_set"})),
    "expect_column_values_to_not_be_in_set": (_not_in_set, frozenset({"column", "value_set"})),
    "expect_column_values_to_be_null": (_null, frozenset({"column"})),
    "expect_column_values_to_not_be_null": (_not_null, frozenset({"column"})),
    "expect_column_values_to_be_between": (
        _between,
        frozenset({"column", "min_value", "max_value", "strict_min", "strict_max"}),
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": (
        _greater,
        frozenset({"column_A", "column_B", "or_equal", "ignore_row_if"}),
    ),
    "expect_compound_columns_to_be_unique": (_unique, frozenset({"column_list"})),
}
