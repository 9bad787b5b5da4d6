"""The record of published intervals: how wide they were, and whether they kept their promise. Pure.

Forecasts of one session are averaged first: stocks rise and fall together. Intervals and tests
allow for forecasts of several sessions, which overlap.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.measures.exceedances import exceedance_test
from pipeline.measures.significance import share_estimate

#: Fewer scored sessions have neither an interval nor a test.
FEWEST_SESSIONS = 20
#: The share of outcomes that the 95% interval leaves out.
_PROMISED_BEYOND = 0.05
#: Figures with bounds, and those without.
_BOUNDED, _PLAIN = ("inside_80", "below_95", "above_95"), ("crps", "width_80")
_TESTS = ("kupiec", "christoffersen")


def interval_record(sums: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return the record of intervals by group, those published in time and backfilled ones apart.

    Args:
        sums: as `Store.interval_sums` adds them up, by these groups and session.
        by: the groups; horizon is one of them.

    Returns:
        The groups, backfilled, forecasts, sessions; crps and width_80 (of the 80% interval), means
        as fractions of the last price; inside_80, below_95 and above_95, shares with bounds _low
        and _high; kupiec and christoffersen, the p-values of the tests of the 95% interval
        (unconditional and conditional coverage), NaN where a group is of several tickers.
    """
    groups = [*by, "backfilled"]
    rows = [
        {**dict(zip(groups, key, strict=True)), **_figures(group)}
        for key, group in sums.groupby(groups, sort=False)
    ]
    bounded = [f"{name}{end}" for name in _BOUNDED for end in ("", "_low", "_high")]
    columns = [*groups, "forecasts", "sessions", *_PLAIN, *bounded, *_TESTS]
    return pd.DataFrame(rows, columns=columns)


def _figures(group: pd.DataFrame) -> dict[str, float]:
    """Return the figures of one group, whose rows are by session."""
    ordered = group.sort_values("session")
    horizon, counts = int(ordered["horizon"].iloc[0]), ordered["forecasts"].to_numpy()
    means = {name: ordered[name].to_numpy() / counts for name in (*_PLAIN, *_BOUNDED)}
    figures: dict[str, float] = {"forecasts": int(counts.sum()), "sessions": len(counts)}
    figures |= {name: float(means[name].mean()) for name in _PLAIN}
    enough = len(counts) >= FEWEST_SESSIONS
    for name in _BOUNDED:
        estimate = share_estimate(means[name], horizon)
        low, high = (estimate.low, estimate.high) if enough else (np.nan, np.nan)
        figures |= {name: estimate.value, f"{name}_low": low, f"{name}_high": high}
    figures |= dict.fromkeys(_TESTS, np.nan)
    if enough and (counts == 1).all():
        beyond = means["below_95"] + means["above_95"]
        test = exceedance_test(beyond, _PROMISED_BEYOND, horizon)
        figures |= dict(zip(_TESTS, (test.kupiec, test.conditional), strict=True))
    return figures
