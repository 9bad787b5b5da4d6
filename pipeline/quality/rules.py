"""The rules of a suite of expectations, and the cells that break them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import SettingsError

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
    def of(cls, meta: Mapping[str, Any], kwargs: Mapping[str, Any]) -> Rule:
        """Return the rule behind an expectation."""
        optional = ("severity", "otherwise", "recent_sessions", "recent_failures")
        return cls(
            name=meta["rule"],
            reason=meta["reason"],
            message=meta["message"],
            column=meta.get("column", kwargs.get("column", "session")),
            **{name: meta[name] for name in optional if name in meta},
            targets=tuple(meta.get("targets", ())),
            accepted=tuple(meta.get("accepted", ())),
        )


@dataclass(frozen=True)
class BrokenRule:
    """A rule with the rows of a table that fail it.

    Attributes:
        rows: labels of the table's index, in order, each once.
    """

    rule: Rule
    rows: list[int]


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


def failing_cells(broken: Iterable[BrokenRule], table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per failing cell: `FAILURE_COLUMNS`, with a `Rule` as the definition.

    Args:
        table: the table that was judged.
    """
    failures: list[dict[str, object]] = []
    for each in broken:
        if not each.rows:  # most rules, and to look for nothing takes as long
            continue
        rule = each.rule
        failures += [
            {
                "ticker": values["ticker"],
                "session": values["session"],
                "column": rule.column,
                "rule": rule.name,
                "message": f"{values['session']:%Y-%m-%d}: {rule.message.format_map(values)}",
                "definition": rule,
            }
            for values in _row_dicts(table.loc[each.rows])
        ]
    return pd.DataFrame(failures, columns=FAILURE_COLUMNS)


def _row_dicts(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
