"""A day's tables, and what they come to: the summary, one row per ticker, what is shown in full."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pipeline.measures import drift
from pipeline.models import HAR, STANDING
from pipeline.quality import GONE
from pipeline.reporting.rows import counted, first_names

#: A change that rounds to nothing has no direction.
LEVEL = 0.00005
#: Tickers that a page shows in full.
SHOWN_IN_FULL = 24
#: Tickers that sit a session out and whose reasons a summary gives, and the characters of each.
REASONS_GIVEN, REASON_WIDTH = 3, 160
#: What a champion is, in words.
CHAMPIONS = {
    "lstm": "the network of this training cutoff",
    "previous": "the network of the training cutoff before",
    "pooled": "the network that all stocks have trained together",
    "har": "the regression of volatility on the ranges of all stocks",
    "ewma": "the random walk with EWMA volatility",
    "naive": "the last price with the spread of all changes",
}
#: What may leave its band, in words.
DRIFT_WORDS = {
    "coverage_80": "80% interval",
    "coverage_95": "95% interval",
    "pinball_skill": "pinball skill",
    "psi": "inputs",
}


@dataclass(frozen=True, eq=False)
class Day:
    """The tables that a day's page is made of: rows of its run.

    Attributes:
        forecasts: with a column `currency` where one is known.
        record: the errors of all earlier forecasts whose session has closed (`realised`).
        unfinished: by ticker that is `missing` the step that is not done for it.
        together: what all stocks with the same part may lose, by session ahead (see `risk_text`);
            empty where no joint paths were drawn.
        events: by ticker what is known to come on the sessions forecast, in words.
    """

    forecasts: pd.DataFrame
    promotions: pd.DataFrame
    calibrations: pd.DataFrame
    findings: pd.DataFrame
    checks: pd.DataFrame
    record: pd.DataFrame
    drift: pd.DataFrame
    unfinished: Mapping[str, str] = field(default_factory=dict)
    together: pd.DataFrame = field(default_factory=pd.DataFrame)
    events: Mapping[str, str] = field(default_factory=dict)

    @property
    def quarantined(self) -> pd.DataFrame:
        """CHECKS rows of the tickers that sit this session out."""
        checks = self.checks
        return checks[checks["verdict"] == "quarantined"].sort_values("ticker")

    @property
    def missing(self) -> list[str]:
        """Tickers that passed and have no forecast: a step after the gate has failed for them."""
        passed = self.checks[self.checks["verdict"] != "quarantined"]["ticker"]
        return sorted({*passed} - {*self.forecasts["ticker"]})


def overview(
    checks: pd.DataFrame,
    forecasts: pd.DataFrame,
    promotions: pd.DataFrame,
    watched: pd.DataFrame,
) -> pd.DataFrame:
    """Return one row per ticker: what was published for the next session, and its worth.

    Columns: ticker, verdict (passed or quarantined), session (the day forecast), currency ("" where
    none is known), last_value, y_hat, change (a fraction), direction (up, down or level), lower_80,
    upper_80, champion, weight, skill, pinball_skill, pinball_skill_over_har, drift (kinds,
    comma-separated), reasons (why it sits out).

    Args:
        checks, forecasts, promotions, watched: CHECKS, FORECASTS, PROMOTIONS and DRIFT of a run;
            the forecasts may have their currency.
    """
    first = forecasts[forecasts["horizon"] == 1]
    first = first if "currency" in first else first.assign(currency="")
    first = first[["ticker", "session", "currency", "last_value", "y_hat", "lower_80", "upper_80"]]
    worth = ["champion", "weight", "skill", "pinball_skill", "pinball_skill_over_har"]
    decided = promotions[["ticker", *worth]]
    table = (
        checks[["ticker", "verdict", "reasons"]]
        .merge(first, on="ticker", how="outer")
        .merge(decided, on="ticker", how="left")
        .merge(watched[["ticker", "warnings"]], on="ticker", how="left")
    )
    table["currency"] = table["currency"].fillna("")
    table["change"] = table["y_hat"] / table["last_value"] - 1
    moves = table["change"].to_numpy()
    conditions = [np.isnan(moves), moves > LEVEL, moves < -LEVEL]
    table["direction"] = np.select(conditions, ["", "up", "down"], "level")
    table["drift"] = [
        ",".join(drift.warnings_of(warnings)) if warnings else ""
        for warnings in table["warnings"].fillna("").tolist()
    ]
    table.loc[table["verdict"] != "quarantined", "reasons"] = ""
    names = ["ticker", "verdict", "session", "currency", "last_value", "y_hat", "change"]
    names += ["direction", "lower_80", "upper_80", *worth]
    return table[[*names, "drift", "reasons"]]


def day_summary(day: Day) -> pd.DataFrame:
    """Return `overview` of a day."""
    return overview(day.checks, day.forecasts, day.promotions, day.drift)


def shown_in_full(day: Day) -> list[str]:
    """Return the tickers that the day's page shows in full.

    They are all, or of a large universe those that drifted and those that are expected to move
    most.
    """
    first = day.forecasts[day.forecasts["horizon"] == 1].set_index("ticker")
    if len(first) <= SHOWN_IN_FULL:
        return sorted(first.index)
    moves = (first["y_hat"] / first["last_value"] - 1).abs()
    warned = day.drift[day.drift["warnings"] != ""]["ticker"]
    drifted = [ticker for ticker in warned if ticker in first.index]
    by_move = moves.sort_values(ascending=False, kind="stable").index
    ordered = list(dict.fromkeys([*drifted, *by_move]))
    return sorted(ordered[: max(SHOWN_IN_FULL, len(drifted))])


@dataclass(frozen=True)
class DaySummary:
    """A day in sentences.

    Attributes:
        warnings: what somebody should look at, by the part of the page that has more.
    """

    sentences: tuple[str, ...]
    warnings: Mapping[str, str]

    def __str__(self) -> str:
        return " ".join([*self.warnings.values(), *self.sentences])


def summary_of(day: Day) -> DaySummary:
    """Return a day in sentences."""
    promotions = day.promotions
    measured = promotions[promotions["test_rmse"].notna()]
    networks = int((~promotions["champion"].isin(STANDING)).sum())
    by_har = int((promotions["champion"] == HAR).sum())
    of_which = f", {by_har} of them by {HAR}" if by_har else ""
    forecast = counted(day.forecasts["ticker"].nunique(), "ticker")
    lines = [
        f"{forecast} forecast: {networks} with the help of a network, "
        f"{len(promotions) - networks} by a baseline alone{of_which}."
    ]
    if len(measured):
        better = (measured["pinball_skill"] > 0).sum()
        lines.append(
            f"On test sessions {'they' if by_har else 'networks'} beat the EWMA random walk's "
            f"distribution for {better} out of {counted(len(measured), 'ticker')}, and the naive "
            f"forecast's RMSE for {(measured['skill'] > 0).sum()}."
        )
    gone = sorted(day.findings.loc[day.findings["rule"] == GONE, "ticker"])
    if gone:
        lines.append(f"Left out, as without bars any more: {first_names(gone)}.")
    drifted = int((day.drift["warnings"] != "").sum())
    warnings = {"drift": f"{counted(drifted, 'ticker')} drifted."} if drifted else {}
    if len(day.quarantined):
        warnings["quality"] = _held_back(day.quarantined)
    if missing := day.missing:
        text = f"{counted(len(missing), 'ticker')} passed and without a forecast: "
        named = [_with_step(ticker, day.unfinished.get(ticker)) for ticker in missing]
        warnings = {"tickers": f"{text}{first_names(named)}."} | warnings
    return DaySummary(tuple(lines), warnings)


def _with_step(ticker: str, step: str | None) -> str:
    return f"{ticker} (`{step}` is not done)" if step else ticker


def _held_back(quarantined: pd.DataFrame) -> str:
    """Return how many tickers sit the session out, and the reasons of the first."""
    reasons = [
        f"{row['ticker']} ({textwrap.shorten(row['reasons'], REASON_WIDTH, placeholder=' ...')})"
        for row in quarantined.head(REASONS_GIVEN).to_dict("records")
    ]
    more = len(quarantined) - len(reasons)
    rest = f" and {more} more" if more else ""
    return f"{counted(len(quarantined), 'ticker')} quarantined: {', '.join(reasons)}{rest}."


def drift_warnings(watched: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Yield ticker, kind and warning of all that has left its band; `watched`: DRIFT rows."""
    for row in watched.sort_values("ticker").to_dict("records"):
        for kind, warning in drift.warnings_of(row["warnings"]).items():
            yield row["ticker"], kind, warning
