"""The line that moves the median of `har`: where the last price of a session is a poor forecast.

A high is best forecast from all prices of its session: it is far above a close that ended low. The
line is a ridge regression of the change ahead, in multiples of its deviation, on how far the
session's open, high, low and close are from the target. What the same line, fitted a year of
sessions before, has gained since is the evidence for it; it is shrunk by that (see `_evidence`). A
close is worth no line, and hardly ever has one.
"""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Floats
from pipeline.errors import NotEnoughHistory
from pipeline.models.har_features import Panel, later
from pipeline.models.har_ridge import CHOOSING_SESSIONS, StockInputs, chosen_coefficients

#: The open, high, low and close of a session, and 1.
LINE_INPUTS = 5
#: A price is no farther from the target than this many deviations.
MOST_DISTANCE = 10.0


def fitted_lines(panel: Panel, deviations: Floats, fitted: int) -> Floats:
    """Return intercept and slopes of each horizon's line, (H, `LINE_INPUTS`); 0: no line.

    Args:
        deviations: (H, T, S), of the log changes ahead.
        fitted: the row of the last session that anything is fitted on.
    """
    inputs, logs = _inputs(panel, deviations[0]), panel.target_logs
    lines = np.zeros((len(deviations), LINE_INPUTS))
    for ahead, deviation in enumerate(deviations, start=1):
        shocks = (later(logs, ahead) - logs) / deviation
        end = fitted + 1 - ahead
        try:
            before = chosen_coefficients(inputs, shocks, end - CHOOSING_SESSIONS - ahead, ahead)
        except NotEnoughHistory:  # nothing speaks for a line
            continue
        since = slice(max(end - CHOOSING_SESSIONS, 0), end)
        weight = _evidence(shocks[since], _values(inputs, before)[since], ahead)
        if weight:
            lines[ahead - 1] = weight * chosen_coefficients(inputs, shocks, end, ahead)
    return lines


def centres_of(panel: Panel, deviations: Floats, lines: Floats) -> Floats:
    """Return how far the lines move log changes, (H, T, S); 0 where a price is not known."""
    inputs = _inputs(panel, deviations[0])
    moved = np.stack([_values(inputs, line) for line in lines])
    moved *= deviations
    return np.nan_to_num(moved, copy=False)


def _inputs(panel: Panel, deviation: Floats) -> list[StockInputs]:
    """Return how far each session's prices are from the target, in deviations of a session."""
    target = panel.target_logs
    if panel.steps is not None:  # the bars are those that the last session sees
        target = target + np.log(panel.steps).sum(axis=0)
    # In place: next to each other they would take three times the memory.
    distances = np.log(panel.bars[:, :, :4])
    distances -= target[..., None]
    distances /= deviation[..., None]
    np.clip(distances, -MOST_DISTANCE, MOST_DISTANCE, out=distances)
    return [(of_stock,) for of_stock in distances.transpose(1, 0, 2)]


def _values(inputs: list[StockInputs], line: Floats) -> Floats:
    """Return a line's values, (T, S)."""
    return np.column_stack([line[0] + distances @ line[1:] for (distances,) in inputs])


def _evidence(shocks: Floats, values: Floats, ahead: int) -> float:
    """Return how much of a line to keep; one that moves all alike has gained nothing.

    Args:
        shocks, values: (n, S), what came and what the line has forecast.
    """
    from pipeline.measures import kept_share  # it imports pandas

    known = np.isfinite(shocks + values)
    if not known.any():
        return 0.0
    errors = np.where(known, shocks - values, np.nan)
    squares = [(each - np.nanmean(each)) ** 2 for each in (np.where(known, shocks, np.nan), errors)]
    gains = np.nanmean((squares[0] - squares[1])[known.any(axis=1)], axis=1)
    return kept_share(gains, ahead)
