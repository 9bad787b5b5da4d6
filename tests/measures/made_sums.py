"""Scores summed up row by row: what the database is held to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.measures import FORECAST_COLUMNS, crps

INTERVAL_SUMS = (
    *("forecasts", "crps", "width_80", "inside_80", "below_95", "above_95"),
    *("forecasts_98", "below_98", "above_98"),
)


def sums_by_loop(scores: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return what `Store.score_sums` does, one score after the other."""
    sums: dict[tuple[object, ...], dict[str, object]] = {}
    for row in scores.to_dict("records"):
        row["month"] = f"{row['session']:%Y-%m}"
        group = {name: row[name] for name in [*by, "backfilled"]}
        own = sums.setdefault(tuple(group.values()), {**group, **_empty(row["session"])})
        last_price = row["actual"] - row["naive_error"]
        own["forecasts"] += 1
        own["first"] = min(own["first"], row["session"])
        own["last"] = max(own["last"], row["session"])
        own["squared"] += (row["error"] / last_price) ** 2
        own["naive_squared"] += (row["naive_error"] / last_price) ** 2
        if not math.isnan(row["pinball"]) and not math.isnan(row["ewma_pinball"]):
            own["compared"] += 1
            for name in ("pinball", "ewma_pinball"):
                own[name] = (0.0 if math.isnan(own[name]) else own[name]) + row[name]
        for name in ("inside_80", "inside_95"):
            own[name] += float(row[name])
        if not math.isnan(row["pinball"]) and not math.isnan(row["har_pinball"]):
            own["compared_with_har"] += 1
            for name, loss in (("pinball_beside_har", "pinball"), ("har_pinball", "har_pinball")):
                own[name] = (0.0 if math.isnan(own[name]) else own[name]) + row[loss]
    columns = [*by, "backfilled", *_empty(None)]
    return pd.DataFrame([sums[key] for key in sorted(sums)], columns=columns)


def _empty(session: object) -> dict[str, object]:
    return {
        "forecasts": 0,
        "first": session,
        "last": session,
        "squared": 0.0,
        "naive_squared": 0.0,
        "compared": 0,
        "pinball": math.nan,
        "ewma_pinball": math.nan,
        "inside_80": 0.0,
        "inside_95": 0.0,
        "compared_with_har": 0,
        "pinball_beside_har": math.nan,
        "har_pinball": math.nan,
    }


def interval_sums_by_loop(scored: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return what `Store.interval_sums` does, one forecast after the other.

    Args:
        scored: SCORES with last_value and the bounds of the publication that each is of.
    """
    sums: dict[tuple[object, ...], dict[str, object]] = {}
    for row in scored.to_dict("records"):
        if math.isnan(row["lower_95"]):
            continue
        group = {name: row[name] for name in [*by, "backfilled", "session"]}
        own = sums.setdefault(tuple(group.values()), {**group, **dict.fromkeys(INTERVAL_SUMS, 0)})
        actual = np.array([[row["actual"]]])
        quantiles = np.array([[[row[name] for name in FORECAST_COLUMNS]]])
        own["forecasts"] += 1
        own["crps"] += crps(actual, quantiles, np.array([row["last_value"]]))[0, 0]
        own["width_80"] += (row["upper_80"] - row["lower_80"]) / row["last_value"]
        own["inside_80"] += row["inside_80"]
        own["below_95"] += row["actual"] < row["lower_95"]
        own["above_95"] += row["actual"] > row["upper_95"]
        own["forecasts_98"] += not math.isnan(row["lower_98"])
        own["below_98"] += row["actual"] < row["lower_98"]
        own["above_98"] += row["actual"] > row["upper_98"]
    return pd.DataFrame([sums[key] for key in sorted(sums)])
