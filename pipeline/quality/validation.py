"""Validation of a table by Great Expectations, and the cells that fail."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from great_expectations.core import (
        ExpectationSuiteValidationResult,
        ExpectationValidationResult,
    )

#: Columns of a table that tell its rows apart.
ROW_COLUMNS = ["ticker", "session", "row"]
FAILURE_COLUMNS = ["ticker", "session", "column", "rule", "message", "definition"]


@dataclass(frozen=True)
class Rule:
    """One rule of a suite, from the `meta` of an expectation.

    Attributes:
        message: a format of the failing row's columns.
        column: the column that a finding names.
        severity: the worst that a finding can be: "record" or "quarantine".
        otherwise: the severity of a finding that does not quarantine its ticker.
        recent_sessions: the last sessions in which a finding quarantines; None: any age.
        recent_failures: the fewest failing sessions among them that do so.
        targets: the targets that stand on the cell; a finding quarantines for no other. Empty: all.
        accepted: findings that somebody has looked at and found right, such as "AMD 2016-04-22".
    """

    name: str
    reason: str
    message: str
    column: str
    severity: str = "quarantine"
    otherwise: str = "record"
    recent_sessions: int | None = 0
    recent_failures: int = 1
    targets: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()

    @classmethod
    def of(cls, result: ExpectationValidationResult) -> Rule:
        """Return the rule behind an expectation's result."""
        config: Any = result.expectation_config
        meta: Mapping[str, Any] = config.meta
        optional = ("severity", "otherwise", "recent_sessions", "recent_failures")
        return cls(
            name=meta["rule"],
            reason=meta["reason"],
            message=meta["message"],
            column=meta.get("column", config.kwargs.get("column", "session")),
            **{name: meta[name] for name in optional if name in meta},
            targets=tuple(meta.get("targets", ())),
            accepted=tuple(meta.get("accepted", ())),
        )


def load_suite(path: Path) -> dict[str, Any]:
    """Load the expectations of a file.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        suite: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"The expectations {path} cannot be read ({error.strerror}). Restore the file."
        ) from None
    except json.JSONDecodeError as error:
        raise SettingsError(
            f"The expectations {path} are no JSON: {error}. Restore the file."
        ) from None
    return suite


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


def failing_cells(result: ExpectationSuiteValidationResult, table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per failing cell: `FAILURE_COLUMNS`, with a `Rule` as the definition.

    Args:
        table: the table that was validated; `row` is its index.

    Raises:
        SettingsError: a rule could not be run.
    """
    failures: list[dict[str, object]] = []
    for outcome in result.results:
        rule = Rule.of(outcome)
        _require_ran(rule.name, outcome.exception_info)
        rows = sorted({cell["row"] for cell in failing_rows(outcome)})
        failures += [
            {
                "ticker": values["ticker"],
                "session": values["session"],
                "column": rule.column,
                "rule": rule.name,
                "message": f"{values['session']:%Y-%m-%d}: {rule.message.format_map(values)}",
                "definition": rule,
            }
            for values in _row_dicts(table.loc[rows])
        ]
    return pd.DataFrame(failures, columns=FAILURE_COLUMNS)


def failing_rows(outcome: ExpectationValidationResult) -> list[dict[str, Any]]:
    """Return the `ROW_COLUMNS` of each cell that fails an expectation."""
    return outcome.result.get("unexpected_index_list") or []


def _row_dicts(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


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
