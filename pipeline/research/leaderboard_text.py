"""A leaderboard for people: its rows in percent, and a sentence for each forecaster."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.measures import CONFIDENCE
from pipeline.models import EWMA
from pipeline.quantiles import INTERVALS
from pipeline.research.leaderboard import ALL_HORIZONS, FEWEST_CUTOFFS, opponents_among


def readable_leaderboard(board: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of all horizons together, in percent.

    Args:
        board: of `leaderboard`.
    """
    rows = board[board["horizon"] == ALL_HORIZONS]
    skills = {
        f"skill against {opponent}": [_skill_text(row, opponent) for row in _records(rows)]
        for opponent in opponents_among(set(rows["recipe"]))
    }
    coverages = {
        f"in {level}%": [f"{100 * share:.1f}" for share in rows[f"coverage_{level}"]]
        for level in INTERVALS
    }
    return pd.DataFrame(
        {
            "recipe": rows["recipe"],
            "pinball": [f"{100 * loss:.4f}%" for loss in rows["pinball"]],
            **skills,
            "RMSE / naive": [f"{ratio:.4f}" for ratio in rows["rmse_ratio"]],
            **coverages,
            "width 80%": [f"{100 * width:.2f}%" for width in rows["width_80"]],
            "forecasts": rows["forecasts"],
        }
    )


def readable_horizons(board: pd.DataFrame) -> pd.DataFrame:
    """Return skill against ewma in percent, a row per forecaster and a column per horizon."""
    rows = board[(board["horizon"] != ALL_HORIZONS) & (board["recipe"] != EWMA)]
    recipes = list(rows["recipe"].unique())
    wide = rows.pivot(index="recipe", columns="horizon", values=f"skill_{EWMA}").loc[recipes]
    skills = {
        str(horizon): [f"{100 * skill:+.2f}" for skill in wide[horizon]] for horizon in wide.columns
    }
    return pd.DataFrame({"recipe": wide.index, **skills})


def verdicts(board: pd.DataFrame) -> list[str]:
    """Return a sentence per forecaster: it beats, equals or loses to each opponent."""
    sentences, opponents = [], opponents_among(set(board["recipe"]))
    for row in _records(board[board["horizon"] == ALL_HORIZONS]):
        clauses = [_verdict(row, opponent) for opponent in opponents if opponent != row["recipe"]]
        sentences.append(f"{row['recipe']} {' and '.join(clauses)}.")
    return sentences


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _skill_text(row: Mapping[str, Any], opponent: str) -> str:
    if row["recipe"] == opponent:
        return "itself"
    value, low, high = (100 * row[f"skill_{opponent}{end}"] for end in ("", "_low", "_high"))
    return f"{value:+.2f}%" + ("" if math.isnan(low) else f" [{low:+.2f}, {high:+.2f}]")


def _verdict(row: Mapping[str, Any], opponent: str) -> str:
    low, high = row[f"skill_{opponent}_low"], row[f"skill_{opponent}_high"]
    if math.isnan(low):
        if row["cutoffs"] < FEWEST_CUTOFFS:
            return (
                f"cannot be distinguished from {opponent} on {row['cutoffs']} cutoffs "
                f"({FEWEST_CUTOFFS} are the least)"
            )
        return f"cannot be measured against {opponent}"
    if low > 0:
        return f"beats {opponent}"
    if high < 0:
        return f"loses to {opponent}"
    return f"is no different from {opponent} on this evidence ({CONFIDENCE:.0%} interval)"
