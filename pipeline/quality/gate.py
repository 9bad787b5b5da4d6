"""The quality gate: prices pass it on their way in, forecasts on their way out.

The files `expectations/*.json` define a valid table. The gate derives the columns that they judge
(`derived_columns`), has a whole shard judged in one call, by Great Expectations where its pages are
asked for (`validation`) and otherwise with the same result in a fraction of the time
(`light_validation`), and weighs each failing cell by its age (`quarantine`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.prices import (
    adjustment,
    masking,
    misprints,
    price_basis,
    repair,
    repaired,
    usual,
)
from pipeline.quality import (
    data_docs,
    derived_columns,
    light_validation,
    quarantine,
    rules,
    validation,
)
from pipeline.quality.quarantine import GateVerdict
from pipeline.storage import content_digest
from pipeline.windows import dividends

#: The modules that decide a verdict, next to this one and the rules themselves.
DECIDING_MODULES = (
    adjustment,
    masking,
    misprints,
    price_basis,
    repair,
    usual,
    dividends,
    derived_columns,
    rules,
    light_validation,
    validation,
    quarantine,
)
#: Hexadecimal digits of `Gate.rules_hash`.
RULES_HASH_DIGITS = 16


class Gate:
    """Checks of prices on their way in and of forecasts on their way out.

    Args:
        suites: the folder of prices.json and forecasts.json.
        docs: the folder of Data Docs pages, one per shard.
    """

    def __init__(self, suites: Path, docs: Path | None = None) -> None:
        self._suites = suites
        self._docs = docs

    @property
    def rules_hash(self) -> str:
        """A hash that changes when the rules for prices do, or any code that decides a verdict."""
        modules = [Path(str(module.__file__)) for module in DECIDING_MODULES]
        files = [self._suites / "prices.json", Path(__file__), *modules]
        return content_digest(b"".join(file.read_bytes() for file in files), RULES_HASH_DIGITS)

    def is_documented(self, universe: str) -> bool:
        """Return whether there are Data Docs of a universe on this machine."""
        return self._docs is not None and any((self._docs / universe).glob("*/*.html"))

    def check_prices(
        self,
        prices: pd.DataFrame,
        actions: pd.DataFrame,
        tickers: Sequence[str],
        sessions: Sequence[dt.date],
        cutoff: dt.date,
        needed_sessions: int,
        universe: str,
        others: pd.DataFrame | None = None,
        target: str = "close",
        is_repaired: bool = False,
        documented: bool = False,
    ) -> GateVerdict:
        """Judge a shard's prices up to the cutoff.

        Args:
            prices: PRICES as traded; rows after the cutoff or of other tickers are not looked at.
            actions: ACTIONS; likewise.
            sessions: the calendar's, up to the cutoff. A day before the first of them is not held
                against the calendar.
            needed_sessions: history without which no network can be trained.
            universe: its name, a folder of the Data Docs.
            others: PRICES of the universe's other tickers, the last few sessions; they are compared
                with for equal prices only.
            target: the column that is forecast; a fault of cells that it does not stand on holds no
                ticker back.
            is_repaired: judge bars on another basis as the histories that are read have them (see
                `prices.repair`).
            documented: let Great Expectations judge, and write its page, where there is a folder.

        Raises:
            SettingsError: the rules cannot be read or run.
        """
        suite = rules.load_suite(self._suites / "prices.json")
        prices, actions = (_up_to(table, tickers, cutoff) for table in (prices, actions))
        blocks = None
        if is_repaired:
            mended = repaired(prices, actions, cutoff)
            prices, blocks = mended.bars, mended.blocks
        table, unusable = derived_columns.price_table(
            prices,
            actions,
            tickers,
            sessions,
            cutoff,
            needed_sessions,
            others,
        )
        if documented and self._docs is not None:
            result = validation.validate(table, suite)
            style = (self._suites / "data_docs.css").read_text(encoding="utf-8")
            folder = self._docs / universe / cutoff.isoformat()
            data_docs.write_page(folder, tickers, data_docs.render_page(result, style))
            broken = validation.broken_rules(result)
        else:
            broken = _broken_rules(table, suite)
        failures = rules.failing_cells(broken, table)
        findings = quarantine.weigh(failures, unusable, sessions, target)
        if blocks is not None and len(blocks):
            findings = pd.concat([findings, quarantine.repairs(blocks)])
        return quarantine.verdict_of(findings, cutoff)

    def check_forecasts(
        self, forecasts: pd.DataFrame, forecast_sessions: Sequence[dt.date]
    ) -> GateVerdict:
        """Judge FORECASTS before they are published; every finding keeps its ticker back.

        Args:
            forecast_sessions: the calendar's, horizon 1 first.

        Raises:
            SettingsError: the rules cannot be read or run.
        """
        suite = rules.load_suite(self._suites / "forecasts.json")
        table = derived_columns.forecast_table(forecasts, forecast_sessions)
        failures = rules.failing_cells(_broken_rules(table, suite), table)
        findings = failures.assign(severity="quarantine")
        return quarantine.verdict_of(findings, max(forecast_sessions))


def _broken_rules(table: pd.DataFrame, suite: dict[str, Any]) -> list[rules.BrokenRule]:
    """Return the rules with the rows that fail them, by Great Expectations where it must be."""
    broken = light_validation.light_broken_rules(table, suite)
    return validation.broken_rules(validation.validate(table, suite)) if broken is None else broken


def _up_to(table: pd.DataFrame, tickers: Sequence[str], cutoff: dt.date) -> pd.DataFrame:
    return table[table["ticker"].isin(tickers) & (table["session"] <= pd.Timestamp(cutoff))]
