"""Anchors: what a baseline forecasts from each session of a history, for a network to correct.

`har` needs the prices of all stocks; what it forecasts of one of them stands in that one's history,
in columns of its own. A dataset file keeps them, so that a network is trained, tested and asked on
the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Floats
from pipeline.tables import HISTORY

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.windows.spec import Spec

#: Columns of a history by the sessions ahead: how far the log change is moved, and how far it is
#: expected to go.
CENTRE, DEVIATION = "centre_{}", "deviation_{}"


@dataclass(frozen=True, eq=False)
class Anchors:
    """The forecasts of a baseline from each session.

    Attributes:
        centres: (sessions, horizon), of log changes.
        deviations: (sessions, horizon), above 0.
    """

    centres: Floats
    deviations: Floats


def with_anchors(history: pd.DataFrame, centres: Floats, deviations: Floats) -> pd.DataFrame:
    """Return a history with anchors in columns.

    Args:
        centres, deviations: (sessions, horizon); NaN where nothing is forecast.
    """
    columns = {
        name.format(ahead + 1): values[:, ahead]
        for name, values in ((CENTRE, centres), (DEVIATION, deviations))
        for ahead in range(values.shape[1])
    }
    return with_columns(history, columns)


def with_columns(history: pd.DataFrame, columns: Mapping[str, Floats]) -> pd.DataFrame:
    """Return a history with further columns, which pandas takes long to add one by one."""
    import pandas as pd

    if not columns:
        return history
    table = pd.DataFrame(dict(columns), index=history.index)
    return pd.concat([history.drop(columns=list(columns), errors="ignore"), table], axis=1)


def anchor_columns(history: pd.DataFrame) -> list[str]:
    """Return the names of a history's columns that are not those of every history."""
    return [str(name) for name in history.columns if name not in HISTORY.columns]


def anchors_of(history: pd.DataFrame, spec: Spec, volatility: Floats) -> Anchors:
    """Return the anchors of a history.

    Where there are none, a random walk stands in: its centre is 0, and its deviation over h
    sessions is the EWMA volatility times the root of h.

    Args:
        volatility: (sessions,), see `volatility`.
    """
    aheads = np.arange(1, spec.horizon + 1)
    walk = volatility[:, None] * np.sqrt(aheads)
    if DEVIATION.format(spec.horizon) not in history.columns:
        return Anchors(np.zeros_like(walk), walk)
    centres, deviations = (
        np.column_stack([history[name.format(ahead)].to_numpy("float64") for ahead in aheads])
        for name in (CENTRE, DEVIATION)
    )
    known = np.isfinite(deviations) & np.isfinite(centres)
    return Anchors(np.where(known, centres, 0.0), np.where(known, deviations, walk))
