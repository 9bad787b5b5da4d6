"""The risk of a portfolio for people: losses that are exceeded rarely, and whether they were."""

from __future__ import annotations

import math

import pandas as pd

from pipeline.measures import CONFIDENCE, REJECTED_BELOW, drift
from pipeline.money import price_text
from pipeline.reporting.rows import align, change_text, or_dash

#: What is in no row of a table of risks by level.
_OTHERS = ("horizon", "session", "mean", "median")


def risk_text(table: pd.DataFrame, worth: float = math.nan, currency: str = "") -> str:
    """Return a row per session ahead, with the amounts where a worth is known.

    Args:
        table: horizon, session, mean, median, and value_at_risk_95, expected_shortfall_95 and so
            on: fractions of the worth.
        worth: in the currency; NaN: not known.
    """
    columns, *cells = risk_cells(table, worth, currency)
    return align(columns, cells, [name != "session" for name in columns])


def risk_cells(table: pd.DataFrame, worth: float = math.nan, currency: str = "") -> list[list[str]]:
    """Return the headings and the rows of `risk_text`; a table without rows has none."""
    names = [str(name) for name in table if name not in _OTHERS]
    cells = [["ahead", "session", "median gain", *map(_column_words, names)]]
    for row in table.to_dict("records"):
        losses = [_loss_text(row[name], worth, currency) for name in names]
        at = [str(row["horizon"]), str(row["session"].date()), change_text(row["median"])]
        cells.append([*at, *losses])
    return cells if len(table) else []


def exceedances_text(table: pd.DataFrame) -> str:
    """Return a row per level and way to join the stocks, with the tests' verdict.

    They are of one session ahead and of the most that have outcomes.
    """
    known = table[table["sessions"] > 0]
    shown = known[known["horizon"].isin([1, known["horizon"].max()])]
    shown = shown.sort_values(["horizon", "level"], kind="stable")
    cells = [
        [
            row["joined"],
            f"{100 * row['level']:.6g}%",
            str(row["horizon"]),
            str(row["sessions"]),
            f"{row['promised']:.1f}",
            str(row["exceedances"]),
            *(_p_text(row[name]) for name in ("kupiec", "independence", "conditional")),
            _verdict(row["kupiec"], row["independence"], row["conditional"]),
        ]
        for row in shown.to_dict("records")
    ]
    columns = ["joined by", "level", "ahead", "sessions", "promised", "losses beyond", "Kupiec p"]
    columns += ["Christoffersen p", "both p", ""]
    return align(columns, cells, [bool(name) and name != "joined by" for name in columns])


def score_lines(table: pd.DataFrame) -> list[str]:
    """Return a sentence per other way to join the stocks, over one session ahead.

    There is none where fewer sessions have outcomes than drift is judged by.
    """
    enough = table["sessions"] >= drift.FEWEST_SCORED_SESSIONS
    others = table[enough & (table["horizon"] == 1) & (table["energy_gain"] != "")]
    lines = []
    for row in others.to_dict("records"):
        gains = [f"energy score {row['energy_gain']}"]
        if not math.isnan(row["variogram"]):
            gains.append(f"variogram score {row['variogram_gain']}")
        lines.append(
            f"Scenarios against {row['joined']}, one session ahead, with intervals of "
            f"{CONFIDENCE:.0%}: {', '.join(gains)}. Below 0 they are better."
        )
    return lines


def _loss_text(loss: float, worth: float, currency: str) -> str:
    share = or_dash(loss, "{:.2%}".format)
    return share if math.isnan(worth) else f"{share} ({price_text(loss * worth, currency)})"


def _column_words(name: str) -> str:
    """Return a column's heading: value at risk 95%."""
    words, _, level = name.rpartition("_")
    return f"{words.replace('_', ' ')} {level}%"


def _p_text(value: float) -> str:
    return or_dash(value, "{:.3f}".format)


def _verdict(*p_values: float) -> str:
    return "rejected" if any(value < REJECTED_BELOW for value in p_values) else ""
