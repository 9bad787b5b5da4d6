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
#: Figures without bounds, and by level the shares with bounds.
_PLAIN = ("crps", "width_80")
_SHARES = {
    80: ("inside_80",),
    95: ("below_95", "above_95"),
    98: ("inside_98", "below_98", "above_98"),
}
#: By level the p-values of the tests: of unconditional and of conditional coverage.
_TESTS = {95: ("kupiec", "christoffersen"), 98: ("kupiec_98", "christoffersen_98")}


def interval_record(sums: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return the record of intervals by group, those published in time and backfilled ones apart.

    Args:
        sums: as `Store.interval_sums` adds them up, by these groups and session.
        by: the groups; horizon is one of them.

    Returns:
        The groups, backfilled, forecasts, sessions; crps and width_80 (of the 80% interval), means
        as fractions of the last price; inside_80, below_95 and above_95, shares with bounds _low
        and _high; kupiec and christoffersen, the p-values of the tests of the 95% interval
        (unconditional and conditional coverage), NaN where a group is of several tickers; then
        those of the 98% interval, inside_98, below_98, above_98, kupiec_98 and christoffersen_98,
        over the sessions of which all forecasts have one.
    """
    groups = [*by, "backfilled"]
    rows = [
        {**dict(zip(groups, key, strict=True)), **_figures(group)}
        for key, group in sums.groupby(groups, sort=False)
    ]
    names = [name for level in _SHARES for name in (*_columns(level), *_TESTS.get(level, ()))]
    return pd.DataFrame(rows, columns=[*groups, "forecasts", "sessions", *_PLAIN, *names])


def _columns(level: int) -> list[str]:
    return [f"{name}{end}" for name in _SHARES[level] for end in ("", "_low", "_high")]


def _figures(group: pd.DataFrame) -> dict[str, float]:
    """Return the figures of one group, whose rows are by session."""
    ordered = group.sort_values("session")
    horizon, counts = int(ordered["horizon"].iloc[0]), ordered["forecasts"]
    figures: dict[str, float] = {"forecasts": int(counts.sum()), "sessions": len(counts)}
    figures |= {name: float((ordered[name] / counts).to_numpy().mean()) for name in _PLAIN}
    has_outer = ordered["forecasts_98"] == counts
    outer = ordered.assign(inside_98=counts - ordered["below_98"] - ordered["above_98"])[has_outer]
    for level, rows in ((80, ordered), (95, ordered), (98, outer)):
        figures |= _figures_of_level(rows, level, horizon)
    return figures


def _figures_of_level(rows: pd.DataFrame, level: int, horizon: int) -> dict[str, float]:
    """Return the shares of a level with their bounds, and its tests."""
    names = (*_columns(level), *_TESTS.get(level, ()))
    figures: dict[str, float] = dict.fromkeys(names, np.nan)
    if rows.empty:
        return figures
    counts, enough = rows["forecasts"].to_numpy(), len(rows) >= FEWEST_SESSIONS
    means = {name: rows[name].to_numpy() / counts for name in _SHARES[level]}
    for name, values in means.items():
        estimate = share_estimate(values, horizon)
        figures[name] = estimate.value
        if enough:
            figures |= {f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    if level in _TESTS and enough and (counts == 1).all():
        beyond = means[f"below_{level}"] + means[f"above_{level}"]
        test = exceedance_test(beyond, (100 - level) / 100, horizon)
        figures |= dict(zip(_TESTS[level], (test.kupiec, test.conditional), strict=True))
    return figures
