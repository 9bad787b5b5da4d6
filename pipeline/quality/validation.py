"""Validation of a table by Great Expectations, and the rows that fail."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.errors import SettingsError
from pipeline.quality.rules import ROW_COLUMNS, BrokenRule, Rule

if TYPE_CHECKING:
    from great_expectations.core import (
        ExpectationSuiteValidationResult,
        ExpectationValidationResult,
    )


def validate(table: pd.DataFrame, suite: dict[str, Any]) -> ExpectationSuiteValidationResult:
    """Return Great Expectations' result of a suite on a table.

    Args:
        table: with `ROW_COLUMNS` and all columns that the suite names.
    """
    # Importing it logs hundreds of lines at INFO, so the level is set first.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    # Every rule takes the rows that it is about out of the table, with all of its columns.
    named = _texts_in(suite["expectations"])
    used = [name for name in table.columns if name in named or name in ROW_COLUMNS]
    table = table[used].astype({"ticker": "category"})
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("shard").add_dataframe_asset(suite["name"])
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": table})
    expectations = gx.ExpectationSuite(name=suite["name"], expectations=suite["expectations"])
    return batch.validate(
        expectations,
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": ROW_COLUMNS,
            "return_unexpected_index_query": False,
        },
    )


def _texts_in(value: object) -> set[str]:
    """Return all texts within the expectations: the names of columns are among them."""
    if isinstance(value, dict):
        return set().union(*map(_texts_in, value.values()))
    if isinstance(value, list):
        return set().union(*map(_texts_in, value))
    return {value} if isinstance(value, str) else set()


def rule_of(outcome: ExpectationValidationResult) -> Rule:
    """Return the rule behind an expectation's result."""
    config: Any = outcome.expectation_config
    return Rule.of(config.meta, config.kwargs)


def broken_rules(result: ExpectationSuiteValidationResult) -> list[BrokenRule]:
    """Return the rules with the rows that fail them.

    Raises:
        SettingsError: a rule could not be run.
    """
    broken = []
    for outcome in result.results:
        rule = rule_of(outcome)
        _require_ran(rule.name, outcome.exception_info)
        broken.append(BrokenRule(rule, sorted({cell["row"] for cell in failing_rows(outcome)})))
    return broken


def failing_rows(outcome: ExpectationValidationResult) -> list[dict[str, Any]]:
    """Return the `ROW_COLUMNS` of each cell that fails an expectation."""
    return outcome.result.get("unexpected_index_list") or []


def _require_ran(rule: str, exceptions: dict[str, Any]) -> None:
    """Require that an expectation could be run.

    Great Expectations reports one that could not as failed without rows.
    """
    for report in [exceptions, *exceptions.values()]:
        if isinstance(report, dict) and report.get("raised_exception"):
            raise SettingsError(
                f"The rule {rule} cannot be run: {report['exception_message']}. Correct it in the "
                "expectations."
            )
