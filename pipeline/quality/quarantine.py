"""Verdicts: failing cells weighed by their age, and the tickers that they quarantine.

The same missing price is masked when it is years old, and holds the ticker back when it is from
this week.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.prices import masking
from pipeline.quality.rules import Rule
from pipeline.tables import FINDINGS, RUN_KEY
from pipeline.universes import TARGETS

#: Columns that the gate returns: `tables.FINDINGS` before the run's key is added.
FINDING_COLUMNS = {
    name: dtype
    for name, dtype in FINDINGS.columns.items()
    if name == "ticker" or name not in RUN_KEY
}
FINDING_KEY = ["ticker", "rule", "session", "column"]
#: Findings kept per ticker and rule; the rest becomes one summary row.
MOST_FINDINGS = 200
#: Tickers from which the same fault on the same session is worth a line of its own.
FEWEST_TICKERS_OF_DAY = 10
#: Tickers that such a line names.
TICKERS_NAMED_OF_DAY = 3
#: Reasons spelled out per quarantined ticker.
MOST_REASONS = 3
#: `column` of a finding about a ticker as a whole.
WHOLE_TICKER = "(all)"
#: The rules on changes of the basis of prices: no forecast is scored across a finding's session.
BASIS_RULES = ("basis_changed", "dividend_too_large", "dividend_not_shown")
#: The rule of a finding about bars that are read on another basis than they are stored on.
REPAIRED = "repaired"
#: The rule of a finding about a ticker that is left out, as it has no bars any more.
GONE = "gone"
#: The end of a finding's message, by severity.
CONSEQUENCES = {
    "record": "recorded",
    "mask": "masked, not used as a feature or target",
    "quarantine": "the forecast would stand on it, so the ticker is quarantined",
}


@dataclass(frozen=True)
class GateVerdict:
    """The verdict of the gate on a table.

    Attributes:
        findings: `FINDING_COLUMNS`; one row per failing cell.
        quarantined: by ticker, the reasons in one line. Of forecasts: the tickers that must not be
            published.
    """

    findings: pd.DataFrame
    quarantined: dict[str, str]

    @property
    def broken(self) -> dict[str, str]:
        """The rules that each ticker must not be used or published for, with the failing rows."""
        decisive = self.findings[self.findings["severity"] == "quarantine"]
        rules = decisive.groupby("ticker")["rule"].unique()
        return {
            ticker: f"{ticker} breaks {', '.join(rules[ticker])}: {reasons}"
            for ticker, reasons in sorted(self.quarantined.items())
        }


def on_one_day(findings: pd.DataFrame) -> list[str]:
    """Return the faults that whole groups of tickers have on the same session, the newest first.

    Such a fault is the source's, not a stock's.

    Args:
        findings: FINDINGS, or `GateVerdict.findings`.

    Returns:
        A line for each session and rule.
    """
    cells = findings[findings["column"] != WHOLE_TICKER]
    groups = cells.groupby(["session", "rule"])["ticker"].unique().reset_index()
    large = groups[groups["ticker"].map(len) >= FEWEST_TICKERS_OF_DAY].iloc[::-1]
    faults = zip(large["session"], large["rule"], large["ticker"], strict=True)
    lines = []
    for session, rule, tickers in faults:
        named = ", ".join(sorted(tickers)[:TICKERS_NAMED_OF_DAY])
        count = f"{len(tickers)} tickers at once"
        lines.append(f"{session:%Y-%m-%d}: {count} have {rule} ({named} ...)")
    return lines


def weigh(
    failures: pd.DataFrame, unusable: pd.DataFrame, sessions: Sequence[dt.date], target: str
) -> pd.DataFrame:
    """Return the failing cells of prices with a `severity` each.

    Args:
        failures: see `rules.failing_cells`.
        unusable: the cells that masking blanks (see `masking.unusable`).
        sessions: the calendar's, up to the cutoff.
        target: the column that is forecast.
    """
    untrusted = set(zip(unusable["ticker"], unusable["session"], unusable["column"], strict=True))
    cells = zip(failures["ticker"], failures["session"], failures["column"], strict=True)
    is_recent = pd.Series(
        [
            _is_recent(session, rule, sessions)
            for session, rule in zip(failures["session"], failures["definition"], strict=True)
        ],
        index=failures.index,
        dtype="bool",
    )
    # Several columns of one rule may fail on one session, so sessions are counted.
    by_rule = failures[is_recent].groupby(["ticker", "rule"])["session"]
    recent_failures = by_rule.transform("nunique").reindex(failures.index, fill_value=0)
    severities, messages = [], []
    for rule, count, cell, message in zip(
        failures["definition"], recent_failures, cells, failures["message"], strict=True
    ):
        is_decisive = count >= rule.recent_failures and not _is_accepted(rule, *cell)
        severities.append(_severity(rule, is_decisive, cell in untrusted, target))
        messages.append(f"{message}{_spoilt(rule) if is_decisive else ''}")
    return failures.assign(severity=severities, message=messages)


def _is_accepted(rule: Rule, ticker: str, session: pd.Timestamp, column: str) -> bool:
    return f"{ticker} {session:%Y-%m-%d}" in rule.accepted


def _spoilt(rule: Rule) -> str:
    """Return in words which targets a rule's decisive finding is about; "": all of them."""
    if not rule.targets:
        return ""
    others = [target for target in TARGETS if target not in rule.targets]
    return f"; not good for {' and '.join(rule.targets)}, but for {', '.join(others)}"


