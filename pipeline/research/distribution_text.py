"""The tables of distributions for people, in percent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.measures import CONFIDENCE, REJECTED_BELOW
from pipeline.models import EWMA
from pipeline.quantiles import PROBABILITIES
from pipeline.reporting import format_rows, sentences
from pipeline.research.distribution_table import DistributionTables
from pipeline.research.leaderboard import ALL_HORIZONS

_MEANING_OF_TESTS = (
    "Kupiec's test asks whether they are too many or too few, Christoffersen's whether one follows "
    f"another too often; by chance alone each rejects {REJECTED_BELOW:.0%} of the stocks. The "
    "quantiles of 1% and 99% follow from the tails of the seven that are forecast."
)
#: The quantiles that say how much can be lost and won.
OUTER = (0.01, PROBABILITIES[0], PROBABILITIES[-1], 0.99)


def distribution_text(tables: DistributionTables) -> str:
    """Return the tables, each with what its figures mean."""
    distributions = readable_distributions(tables.distributions)
    quantiles = readable_quantiles(tables.quantiles)
    exceedances = readable_exceedances(tables.quantiles)
    return "\n\n".join(
        [
            "the whole distribution, all sessions ahead\n" + format_rows(distributions, "table"),
            sentences([_meaning(tables.foresight_gain)]),
            "pinball loss of each quantile, % of the price, and skill against ewma, %\n"
            + format_rows(quantiles, "table"),
            "outcomes beyond the outer quantiles one session ahead, and stocks rejected by Kupiec "
            "/ Christoffersen\n" + format_rows(exceedances, "table"),
            sentences([_MEANING_OF_TESTS]),
        ]
    )


def readable_distributions(rows: pd.DataFrame) -> pd.DataFrame:
    """Return CRPS, QLIKE, the PIT's test and the share of perfect foresight, by forecaster.

    Args:
        rows: of `distribution_table`.
    """
    records = _records(rows[rows["horizon"] == ALL_HORIZONS])
    return pd.DataFrame(
        {
            "recipe": [row["recipe"] for row in records],
            "CRPS": [f"{row['crps']:.4%}" for row in records],
            "skill against ewma": _against_ewma(records, "crps_skill_ewma", "+.2f"),
            "QLIKE gain": _against_ewma(records, "qlike_gain_ewma", "+.3f", 1, ""),
            "of foresight": _against_ewma(records, "foresight_share", "+.0f"),
            "PIT p": [_probability(row["pit_p_value"]) for row in records],
        }
    )


def readable_quantiles(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the loss of each quantile with its skill, a row per forecaster.

    Args:
        rows: of `quantile_table`.
    """
    of_all = rows[rows["horizon"] == ALL_HORIZONS]
    table = pd.DataFrame({"recipe": of_all["recipe"].unique()})
    for probability, of_quantile in of_all.groupby("quantile"):
        table[f"{probability:.1%}"] = [_loss_text(row) for row in _records(of_quantile)]
    return table


def readable_exceedances(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the share of outcomes beyond the outer quantiles, one session ahead.

    Args:
        rows: of `quantile_table`.
    """
    first = rows[rows["horizon"] == 1]
    table = pd.DataFrame({"recipe": first["recipe"].unique()})
    for probability in OUTER:
        side = "below" if probability < 0.5 else "above"
        table[f"{side} {probability:.1%}"] = [
            f"{_bounded_text(row, 'exceeded', '.1f')} {row['rejected_kupiec']:.0%} / "
            f"{row['rejected_independence']:.0%}"
            for row in _records(first[first["quantile"] == probability])
        ]
    return table


def _meaning(gain: float) -> str:
    return (
        "CRPS is a share of the price. QLIKE is of the variance that the 95% interval implies; the "
        "gain is ewma's loss less this one's, positive is better. Perfect foresight of the mean "
        f"range of the sessions ahead would {_foresight(gain)} PIT p is the probability that "
        "quantiles which are right look as far off in location and spread. "
        f"Intervals ({CONFIDENCE:.0%}) and tests allow for forecasts that overlap."
    )


def _foresight(gain: float) -> str:
    if not gain > 0:
        return "gain nothing over ewma here."
    return f"lose {gain:.1%} less than ewma: `of foresight` is the share of this that is gained."


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _against_ewma(
    records: Sequence[Mapping[str, Any]], name: str, form: str, scale: float = 100, unit: str = "%"
) -> list[str]:
    return [
        "itself" if row["recipe"] == EWMA else _bounded_text(row, name, form, scale, unit)
        for row in records
    ]


def _bounded_text(
    row: Mapping[str, Any], name: str, form: str, scale: float = 100, unit: str = "%"
) -> str:
    """Return a figure with its interval, where there is one."""
    value, low, high = (scale * row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return "unknown"
    bounds = "" if math.isnan(low) else f" [{low:{form}}, {high:{form}}]"
    return f"{value:{form}}{unit}{bounds}"


def _probability(value: float) -> str:
    if math.isnan(value):
        return "unknown"
    return "below 0.001" if value < 0.001 else f"{value:.3f}"


def _loss_text(row: Mapping[str, Any]) -> str:
    loss = f"{100 * row['pinball']:.3f}"
    return loss if row["recipe"] == EWMA else f"{loss} ({100 * row['skill_ewma']:+.1f})"