def _is_recent(session: pd.Timestamp, rule: Rule, sessions: Sequence[dt.date]) -> bool:
    window = rule.recent_sessions
    if window is None:
        return True
    return bool(window) and (len(sessions) < window or session >= pd.Timestamp(sessions[-window]))


def _severity(rule: Rule, is_decisive: bool, untrusted: bool, target: str) -> str:
    """Return the severity of a cell's failure.

    Args:
        is_decisive: whether the ticker is held back for it, where the target stands on the cell.
        untrusted: whether masking blanks the cell.
    """
    if rule.severity == "record" or (rule.name in masking.MASKING_RULES and not untrusted):
        return "record"
    if is_decisive and (not rule.targets or target in rule.targets):
        return "quarantine"
    return rule.otherwise


def verdict_of(weighed: pd.DataFrame, cutoff: dt.date) -> GateVerdict:
    """Return the verdict that weighed failures amount to."""
    weighed = weighed.sort_values(FINDING_KEY, kind="stable").drop_duplicates(FINDING_KEY)
    decisive = weighed[weighed["severity"] == "quarantine"].sort_values(
        ["ticker", "session"], ascending=[True, False], kind="stable"
    )
    quarantined = {
        str(ticker): _first_reasons(list(rows["message"]))
        for ticker, rows in decisive.groupby("ticker")
    }
    messages = [
        f"{ticker} {message}; {CONSEQUENCES[severity]}."
        for ticker, message, severity in zip(
            weighed["ticker"], weighed["message"], weighed["severity"], strict=True
        )
    ]
    return GateVerdict(_bounded(weighed.assign(message=messages), cutoff), quarantined)


def repairs(blocks: pd.DataFrame) -> pd.DataFrame:
    """Return the findings that say what was repaired, like weighed failures.

    Args:
        blocks: see `prices.repair.Repaired`.
    """
    rows = [
        {
            "ticker": block["ticker"],
            "rule": REPAIRED,
            "severity": "record",
            "session": block["first"],
            "column": "close",
            "message": f"{block['bars']} bars from {block['first']:%Y-%m-%d} to "
            f"{block['last']:%Y-%m-%d} are read {block['factor']:g} times as high as stored: "
            f"{block['basis']} (`repair = false` in its universe holds the ticker back instead)",
        }
        for _, block in blocks.iterrows()
    ]
    return pd.DataFrame(rows)


def _first_reasons(messages: list[str]) -> str:
    more = len(messages) - MOST_REASONS
    return "; ".join(messages[:MOST_REASONS]) + (f"; and {more} more" if more > 0 else "")


def _bounded(findings: pd.DataFrame, cutoff: dt.date) -> pd.DataFrame:
    """Return the newest `MOST_FINDINGS` per ticker and rule, and one row that counts the rest."""
    age = findings.groupby(["ticker", "rule"]).cumcount(ascending=False)
    kept = findings.loc[age < MOST_FINDINGS, list(FINDING_COLUMNS)].astype(FINDING_COLUMNS)
    rest = findings[age >= MOST_FINDINGS]
    summaries = [
        {
            "ticker": rows["ticker"].iloc[0],
            "rule": rows["rule"].iloc[0],
            "severity": "mask" if (rows["severity"] == "mask").any() else "record",
            "session": cutoff,
            "column": WHOLE_TICKER,
            "message": f"{rows['ticker'].iloc[0]}: {len(rows)} more findings like these, the "
            f"oldest of {rows['session'].min():%Y-%m-%d}.",
        }
        for _, rows in rest.groupby(["ticker", "rule"])
    ]
    summary = pd.DataFrame(summaries, columns=list(FINDING_COLUMNS)).astype(FINDING_COLUMNS)
    return pd.concat([kept, summary], ignore_index=True)
